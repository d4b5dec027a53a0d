//! What people see of jobs and workers.

use std::fmt::Write as _;

use orchestrator_core::{AttemptId, JobId};
use orchestrator_proto::v1::{
    AttemptDetail, JobDetail, JobState, JobSummary, PhaseDetail, PhaseState, QuarantinedTask, WorkerSummary,
};
use orchestrator_scheduler::{Job, JobStatus, LeaseClock, PhaseStatus, Scheduler, TaskStatus};

/// Running attempts and quarantined tasks that one answer names; the counts tell of the rest.
const NAMED_MAX: usize = 1_000;
/// A rank that stands still for so long is said to.
const TOLD_STILL_MS: u64 = 2_000;

pub(crate) fn summary(id: &JobId, job: &Job) -> JobSummary {
    let done = job.phases.iter().filter(|phase| phase.status == PhaseStatus::Published).count();
    let started = job.phases.iter().any(|phase| phase.status != PhaseStatus::Waiting);
    let (state, error) = match &job.status {
        JobStatus::Running if started => (JobState::Running, ""),
        JobStatus::Running => (JobState::Queued, ""),
        JobStatus::Succeeded => (JobState::Succeeded, ""),
        JobStatus::Failed(error) => (JobState::Failed, error.as_str()),
        JobStatus::Cancelled => (JobState::Cancelled, ""),
    };
    JobSummary {
        job: id.0.clone(),
        name: job.name.clone(),
        state: state.into(),
        output: job.output.clone(),
        phases_done: done as u32,
        phases: job.phases.len() as u32,
        priority: job.priority,
        error: error.to_owned(),
    }
}

pub(crate) fn detail(scheduler: &Scheduler, id: &JobId) -> Option<JobDetail> {
    let job = scheduler.state().jobs.get(id)?;
    let now = scheduler.now();
    let waits = scheduler.waits_for(id).is_some();
    let mut running: Vec<AttemptDetail> = Vec::new();
    let mut phases: Vec<PhaseDetail> = job
        .phases
        .iter()
        .enumerate()
        .map(|(index, phase)| PhaseDetail {
            phase: index as u32,
            name: phase.spec.name.clone(),
            state: phase_state(&job.status, phase.status, job.current_phase() == Some(index as u32), waits)
                .into(),
            tasks: phase.tasks.len() as u32,
            tasks_done: phase.tasks_done(),
            tasks_running: 0,
            records: phase.records,
            bytes: phase.bytes,
            generation: phase.gang.as_ref().map_or(0, |gang| gang.generation),
            progress: String::new(),
        })
        .collect();
    for (attempt, clock) in scheduler.leases().filter(|(_, clock)| clock.place.job == *id) {
        let Some(phase) = phases.get_mut(clock.place.phase as usize) else { continue };
        // A gang is one task, however many ranks run it; so is one that runs twice.
        let task = scheduler.state().task(&clock.place);
        let is_second =
            task.and_then(|task| task.second.as_ref()).is_some_and(|lease| lease.attempt == attempt);
        if !is_second {
            phase.tasks_running += u32::from(clock.rank.is_none_or(|rank| rank == 0));
            phase.records += clock.progress.records;
            phase.bytes += clock.progress.bytes;
        }
        if let (Some(0), Some(rank)) = (clock.rank, &clock.progress.rank) {
            phase.progress.clone_from(&rank.metrics);
        }
        if running.len() < NAMED_MAX {
            running.push(AttemptDetail {
                phase: clock.place.phase,
                task: clock.place.task,
                attempt: attempt.0,
                worker: clock.worker.0.clone(),
                age_ms: now.saturating_sub(clock.granted),
                since_heartbeat_ms: now.saturating_sub(clock.renewed),
                doing: doing(clock, now) + remark(scheduler, attempt, clock),
            });
        }
    }
    let tasks = job.phases.iter().enumerate().flat_map(|(index, phase)| {
        phase.tasks.iter().enumerate().map(move |(number, task)| (index as u32, number as u32, task))
    });
    let quarantined = tasks
        .filter(|(_, _, task)| task.status == TaskStatus::Quarantined)
        .take(NAMED_MAX)
        .map(|(phase, number, task)| QuarantinedTask {
            phase,
            task: number,
            attempts: task.failures + task.losses,
            error: task.error.clone().unwrap_or_default(),
        })
        .collect();
    let mut waiting: Vec<String> =
        scheduler.waits_for(id).map(|wait| wait.text().to_owned()).into_iter().collect();
    if job.status == JobStatus::Running {
        // Without the pace, which changes every second: whoever watches is told once.
        waiting.extend(scheduler.paced_stores().map(|(store, _)| {
            format!("storage `{store}` throttles: all workers ask it more slowly until it does not")
        }));
    }
    Some(JobDetail { summary: Some(summary(id, job)), phases, running, quarantined, waiting })
}

/// What people see of a phase: the one in which a job ended says how, and the one that waits for workers that it waits.
fn phase_state(job: &JobStatus, phase: PhaseStatus, is_current: bool, waits: bool) -> PhaseState {
    match (job, phase) {
        (_, PhaseStatus::Published) => PhaseState::Published,
        (JobStatus::Failed(_), _) if is_current => PhaseState::Failed,
        (JobStatus::Cancelled, PhaseStatus::Running) => PhaseState::Cancelled,
        (JobStatus::Running, PhaseStatus::Running) if !waits => PhaseState::Running,
        _ => PhaseState::Waiting,
    }
}

fn doing(clock: &LeaseClock, now: u64) -> String {
    match (clock.rank, &clock.progress.rank) {
        (Some(rank), Some(at)) if !at.phase.is_empty() => {
            let mut text =
                format!("rank {rank}: step {}, {}, collective {}", at.step, at.phase, at.collective);
            let (still, silent) = (now.saturating_sub(clock.advanced), at.silent_ms);
            if silent >= TOLD_STILL_MS {
                let _ = write!(text, "; its process is silent for {} s", silent / 1_000);
            } else if still >= TOLD_STILL_MS {
                let _ = write!(text, " for {} s", still / 1_000);
            }
            text
        }
        (Some(rank), _) => format!("rank {rank}: joining"),
        (None, _) => format!("{} records", clock.progress.records),
    }
}

/// What is special about an attempt, behind what it does.
fn remark(scheduler: &Scheduler, attempt: AttemptId, clock: &LeaseClock) -> &'static str {
    let second = scheduler.state().task(&clock.place).and_then(|task| task.second.as_ref());
    match second {
        Some(second) if second.attempt == attempt => "; second attempt, for the first takes long",
        Some(_) => "; takes long, so a second attempt runs",
        None if clock.resumed_at > 0 => "; went on from a savepoint",
        None => "",
    }
}

pub(crate) fn workers(scheduler: &Scheduler) -> Vec<WorkerSummary> {
    let summary = |(name, worker): (&orchestrator_core::WorkerId, &orchestrator_scheduler::Worker)| {
        let ((tasks, ranks), taken) = (scheduler.load(name), scheduler.taken(name));
        WorkerSummary {
            worker: name.0.clone(),
            host: worker.host.clone(),
            slots: worker.capacity.slots,
            busy: tasks,
            ranks,
            gpus_taken: taken.gpus,
            memory_taken_bytes: taken.memory_bytes,
            gang_slots: worker.capacity.gang_slots,
            gpus: worker.capacity.gpus,
            memory_bytes: worker.capacity.memory_bytes,
            since_heartbeat_ms: scheduler.now().saturating_sub(worker.last_seen),
            draining: worker.draining,
            lost: scheduler.is_lost(worker),
            version: worker.version.clone(),
        }
    };
    scheduler.workers().map(summary).collect()
}

pub(crate) fn is_over(detail: &JobDetail) -> bool {
    let state = detail.summary.as_ref().map_or(JobState::Unspecified, JobSummary::state);
    match state {
        JobState::Succeeded | JobState::Failed | JobState::Cancelled => true,
        JobState::Unspecified | JobState::Queued | JobState::Running => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_does_not_run_is_not_said_to() {
        use PhaseStatus::{Published, Running, Waiting};
        let failed = JobStatus::Failed("why".to_owned());
        for (job, phase, is_current, waits, expected) in [
            (&JobStatus::Running, Running, true, false, PhaseState::Running),
            (&JobStatus::Running, Running, true, true, PhaseState::Waiting),
            (&JobStatus::Running, Waiting, true, false, PhaseState::Waiting),
            (&JobStatus::Cancelled, Running, true, false, PhaseState::Cancelled),
            (&JobStatus::Cancelled, Waiting, false, false, PhaseState::Waiting),
            (&failed, Running, true, false, PhaseState::Failed),
            (&failed, Waiting, true, false, PhaseState::Failed),
            (&failed, Waiting, false, false, PhaseState::Waiting),
            (&failed, Published, false, false, PhaseState::Published),
        ] {
            assert_eq!(phase_state(job, phase, is_current, waits), expected, "{job:?} {phase:?}");
        }
    }
}
