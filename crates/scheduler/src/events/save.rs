//! An attempt has left a savepoint: whoever tries the task next goes on there.

use orchestrator_core::Savepoint;

use crate::command::{Answer, Refusal};
use crate::event::AttemptRef;
use crate::events::commit::is_staged_path;
use crate::fact::Fact;
use crate::scheduler::Scheduler;

pub(crate) fn apply(
    scheduler: &mut Scheduler,
    attempt: &AttemptRef,
    savepoint: Savepoint,
) -> Result<Answer, Refusal> {
    scheduler.hear(&attempt.caller)?;
    let clock = scheduler.holder(attempt)?;
    let place = clock.place.clone();
    if clock.rank.is_some() {
        return Err(Refusal::IsRank(attempt.attempt));
    }
    if !is_staged_path(&savepoint.path) {
        return Err(Refusal::BadPath(savepoint.path));
    }
    let (number, began_at, recovered) = (savepoint.number, clock.resumed_at, clock.recovered);
    let known = scheduler.state.task(&place).and_then(|task| task.saved.as_ref());
    let known = known.map_or(0, |known| known.savepoint.number);
    // An attempt that counts anew could not use what it was to go on from: then nobody can.
    // After a restart it is not known where it began: the savepoint may be that of the task's other attempt.
    let begins_anew = !recovered && number <= began_at && known == began_at;
    // Otherwise it asked twice, or the task's other attempt is further: what is known stays.
    if number > known || begins_anew {
        scheduler.record(Fact::Saved { place, attempt: attempt.attempt, savepoint });
    }
    Ok(Answer::Done)
}
