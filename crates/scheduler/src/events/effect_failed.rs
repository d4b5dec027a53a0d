//! An expansion or a publication cannot be done: the job fails, and a retry asks for it again.

use orchestrator_core::JobId;

use crate::scheduler::Scheduler;

pub(crate) fn apply(scheduler: &mut Scheduler, job: &JobId, error: &str) {
    if scheduler.runs(job) {
        scheduler.fail_job(job, error.to_owned());
    }
}
