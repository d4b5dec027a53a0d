//! Reads the segments of earlier attempts, from the first to the one that the journal vouches for.

use bytes::Bytes;
use orchestrator_core::{Digest, ErrorCode, Savepoint};
use orchestrator_storage::{RelativePath, Store};

use super::State;
use super::recorder::Trail;
use super::segment::{self, BYTES_MAX, Group, Head};
use crate::context::TaskContext;
use crate::error::TaskError;

/// Gives every row group of every segment to `take`, in order, and returns the books at the end of the last one.
pub(crate) fn restore(
    context: &TaskContext,
    savepoint: &Savepoint,
    task: Digest,
    mut take: impl FnMut(&str, &Bytes) -> Result<(), TaskError>,
) -> Result<(State, Trail), TaskError> {
    let store = &context.job.output;
    let (hash, last, last_groups) = read(store, &savepoint.path)?;
    let wrong = |message: &str| TaskError::corrupt(&savepoint.path, message);
    if hash != savepoint.xxh3 {
        return Err(wrong("it is not the file that the journal names"));
    }
    if last.task != task {
        return Err(wrong("it was made for another task, or by another version"));
    }
    let counted = last.runs.iter().fold(0u32, |sum, run| sum.saturating_add(run.count));
    if last.number != savepoint.number || counted != last.number {
        return Err(wrong("its segments are not numbered without gaps"));
    }
    let mut before = None;
    let paths = last.runs.iter().flat_map(|run| std::iter::repeat_n(run, run.count as usize));
    for (number, run) in (1..last.number).zip(paths) {
        context.progress.check()?;
        let path = segment::path(&run.attempt_path, number);
        let (hash, head, groups) = read(store, &path)?;
        if (head.number, head.task, head.before) != (number, task, before) {
            return Err(TaskError::corrupt(path, "it does not follow on the segment before it"));
        }
        give(&groups, &mut take)?;
        before = Some(hash);
    }
    if last.before != before {
        return Err(wrong("it does not follow on the segment before it"));
    }
    give(&last_groups, &mut take)?;
    let trail = Trail { runs: last.runs, last: Some((last.number, hash)) };
    Ok((last.state, trail))
}

fn give(
    groups: &[Group],
    take: &mut impl FnMut(&str, &Bytes) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    groups.iter().try_for_each(|(path, group)| take(path, group))
}

fn read(store: &Store, path: &str) -> Result<(Digest, Head, Vec<Group>), TaskError> {
    let bytes: Bytes = store.read_all(&RelativePath::new(path)?, BYTES_MAX)?.into();
    let (head, groups) = Head::decode(path, &bytes)?;
    Ok((Digest::of(&bytes), head, groups))
}

/// Whether a savepoint that could not be restored is of no use, so that the task begins at the beginning: not where
/// storage does not answer, or the attempt was told to stop.
pub(crate) fn begins_again(error: &TaskError) -> bool {
    match error.code() {
        ErrorCode::NotFound | ErrorCode::Conflict | ErrorCode::InvalidInput | ErrorCode::Internal => true,
        ErrorCode::StaleLease | ErrorCode::Unauthorized | ErrorCode::Exhausted | ErrorCode::Unavailable => {
            false
        }
    }
}
