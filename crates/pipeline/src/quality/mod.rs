//! What the quality stage needs beside its step: a cutoff over all scores, and a trained classifier.

mod classifier;
mod cutoff;

pub(crate) use classifier::run as run_classifier;
pub(crate) use cutoff::run as run_cutoff;

use orchestrator_job::{PhaseKind, Stage};
use orchestrator_text::quality::QualityConfig;

use crate::context::TaskContext;
use crate::error::TaskError;

pub(crate) fn config(context: &TaskContext, stage: u32) -> Result<&QualityConfig, TaskError> {
    match context.job.job.pipeline.get(stage as usize) {
        Some(Stage::Quality(config)) => Ok(config),
        _ => {
            Err(TaskError::configuration("quality", format!("stage {stage} of the job is no quality stage")))
        }
    }
}

/// Where the classifier that the job trains for a stage lies, relative to the output.
pub(crate) fn classifier_path(context: &TaskContext, stage: u32) -> Result<String, TaskError> {
    context
        .job
        .plan
        .phases
        .iter()
        .find(|phase| phase.kind == PhaseKind::Classifier && phase.stages.start == stage)
        .map(|phase| format!("{}/quality.bin", phase.directory()))
        .ok_or_else(|| TaskError::configuration("quality", "neither `model` nor `train` is set"))
}
