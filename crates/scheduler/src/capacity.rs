//! Amounts of what a worker offers and a task takes, and what fits into what.

use std::fmt;

use orchestrator_core::units::ByteSize;

use crate::state::Phase;

/// What a worker can hold, or what something takes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Tasks at a time.
    pub slots: u32,
    /// Training ranks at a time.
    pub gang_slots: u32,
    /// Memory. A worker that offers 0 did not say: its memory is not counted.
    pub memory_bytes: u64,
    /// GPUs.
    pub gpus: u32,
}

impl Capacity {
    /// What a task of a phase takes.
    pub(crate) fn of_task(phase: &Phase) -> Self {
        let demand = phase.demand;
        Self { slots: demand.slots, gang_slots: 0, memory_bytes: demand.memory_bytes, gpus: demand.gpus }
    }

    /// What a rank of a phase's gang takes, with so many GPUs. It takes no core: ranks are asked for, not found.
    pub(crate) fn of_rank(phase: &Phase, gpus: u32) -> Self {
        Self { slots: 0, gang_slots: 1, memory_bytes: phase.demand.memory_bytes, gpus }
    }

    /// What a worker offers, with memory without bound where it is not counted.
    pub(crate) fn offered(self) -> Self {
        let memory_bytes = if self.memory_bytes == 0 { u64::MAX } else { self.memory_bytes };
        Self { memory_bytes, ..self }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            slots: self.slots.saturating_add(other.slots),
            gang_slots: self.gang_slots.saturating_add(other.gang_slots),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            gpus: self.gpus.saturating_add(other.gpus),
        }
    }

    pub(crate) fn less(self, other: Self) -> Self {
        Self {
            slots: self.slots.saturating_sub(other.slots),
            gang_slots: self.gang_slots.saturating_sub(other.gang_slots),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }

    pub(crate) fn times(self, count: u32) -> Self {
        Self {
            slots: self.slots.saturating_mul(count),
            gang_slots: self.gang_slots.saturating_mul(count),
            memory_bytes: self.memory_bytes.saturating_mul(u64::from(count)),
            gpus: self.gpus.saturating_mul(count),
        }
    }

    pub(crate) fn most(self, other: Self) -> Self {
        Self {
            slots: self.slots.max(other.slots),
            gang_slots: self.gang_slots.max(other.gang_slots),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            gpus: self.gpus.max(other.gpus),
        }
    }

    /// How often `part` fits; what it takes nothing of does not bound it.
    pub(crate) fn fits(self, part: Self) -> u32 {
        let times = |whole: u64, part: u64| whole.checked_div(part).unwrap_or(u64::MAX);
        let least = times(self.slots.into(), part.slots.into())
            .min(times(self.gang_slots.into(), part.gang_slots.into()))
            .min(times(self.memory_bytes, part.memory_bytes))
            .min(times(self.gpus.into(), part.gpus.into()));
        u32::try_from(least).unwrap_or(u32::MAX)
    }
}

/// For people: only what there is something of.
impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u32, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let mut parts = Vec::new();
        if self.slots > 0 {
            parts.push(plural(self.slots, "slot"));
        }
        if self.gang_slots > 0 {
            parts.push(plural(self.gang_slots, "gang slot"));
        }
        match self.memory_bytes {
            0 => {}
            u64::MAX => parts.push("uncounted memory".to_owned()),
            bytes => parts.push(format!("{} of memory", ByteSize(bytes))),
        }
        if self.gpus > 0 {
            parts.push(plural(self.gpus, "GPU"));
        }
        match parts.pop() {
            None => f.write_str("nothing"),
            Some(last) if parts.is_empty() => f.write_str(&last),
            Some(last) => write!(f, "{} and {last}", parts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_part_decides() {
        let whole = Capacity { slots: 8, gang_slots: 8, memory_bytes: 10 << 30, gpus: 1 };
        let part = Capacity { slots: 1, memory_bytes: 3 << 30, ..Capacity::default() };
        assert_eq!(whole.fits(part), 3);
        assert_eq!(whole.fits(Capacity { gpus: 1, ..part }), 1);
        assert_eq!(whole.fits(Capacity { gpus: 2, ..part }), 0);
        let unbounded = Capacity { memory_bytes: 0, ..whole }.offered();
        assert_eq!(unbounded.less(part.times(3)).fits(part), 5, "slots alone");
    }

    #[test]
    fn amounts_read_as_text() {
        let amount = Capacity { slots: 1, gang_slots: 0, memory_bytes: 2 << 30, gpus: 2 };
        assert_eq!(amount.to_string(), "1 slot, 2.1 GB of memory and 2 GPUs");
        assert_eq!(Capacity::default().to_string(), "nothing");
    }
}
