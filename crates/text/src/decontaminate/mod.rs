//! Documents that hold what a model will be asked: n-grams in common with items of benchmarks.
//!
//! ```text
//! benchmark files ─▶ items ─▶ words ─▶ n-grams ─▶ Index (sorted hashes, item of each)
//! document ─▶ words ─▶ n-grams ──────────────────▶ hits by item ─▶ enough of one item? drop, or note the spans
//! ```
//!
//! Reference: Brown et al. 2020 (arXiv 2005.14165), appendix C, whose 13-grams of words without case and marks became
//! the custom; datatrove's `NGramsDecontFilter` and dolma's deduper against benchmarks do the same.

mod benchmark;
mod index;
mod scores;
pub(crate) mod words;

use std::sync::Arc;

use orchestrator_core::{Decision, Document, Note, NoteKind, Reason};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use index::Index;
pub use scores::{Replay, Untold};

use self::index::{Hit, Overlap};
use self::words::Word;
use crate::step::{ConfigError, Languages, Step, applies};

/// Drops documents that have n-grams of words in common with items of benchmarks, or notes where they have.
///
/// Case and punctuation do not count; every character of Chinese, Japanese, Thai, Lao, Khmer and Burmese is a word. The
/// rule is `contaminated_NAME` for a benchmark `NAME`; its value tells the item, counted from 0 in its file, and how many
/// of the item's n-grams were found. Spans in documents that go on are noted under the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DecontaminateConfig {
    /// The benchmarks.
    pub benchmarks: Vec<Benchmark>,
    /// Words of an n-gram.
    pub ngram: u32,
    /// Items of fewer words than `ngram`, but at least so many, are looked for as a whole; `null`: they are not.
    pub short_items: Option<u32>,
    /// How many different n-grams of one item make a document contaminated.
    pub min_ngrams: u32,
    /// Which share of an item's n-grams must be found besides.
    pub min_share: f64,
    /// What is done with a contaminated document.
    pub action: Action,
    /// Judge only documents in these languages.
    pub languages: Languages,
    /// Write this stage's documents even where it is fused with its neighbours.
    pub keep: bool,
    /// Write what each document has in common with benchmarks (`scores-NNNNN.parquet`), also of those that are dropped, for
    /// `orchestrator refilter`: `min_ngrams`, `min_share` and `action` are then moved without reading texts again.
    pub scores: bool,
}

/// A benchmark: its files, and what of them is text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Benchmark {
    /// A path, URL or glob of files: a JSON object a line (`.jsonl`, with `fields`), or plain text, an item a line. May be
    /// compressed (`.gz`, `.zst`).
    pub path: String,
    /// Its name in rules and reports; that of each file without its endings where not given.
    pub name: Option<String>,
    /// Fields of a JSON object whose text, put together, is the item; `choices.text` is a field in a field. Lists count
    /// with all that is in them.
    pub fields: Vec<String>,
}

/// What is done with a contaminated document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is dropped.
    #[default]
    Drop,
    /// It goes on, and what it has in common is noted.
    Note,
}

impl Default for DecontaminateConfig {
    fn default() -> Self {
        Self {
            benchmarks: Vec::new(),
            ngram: 13,
            short_items: Some(8),
            min_ngrams: 1,
            min_share: 0.0,
            action: Action::Drop,
            languages: None,
            keep: false,
            scores: false,
        }
    }
}

/// The longest n-gram.
const MOST_WORDS: u32 = 100;

impl DecontaminateConfig {
    /// Checks what the types cannot say.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key: String, message: &str| Err(ConfigError::new(key, message));
        if self.benchmarks.is_empty() {
            return wrong("benchmarks".into(), "is empty; expected at least one with a `path`");
        }
        for (index, benchmark) in self.benchmarks.iter().enumerate() {
            if benchmark.path.is_empty() {
                return wrong(
                    format!("benchmarks[{index}].path"),
                    "is missing; expected a path, URL or glob",
                );
            }
            if let Some(name) = &benchmark.name
                && !is_name(name)
            {
                let key = format!("benchmarks[{index}].name");
                return wrong(key, "is no name; expected letters, digits, `.`, `_` and `-`");
            }
        }
        if !(1..=MOST_WORDS).contains(&self.ngram) {
            return wrong("ngram".into(), "is out of range; expected 1 to 100 words");
        }
        if self.short_items.is_some_and(|least| least == 0 || least > self.ngram) {
            return wrong("short_items".into(), "is out of range; expected 1 to `ngram`, or `null`");
        }
        if self.min_ngrams == 0 {
            return wrong("min_ngrams".into(), "is 0; expected at least 1");
        }
        if !(0.0..=1.0).contains(&self.min_share) {
            return wrong("min_share".into(), "is out of range; expected 0 to 1");
        }
        Ok(())
    }

    /// Whether so many n-grams of an item, and this share of them, make a document contaminated.
    fn is_enough(&self, ngrams: f64, share: f64) -> bool {
        ngrams >= f64::from(self.min_ngrams) && share >= self.min_share
    }

    /// Every path that the options name, with its key below the stage.
    pub fn locations(&mut self) -> Vec<(String, &mut String)> {
        let benchmarks = self.benchmarks.iter_mut().enumerate();
        benchmarks
            .map(|(index, benchmark)| (format!("benchmarks[{index}].path"), &mut benchmark.path))
            .collect()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The `decontaminate` stage.
pub struct DecontaminateStep {
    index: Arc<Index>,
    words: Vec<Word>,
    hits: Vec<Hit>,
    overlaps: Vec<Overlap>,
}

impl From<Arc<Index>> for DecontaminateStep {
    fn from(index: Arc<Index>) -> Self {
        Self { index, words: Vec::new(), hits: Vec::new(), overlaps: Vec::new() }
    }
}

impl DecontaminateStep {
    /// Judges a document; what was measured goes into `row`, where that is wanted.
    fn judge(
        &mut self,
        document: &Document,
        notes: &mut Vec<Note>,
        row: Option<&mut [Option<f64>]>,
    ) -> Decision {
        let index = &self.index;
        let config = index.config();
        if !applies(&config.languages, None, document) {
            return Decision::Keep;
        }
        self.words.clear();
        words::split_into(&document.text, &mut self.words);
        self.hits.clear();
        index.find(&self.words, &mut self.hits);
        self.overlaps.clear();
        index.overlaps(&mut self.hits, &mut self.overlaps);
        if let Some(row) = row {
            scores::fill(&self.overlaps, row);
        }
        if self.hits.is_empty() {
            return Decision::Keep;
        }
        let worst = if config.action == Action::Drop { index.worst(&self.overlaps) } else { None };
        // Of a dropped document they show the report what it has in common.
        note_spans(index, &self.words, &mut self.hits, notes);
        match worst {
            Some(found) => Decision::Drop(Reason { rule: found.rule.into(), value: found.value }),
            None => Decision::Keep,
        }
    }
}

impl Step for DecontaminateStep {
    fn apply(&mut self, document: &mut Document, notes: &mut Vec<Note>) -> Decision {
        self.judge(document, notes, None)
    }

    fn columns(&self) -> Vec<String> {
        scores::columns(self.index.rules())
    }

    fn measure(
        &mut self,
        document: &mut Document,
        notes: &mut Vec<Note>,
        row: &mut [Option<f64>],
    ) -> Decision {
        self.judge(document, notes, Some(row))
    }
}

/// Notes what of the text is in which benchmark: n-grams that overlap or touch are one span.
fn note_spans(index: &Index, words: &[Word], hits: &mut [Hit], notes: &mut Vec<Note>) {
    hits.sort_unstable_by_key(|hit| (index.benchmark_of(hit.item), hit.first));
    let mut open: Option<(usize, u32, u32)> = None;
    let mut note = |(benchmark, first, last): (usize, u32, u32)| {
        notes.push(Note {
            rule: index.rule(benchmark).to_owned().into(),
            kind: NoteKind::Found,
            start: words[first as usize].start as u64,
            end: words[last as usize].end as u64,
        });
    };
    for hit in hits {
        let benchmark = index.benchmark_of(hit.item);
        let last = hit.first + hit.length - 1;
        match &mut open {
            Some((of, _, end)) if *of == benchmark && hit.first <= *end + 1 => *end = (*end).max(last),
            _ => {
                if let Some(done) = open.replace((benchmark, hit.first, last)) {
                    note(done);
                }
            }
        }
    }
    if let Some(done) = open {
        note(done);
    }
}

#[cfg(test)]
mod tests;
