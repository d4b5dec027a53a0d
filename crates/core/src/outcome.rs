//! What a task leaves: files, and for every stage it ran the number of records in, kept and dropped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::RowDigest;

/// The list of frozen models, lists and tokenizers in an output, for those who read them: JSON.
pub const FROZEN_FILES: &str = ".orchestrator/files.json";

/// Where a gang leaves what it said of its steps up to a checkpoint, below its directory `gang`; a resume takes it up.
pub fn gang_metrics(gang: &str, step: u64) -> String {
    format!("{gang}/metrics-{step:08}.jsonl")
}

/// What a file is for. The kind and the task's number give its final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// `part-NNNNN.parquet`: kept documents.
    Part,
    /// `dropped-NNNNN.parquet`.
    Dropped,
    /// `notes-NNNNN.parquet`.
    Notes,
    /// Anything a later phase reads and a user does not: signatures, edges, splits, scores.
    Intermediate,
    /// A result outside `stages/`: token shards, tokenizer, model, report.
    Product,
}

/// A file a task wrote, as its manifest will name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The stage (index into the plan's stages) that the file belongs to.
    pub stage: u32,
    /// What it is for.
    pub kind: FileKind,
    /// Final path relative to the output, `/`-separated.
    pub path: String,
    /// Rows, where the format has rows; else 0.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// xxh3-128 of the bytes, as 32 hexadecimal digits.
    pub xxh3: crate::Digest,
}

/// The books of one stage in one task. `records_in = kept + dropped` or the commit is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTally {
    /// The stage (index into the plan's stages).
    pub stage: u32,
    /// Records that came in.
    pub records_in: u64,
    /// Records that went on.
    pub kept: u64,
    /// Records that ended here, by rule.
    pub dropped: BTreeMap<String, u64>,
    /// Edits and spans, by rule.
    pub noted: BTreeMap<String, u64>,
    /// UTF-8 bytes of text that came in.
    pub bytes_in: u64,
    /// UTF-8 bytes of text that went on.
    pub bytes_kept: u64,
    /// Digest of the kept rows in order.
    pub kept_digest: RowDigest,
    /// Digest of the dropped rows in order.
    pub dropped_digest: RowDigest,
}

impl StageTally {
    /// Whether every record that came in is accounted for, in the counts and in the digests.
    pub fn balances(&self) -> bool {
        let dropped: u64 = self.dropped.values().sum();
        self.records_in == self.kept + dropped
            && self.kept_digest.rows == self.kept
            && self.dropped_digest.rows == dropped
    }

    /// Adds the books of the task that comes after this one.
    pub fn append(&mut self, after: &Self) {
        self.records_in += after.records_in;
        self.kept += after.kept;
        self.bytes_in += after.bytes_in;
        self.bytes_kept += after.bytes_kept;
        for (rule, count) in &after.dropped {
            *self.dropped.entry(rule.clone()).or_default() += count;
        }
        for (rule, count) in &after.noted {
            *self.noted.entry(rule.clone()).or_default() += count;
        }
        self.kept_digest = self.kept_digest.then(after.kept_digest);
        self.dropped_digest = self.dropped_digest.then(after.dropped_digest);
    }
}

/// All that a finished task reports; the commit stores it whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOutcome {
    /// Files under the attempt's path that the commit publishes to their final names.
    pub files: Vec<FileRecord>,
    /// Digest of what the task made, where that is neither rows, which tallies cover, nor told by files: a model's tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<crate::Digest>,
    /// One tally for each stage the task ran, in stage order.
    pub tallies: Vec<StageTally>,
    /// JSON that a later phase's expansion reads: splits found, thresholds, sizes. `null` when nothing.
    #[serde(default)]
    pub detail: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_record_does_not_balance() {
        let mut tally = StageTally { records_in: 2, kept: 1, ..StageTally::default() };
        tally.kept_digest.push(1);
        assert!(!tally.balances());
        tally.dropped.insert("too_short".into(), 1);
        assert!(!tally.balances(), "the digest has not seen the dropped row");
        tally.dropped_digest.push(2);
        assert!(tally.balances());
    }
}
