//! Training: the loop, the optimizer, schedules, data order, checkpoints and the collective.
//!
//! ```text
//! batch = f(seed, step) ─▶ micro-batches ─▶ engine ─▶ gradients ─▶ fixed binary tree ⇄ collective
//!                                                                        │ each rank owns a share
//!                          metrics, validation, checkpoint ◀─ weights ◀─ clip ─▶ AdamW
//! ```
//!
//! Every number a run leaves is a pure function of (options, tokens): not of ranks, threads, restarts or time. The crate
//! knows no process, host, path or clock; [`trainer`] is the loop and reads from top to bottom.

pub mod checkpoint;
pub mod collective;
pub mod error;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod metrics;
pub mod optimizer;
pub mod options;
pub mod order;
pub mod policy;
pub mod schedule;
pub mod tokens;
pub mod trainer;
pub mod tree;

pub use checkpoint::{CheckpointSink, CheckpointSource};
pub use collective::{Collective, CollectiveError};
pub use error::TrainError;
pub use metrics::{Observer, Phase, StepMetrics};
pub use options::TrainOptions;
pub use tokens::TokenSource;
pub use trainer::{Beginning, Outcome, Trainer};
