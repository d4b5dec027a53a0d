//! A rank asks that a checkpoint exist. Only the generation that runs may, and steps only rise.

use crate::command::{Answer, Command, Refusal};
use crate::event::AttemptRef;
use crate::events::commit::{is_result_path, is_staged_path};
use crate::fact::Fact;
use crate::scheduler::Scheduler;

pub(crate) fn apply(
    scheduler: &mut Scheduler,
    attempt: &AttemptRef,
    step: u64,
    path: String,
    attempt_path: String,
    manifest: String,
) -> Result<Answer, Refusal> {
    scheduler.hear(&attempt.caller)?;
    let clock = scheduler.holder(attempt)?;
    let place = clock.place.clone();
    clock.rank.ok_or(Refusal::NoRank(attempt.attempt))?;
    let gang = scheduler.state.phase(&place.job, place.phase).and_then(|phase| phase.gang.as_ref());
    let last = gang.ok_or(Refusal::NoRank(attempt.attempt))?.checkpoint.as_ref();
    if let Some(last) = last.filter(|last| step <= last.step) {
        // The same checkpoint again: the reply to an earlier ask was lost.
        return if step == last.step && path == last.path && attempt_path == last.attempt_path {
            Ok(Answer::Checkpoint { phase: place.phase, published: last.published })
        } else {
            Err(Refusal::StepNotRising { step, last: last.step })
        };
    }
    if !is_result_path(&path) {
        return Err(Refusal::BadPath(path));
    }
    if !is_staged_path(&attempt_path) {
        return Err(Refusal::BadPath(attempt_path));
    }
    scheduler.record(Fact::CheckpointCommitted {
        place: place.clone(),
        step,
        path: path.clone(),
        attempt_path: attempt_path.clone(),
        manifest: manifest.clone(),
    });
    scheduler.effects.command(Command::PublishCheckpoint {
        job: place.job,
        phase: place.phase,
        step,
        path,
        attempt_path,
        manifest,
    });
    Ok(Answer::Checkpoint { phase: place.phase, published: false })
}
