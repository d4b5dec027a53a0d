//! What a map task tells the report of the documents it saw and no file holds: how long they were, and the beginnings of
//! some that it dropped.
//!
//! Which ones is decided by a hash of the job's seed and the document's id, so the choice has no preference and does not
//! depend on how documents were cut into tasks: the lowest hashes of all tasks are among the lowest of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, RowHasher};
use crate::ids::DocumentId;
use crate::verdict::Dropped;

/// Samples kept of one rule.
pub const SAMPLES_OF_A_RULE: usize = 3;
/// Rules of one stage that samples are kept of; what the stages have is far below it.
const MOST_RULES: usize = 64;
/// Characters of a text that are kept.
const TEXT_CHARACTERS: usize = 600;
/// Characters of a value that are kept: some are messages.
const VALUE_CHARACTERS: usize = 200;

/// A task's `samples-NNNNN.json`: one entry a stage, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSamples {
    /// The stages that the task ran.
    pub stages: Vec<StageSamples>,
}

/// What one stage of a task saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageSamples {
    /// The stage (index into the plan's stages).
    pub stage: u32,
    /// Lengths of the documents in the part that the stage wrote; empty where it wrote none.
    pub kept: Lengths,
    /// Lengths of the documents it dropped, as the stage had them.
    pub dropped: Lengths,
    /// Records it dropped that never became a text.
    pub without_text: u64,
    /// Some dropped documents, by rule, lowest hash first.
    pub samples: BTreeMap<String, Vec<DroppedText>>,
}

/// The beginning of a dropped document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedText {
    /// Hash of the job's seed and the id: the lowest are kept.
    pub order: Digest,
    /// The document's id.
    pub id: DocumentId,
    /// Its source file.
    pub source: String,
    /// Its record in that file.
    pub record: u64,
    /// The value that broke the rule.
    pub value: String,
    /// Bytes of the whole text; absent where the record never became one.
    pub bytes: Option<u64>,
    /// The text's beginning, as the stage had it when it dropped it.
    pub text: Option<String>,
}

/// How many documents have which length in UTF-8 bytes, in bins that widen by the square root of 2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lengths(pub BTreeMap<u32, u64>);

impl StageSamples {
    /// Books a record that the stage dropped; `text` is the document's, where it had one.
    pub fn push_dropped(&mut self, seed: u64, dropped: &Dropped, text: Option<&str>) {
        match text {
            Some(text) => self.dropped.push(text.len() as u64),
            None => self.without_text += 1,
        }
        let rule = &*dropped.reason.rule;
        if !self.samples.contains_key(rule) {
            if self.samples.len() == MOST_RULES {
                return;
            }
            self.samples.insert(rule.to_owned(), Vec::new());
        }
        let Some(samples) = self.samples.get_mut(rule) else { return };
        let order = order(seed, dropped.id);
        let place = samples.partition_point(|other| (other.order, other.id.0) <= (order, dropped.id.0));
        if place == SAMPLES_OF_A_RULE {
            return;
        }
        let sample = DroppedText {
            order,
            id: dropped.id,
            source: dropped.source.clone(),
            record: dropped.record,
            value: beginning(&dropped.reason.value, VALUE_CHARACTERS),
            bytes: text.map(|text| text.len() as u64),
            text: text.map(|text| beginning(text, TEXT_CHARACTERS)),
        };
        samples.insert(place, sample);
        samples.truncate(SAMPLES_OF_A_RULE);
    }

    /// Adds what another task saw in the same stage.
    pub fn append(&mut self, other: Self) {
        self.kept.append(&other.kept);
        self.dropped.append(&other.dropped);
        self.without_text = self.without_text.saturating_add(other.without_text);
        for (rule, more) in other.samples {
            if self.samples.len() == MOST_RULES && !self.samples.contains_key(&rule) {
                continue;
            }
            let samples = self.samples.entry(rule).or_default();
            samples.extend(more);
            samples.sort_by_key(|sample| (sample.order, sample.id.0));
            samples.truncate(SAMPLES_OF_A_RULE);
        }
    }
}

impl Lengths {
    /// Counts one document of `length` bytes.
    pub fn push(&mut self, length: u64) {
        *self.0.entry(bin_of(length)).or_default() += 1;
    }

    /// Adds other counts.
    pub fn append(&mut self, other: &Self) {
        for (&bin, &count) in &other.0 {
            let sum = self.0.entry(bin).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// How many documents were counted.
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// The first length of bin `index`: 2^(index/2), rounded up.
    pub fn bin_start(index: u32) -> u64 {
        let power = 1u64 << (index / 2).min(62);
        if index.is_multiple_of(2) { power } else { (power as f64 * std::f64::consts::SQRT_2).ceil() as u64 }
    }
}

/// The bin of a length; an empty text is with those of one byte.
fn bin_of(length: u64) -> u32 {
    let even = length.max(1).ilog2() * 2;
    if length.max(1) >= Lengths::bin_start(even + 1) { even + 1 } else { even }
}

fn order(seed: u64, id: DocumentId) -> Digest {
    let mut hasher = RowHasher::default();
    hasher.number(seed).bytes(&id.0.to_le_bytes());
    Digest(hasher.finish())
}

/// The first characters of a text, with an ellipsis where it goes on.
fn beginning(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Reason;

    fn dropped(record: u64) -> (Dropped, String) {
        let reason = Reason::new(if record.is_multiple_of(3) { "short" } else { "odd" }, record);
        let id = DocumentId::derive("a", record);
        let dropped = Dropped { id, source: "a".into(), record, url: None, reason };
        (dropped, "é".repeat(record as usize * 9))
    }

    fn seen(records: impl Iterator<Item = u64>, seed: u64) -> StageSamples {
        let mut stage = StageSamples::default();
        for record in records {
            let (dropped, text) = dropped(record);
            stage.push_dropped(seed, &dropped, (record != 7).then_some(&text));
        }
        stage
    }

    #[test]
    fn the_choice_does_not_depend_on_how_documents_were_cut_into_tasks() {
        let whole = seen(0..200, 1);
        for cut in [1, 17, 199] {
            let mut joined = seen(cut..200, 1);
            joined.append(seen(0..cut, 1));
            assert_eq!(joined, whole, "cut at {cut}");
        }
        assert_eq!(seen((0..200).rev(), 1), whole);
        assert_ne!(seen(0..200, 2).samples, whole.samples, "another seed chooses others");
        assert_eq!((whole.dropped.total(), whole.without_text), (199, 1));
        assert!(whole.samples.values().all(|samples| samples.len() == SAMPLES_OF_A_RULE));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let stage = seen(0..2_000, 1);
        for sample in stage.samples.values().flatten() {
            let text = sample.text.as_deref().unwrap_or_default();
            assert!(text.chars().count() <= TEXT_CHARACTERS + 1, "{} characters", text.chars().count());
            assert_eq!(sample.bytes, Some(sample.record * 18));
        }
        let json = serde_json::to_string(&stage).expect("plain data");
        assert!(json.len() < 20_000, "{} bytes", json.len());
        assert_eq!(serde_json::from_str::<StageSamples>(&json).expect("its own text"), stage);
    }

    #[test]
    fn every_length_is_inside_its_bin() {
        for length in (0..10_000).chain([1 << 20, (1 << 26) - 1, 1 << 40]) {
            let bin = bin_of(length);
            assert!(
                Lengths::bin_start(bin) <= length.max(1) && length.max(1) < Lengths::bin_start(bin + 1),
                "{length}"
            );
        }
    }
}
