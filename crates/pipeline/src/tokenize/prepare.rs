//! The barrier before encoding: what is held out, and the tokenizer.

use orchestrator_core::{Document, DocumentId, FileKind, TaskOutcome};
use orchestrator_job::PartRef;
use orchestrator_storage::RelativePath;
use orchestrator_storage::documents::{DocumentReader, Projection};
use orchestrator_text::tokenizer::{
    TokenizeConfig, Tokenizer, TokenizerSource, TrainTokenizer, WordCounts, train,
};
use serde_json::json;

use super::held_out::HeldOut;
use super::{TOKENIZER_PATH, config, takes};
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

/// The largest tokenizer file that is read.
const TOKENIZER_LIMIT: u64 = 256 << 20;

/// Writes `held-out.json` and `tokens/tokenizer.json`.
pub(crate) fn run(context: &TaskContext, stage: u32, parts: &[PartRef]) -> Result<TaskOutcome, TaskError> {
    let config = config(context, stage)?;
    let (held_out, seen) =
        HeldOut::choose(context.job.job.validation_fraction(), context.job.job.seed, || {
            context.progress.check()?;
            Ok::<_, TaskError>(ids(context, parts, config))
        })?;
    let documents = count(context, parts, config, seen)?;
    let tokenizer = match &config.train {
        Some(options) => learn(context, parts, config, options, &held_out)?,
        None => load(context, config)?,
    };
    let mut files = AttemptFiles::new(context);
    let held_out =
        serde_json::to_vec(&held_out).map_err(|error| TaskError::corrupt("held-out.json", error))?;
    let held_out_path = format!("{}/held-out.json", context.phase_directory());
    files.write(stage, FileKind::Intermediate, held_out_path, 0, &held_out)?;
    files.write(stage, FileKind::Product, TOKENIZER_PATH.to_owned(), 0, tokenizer.to_json().as_bytes())?;
    Ok(TaskOutcome {
        files: files.into_records(),
        detail: json!({ "documents": documents, "vocab_size": tokenizer.vocab_size(),
            "end_of_text": tokenizer.end_of_text() }),
        ..TaskOutcome::default()
    })
}

/// How many documents become tokens: those that were seen, if they were; an error where the stage's languages leave none.
fn count(
    context: &TaskContext,
    parts: &[PartRef],
    config: &TokenizeConfig,
    seen: Option<u64>,
) -> Result<u64, TaskError> {
    let all = parts.iter().map(|part| part.rows).sum();
    let Some(languages) = &config.languages else { return Ok(all) };
    let documents = match seen {
        Some(documents) => documents,
        None => ids(context, parts, config).try_fold(0, |count, id| id.map(|_| count + 1))?,
    };
    if documents == 0 && all > 0 {
        let named = languages.join("`, `");
        let message =
            format!("`languages`: none of the {all} documents is in `{named}`: expected one at least");
        return Err(TaskError::configuration("tokenize", message));
    }
    Ok(documents)
}

/// The documents that become tokens, in order.
fn documents<'a>(
    context: &'a TaskContext,
    parts: &'a [PartRef],
    config: &'a TokenizeConfig,
    projection: Projection,
) -> impl Iterator<Item = Result<Document, TaskError>> + 'a {
    let all = parts.iter().flat_map(move |part| {
        let opened = RelativePath::new(&*part.path)
            .and_then(|path| DocumentReader::open(&context.job.output, &path, projection));
        let (reader, error) = match opened {
            Ok(reader) => (Some(reader), None),
            Err(error) => (None, Some(Err(error))),
        };
        error.into_iter().chain(reader.into_iter().flatten()).map(|document| Ok(document?))
    });
    all.filter(|document| document.as_ref().map_or(true, |document| takes(config, document)))
}

fn ids<'a>(
    context: &'a TaskContext,
    parts: &'a [PartRef],
    config: &'a TokenizeConfig,
) -> impl Iterator<Item = Result<DocumentId, TaskError>> + 'a {
    documents(context, parts, config, Projection::WithoutText).map(|document| Ok(document?.id))
}

/// Trains on the documents that are not held out, in order, until the sample is full.
fn learn(
    context: &TaskContext,
    parts: &[PartRef],
    config: &TokenizeConfig,
    options: &TrainTokenizer,
    held_out: &HeldOut,
) -> Result<Tokenizer, TaskError> {
    let mut counts = WordCounts::new(options);
    for document in documents(context, parts, config, Projection::All) {
        let document = document?;
        context.progress.check()?;
        context.progress.add(1, document.text.len() as u64);
        if !held_out.holds(document.id) {
            counts.add(&document.text);
        }
        if counts.is_full() {
            break;
        }
    }
    train(&counts, options, &config.end_of_text).map_err(|error| TaskError::configuration("tokenize", error))
}

fn load(context: &TaskContext, config: &TokenizeConfig) -> Result<Tokenizer, TaskError> {
    let location = config.tokenizer.as_deref().unwrap_or_default();
    let candidates = TokenizerSource::candidates(location);
    for source in &candidates {
        if let Some(files) = read(context, source)? {
            return Tokenizer::load(source, &files, &config.end_of_text)
                .map_err(|error| TaskError::configuration("tokenize", format!("`{location}`: {error}")));
        }
    }
    let expected: Vec<String> = candidates.iter().map(|source| source.paths().join(" with ")).collect();
    Err(TaskError::configuration(
        "tokenize",
        format!("no tokenizer at `{location}`: expected one of {}", expected.join(", ")),
    ))
}

/// The files of a source, unless one of them does not exist.
fn read(context: &TaskContext, source: &TokenizerSource) -> Result<Option<Vec<Vec<u8>>>, TaskError> {
    let mut files = Vec::new();
    for path in source.paths() {
        let (store, path) = context.job.locate(path)?;
        if store.try_stat(&path)?.is_none() {
            return Ok(None);
        }
        files.push(store.read_all(&path, TOKENIZER_LIMIT)?);
    }
    Ok(Some(files))
}
