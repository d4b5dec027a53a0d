//! Trains the model of a stage that scores documents, from files that the job file names.

use orchestrator_core::{FileKind, TaskOutcome};
use orchestrator_job::Stage;
use orchestrator_storage::formats::{self, Input, RawKind, ReaderOptions, Start};
use orchestrator_text::charset;
use orchestrator_text::ngram;
use orchestrator_text::perplexity::PerplexityConfig;
use orchestrator_text::quality::QualityConfig;
use serde_json::{Value, json};

use super::{stage, trained_path};
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Text of examples held in memory; a model of this kind needs a sample, not a corpus.
const EXAMPLES_BYTES: usize = 1 << 30;

/// Writes `quality.bin` or `perplexity.arpa`, which fastText and KenLM load too.
pub(crate) fn run(context: &TaskContext, index: u32) -> Result<TaskOutcome, TaskError> {
    let (bytes, detail) = match stage(context, index)? {
        Stage::Quality(config) => classifier(context, config)?,
        Stage::Perplexity(config) => language_model(context, config)?,
        other => return Err(TaskError::configuration(other.name(), "there is nothing to train")),
    };
    let mut files = AttemptFiles::new(context);
    files.write(index, FileKind::Product, trained_path(context, index)?, 0, &bytes)?;
    Ok(TaskOutcome { files: files.into_records(), detail, ..TaskOutcome::default() })
}

fn classifier(context: &TaskContext, config: &QualityConfig) -> Result<(Vec<u8>, Value), TaskError> {
    let wrong = |error: &dyn std::fmt::Display| TaskError::configuration("quality", error);
    let training = config.train.as_ref().ok_or_else(|| wrong(&"`train` is not set"))?;
    let positive = texts(context, "quality", &training.positive)?;
    let negative = texts(context, "quality", &training.negative)?;
    let good: Vec<&str> = positive.iter().map(String::as_str).collect();
    let bad: Vec<&str> = negative.iter().map(String::as_str).collect();
    let seed = context.job.job.seed;
    let bytes = training.train(&config.label, &good, &bad, seed).map_err(|error| wrong(&error))?;
    Ok((bytes, json!({ "positive": positive.len(), "negative": negative.len() })))
}

fn language_model(context: &TaskContext, config: &PerplexityConfig) -> Result<(Vec<u8>, Value), TaskError> {
    let wrong = |error: &dyn std::fmt::Display| TaskError::configuration("perplexity", error);
    let training = config.train.as_ref().ok_or_else(|| wrong(&"`train` is not set"))?;
    let texts = texts(context, "perplexity", &training.paths)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let model = ngram::train(&texts, &training.options(config.tokens)).map_err(|error| wrong(&error))?;
    Ok((model, json!({ "texts": texts.len() })))
}

/// The texts of all files that the patterns name, in order of their URLs.
fn texts(context: &TaskContext, stage: &'static str, patterns: &[String]) -> Result<Vec<String>, TaskError> {
    let mut texts = Vec::new();
    let mut bytes = 0;
    for pattern in patterns {
        let found = context.job.named(pattern).map_err(|error| TaskError::configuration(stage, error))?;
        if found.is_empty() {
            return Err(TaskError::configuration(stage, format!("`{pattern}` matches no file")));
        }
        for url in found {
            let (format, compression) = formats::detect(&url).ok_or_else(|| {
                let message = format!("the format of `{url}` is not known from its name");
                TaskError::configuration(stage, message)
            })?;
            let (store, path) = context.job.locate(&url)?;
            let input = if format.seeks() {
                Input::Seekable(store.open_seekable(&path)?, None)
            } else {
                Input::Stream(store.open_reader(&path, None)?)
            };
            let options = ReaderOptions::default();
            for record in formats::open(&url, input, format, compression, Start::default(), &options)? {
                context.progress.check()?;
                let RawKind::Body(body) = record?.kind else { continue };
                context.progress.add(1, body.bytes.len() as u64);
                let is_html = body.media == orchestrator_core::Media::Html;
                let text = charset::decode(&body.bytes, body.charset.as_deref(), is_html).text;
                bytes += text.len();
                if bytes > EXAMPLES_BYTES {
                    // Cut off where it is full, the sample would be whatever the first files hold.
                    let message =
                        format!("`train`: more than {EXAMPLES_BYTES} bytes of text: expected a sample");
                    return Err(TaskError::configuration(stage, message));
                }
                texts.push(text);
            }
        }
    }
    Ok(texts)
}
