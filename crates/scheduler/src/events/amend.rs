//! Somebody changes how a job runs, and not what comes of it.

use crate::command::{Answer, Level, Refusal};
use crate::event::Amendment;
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::JobStatus;

pub(crate) fn apply(scheduler: &mut Scheduler, amendment: Amendment) -> Result<Answer, Refusal> {
    let Amendment { job, definition, mut priority, max_attempts } = amendment;
    let entry = scheduler.state.jobs.get(&job).ok_or_else(|| Refusal::UnknownJob(job.clone()))?;
    if max_attempts == 0 {
        return Err(Refusal::BadPlan("`max_attempts` is 0, expected at least 1".to_owned()));
    }
    // The tasks of a running job wait in the order of the priority that it began with.
    if entry.status == JobStatus::Running && entry.priority != priority {
        priority = entry.priority;
        let text = format!("it keeps its priority of {priority} until it is started again");
        scheduler.effects.log(&job, Level::Warn, text);
    }
    let entry = &scheduler.state.jobs[&job];
    if (&entry.definition, entry.priority, entry.max_attempts) != (&definition, priority, max_attempts) {
        scheduler.record(Fact::JobAmended { job: job.clone(), definition, priority, max_attempts });
        scheduler.effects.log(
            &job,
            Level::Info,
            "goes on with the new operational keys of its job file".to_owned(),
        );
    }
    Ok(Answer::Done)
}
