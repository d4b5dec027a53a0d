//! Trains the model of a stage that scores documents, from files that the job file names.

use orchestrator_core::{FileKind, TaskOutcome};
use orchestrator_job::Stage;
use orchestrator_storage::formats::{self, Body, Input, RawKind, ReaderOptions, Start};
use orchestrator_text::charset;
use orchestrator_text::ngram;
use orchestrator_text::perplexity::PerplexityConfig;
use orchestrator_text::quality::QualityConfig;
use serde_json::{Value, json};

use super::{stage, trained_path};
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::source;

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
    let (good, bad) = (positive.each(), negative.each());
    let seed = context.job.job.seed;
    let bytes = training.train(&config.label, &good, &bad, seed).map_err(|error| wrong(&error))?;
    let malformed = positive.malformed + negative.malformed;
    Ok((bytes, json!({ "positive": good.len(), "negative": bad.len(), "malformed": malformed })))
}

fn language_model(context: &TaskContext, config: &PerplexityConfig) -> Result<(Vec<u8>, Value), TaskError> {
    let wrong = |error: &dyn std::fmt::Display| TaskError::configuration("perplexity", error);
    let training = config.train.as_ref().ok_or_else(|| wrong(&"`train` is not set"))?;
    let found = texts(context, "perplexity", &training.paths)?;
    let texts = found.each();
    let model = ngram::train(&texts, &training.options(config.tokens)).map_err(|error| wrong(&error))?;
    Ok((model, json!({ "texts": texts.len(), "malformed": found.malformed })))
}

/// What a model learns from.
#[derive(Default)]
struct Sample {
    texts: Vec<String>,
    bytes: usize,
    malformed: u64,
}

impl Sample {
    /// Decodes one more text, while there is room.
    fn take(&mut self, body: &Body) -> Result<(), String> {
        let text = charset::decode(&body.bytes, source::charset_hints(body)).text;
        self.bytes += text.len();
        if self.bytes > EXAMPLES_BYTES {
            // Cut off where it is full, the sample would be whatever the first files hold.
            return Err(format!("`train`: more than {EXAMPLES_BYTES} bytes of text: expected a sample"));
        }
        self.texts.push(text);
        Ok(())
    }

    fn each(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }
}

/// The texts of all files that the patterns name, in order of their URLs.
fn texts(context: &TaskContext, stage: &'static str, patterns: &[String]) -> Result<Sample, TaskError> {
    let wrong = |message: String| TaskError::configuration(stage, message);
    let mut texts = Sample::default();
    let mut first_fault = None;
    for pattern in patterns {
        let found = context.job.named(pattern).map_err(|error| TaskError::configuration(stage, error))?;
        if found.is_empty() {
            return Err(wrong(format!("`{pattern}` matches no file")));
        }
        for url in found {
            let (format, compression) = formats::detect(&url)
                .ok_or_else(|| wrong(format!("the format of `{url}` is not known from its name")))?;
            let (store, path) = context.job.locate(&url)?;
            let input = if format.seeks() {
                Input::Seekable(store.open_seekable(&path)?, None)
            } else {
                Input::Stream(store.open_reader(&path, None)?)
            };
            let options = ReaderOptions::default();
            for record in formats::open(&url, input, format, compression, Start::default(), &options)? {
                context.progress.check()?;
                let record = record?;
                match record.kind {
                    RawKind::Body(body) => {
                        context.progress.add(1, body.bytes.len() as u64);
                        texts.take(&body).map_err(wrong)?;
                    }
                    RawKind::NotADocument { .. } => {}
                    RawKind::Malformed { cause, .. } => {
                        texts.malformed += 1;
                        first_fault
                            .get_or_insert_with(|| format!("`{url}`, record {}: {cause}", record.ordinal));
                    }
                }
            }
        }
    }
    let most = context.job.job.max_malformed;
    let (malformed, all) = (texts.malformed, texts.malformed + texts.texts.len() as u64);
    match first_fault {
        Some(fault) if malformed > most.of(all) => Err(wrong(format!(
            "`train`: {malformed} of {all} records are malformed, the first in {fault}: expected at most {most}"
        ))),
        _ => Ok(texts),
    }
}
