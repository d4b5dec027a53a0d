//! What a map task tells the report of the documents it saw and no file holds: how long they were, and the beginnings of
//! some that it dropped.
//!
//! Which ones is decided by a hash of the job's seed and the document's id, so the choice has no preference and does not
//! depend on how documents were cut into tasks: the lowest hashes of all tasks are among the lowest of each.

use std::collections::BTreeMap;
use std::ops::Range;

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
/// Of those, characters before the first of the marked spans.
const BEFORE_MARK: usize = 200;
/// Languages counted one by one: sources may name what they like.
const MOST_LANGUAGES: usize = 512;
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
    /// Languages of the same documents.
    #[serde(default)]
    pub languages: LanguageCounts,
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
    /// The text's beginning, or what surrounds the first span that it was dropped for, as the stage had it when it dropped it.
    pub text: Option<String>,
    /// Bytes of `text` that it was dropped for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Range<usize>>,
}

/// How many documents, and how many bytes of text they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Documents.
    pub documents: u64,
    /// UTF-8 bytes of their text.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.documents = self.documents.saturating_add(other.documents);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// How much text there is in which language. Of more languages than are counted, the last by name are summed: which those
/// are does not depend on how documents were cut into tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanguageCounts {
    /// By code; empty where no language is known.
    pub named: BTreeMap<String, Amount>,
    /// All others.
    pub others: Amount,
}

impl LanguageCounts {
    /// Counts one document.
    pub fn push(&mut self, language: Option<&str>, bytes: u64) {
        let (language, one) = (language.unwrap_or_default(), Amount { documents: 1, bytes });
        match self.named.get_mut(language) {
            Some(amount) => amount.add(one),
            None => self.insert(language.to_owned(), one),
        }
    }

    fn insert(&mut self, language: String, amount: Amount) {
        self.named.entry(language).or_default().add(amount);
        if self.named.len() > MOST_LANGUAGES
            && let Some((_, last)) = self.named.pop_last()
        {
            self.others.add(last);
        }
    }

    /// Adds other counts.
    pub fn append(&mut self, other: Self) {
        self.others.add(other.others);
        for (language, amount) in other.named {
            self.insert(language, amount);
        }
    }

    /// How many documents were counted.
    pub fn documents(&self) -> u64 {
        self.named.values().fold(self.others.documents, |sum, amount| sum.saturating_add(amount.documents))
    }
}

/// How many documents have which length in UTF-8 bytes, in bins that widen by the square root of 2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lengths(pub BTreeMap<u32, u64>);

impl StageSamples {
    /// Books a document in the part that the stage wrote.
    pub fn push_kept(&mut self, language: Option<&str>, text: &str) {
        self.kept.push(text.len() as u64);
        self.languages.push(language, text.len() as u64);
    }

    /// Books a record that the stage dropped; `text` is the document's, where it had one, and `marks` the bytes of it that
    /// it was dropped for, in order, where the rule knows.
    pub fn push_dropped(&mut self, seed: u64, dropped: &Dropped, text: Option<&str>, marks: &[Range<usize>]) {
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
        let (excerpt, marks) = text.map_or((None, Vec::new()), |text| {
            let (excerpt, marks) = excerpt(text, marks);
            (Some(excerpt), marks)
        });
        let sample = DroppedText {
            order,
            id: dropped.id,
            source: dropped.source.clone(),
            record: dropped.record,
            value: beginning(&dropped.reason.value, VALUE_CHARACTERS),
            bytes: text.map(|text| text.len() as u64),
            text: excerpt,
            marks,
        };
        samples.insert(place, sample);
        samples.truncate(SAMPLES_OF_A_RULE);
    }

    /// Adds what another task saw in the same stage.
    pub fn append(&mut self, other: Self) {
        self.kept.append(&other.kept);
        self.languages.append(other.languages);
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

/// The beginning of a text, or what surrounds the first of some spans of it, and where the spans are in that.
fn excerpt(text: &str, marks: &[Range<usize>]) -> (String, Vec<Range<usize>>) {
    let is_span = |mark: &&Range<usize>| mark.start < mark.end && text.get((*mark).clone()).is_some();
    let Some(first) = marks.iter().find(is_span) else {
        return (beginning(text, TEXT_CHARACTERS), Vec::new());
    };
    let before = text[..first.start].char_indices().rev().take(BEFORE_MARK).last();
    let start = before.map_or(first.start, |(at, _)| at);
    let mut excerpt = if start > 0 { "…".to_owned() } else { String::new() };
    let shift = excerpt.len();
    excerpt.push_str(&beginning(&text[start..], TEXT_CHARACTERS));
    // A span may go on beyond the excerpt, whose last character is then an ellipsis.
    let whole = excerpt.len() == shift + text.len() - start;
    let end = if whole { excerpt.len() } else { excerpt.len() - "…".len() };
    let of = |mark: &Range<usize>| (mark.start - start + shift).min(end)..(mark.end - start + shift).min(end);
    let inside = marks.iter().filter(is_span).filter(|mark| mark.start >= start).map(of);
    let marks = inside.filter(|mark| mark.start < mark.end).collect();
    (excerpt, marks)
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
            stage.push_dropped(seed, &dropped, (record != 7).then_some(&text), &[]);
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

    #[test]
    fn what_a_document_was_dropped_for_is_in_its_sample() {
        let text = format!("{}the hit é itself{}", "é".repeat(1_000), " and on".repeat(500));
        let at = text.find("the hit").expect("it is there");
        let end = at + "the hit é itself".len();
        let (found, marks) = excerpt(&text, &[at..end, end + 3..end + 6, text.len() - 3..text.len()]);
        assert_eq!(found.chars().count(), TEXT_CHARACTERS + 2, "an ellipsis on both sides");
        assert_eq!(
            marks.iter().map(|mark| &found[mark.clone()]).collect::<Vec<_>>(),
            ["the hit é itself", "d o"]
        );
        let (found, marks) = excerpt(&text, std::slice::from_ref(&(at..text.len())));
        assert!(found.ends_with('…') && found[marks[0].clone()].starts_with("the hit"), "{found}");
        assert!(!found[marks[0].clone()].contains('…'));
        let one = |start: usize, end: usize| Vec::from([Range { start, end }]);
        assert_eq!(excerpt("short", &one(2, 4)), ("short".to_owned(), one(2, 4)));
        // Spans that are none in this text mark nothing.
        for marks in [Vec::new(), one(3, 99), one(4, 4), one(4, 2), one(1, 2)] {
            assert_eq!(excerpt("é is one", &marks), ("é is one".to_owned(), Vec::new()), "{marks:?}");
        }
    }

    #[test]
    fn languages_are_counted_whatever_the_cut() {
        let names: Vec<String> = (0..700u32).map(|number| format!("x{:03}", number * 37 % 700)).collect();
        let count = |range: Range<usize>| {
            let mut counts = LanguageCounts::default();
            for (place, name) in names.iter().cycle().enumerate().skip(range.start).take(range.len()) {
                counts.push((place % 9 > 0).then_some(name.as_str()), 10);
            }
            counts
        };
        let whole = count(0..2_000);
        assert_eq!((whole.documents(), whole.named.len()), (2_000, MOST_LANGUAGES));
        for cut in [1, 650, 1_999] {
            let mut joined = count(cut..2_000);
            joined.append(count(0..cut));
            assert_eq!(joined, whole, "cut at {cut}");
        }
    }
}
