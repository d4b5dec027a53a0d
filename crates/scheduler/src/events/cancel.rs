//! Somebody stops a job. Its workers learn it with their next heartbeat.

use orchestrator_core::JobId;

use crate::command::{Answer, Level, Refusal};
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::JobStatus;

pub(crate) fn apply(scheduler: &mut Scheduler, job: &JobId) -> Result<Answer, Refusal> {
    let entry = scheduler.state.jobs.get(job).ok_or_else(|| Refusal::UnknownJob(job.clone()))?;
    match &entry.status {
        JobStatus::Running => {}
        JobStatus::Cancelled => return Ok(Answer::Done),
        status @ (JobStatus::Succeeded | JobStatus::Failed(_)) => {
            let status = status.as_str();
            return Err(Refusal::WrongState { job: job.clone(), status, expected: "a job that runs" });
        }
    }
    scheduler.void(job);
    scheduler.record(Fact::JobCancelled { job: job.clone() });
    scheduler.effects.log(job, Level::Info, "the job was cancelled".to_owned());
    scheduler.effects.wake();
    Ok(Answer::Done)
}
