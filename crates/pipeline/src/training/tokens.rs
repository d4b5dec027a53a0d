//! The committed token shards as one stream.

use orchestrator_core::{Digest, RowHasher};
use orchestrator_storage::manifest::StageManifest;
use orchestrator_storage::tokens::TokenShard;
use orchestrator_storage::{RelativePath, Store};
use orchestrator_train::TokenSource;
use orchestrator_train::tokens::TokenSourceError;

use crate::error::TaskError;

/// Where the manifest of the tokens lies.
const MANIFEST: &str = "tokens/manifest.json";

/// Names of the shards of a kind (`train`, `validation`), in order, with a fingerprint of their content.
pub fn shard_names(output: &Store, kind: &str) -> Result<(Vec<String>, String), TaskError> {
    let manifest = StageManifest::read(output, &RelativePath::new(MANIFEST)?)?;
    let mut names = Vec::new();
    let mut hasher = RowHasher::default();
    for file in &manifest.files {
        let name = file.path.file_name();
        if let Some(stem) = name.strip_suffix(".bin").filter(|stem| stem.starts_with(&format!("{kind}-"))) {
            hasher.text(stem).bytes(&file.xxh3.0.to_le_bytes());
            names.push(stem.to_owned());
        }
    }
    names.sort_unstable();
    Ok((names, Digest(hasher.finish()).to_string()))
}

/// All shards of a kind, one after the other.
pub struct ShardTokens {
    shards: Vec<TokenShard>,
    /// First token of each shard in the stream.
    starts: Vec<u64>,
    ends: Vec<u64>,
    fingerprint: String,
}

impl ShardTokens {
    /// Opens the shards of a kind: `train` or `validation`.
    pub fn open(output: &Store, kind: &str) -> Result<Self, TaskError> {
        let (names, fingerprint) = shard_names(output, kind)?;
        let mut stream = Self { shards: Vec::new(), starts: Vec::new(), ends: Vec::new(), fingerprint };
        let mut start = 0;
        for name in names {
            let shard = TokenShard::open(output, &RelativePath::new(format!("tokens/{name}"))?)?;
            let sequences = (0..shard.sequences()).filter_map(|sequence| shard.sequence(sequence));
            stream.ends.extend(sequences.filter(|span| !span.is_empty()).map(|span| start + span.end));
            stream.starts.push(start);
            start += shard.tokens();
            stream.shards.push(shard);
        }
        Ok(stream)
    }
}

impl TokenSource for ShardTokens {
    fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    fn read(&self, start: u64, into: &mut [u32]) -> Result<(), TokenSourceError> {
        let span = start..start + into.len() as u64;
        let failed = |problem: String| TokenSourceError { span: span.clone(), problem };
        let mut at = start;
        let mut filled = 0;
        let mut buffer = Vec::new();
        while filled < into.len() {
            // The last shard that begins at or before `at`; empty shards share a start with the one after them.
            let index = self.starts.partition_point(|&first| first <= at).saturating_sub(1);
            let (Some(shard), Some(&first)) = (self.shards.get(index), self.starts.get(index)) else {
                return Err(failed("beyond the end".to_owned()));
            };
            let end = (first + shard.tokens()).min(span.end);
            if end <= at {
                return Err(failed("beyond the end".to_owned()));
            }
            shard.read(at - first..end - first, &mut buffer).map_err(|error| failed(error.to_string()))?;
            into[filled..filled + buffer.len()].copy_from_slice(&buffer);
            filled += buffer.len();
            at = end;
        }
        Ok(())
    }

    fn document_ends(&self) -> &[u64] {
        &self.ends
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}
