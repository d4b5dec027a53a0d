//! What a task does: the runners behind every phase of a plan.
//!
//! ```text
//!  TaskSpec ─▶ run ─┬─ Index ───────────▶ index.rs           Tokenize ─▶ tokenize/
//!                   ├─ Map ─────────────▶ map/               Export ───▶ export.rs
//!                   ├─ DedupBands, …  ──▶ dedup/             Report ───▶ the reporter that the command hands in
//!                   └─ Cutoff, … ───────▶ scoring/           Train: a rank process of the worker, not a task here
//! ```
//!
//! A runner reads committed files, writes under its attempt's path, and returns an outcome; it never publishes.

mod context;
mod dedup;
mod error;
mod export;
mod files;
mod index;
pub mod inputs;
mod listed;
mod map;
mod mix;
mod models;
pub mod refilter;
mod resume;
pub mod sample;
mod scoring;
mod shared;
mod source;
mod stages;
mod table;
pub mod tokenize;
pub mod training;

pub use context::{Host, JobContext, LoadError, ModelFile, Progress, Reporter, TaskContext};
pub use error::TaskError;
pub use files::write_products;
pub use models::ModelCache;
pub use resume::{Resume, SEGMENT_BYTES, SavepointSink};

use orchestrator_core::TaskOutcome;
use orchestrator_job::{TaskSpec, Work};

use crate::map::Map;

/// Runs one task to its outcome. Blocks; meant for a thread of its own.
pub fn run(context: &TaskContext, spec: &TaskSpec) -> Result<TaskOutcome, TaskError> {
    match &spec.work {
        Work::Index { stage, input, target_bytes } => {
            index::run(context, spec.number, *stage, input, *target_bytes)
        }
        Work::Map { stages, input, parts, side, verdicts } => {
            let print = resume::print(&context.job, spec)
                .map_err(|error| TaskError::corrupt("the description of a task", error))?;
            let verdicts = verdicts.as_ref();
            map::run(
                context,
                &Map { number: spec.number, stages, input, parts, side: *side, verdicts, print },
            )
        }
        Work::DedupBands { stage, partition, partitions, earlier, signatures } => {
            dedup::run_bands(context, *stage, *partition, *partitions, (earlier, signatures))
        }
        Work::DedupVerify { stage, part, earlier, edges, parts } => {
            dedup::run_verify(context, *stage, &dedup::Candidates { part: *part, earlier, edges, parts })
        }
        Work::DedupClusters { stage, earlier, edges, signatures, parts } => {
            dedup::run_clusters(context, *stage, &dedup::Inputs { earlier, edges, signatures, parts })
        }
        Work::DedupRepeats { stage, partition, partitions, items } => {
            dedup::run_repeats(context, *stage, *partition, *partitions, items)
        }
        Work::Cutoff { stage, scores } => scoring::run_cutoff(context, *stage, scores),
        Work::Mixture { stage, sizes } => mix::run(context, *stage, sizes),
        Work::TrainScorer { stage } => scoring::run_training(context, *stage),
        Work::PrepareTokenizer { stage, parts } => tokenize::run_prepare(context, *stage, parts),
        Work::Tokenize { stage, parts, prepared, mixture } => {
            let inputs = tokenize::Inputs { parts, prepared, mixture: mixture.as_ref() };
            tokenize::run_tokenize(context, spec.number, *stage, &inputs)
        }
        Work::Export { stage } => export::run(context, *stage),
        Work::Report => context.job.host.reporter.write(context),
        Work::Train { .. } => {
            Err(TaskError::configuration("train", "a training rank runs as a process of its own"))
        }
    }
}
