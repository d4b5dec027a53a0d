//! Second attempts of tasks that run much longer than the others of their phase.
//!
//! ```text
//!  worker 1: ██ ██ ██ ██ ░░░░░ idle ─▶ second attempt, from the first one's last savepoint
//!  worker 2: ██ ████████████████ …     first attempt: 2 × the median by size, and counting
//!                                      who commits first wins; the other is told to stop
//! ```
//!
//! Only where nothing else waits for the room. A second attempt is never of a gang, and never on the first one's worker.

use orchestrator_core::{AttemptId, WorkerId};

use crate::capacity::Capacity;
use crate::clocks::LeaseClock;
use crate::options::Millis;
use crate::scheduler::Scheduler;
use crate::state::{Job, Place, TaskStatus};

/// Attempts of a phase that must have committed before others can be called slow.
const LEAST_PACES: usize = 3;
/// Attempts of a phase whose pace is kept; a median needs no more.
const MOST_PACES: usize = 1_023;

impl Scheduler {
    /// Remembers how long a task took, by its size, when its attempt commits. One that went on from a savepoint, or that
    /// began before a restart, says nothing of the whole.
    pub(crate) fn note_pace(&mut self, clock: &LeaseClock) {
        if clock.resumed_at > 0 || clock.recovered || clock.rank.is_some() {
            return;
        }
        let Some(kib) = self.kib(&clock.place) else { return };
        let pace = self.now.saturating_sub(clock.granted).saturating_mul(1_000) / kib;
        let Some(job) = self.state.jobs.get(&clock.place.job) else { return };
        let paces = self.clocks.paces.entry((job.number, clock.place.phase)).or_default();
        if paces.len() < MOST_PACES {
            let place = paces.partition_point(|other| *other <= pace);
            paces.insert(place, pace);
        }
    }

    /// A task's size, at least 1.
    fn kib(&self, place: &Place) -> Option<u64> {
        Some((self.state.task(place)?.bytes >> 10).max(1))
    }

    /// How long a task should take, as the others of its phase do.
    fn expected(&self, place: &Place, job: &Job) -> Option<Millis> {
        let paces = self.clocks.paces.get(&(job.number, place.phase))?;
        let median = paces.get(paces.len() / 2).filter(|_| paces.len() >= LEAST_PACES)?;
        Some((median.saturating_mul(self.kib(place)?) / 1_000).max(1))
    }

    /// The task that is slowest, by what was expected of it, and may have a second attempt on a worker with so much room.
    pub(crate) fn straggler(&self, worker: &WorkerId, free: Capacity) -> Option<(Place, Capacity)> {
        let percent = self.options.straggler_percent;
        let clocks = &self.clocks;
        let others_wait =
            !clocks.ready.is_empty() || !clocks.delayed.is_empty() || !clocks.reservations.is_empty();
        if percent == 0 || others_wait {
            return None;
        }
        let slow = |(attempt, clock): (&AttemptId, &LeaseClock)| {
            let job = self.state.jobs.get(&clock.place.job)?;
            let (index, phase) = job.active_phase()?;
            let task = phase.tasks.get(clock.place.task as usize)?;
            let is_first = matches!(&task.status, TaskStatus::Leased(lease) if lease.attempt == *attempt);
            let is_alone = index == clock.place.phase && is_first && task.second.is_none();
            let elapsed = self.now.saturating_sub(clock.granted);
            let may_come = clock.worker != *worker && task.failed_on.as_ref() != Some(worker);
            if !is_alone
                || !may_come
                || self.now.saturating_sub(clock.alone_since) < self.options.straggler_after_ms
                || free.fits(clock.takes) == 0
            {
                return None;
            }
            let times = elapsed.saturating_mul(100) / self.expected(&clock.place, job)?;
            (times >= percent).then(|| (times, clock.place.clone(), clock.takes))
        };
        // Of equally slow ones the first in order.
        let slowest = clocks.leases().iter().filter_map(slow).reduce(|best, other| {
            let is_worse = (other.0, &best.1) > (best.0, &other.1);
            if is_worse { other } else { best }
        });
        slowest.map(|(_, place, takes)| (place, takes))
    }
}
