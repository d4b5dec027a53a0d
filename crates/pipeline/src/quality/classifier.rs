//! Trains the quality classifier from labelled inputs.

use orchestrator_core::{FileKind, TaskOutcome};
use orchestrator_storage::formats::{self, Input, RawKind, ReaderOptions, Start};
use orchestrator_text::charset;
use orchestrator_text::fasttext::Trainer;
use orchestrator_text::quality::QualityTraining;
use serde_json::json;

use super::{classifier_path, config};
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Text of examples held in memory; a classifier needs a sample, not a corpus.
const EXAMPLES_BYTES: usize = 1 << 30;

/// Writes `quality.bin`, which fastText loads too.
pub(crate) fn run(context: &TaskContext, stage: u32) -> Result<TaskOutcome, TaskError> {
    let wrong = |error: &dyn std::fmt::Display| TaskError::configuration("quality", error);
    let config = config(context, stage)?;
    let training = config.train.as_ref().ok_or_else(|| wrong(&"`train` is not set"))?;
    let positive = texts(context, &training.positive)?;
    let negative = texts(context, &training.negative)?;
    let good = positive.iter().map(|text| (config.label.as_str(), text.as_str()));
    let bad = negative.iter().map(|text| (QualityTraining::NEGATIVE, text.as_str()));
    let examples: Vec<(&str, &str)> = good.chain(bad).collect();
    let model =
        Trainer::train(&examples, &training.options(context.job.job.seed)).map_err(|error| wrong(&error))?;
    let bytes = model.write().ok_or_else(|| wrong(&"the trained model cannot be written"))?;
    let mut files = AttemptFiles::new(context);
    files.write(stage, FileKind::Product, classifier_path(context, stage)?, 0, &bytes)?;
    Ok(TaskOutcome {
        files: files.into_records(),
        detail: json!({ "positive": positive.len(), "negative": negative.len() }),
        ..TaskOutcome::default()
    })
}

/// The texts of all files that the patterns name, in order of their URLs.
fn texts(context: &TaskContext, patterns: &[String]) -> Result<Vec<String>, TaskError> {
    let mut texts = Vec::new();
    let mut bytes = 0;
    for pattern in patterns {
        let found = context.job.named(pattern).map_err(|error| TaskError::configuration("quality", error))?;
        if found.is_empty() {
            return Err(TaskError::configuration("quality", format!("`{pattern}` matches no file")));
        }
        for url in found {
            let (format, compression) = formats::detect(&url).ok_or_else(|| {
                let message = format!("the format of `{url}` is not known from its name");
                TaskError::configuration("quality", message)
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
                    return Ok(texts);
                }
                texts.push(text);
            }
        }
    }
    Ok(texts)
}
