//! A worker renews its leases and learns which attempts are no longer its own.

use orchestrator_core::{AttemptId, FencingToken, StoreLoad};

use crate::command::{Answer, Refusal};
use crate::event::{Caller, Progress};
use crate::scheduler::Scheduler;

pub(crate) fn apply(
    scheduler: &mut Scheduler,
    caller: &Caller,
    attempts: Vec<(AttemptId, FencingToken, Progress)>,
    draining: bool,
    stores: Vec<StoreLoad>,
) -> Result<Answer, Refusal> {
    scheduler.hear(caller)?;
    scheduler.note_draining(&caller.worker, draining);
    let now = scheduler.now;
    let mut stop = Vec::new();
    for (attempt, token, progress) in attempts {
        let own = scheduler.clocks.leases().get(&attempt).is_some_and(|clock| {
            clock.token == token && clock.worker == caller.worker && clock.deadline > now
        });
        if own {
            scheduler.clocks.renew(attempt, now, now + scheduler.options.lease_ms);
            scheduler.clocks.set_progress(attempt, progress, now);
        } else if !scheduler.clocks.committed.contains_key(&attempt) {
            stop.push(attempt);
        }
    }
    let paces = scheduler.pace(&caller.worker.0, stores);
    Ok(Answer::Renewed { stop, paces })
}
