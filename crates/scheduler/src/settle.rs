//! What follows from the end of an attempt: retries, quarantine, the end of a phase, the end of a job.

use std::fmt::Write as _;

use orchestrator_core::{AttemptId, JobId};

use crate::command::{Command, Level};
use crate::fact::{Cost, Fact};
use crate::scheduler::Scheduler;
use crate::state::{Job, JobStatus, PhaseStatus, Place, Task, TaskStatus};

/// Quarantined tasks that a job's error tells of; the others are counted.
const TOLD_TASKS_MAX: usize = 5;

impl Scheduler {
    /// Ends a live attempt without a commit. A rank takes its whole generation with it.
    pub(crate) fn end_attempt(&mut self, attempt: AttemptId, cost: Cost, error: &str) {
        self.end_attempt_for(attempt, cost, error, false);
    }

    pub(crate) fn end_attempt_for(&mut self, attempt: AttemptId, cost: Cost, error: &str, permanent: bool) {
        let Some(clock) = self.clocks.leases().get(&attempt).cloned() else { return };
        if let Some(rank) = clock.rank {
            let error = format!("rank {rank} on `{}`: {error}", clock.worker);
            return self.end_generation(&clock.place, cost, &error, permanent);
        }
        self.clocks.stop(attempt);
        self.wake_blocked();
        let place = clock.place;
        // Of two attempts the other goes on: what ends this one says nothing of the task.
        let others = self.others(&place, attempt);
        let quarantined = others.is_empty() && (permanent || self.used_up(&place, cost));
        for other in others {
            self.clocks.leave_alone(other, self.now);
        }
        let fact =
            Fact::AttemptEnded { place: place.clone(), attempt, cost, error: error.to_owned(), quarantined };
        self.record(fact);
        self.tell_end(
            &place,
            cost,
            quarantined,
            &format!("attempt {attempt} on `{}`: {error}", clock.worker),
        );
        if quarantined {
            self.settle(&place.job);
        } else if self.state.task(&place).is_some_and(|task| task.status == TaskStatus::Ready) {
            let wait = self.wait_after(&place, cost);
            self.enqueue(&place, wait);
        }
    }

    /// The attempts that run a task beside this one.
    pub(crate) fn others(&self, place: &Place, attempt: AttemptId) -> Vec<AttemptId> {
        let leases = self.state.task(place).into_iter().flat_map(Task::leases);
        leases.map(|lease| lease.attempt).filter(|other| *other != attempt).collect()
    }

    /// Whether one more `cost` leaves the task without attempts.
    pub(crate) fn used_up(&self, place: &Place, cost: Cost) -> bool {
        let job = &self.state.jobs[&place.job];
        let task = &job.phases[place.phase as usize].tasks[place.task as usize];
        match cost {
            Cost::Nothing => false,
            Cost::Failure => task.failures + 1 >= job.max_attempts,
            Cost::Loss => task.losses + 1 >= job.max_attempts.saturating_mul(self.options.losses_per_attempt),
        }
    }

    pub(crate) fn wait_after(&self, place: &Place, cost: Cost) -> u64 {
        match cost {
            Cost::Nothing | Cost::Loss => 0,
            Cost::Failure => self.options.backoff(self.state.task(place).map_or(0, |task| task.failures)),
        }
    }

    pub(crate) fn tell_end(&mut self, place: &Place, cost: Cost, quarantined: bool, error: &str) {
        let goes_on = self.state.task(place).is_some_and(|task| task.leases().next().is_some());
        let (level, what) = match (quarantined, cost) {
            (false, _) if goes_on => (Level::Info, "lost one of its two attempts"),
            (true, _) => (Level::Error, "is quarantined"),
            (false, Cost::Nothing) => (Level::Info, "was given back"),
            (false, Cost::Failure) => (Level::Warn, "failed and will be tried again"),
            (false, Cost::Loss) => (Level::Warn, "was lost and will be tried again"),
        };
        let text = format!("{} {what}: {error}", self.name(place));
        self.effects.log(&place.job, level, text);
    }

    /// `phase 2 (map), task 7`.
    pub(crate) fn name(&self, place: &Place) -> String {
        let phase = self.state.phase(&place.job, place.phase).map_or("", |phase| phase.spec.name.as_str());
        format!("phase {} ({phase}), task {}", place.phase, place.task)
    }

    /// Finds whether the active phase of a job is at an end, good or bad.
    pub(crate) fn settle(&mut self, id: &JobId) {
        let Some((index, phase)) = self.state.jobs.get(id).and_then(Job::active_phase) else { return };
        if phase.status != PhaseStatus::Running {
            return;
        }
        if phase.all_published() {
            self.effects.command(Command::PublishPhase { job: id.clone(), phase: index });
            return;
        }
        let ended = phase.published + phase.quarantined;
        if phase.quarantined > 0 && phase.under_way == 0 && ended as usize == phase.tasks.len() {
            let error = quarantine_list(&phase.spec.name, &phase.tasks);
            self.fail_job(id, error);
        }
    }

    /// Fails a job that runs; what its workers hold is void.
    pub(crate) fn fail_job(&mut self, id: &JobId, error: String) {
        self.void(id);
        self.effects.log(id, Level::Error, format!("the job failed: {error}"));
        self.record(Fact::JobFailed { job: id.clone(), error });
        self.effects.wake();
    }

    /// Forgets the queue, the leases and the gang of a job.
    pub(crate) fn void(&mut self, id: &JobId) {
        let Some(job) = self.state.jobs.get(id) else { return };
        self.clocks.unqueue_job(job.priority, job.number);
        self.clocks.gangs.remove(id);
        self.clocks.waits.remove(id);
        let attempts: Vec<AttemptId> = self
            .clocks
            .leases()
            .iter()
            .filter(|(_, clock)| clock.place.job == *id)
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in attempts {
            self.clocks.stop(attempt);
        }
    }

    /// Whether a job runs.
    pub(crate) fn runs(&self, id: &JobId) -> bool {
        self.state.jobs.get(id).is_some_and(|job| job.status == JobStatus::Running)
    }
}

fn quarantine_list(phase: &str, tasks: &[Task]) -> String {
    let quarantined = || tasks.iter().enumerate().filter(|(_, task)| task.status == TaskStatus::Quarantined);
    let count = quarantined().count();
    let mut text = format!("{count} of {} tasks of phase `{phase}` used up their attempts", tasks.len());
    for (number, task) in quarantined().take(TOLD_TASKS_MAX) {
        let error = task.error.as_deref().unwrap_or("no error was told");
        write!(text, "; task {number}: {error}").expect("strings take all");
    }
    if count > TOLD_TASKS_MAX {
        write!(text, "; and {} more", count - TOLD_TASKS_MAX).expect("strings take all");
    }
    text
}
