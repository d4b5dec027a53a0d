//! A checkpoint lies at its final name: the next generation may resume from it.

use orchestrator_core::JobId;

use crate::command::Level;
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::Place;

pub(crate) fn apply(scheduler: &mut Scheduler, job: &JobId, phase: u32, step: u64) {
    let checkpoint = scheduler
        .state
        .phase(job, phase)
        .and_then(|phase| phase.gang.as_ref())
        .and_then(|gang| gang.checkpoint.as_ref());
    if checkpoint.is_some_and(|checkpoint| checkpoint.step == step && !checkpoint.published) {
        let place = Place { job: job.clone(), phase, task: 0 };
        scheduler.record(Fact::CheckpointPublished { place, step });
        scheduler.effects.log(job, Level::Info, format!("checkpoint of step {step} is published"));
        scheduler.settle(job);
        scheduler.seat_gangs();
    }
}
