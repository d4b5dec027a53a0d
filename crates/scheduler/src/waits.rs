//! What a job waits for that no worker can give it now: said in words, so that nothing hangs without a reason.

use orchestrator_core::JobId;
use orchestrator_core::units::ByteSize;

use crate::capacity::Capacity;
use crate::clocks::Wait;
use crate::command::Level;
use crate::options::Millis;
use crate::room::total;
use crate::scheduler::Scheduler;
use crate::state::{Job, JobStatus, Phase, PhaseKind, PhaseStatus, TaskStatus};

/// How often jobs are asked what they wait for.
const ASKED_EVERY_MS: Millis = 1_000;
/// A wait is told of once it has lasted so long: workers come and go.
const TOLD_AFTER_MS: Millis = 3_000;

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Others have what it needs; it goes on when they are done.
    Busy(String),
    /// No worker that is there has what it needs, whatever the others do.
    Never(String),
}

impl Waiting {
    /// In words.
    pub fn text(&self) -> &str {
        match self {
            Self::Busy(text) | Self::Never(text) => text,
        }
    }
}

impl Scheduler {
    /// What a job waits for, if nothing of it runs and something could.
    pub fn waits_for(&self, id: &JobId) -> Option<Waiting> {
        let (index, phase) = self.state.jobs.get(id).and_then(Job::active_phase)?;
        let ready = phase.tasks.iter().any(|task| task.status == TaskStatus::Ready);
        if phase.status != PhaseStatus::Running || phase.under_way > 0 || !ready {
            return None;
        }
        let name = format!("phase {index} ({})", phase.spec.name);
        if self.open_workers().next().is_none() {
            return Some(Waiting::Never(format!("{name} waits for a worker: none is there")));
        }
        match phase.spec.kind {
            PhaseKind::Tasks => self.task_waits_for(&name, phase),
            PhaseKind::Gang { world_size, min_world_size } => {
                let generation = phase.gang.as_ref().map_or(0, |gang| gang.generation);
                let least = if generation > 0 { min_world_size.min(world_size) } else { world_size };
                self.gang_waits_for(&name, id, phase, world_size, least)
            }
        }
    }

    fn task_waits_for(&self, name: &str, phase: &Phase) -> Option<Waiting> {
        let takes = Capacity::of_task(phase);
        let mut most = Capacity::default();
        let (mut can_ever, mut can_now) = (false, false);
        for (worker, entry) in self.open_workers() {
            most = most.most(entry.capacity.offered());
            can_ever |= entry.capacity.offered().fits(takes) > 0;
            can_now |= self.free(worker, entry).fits(takes) > 0;
        }
        if !can_ever {
            return Some(Waiting::Never(format!(
                "{name} waits for a worker that can hold one of its tasks: it takes {takes}, and those that are there \
                 offer at most {}",
                most_of(most, takes)
            )));
        }
        (!can_now).then(|| Waiting::Busy(format!("{name} waits for {takes} on a worker: others have it now")))
    }

    fn gang_waits_for(
        &self,
        name: &str,
        id: &JobId,
        phase: &Phase,
        wanted: u32,
        least: u32,
    ) -> Option<Waiting> {
        let takes = *Self::seat_choices(phase).last()?;
        let all = total(&self.all_seats(takes));
        if all < u64::from(least) {
            return Some(Waiting::Never(format!(
                "{name} waits for workers of one build and CPU level that hold {least} ranks with {takes} each: those \
                 that are there hold {all}"
            )));
        }
        let order = Self::order(&self.state.jobs[id]);
        let free = total(&self.free_seats(order, takes));
        (free < u64::from(wanted)).then(|| {
            Waiting::Busy(format!(
                "{name} waits for {wanted} ranks with {takes} each: there is room for {free} now"
            ))
        })
    }

    /// Tells people of jobs that wait for what no worker has, once each.
    pub(crate) fn tell_waits(&mut self) {
        if self.now < self.clocks.waits_asked + ASKED_EVERY_MS {
            return;
        }
        self.clocks.waits_asked = self.now;
        let running: Vec<JobId> = self
            .state
            .jobs
            .iter()
            .filter(|(_, job)| job.status == JobStatus::Running)
            .map(|(id, _)| id.clone())
            .collect();
        for id in running {
            let Some(Waiting::Never(text)) = self.waits_for(&id) else {
                if self.clocks.waits.remove(&id).is_some_and(|wait| wait.told) {
                    self.effects.log(&id, Level::Info, "it waits no longer".to_owned());
                }
                continue;
            };
            let wait = self.clocks.waits.entry(id.clone()).or_insert_with(|| Wait {
                since: self.now,
                text: text.clone(),
                told: false,
            });
            if wait.text != text {
                wait.text.clone_from(&text);
                wait.told = false;
            }
            if !wait.told && self.now >= wait.since + TOLD_AFTER_MS {
                wait.told = true;
                self.effects.log(&id, Level::Warn, text);
            }
        }
    }
}

/// The most that workers offer of what somebody asks for: `8 slots, 8.6 GB of memory, 0 GPUs`.
fn most_of(offered: Capacity, asked: Capacity) -> String {
    let mut parts = Vec::new();
    if asked.slots > 0 {
        parts.push(format!("{} slots", offered.slots));
    }
    if asked.memory_bytes > 0 {
        parts.push(format!("{} of memory", ByteSize(offered.memory_bytes)));
    }
    if asked.gpus > 0 {
        parts.push(format!("{} GPUs", offered.gpus));
    }
    parts.join(", ")
}
