//! From a checkpoint back to its documents.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::{IntoLazy, JoinArgs, JoinType, SortMultipleOptions, col, len};
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use crate::run::Run;
use crate::tables::{Kind, scan, scan_part, scan_tokens, token_shards};
use crate::trace::{DocumentName, name, number, text};

/// The documents a checkpoint was trained on, counted by shard and by source. All their ids are in the table `tokens`
/// of [`query`](crate::query()), by `shard`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointDocuments {
    /// The checkpoint, for example `step-00002000`.
    pub checkpoint: String,
    /// Documents in all its shards.
    pub documents: u64,
    /// Tokens in all its shards.
    pub tokens: u64,
    /// Its shards, in order.
    pub shards: Vec<ShardDocuments>,
    /// How many source files the documents came from.
    pub sources_total: u64,
    /// The sources with most documents, as many as were asked for.
    pub sources: Vec<SourceDocuments>,
    /// Documents in the shards that no part holds any more, so that their source is not known.
    pub without_source: u64,
    /// The first documents in the order of the shards, as many as were asked for.
    pub first_documents: Vec<DocumentName>,
}

/// One source file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceDocuments {
    /// The source, relative to its read step's root.
    pub source: String,
    /// How many of its documents are in the shards.
    pub documents: u64,
    /// How many tokens they have.
    pub tokens: u64,
}

/// One token shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardDocuments {
    /// Its name, for example `train-00000`.
    pub shard: String,
    /// The file that lists its documents, relative to the output.
    pub documents_file: String,
    /// How many documents it holds.
    pub documents: u64,
    /// How many tokens they have.
    pub tokens: u64,
}

/// Walks from a checkpoint (a name in `checkpoints/`, or `step-` and its number) to its token shards, the documents in
/// them and their sources. At most `limit` sources and documents are listed.
pub fn checkpoint_documents(run: &Run, wanted: &str, limit: usize) -> Result<CheckpointDocuments, Error> {
    let known = run.checkpoints()?;
    let same = |name: &&String| *name == wanted || (step(name).is_some() && step(name) == step(wanted));
    let Some(checkpoint) = known.iter().find(same) else {
        return Err(Error::UnknownCheckpoint { name: wanted.to_owned(), known });
    };
    let names = shards_of(run, checkpoint)?;
    if names.is_empty() {
        return Err(Error::NoShards(run.files().name(&format!("checkpoints/{checkpoint}/manifest.json"))));
    }
    let mut shards = Vec::with_capacity(names.len());
    let mut origins = Origins {
        is_of_all_parts: token_shards(run)?.iter().filter(|name| name.starts_with("train-")).count() == 1,
        ..Origins::default()
    };
    for shard in names {
        let (documents, tokens) = count(run, &shard)?;
        origins.add(run, &shard, limit)?;
        let documents_file = format!("tokens/{shard}.docs.parquet");
        shards.push(ShardDocuments { shard, documents_file, documents, tokens });
    }
    let documents = shards.iter().map(|shard| shard.documents).sum::<u64>();
    Ok(CheckpointDocuments {
        checkpoint: checkpoint.clone(),
        documents,
        tokens: shards.iter().map(|shard| shard.tokens).sum(),
        shards,
        sources_total: origins.sources.len() as u64,
        without_source: documents.saturating_sub(origins.found),
        sources: origins.largest(limit),
        first_documents: origins.first,
    })
}

/// The number of a checkpoint: `step-600` and `step-00000600` are one.
fn step(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step-")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Where documents came from.
#[derive(Default)]
struct Origins {
    /// Documents and tokens by source: as many entries as the run had input files.
    sources: BTreeMap<String, (u64, u64)>,
    found: u64,
    first: Vec<DocumentName>,
    /// There is one training shard: where a job left few documents, one task encoded all parts.
    is_of_all_parts: bool,
}

impl Origins {
    /// Adds the documents of a shard. They are those of the part of the same number, so one part's names are in memory; where
    /// one task encoded all parts, those of all parts, which are few.
    fn add(&mut self, run: &Run, shard: &str, limit: usize) -> Result<(), Error> {
        let Some(tokens) = scan_tokens(run, &[shard.to_owned()])? else { return Ok(()) };
        let parts = match run.last_materialised().filter(|_| self.is_of_all_parts) {
            Some(stage) => scan(run, stage, Kind::Parts)?,
            None => scan_part(run, shard)?,
        };
        let Some(parts) = parts else { return Ok(()) };
        let names = parts.select(["id", "source", "record", "url"].map(col));
        let joined =
            tokens.join(names, [col("id")], [col("id")], JoinArgs::new(JoinType::Inner)).collect()?;
        self.found += joined.height() as u64;
        let left = limit.saturating_sub(self.first.len()) as u32;
        if left > 0 {
            let rows = joined
                .clone()
                .lazy()
                .sort(["sequence"], SortMultipleOptions::default())
                .limit(left)
                .collect()?;
            for row in 0..rows.height() {
                self.first.push(name(&rows, row)?);
            }
        }
        let sums = [len().alias("documents"), col("length").sum().alias("tokens")];
        let sums = joined.lazy().group_by([col("source")]).agg(sums).collect()?;
        for row in 0..sums.height() {
            let sum = self.sources.entry(text(&sums, "source", row)?).or_default();
            sum.0 += number(&sums, "documents", row)?;
            sum.1 += number(&sums, "tokens", row)?;
        }
        Ok(())
    }

    /// The sources with most documents; equals by name.
    fn largest(&self, limit: usize) -> Vec<SourceDocuments> {
        let mut sources: Vec<_> = self
            .sources
            .iter()
            .map(|(source, &(documents, tokens))| SourceDocuments {
                source: source.clone(),
                documents,
                tokens,
            })
            .collect();
        sources.sort_by(|a, b| b.documents.cmp(&a.documents).then_with(|| a.source.cmp(&b.source)));
        sources.truncate(limit);
        sources
    }
}

fn count(run: &Run, shard: &str) -> Result<(u64, u64), Error> {
    let Some(frame) = scan_tokens(run, &[shard.to_owned()])? else { return Ok((0, 0)) };
    let sums = frame.select([len().alias("documents"), col("length").sum().alias("tokens")]).collect()?;
    Ok((number(&sums, "documents", 0)?, number(&sums, "tokens", 0)?))
}

/// Names of the training shards that a checkpoint's `manifest.json` or `state.json` gives.
///
/// Of those files, which are the trainer's, only the names of shards are taken, wherever they stand: `train-00000`,
/// `tokens/train-00000` and `tokens/train-00000.bin` all name one shard.
pub(crate) fn shards_of(run: &Run, checkpoint: &str) -> Result<BTreeSet<String>, Error> {
    let mut shards = BTreeSet::new();
    for file in ["manifest.json", "state.json"] {
        if let Some(value) = run.files().json::<Value>(&format!("checkpoints/{checkpoint}/{file}"))? {
            collect(&value, &mut shards);
        }
    }
    Ok(shards)
}

/// Collects the shard names in `value`; its depth is bounded by the JSON reader's.
fn collect(value: &Value, shards: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => shards.extend(shard_name(text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, shards)),
        Value::Object(fields) => {
            for (key, item) in fields {
                shards.extend(shard_name(key));
                collect(item, shards);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn shard_name(text: &str) -> Option<String> {
    let name = text.rsplit('/').next()?.split('.').next()?;
    let digits = name.strip_prefix("train-")?;
    (digits.len() >= 5 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_in_many_ways() {
        for text in
            ["train-00003", "tokens/train-00003", "tokens/train-00003.bin", "train-00003.docs.parquet"]
        {
            assert_eq!(shard_name(text).as_deref(), Some("train-00003"), "{text}");
        }
        for text in ["", "train", "train-3", "validation-00003", "train-0000x", "tokens/train-00003/"] {
            assert_eq!(shard_name(text), None, "{text}");
        }
    }
}
