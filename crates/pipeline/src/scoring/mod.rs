//! What the stages that score documents need beside their step: a model that is trained, and a cutoff over all scores.

mod cutoff;
mod training;

pub(crate) use cutoff::{cut, run as run_cutoff};
pub(crate) use training::run as run_training;

use orchestrator_job::{PhaseKind, Stage};
use orchestrator_text::Ranking;

use crate::context::{ModelFile, TaskContext};
use crate::error::TaskError;

/// A stage of the job.
fn stage(context: &TaskContext, index: u32) -> Result<&Stage, TaskError> {
    let found = context.job.job.pipeline.get(index as usize);
    found.ok_or_else(|| TaskError::configuration("scoring", format!("the job has no stage {index}")))
}

/// How a stage ranks documents; it must keep a fraction of them.
pub(crate) fn ranking(context: &TaskContext, index: u32) -> Result<Ranking, TaskError> {
    let stage = stage(context, index)?;
    stage.ranking().ok_or_else(|| TaskError::configuration(stage.name(), "`keep_fraction` is not set"))
}

/// Where a stage's model lies: what the job file names, or what the job trains.
pub(crate) fn model(
    context: &TaskContext,
    index: u32,
    named: Option<&String>,
) -> Result<ModelFile, TaskError> {
    match named {
        Some(location) => Ok(ModelFile::Location(location.clone())),
        None => Ok(ModelFile::Output(trained_path(context, index)?)),
    }
}

/// Where the model that the job trains for a stage lies, relative to the output.
fn trained_path(context: &TaskContext, index: u32) -> Result<String, TaskError> {
    let stage = stage(context, index)?;
    let file = match stage {
        Stage::Perplexity(_) => "perplexity.arpa",
        _ => "quality.bin",
    };
    let is_its = |kind, start| kind == PhaseKind::Classifier && start == index;
    let phase = context.job.plan.phases.iter().find(|phase| is_its(phase.kind, phase.stages.start));
    phase
        .map(|phase| format!("{}/{file}", phase.directory()))
        .ok_or_else(|| TaskError::configuration(stage.name(), "neither `model` nor `train` is set"))
}
