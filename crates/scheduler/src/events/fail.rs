//! An attempt is given back: it failed, or its worker drains.

use crate::command::{Answer, Refusal};
use crate::event::{AttemptRef, FailureKind};
use crate::fact::Cost;
use crate::scheduler::Scheduler;
use crate::state::Place;

/// The longest error that is kept, in bytes.
const ERROR_BYTES_MAX: usize = 4 << 10;

pub(crate) fn apply(
    scheduler: &mut Scheduler,
    attempt: &AttemptRef,
    kind: FailureKind,
    error: &str,
) -> Result<Answer, Refusal> {
    scheduler.hear(&attempt.caller)?;
    let error = &error[..error.floor_char_boundary(ERROR_BYTES_MAX)];
    let (cost, permanent) = match kind {
        FailureKind::Error => (Cost::Failure, false),
        FailureKind::Permanent => (Cost::Failure, true),
        FailureKind::Released | FailureKind::PeerLost => (Cost::Nothing, false),
    };
    if scheduler.holder(attempt).is_ok() {
        scheduler.end_attempt_for(attempt.attempt, cost, error, permanent);
    } else if let Some(place) = unblamed(scheduler, attempt).filter(|_| cost == Cost::Failure) {
        let error = format!("on `{}`: {error}", attempt.caller.worker);
        scheduler.blame(&place, &error, permanent);
    }
    // Giving back what one does not hold changes nothing: the worker only wants to be rid of it.
    Ok(Answer::Done)
}

/// The gang whose last generation this attempt was part of, if nobody was blamed for its end.
fn unblamed(scheduler: &Scheduler, attempt: &AttemptRef) -> Option<Place> {
    let (index, phase) = scheduler.state.jobs.get(&attempt.job)?.active_phase()?;
    let gang = phase.gang.as_ref()?;
    gang.unblamed.contains(&attempt.attempt).then(|| Place {
        job: attempt.job.clone(),
        phase: index,
        task: 0,
    })
}
