//! Encodes parts into a train shard and a validation shard.

use orchestrator_core::{Document, FileKind, TaskOutcome};
use orchestrator_job::PartRef;
use orchestrator_storage::documents::{DocumentReader, Projection};
use orchestrator_storage::tokens::{ShardFiles, ShardWriter, TokenType};
use orchestrator_storage::{RelativePath, Store};
use orchestrator_text::tokenizer::{Encoder, TokenizeConfig, Tokenizer};
use serde_json::json;

use super::books::Books;
use super::held_out::HeldOut;
use super::{TOKENIZER_PATH, config, takes};
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::mix;
use crate::training;

/// The largest `held-out.json`.
const HELD_OUT_LIMIT: u64 = 1 << 20;

/// What a tokenize task reads.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// The parts to encode, in order.
    pub(crate) parts: &'a [PartRef],
    /// What the phase before left: `tokenizer.json`, and what is held out.
    pub(crate) prepared: &'a [PartRef],
    /// How often each document is written, where the job mixes.
    pub(crate) mixture: Option<&'a PartRef>,
}

/// Writes `tokens/train-NNNNN.*`, and `tokens/validation-NNNNN.*` where something of these parts is held out.
pub(crate) fn run(
    context: &TaskContext,
    number: u32,
    stage: u32,
    inputs: &Inputs<'_>,
) -> Result<TaskOutcome, TaskError> {
    let Inputs { parts, prepared, mixture } = *inputs;
    let config = config(context, stage)?;
    let output = &context.job.output;
    let held_out = read_held_out(output, prepared)?;
    let tokenizer = training::tokenizer(output, &config.end_of_text)?;
    let mixer = mixture.map(|file| mix::mixer(context, file)).transpose()?;
    let mut shards = Shards::create(context, number, &tokenizer)?;
    let mut encoder = tokenizer.encoder();
    let mut tokens = Vec::new();
    let split = match held_out {
        HeldOut::Tail { millionths } => {
            let total = count_tokens(context, parts, config, &mut encoder)?;
            Some(total - (u128::from(total) * u128::from(millionths) / 1_000_000) as u64)
        }
        HeldOut::None | HeldOut::Documents { .. } => None,
    };
    let mut seen = 0;
    let mut books = Books::open(context, number, stage);
    for_each(context, parts, |document| {
        if !takes(config, document) {
            return books.pass_by(document);
        }
        encode(&mut encoder, &tokenizer, document, &mut tokens)?;
        // The document that the bound falls into is cut there: its beginning trains, its end validates.
        let trains = match split {
            Some(bound) => bound.saturating_sub(seen).min(tokens.len() as u64) as usize,
            None if held_out.holds(document.id) => 0,
            None => tokens.len(),
        };
        let (train, validation) = tokens.split_at(trains);
        // Copies are for learning: what is held out is measured once.
        let copies = mixer.as_ref().map_or(1, |mixer| mixer.copies(document));
        for _ in 0..copies {
            shards.push(document, train, false)?;
        }
        shards.push(document, validation, true)?;
        books.enter(document, [train, validation], copies);
        seen += tokens.len() as u64;
        Ok(())
    })?;
    shards.finish(books)
}

fn read_held_out(output: &Store, prepared: &[PartRef]) -> Result<HeldOut, TaskError> {
    let part = prepared.iter().find(|part| part.path.ends_with("/held-out.json"));
    let part =
        part.ok_or_else(|| TaskError::corrupt(TOKENIZER_PATH, "the phase before left no held-out.json"))?;
    let bytes = output.read_all(&RelativePath::new(&*part.path)?, HELD_OUT_LIMIT)?;
    serde_json::from_slice(&bytes).map_err(|error| TaskError::corrupt(&part.path, error))
}

fn for_each(
    context: &TaskContext,
    parts: &[PartRef],
    mut take: impl FnMut(&Document) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    for part in parts {
        let path = RelativePath::new(&*part.path)?;
        for document in DocumentReader::open(&context.job.output, &path, Projection::All)? {
            let document = document?;
            context.progress.check()?;
            context.progress.add(1, document.text.len() as u64);
            take(&document)?;
        }
    }
    Ok(())
}

/// A document's tokens, end-of-text last.
fn encode(
    encoder: &mut Encoder<'_>,
    tokenizer: &Tokenizer,
    document: &Document,
    tokens: &mut Vec<u32>,
) -> Result<(), TaskError> {
    tokens.clear();
    encoder.encode(&document.text, tokens).map_err(|error| {
        TaskError::configuration("tokenize", format!("document {}: {error}", document.id))
    })?;
    tokens.push(tokenizer.end_of_text());
    Ok(())
}

fn count_tokens(
    context: &TaskContext,
    parts: &[PartRef],
    config: &TokenizeConfig,
    encoder: &mut Encoder<'_>,
) -> Result<u64, TaskError> {
    let mut total = 0;
    let mut tokens = Vec::new();
    for_each(context, parts, |document| {
        if !takes(config, document) {
            return Ok(());
        }
        tokens.clear();
        encoder
            .encode(&document.text, &mut tokens)
            .map_err(|error| TaskError::configuration("tokenize", error))?;
        total += tokens.len() as u64 + 1;
        Ok(())
    })?;
    Ok(total)
}

/// The two shards of a task. Each exists once something is put into it; the train shard always does.
struct Shards {
    store: Store,
    attempt_path: String,
    number: u32,
    kind: TokenType,
    train: ShardWriter,
    validation: Option<ShardWriter>,
    documents: [u64; 2],
}

impl Shards {
    fn create(context: &TaskContext, number: u32, tokenizer: &Tokenizer) -> Result<Self, TaskError> {
        let kind = TokenType::for_vocabulary(tokenizer.vocab_size() as u32);
        let store = context.job.output.clone();
        let attempt_path = context.attempt_path.clone();
        let stem = RelativePath::new(format!("{attempt_path}/tokens/train-{number:05}"))?;
        let train = ShardWriter::create(&store, &stem, kind)?;
        Ok(Self { store, attempt_path, number, kind, train, validation: None, documents: [0; 2] })
    }

    fn push(&mut self, document: &Document, tokens: &[u32], held_out: bool) -> Result<(), TaskError> {
        if tokens.is_empty() {
            return Ok(());
        }
        self.documents[usize::from(held_out)] += 1;
        if !held_out {
            return Ok(self.train.push(document.id, tokens)?);
        }
        if self.validation.is_none() {
            let stem =
                RelativePath::new(format!("{}/tokens/validation-{:05}", self.attempt_path, self.number))?;
            self.validation = Some(ShardWriter::create(&self.store, &stem, self.kind)?);
        }
        match &mut self.validation {
            Some(shard) => Ok(shard.push(document.id, tokens)?),
            None => Ok(()),
        }
    }

    fn finish(self, books: Books) -> Result<TaskOutcome, TaskError> {
        let (mut files, tally) = books.close()?;
        let mut tokens = [0; 2];
        let shards = [Some(self.train), self.validation];
        for (place, shard) in shards.into_iter().enumerate() {
            let Some(shard) = shard else { continue };
            let ShardFiles { files: written, sequences, tokens: count } = shard.finish()?;
            tokens[place] = count;
            for (file, (path, written)) in written.into_iter().enumerate() {
                let prefix = format!("{}/", self.attempt_path);
                let path = path.as_str().strip_prefix(&prefix).unwrap_or(path.as_str()).to_owned();
                // `.bin` comes first and counts tokens; `.idx` and `.docs.parquet` count documents.
                let rows = if file == 0 { count } else { sequences };
                files.record(tally.stage, FileKind::Product, path, rows, written);
            }
        }
        let detail = json!({ "train": { "documents": self.documents[0], "tokens": tokens[0] },
            "validation": { "documents": self.documents[1], "tokens": tokens[1] } });
        Ok(TaskOutcome {
            files: files.into_records(),
            tallies: vec![tally],
            detail,
            ..TaskOutcome::default()
        })
    }
}
