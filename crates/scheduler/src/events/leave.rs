//! A worker says good-bye: it is forgotten at once, and not when its silence has lasted for terms.

use orchestrator_core::AttemptId;

use crate::command::{Answer, Refusal};
use crate::event::Caller;
use crate::fact::Cost;
use crate::scheduler::Scheduler;

pub(crate) fn apply(scheduler: &mut Scheduler, caller: &Caller) -> Result<Answer, Refusal> {
    scheduler.hear(caller)?;
    let worker = &caller.worker;
    // First: nothing of what it gives back may be seated with it again.
    scheduler.clocks.workers.remove(worker);
    let held = scheduler.clocks.leases().iter().filter(|(_, clock)| clock.worker == *worker);
    for attempt in held.map(|(attempt, _)| *attempt).collect::<Vec<AttemptId>>() {
        scheduler.end_attempt(attempt, Cost::Nothing, "its worker left");
    }
    scheduler.clocks.undelivered.remove(worker);
    scheduler.wake_blocked();
    Ok(Answer::Done)
}
