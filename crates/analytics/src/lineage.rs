//! From a checkpoint back to its documents.

use std::collections::BTreeSet;

use polars::prelude::{col, len};
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use crate::run::{Run, read_json};
use crate::tables::scan_tokens;
use crate::trace::number;

/// The documents a checkpoint was trained on, counted by shard. Their ids are in the table `tokens` of
/// [`query`](crate::query()), by `shard`.
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

/// Walks from a checkpoint (a name in `checkpoints/`) to its token shards and the documents in them.
pub fn checkpoint_documents(run: &Run, checkpoint: &str) -> Result<CheckpointDocuments, Error> {
    let known = run.checkpoints()?;
    if !known.iter().any(|name| name == checkpoint) {
        return Err(Error::UnknownCheckpoint { name: checkpoint.to_owned(), known });
    }
    let names = shards_of(run, checkpoint)?;
    if names.is_empty() {
        let path = run.root().join("checkpoints").join(checkpoint).join("manifest.json");
        return Err(Error::NoShards(path));
    }
    let mut shards = Vec::with_capacity(names.len());
    for shard in names {
        let (documents, tokens) = count(run, &shard)?;
        let documents_file = format!("tokens/{shard}.docs.parquet");
        shards.push(ShardDocuments { shard, documents_file, documents, tokens });
    }
    Ok(CheckpointDocuments {
        checkpoint: checkpoint.to_owned(),
        documents: shards.iter().map(|shard| shard.documents).sum(),
        tokens: shards.iter().map(|shard| shard.tokens).sum(),
        shards,
    })
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
    let directory = run.root().join("checkpoints").join(checkpoint);
    let mut shards = BTreeSet::new();
    for file in ["manifest.json", "state.json"] {
        if let Some(value) = read_json::<Value>(&directory.join(file))? {
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
