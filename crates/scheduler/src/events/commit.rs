//! An attempt asks that its outcome be the task's. This is the one place where work becomes result.

use std::collections::BTreeSet;

use orchestrator_core::TaskOutcome;

use crate::command::{Answer, Command, Refusal};
use crate::event::AttemptRef;
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::TaskStatus;

pub(crate) fn apply(
    scheduler: &mut Scheduler,
    attempt: &AttemptRef,
    outcome: TaskOutcome,
) -> Result<Answer, Refusal> {
    scheduler.hear(&attempt.caller)?;
    if let Some(place) = scheduler.clocks.committed.get(&attempt.attempt) {
        // The reply to an earlier ask was lost on the way.
        return if place.job == attempt.job {
            Ok(Answer::Done)
        } else {
            Err(Refusal::StaleLease(attempt.attempt))
        };
    }
    let clock = scheduler.holder(attempt)?.clone();
    check(&outcome)?;
    let first = outcome.tallies.first();
    let records = first.map_or(0, |tally| tally.records_in);
    let bytes = first.map_or(0, |tally| tally.bytes_in);
    // A gang's outcome is rank 0's; the others only say that they are done.
    let outcome = clock.rank.is_none_or(|rank| rank == 0).then(|| Box::new(outcome));
    scheduler.note_pace(&clock);
    let place = clock.place;
    scheduler.clocks.stop(attempt.attempt);
    // The task's other attempt has lost: its worker learns it with its next call.
    for other in scheduler.others(&place, attempt.attempt) {
        scheduler.clocks.stop(other);
    }
    scheduler.clocks.committed.insert(attempt.attempt, place.clone());
    scheduler.wake_blocked();
    let fact = Fact::Committed { place: place.clone(), attempt: attempt.attempt, records, bytes, outcome };
    scheduler.record(fact);
    if let Some(TaskStatus::Committed(lease)) = scheduler.state.task(&place).map(|task| &task.status) {
        let command = Command::Publish { place, attempt: lease.attempt };
        scheduler.effects.command(command);
    }
    Ok(Answer::Done)
}

/// Books must add up, and names must stay where results belong.
fn check(outcome: &TaskOutcome) -> Result<(), Refusal> {
    for tally in &outcome.tallies {
        let dropped = tally.dropped.values().try_fold(0u64, |sum, count| sum.checked_add(*count));
        let adds_up = dropped.is_some_and(|dropped| tally.kept.checked_add(dropped).is_some());
        if !adds_up || !tally.balances() {
            return Err(Refusal::Unbalanced {
                stage: tally.stage,
                records_in: tally.records_in,
                kept: tally.kept,
                dropped: dropped.unwrap_or(u64::MAX),
                rows_kept: tally.kept_digest.rows,
                rows_dropped: tally.dropped_digest.rows,
            });
        }
    }
    let mut paths = BTreeSet::new();
    for file in &outcome.files {
        if !is_result_path(&file.path) || !paths.insert(file.path.as_str()) {
            return Err(Refusal::BadPath(file.path.clone()));
        }
    }
    Ok(())
}

/// Where attempts write, and where the ranks of a gang write checkpoints together.
pub(crate) const STAGING: [&str; 2] = [".orchestrator/attempts/", ".orchestrator/gangs/"];

/// Whether a path lies where attempts write.
pub(crate) fn is_staged_path(path: &str) -> bool {
    STAGING.iter().any(|staging| path.strip_prefix(staging).is_some_and(is_result_path))
}

/// Whether a path is relative, stays inside the output and leaves attempts alone.
pub(crate) fn is_result_path(path: &str) -> bool {
    let clean =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0', ':']);
    !path.is_empty()
        && path.len() <= 1024
        && path.split('/').all(clean)
        && path != "job.yaml"
        && path != ".orchestrator/owner.json"
        && !STAGING.iter().any(|staging| path.starts_with(staging))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_the_output() {
        for good in
            ["stages/01-read/part-00000.parquet", ".orchestrator/intermediate/signatures-00000.bin", "a"]
        {
            assert!(is_result_path(good), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a//b",
            "../a",
            "a/..",
            "./a",
            "C:/a",
            "a\\b",
            ".orchestrator/attempts/0/0/1/x",
            "job.yaml",
        ] {
            assert!(!is_result_path(bad), "{bad}");
        }
    }
}
