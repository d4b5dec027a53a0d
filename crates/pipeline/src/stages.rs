//! From a stage of the job file to the step that runs it. One line per stage; the code is in the text crate.

use orchestrator_job::Stage;
use orchestrator_text::Step;
use orchestrator_text::clean::CleanStep;
use orchestrator_text::decontaminate::{DecontaminateStep, Index};
use orchestrator_text::filters::{Filter, FilterStep};
use orchestrator_text::language::LanguageStep;
use orchestrator_text::pii::PiiStep;
use orchestrator_text::quality::QualityStep;

use crate::context::{ModelFile, TaskContext};
use crate::error::TaskError;
use crate::listed::StoreFiles;
use crate::quality::classifier_path;

/// Builds the step of the quality stage `index`, with the model that the job names or trained.
pub(crate) fn quality(context: &TaskContext, index: u32) -> Result<QualityStep, TaskError> {
    let config = crate::quality::config(context, index)?;
    let model = match &config.model {
        Some(location) => ModelFile::Location(location.clone()),
        None => ModelFile::Output(classifier_path(context, index)?),
    };
    let model = context.job.model("quality", &model)?;
    QualityStep::with_model(config, model).map_err(|error| TaskError::configuration("quality", error))
}

/// Builds the step of a per-document stage.
pub(crate) fn step(context: &TaskContext, index: u32, stage: &Stage) -> Result<Box<dyn Step>, TaskError> {
    let wrong = |error: &dyn std::fmt::Display| TaskError::configuration(stage.name(), error);
    Ok(match stage {
        Stage::Clean(config) => Box::new(CleanStep::new(config).map_err(|error| wrong(&error))?),
        Stage::Language(config) => {
            let model = config.model.clone().map(ModelFile::Location);
            let model = model.map(|model| context.job.model(stage.name(), &model)).transpose()?;
            Box::new(LanguageStep::with_model(config, model).map_err(|error| wrong(&error))?)
        }
        Stage::Filter(config) => {
            let load = || Filter::new(config, &StoreFiles(&context.job)).map_err(|error| wrong(&error));
            Box::new(FilterStep::from(context.job.shared.filters.get(index, load)?))
        }
        Stage::Decontaminate(config) => {
            let load = || Index::load(config, &StoreFiles(&context.job)).map_err(|error| wrong(&error));
            Box::new(DecontaminateStep::from(context.job.shared.benchmarks.get(index, load)?))
        }
        Stage::Quality(_) => Box::new(quality(context, index)?),
        Stage::Pii(config) => {
            let key = config.key_file.as_deref().map(|file| context.job.key(file)).transpose()?;
            Box::new(PiiStep::new(config, key.as_deref()).map_err(|error| wrong(&error))?)
        }
        Stage::Read(_)
        | Stage::Dedup(_)
        | Stage::Mix(_)
        | Stage::Tokenize(_)
        | Stage::Train(_)
        | Stage::Export(_) => {
            return Err(wrong(&"it is no per-document stage"));
        }
    })
}
