//! A job's figures before it runs: its document stages are run on a sample of the records, in this process.
//!
//! ```text
//! inputs ─▶ units (chosen by hash) ─▶ Work::Map on each ─▶ the phases behind, as the planner expands them ─▶ figures
//!           units.rs                  read.rs: records by hash   run.rs                      estimate.rs, predict.rs
//! ```
//!
//! The tasks are those of a run: the same work for the same runners, in a directory of their own. What differs is that a
//! task's splits are units of the sample, and that their reader passes most records by.

mod estimate;
mod predict;
mod read;
mod run;
mod units;

pub use estimate::Estimate;
pub use predict::{
    PhaseFigures, Prediction, RuleFigures, SampleFigures, StageFigures, TokenFigures, TrainingFigures,
};
pub(crate) use read::{RecordSample, SampledInput, range};

use std::path::Path;

use orchestrator_core::FROZEN_FILES;
use orchestrator_job::{Job, Resolved};
use orchestrator_storage::{RelativePath, Store};

use self::estimate::{Frame, UnitCounts};
use self::run::Trial;
use crate::context::{Host, JobContext, LoadError};
use crate::error::TaskError;

/// What is asked of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// The part of all records that is looked at.
    pub fraction: f64,
    /// Chooses them.
    pub seed: u64,
    /// Tasks at a time that the hours are for.
    pub workers: u32,
    /// Tokens a second of the whole gang, where known.
    pub tokens_per_second: Option<f64>,
}

/// A sample could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The job cannot be set up beside its own output.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The job cannot be written down.
    #[error("the job cannot be written down: {0}")]
    Job(String),
    /// Storage said no.
    #[error(transparent)]
    Storage(#[from] orchestrator_storage::Error),
    /// A task of the sample failed, as it would in a run.
    #[error("phase `{phase}` fails on the sample")]
    Task {
        /// The phase.
        phase: String,
        /// Why.
        #[source]
        source: TaskError,
    },
    /// The inputs cannot be looked at.
    #[error(transparent)]
    Inputs(TaskError),
    /// Nothing to draw from.
    #[error("the job reads nothing: no file has a byte")]
    Nothing,
}

/// Runs a job's document stages on a sample, with `directory` as the output, and predicts the whole. The directory is the
/// caller's to remove.
pub fn predict(
    resolved: &Resolved,
    host: Host,
    directory: &Path,
    question: Question,
) -> Result<Prediction, SampleError> {
    let output = Store::open(&directory.to_string_lossy())?;
    let job = Job { output: directory.to_string_lossy().into_owned(), ..resolved.job.clone() };
    let wrong = |error: &dyn std::fmt::Display| SampleError::Job(error.to_string());
    let yaml = job.to_yaml().map_err(|error| wrong(&error))?;
    let files = serde_json::to_vec(&resolved.files).map_err(|error| wrong(&error))?;
    output.put_atomic(&RelativePath::new("job.yaml")?, yaml.as_bytes())?;
    output.put_atomic(&RelativePath::new(FROZEN_FILES)?, &files)?;
    let context = JobContext::load(output, host)?;
    let choice = units::choose(&context, &resolved.inputs, question.fraction, question.seed)
        .map_err(SampleError::Inputs)?;
    if choice.all_bytes == 0 {
        return Err(SampleError::Nothing);
    }
    let context = context.sampling(RecordSample::new(choice.of_records, question.seed));
    let (trial, seen) = Trial::run(resolved, context, directory, &choice.units)?;
    let count = |(unit, seen): (&units::Unit, &read::Seen)| UnitCounts {
        bytes: unit.bytes() as f64,
        records: seen.records as f64,
        taken: seen.taken as f64,
    };
    let frame = Frame {
        units: choice.units.iter().zip(&seen).map(count).collect(),
        all_units: choice.all as f64,
        all_bytes: choice.all_bytes as f64,
    };
    Ok(predict::Predictor { resolved, question, choice: &choice, frame: &frame, trial: &trial }.predict())
}
