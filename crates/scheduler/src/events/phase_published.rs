//! A phase's manifests are written: the next phase may begin, or the job has succeeded.

use orchestrator_core::JobId;

use crate::command::{Command, Level};
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::JobStatus;

pub(crate) fn apply(scheduler: &mut Scheduler, job: &JobId, phase: u32) {
    let Some(entry) = scheduler.state.jobs.get(job) else { return };
    let done = entry.phases.get(phase as usize).is_some_and(crate::state::Phase::all_published);
    if entry.current_phase() != Some(phase) || !done {
        return;
    }
    let name = entry.phases[phase as usize].spec.name.clone();
    let number = entry.number;
    scheduler.clocks.gangs.remove(job);
    scheduler.clocks.paces.remove(&(number, phase));
    scheduler.record(Fact::PhasePublished { job: job.clone(), phase });
    scheduler.effects.log(job, Level::Info, format!("phase {phase} ({name}) is published"));
    if scheduler.runs(job) {
        scheduler.effects.command(Command::Expand { job: job.clone(), phase: phase + 1 });
    } else if scheduler.state.jobs[job].status == JobStatus::Succeeded {
        scheduler.effects.log(job, Level::Info, "the job succeeded".to_owned());
    }
}
