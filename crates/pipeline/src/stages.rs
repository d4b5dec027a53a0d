//! From a stage of the job file to the step that runs it. One line per stage; the code is in the text crate.

use orchestrator_job::Stage;
use orchestrator_text::clean::CleanStep;
use orchestrator_text::decontaminate::{DecontaminateStep, Index};
use orchestrator_text::fasttext;
use orchestrator_text::filters::{Filter, FilterStep};
use orchestrator_text::language::LanguageStep;
use orchestrator_text::perplexity::{PerplexityConfig, PerplexityStep};
use orchestrator_text::pii::PiiStep;
use orchestrator_text::quality::{QualityConfig, QualityModel, QualityStep};
use orchestrator_text::{Scorer, Step, ngram};

use crate::context::{ModelFile, TaskContext};
use crate::error::TaskError;
use crate::listed::StoreFiles;
use crate::scoring;

/// Builds the step of a per-document stage.
pub(crate) fn step(context: &TaskContext, index: u32, stage: &Stage) -> Result<Box<dyn Step>, TaskError> {
    let wrong = |error: &dyn std::fmt::Display| TaskError::configuration(stage.name(), error);
    Ok(match stage {
        Stage::Clean(config) => Box::new(CleanStep::new(config).map_err(|error| wrong(&error))?),
        Stage::Language(config) => {
            let model = config.model.clone().map(ModelFile::Location);
            let model = model.map(|model| context.job.model(stage.name(), &model, fasttext::Model::read));
            let model = model.transpose()?;
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
        Stage::Quality(config) => Box::new(quality(context, index, config)?),
        Stage::Perplexity(config) => Box::new(perplexity(context, index, config)?),
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

/// Builds what ranks documents for a stage that keeps a fraction of them.
pub(crate) fn scorer(context: &TaskContext, index: u32) -> Result<Box<dyn Scorer>, TaskError> {
    match context.job.job.pipeline.get(index as usize) {
        Some(Stage::Quality(config)) => Ok(Box::new(quality(context, index, config)?)),
        Some(Stage::Perplexity(config)) => Ok(Box::new(perplexity(context, index, config)?)),
        _ => Err(TaskError::configuration("scoring", format!("stage {index} of the job scores nothing"))),
    }
}

fn quality(context: &TaskContext, index: u32, config: &QualityConfig) -> Result<QualityStep, TaskError> {
    let file = scoring::model(context, index, config.model.as_ref())?;
    let model = context.job.model("quality", &file, QualityModel::read)?;
    QualityStep::with_model(config, model, context.job.job.seed)
        .map_err(|error| TaskError::configuration("quality", error))
}

fn perplexity(
    context: &TaskContext,
    index: u32,
    config: &PerplexityConfig,
) -> Result<PerplexityStep, TaskError> {
    let file = scoring::model(context, index, config.model.as_ref())?;
    let read = |bytes: &[u8]| ngram::Model::read_arpa(bytes, config.max_ngrams);
    let model = context.job.model("perplexity", &file, read)?;
    PerplexityStep::with_model(config, model).map_err(|error| TaskError::configuration("perplexity", error))
}
