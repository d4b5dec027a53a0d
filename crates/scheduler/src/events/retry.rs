//! Somebody gives a failed or cancelled job another go: quarantined tasks start anew, the rest goes on.

use orchestrator_core::JobId;

use crate::command::{Answer, Level, Refusal};
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::{JobStatus, PhaseStatus, Place, TaskStatus};

pub(crate) fn apply(scheduler: &mut Scheduler, job: &JobId) -> Result<Answer, Refusal> {
    let entry = scheduler.state.jobs.get(job).ok_or_else(|| Refusal::UnknownJob(job.clone()))?;
    match &entry.status {
        JobStatus::Failed(_) | JobStatus::Cancelled => {}
        status @ (JobStatus::Running | JobStatus::Succeeded) => {
            let status = status.as_str();
            return Err(Refusal::WrongState {
                job: job.clone(),
                status,
                expected: "a job that failed or was cancelled",
            });
        }
    }
    if let Some((newest, _)) = scheduler.state.newest_on(&entry.output).filter(|(newest, _)| *newest != job) {
        return Err(Refusal::OutputTaken(newest.clone()));
    }
    Ok(Answer::Retried { tasks: restart(scheduler, job) })
}

/// Makes a job that ended run again; gives the number of tasks that leave quarantine.
pub(crate) fn restart(scheduler: &mut Scheduler, job: &JobId) -> u32 {
    let quarantined = scheduler.state.jobs[job].phases.iter().map(|phase| phase.quarantined).sum();
    scheduler.record(Fact::JobRetried { job: job.clone() });
    scheduler.effects.log(job, Level::Info, format!("runs again; {quarantined} tasks leave quarantine"));
    let entry = &scheduler.state.jobs[job];
    if let Some((index, phase)) =
        entry.active_phase().filter(|(_, phase)| phase.status == PhaseStatus::Running)
    {
        let ready: Vec<u32> = (0..)
            .zip(&phase.tasks)
            .filter(|(_, task)| task.status == TaskStatus::Ready)
            .map(|(number, _)| number)
            .collect();
        for task in ready {
            scheduler.enqueue(&Place { job: job.clone(), phase: index, task }, 0);
        }
    }
    scheduler.resume(job);
    scheduler.seat_gangs();
    quarantined
}
