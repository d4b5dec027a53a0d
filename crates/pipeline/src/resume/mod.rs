//! Going on where an earlier attempt of the same task was lost.
//!
//! ```text
//!  records ─▶ chain ─▶ row groups ─┬─▶ the attempt's own files, whole at its end
//!    every so many bytes of input: └─▶ segments/NNNNNN.seg ─ durable ─▶ Savepoint ─▶ journal
//!                                        groups since the segment before, the books, the place in the input
//!
//!  the next attempt: segments 1 … n ─▶ its own files ─▶ reads on from the place of n
//! ```
//!
//! A segment ends where the input alone says ([`Pace`]), in every run, and every open row group is closed there: so the
//! files of an attempt that went on from a savepoint have the bytes of one that was never disturbed. A segment names the
//! hash of the one before it, and the journal holds the hash of the newest: together they vouch for all. What cannot be
//! used (deleted, damaged, of another build) costs only the time: the attempt then begins at the beginning.

mod pace;
mod recorder;
mod restore;
mod segment;
mod state;

use std::sync::Arc;

use orchestrator_core::{Digest, Savepoint};
use orchestrator_job::TaskSpec;
use orchestrator_job::resolve::stage_version;

use crate::context::JobContext;

pub(crate) use self::pace::{Pace, Position, weight_of};
pub(crate) use self::recorder::Recorder;
pub(crate) use self::restore::{begins_again, restore};
pub(crate) use self::state::State;

/// The least of its input, in decoded bytes, that a task works on between two savepoints. At most two such pieces are
/// lost with an attempt (one not yet durable, one not yet whole): 16 MiB are 1.6 % of a split of 1 GiB.
pub const SEGMENT_BYTES: u64 = 8 << 20;

/// Into so many segments the input of a larger task is cut…
const SEGMENTS_OF_A_TASK: u64 = 128;
/// …and into more where one of them would be larger than this: its row groups are in memory until it is durable.
const SEGMENT_BYTES_MOST: u64 = 32 << 20;

/// Hears of savepoints whose files are durable.
pub trait SavepointSink: Send + Sync {
    /// Makes a savepoint known to whoever starts the next attempt; returns once it is durable there, or cannot be for
    /// now: the next savepoint stands for it too. Tells the attempt to stop if it is no longer the task's.
    fn report(&self, savepoint: &Savepoint);
}

/// What an attempt is told of the ones before it, and whom it tells of itself.
#[derive(Clone, Default)]
pub struct Resume {
    /// Where to go on.
    pub from: Option<Savepoint>,
    /// Who hears of new savepoints; without one none are made, and the same bytes are written.
    pub sink: Option<Arc<dyn SavepointSink>>,
}

/// What a savepoint is good for: this task, with these options, done by this version. The options of all stages are in it, for
/// stages outside of the chain guard what it writes, and a savepoint that is passed by costs only time.
pub(crate) fn print(context: &JobContext, spec: &TaskSpec) -> Result<Digest, serde_json::Error> {
    let job = &context.job;
    let versions: Vec<u64> = job.pipeline.iter().map(|stage| stage_version(stage.name())).collect();
    let text = serde_json::to_vec(&(
        (env!("CARGO_PKG_VERSION"), versions),
        spec,
        &job.pipeline,
        (job.seed, job.target_bytes.0, context.segment_bytes),
    ))?;
    Ok(Digest::of(&text))
}

/// How much of its input a task with so many bytes of it works on between two savepoints.
pub(crate) fn interval(floor: u64, input_bytes: u64) -> u64 {
    (input_bytes / SEGMENTS_OF_A_TASK).min(SEGMENT_BYTES_MOST).max(floor).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_a_share_of_a_task_and_never_larger_than_memory_stands() {
        let (mib, gib) = (1u64 << 20, 1u64 << 30);
        assert_eq!(interval(SEGMENT_BYTES, 0), 8 * mib);
        assert_eq!(interval(SEGMENT_BYTES, gib), 8 * mib);
        assert_eq!(interval(SEGMENT_BYTES, 2 * gib), 16 * mib);
        assert_eq!(interval(SEGMENT_BYTES, 1024 * gib), 32 * mib);
        assert_eq!(interval(0, 0), 1);
        // Two of them may be lost.
        assert!(2 * interval(SEGMENT_BYTES, gib) * 50 <= gib, "at most 2 % of 1 GiB");
    }
}
