//! Paragraphs that occurred before: as a whole, or by their n-grams of words.
//!
//! ```text
//! text ─▶ units (paragraphs or lines) ─▶ of each its hash, or those of its different n-grams ─▶ seen before?
//!                                                            a unit of which too many were ─▶ goes, with its line end
//! ```
//!
//! References: Dolma's paragraph deduper (Soldaini et al. 2024) compares whole lines; BFF of DCLM (Li et al. 2024, arXiv
//! 2406.11794, appendix K) n-grams, and drops lines of which more than a share was seen. Theirs is one pass over the data
//! in whatever order files come; here "before" is the order of documents, and every unit of the input counts as seen,
//! whether or not it stays: see `docs/decisions/repeats.md`.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::decontaminate::words::{Word, split_into};
use crate::step::ConfigError;

/// What of a text is compared, and goes as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Lines with no blank line between them.
    #[default]
    Paragraph,
    /// Every line.
    Line,
}

/// How paragraphs are compared with those before them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParagraphConfig {
    /// What is compared, and goes as a whole: paragraphs, which blank lines part, or lines.
    pub unit: Unit,
    /// Compare n-grams of so many words instead of whole paragraphs, as DCLM does with 13: case and punctuation do not count.
    /// A paragraph of fewer words is compared by all of them.
    pub ngram: Option<u32>,
    /// With `ngram`: a paragraph goes when more than this share of its different n-grams occurred in paragraphs before it.
    pub ngram_share: f64,
    /// Paragraphs of fewer words are neither compared nor removed. A character of a script without blanks is a word.
    pub min_words: u32,
    /// Compare whole paragraphs by their words alone: case, punctuation and white space do not count.
    pub normalize: bool,
    /// How often a paragraph (or n-gram) that did not occur may be taken for one that did, at most, as a share of those.
    /// 0: never; a table of hashes is kept instead of a Bloom filter, with six times the memory of one at 0.000001.
    pub false_positive_rate: f64,
}

impl Default for ParagraphConfig {
    fn default() -> Self {
        Self {
            unit: Unit::Paragraph,
            ngram: None,
            ngram_share: 0.8,
            min_words: 3,
            normalize: false,
            false_positive_rate: 1e-6,
        }
    }
}

/// Bytes of a word's hash.
const WORD_BYTES: usize = size_of::<u64>();
/// The longest n-gram.
const MOST_WORDS: u32 = 100;
/// The lowest rate that is not 0: below it the hashes themselves would not be long enough.
const LEAST_RATE: f64 = 1e-12;

impl ParagraphConfig {
    /// Checks what the types cannot say.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: &str| Err(ConfigError::new(format!("paragraph.{key}"), message));
        if self.ngram.is_some_and(|ngram| !(1..=MOST_WORDS).contains(&ngram)) {
            return wrong("ngram", "is out of range; expected 1 to 100 words, or `null`");
        }
        if self.ngram.is_some() && self.normalize {
            return wrong(
                "normalize",
                "is for whole paragraphs; n-grams of words are without case and punctuation anyway",
            );
        }
        if !(0.0..1.0).contains(&self.ngram_share) {
            return wrong("ngram_share", "is out of range; expected 0 or more and less than 1");
        }
        if self.ngram.is_none() && self.ngram_share.total_cmp(&Self::default().ngram_share).is_ne() {
            return wrong("ngram_share", "does nothing without `ngram`; expected both");
        }
        let rate = self.false_positive_rate;
        if rate != 0.0 && !(LEAST_RATE..=0.5).contains(&rate) {
            return wrong("false_positive_rate", "is out of range; expected 0, or 0.000000000001 to 0.5");
        }
        Ok(())
    }
}

/// Divides texts into units and their items.
pub(super) struct Paragraphs {
    config: ParagraphConfig,
    words: Vec<Word>,
    /// Bytes of words' hashes, where they are hashed together.
    bytes: Vec<u8>,
    hashes: Vec<u128>,
}

impl Paragraphs {
    pub(super) fn new(config: &ParagraphConfig) -> Self {
        Self { config: config.clone(), words: Vec::new(), bytes: Vec::new(), hashes: Vec::new() }
    }

    /// Hands the hash of every item to `take`, in order.
    pub(super) fn each(&mut self, text: &str, take: &mut dyn FnMut(u128)) {
        for unit in units(text, self.config.unit) {
            self.hash(&text[unit]);
            self.hashes.iter().for_each(|&hash| take(hash));
        }
    }

    /// The units that go; `seen` is asked for every item, in order, whether it occurred before.
    pub(super) fn cuts(&mut self, text: &str, seen: &mut dyn FnMut() -> bool) -> Vec<Range<usize>> {
        let mut cuts = Vec::new();
        for unit in units(text, self.config.unit) {
            self.hash(&text[unit.clone()]);
            let before = self.hashes.iter().filter(|_| seen()).count();
            let goes = match self.config.ngram {
                _ if before == 0 => false,
                None => true,
                Some(_) => before as f64 / self.hashes.len() as f64 > self.config.ngram_share,
            };
            if goes {
                cuts.push(unit);
            }
        }
        cuts
    }

    /// Fills `hashes` with the items of a unit; none where it is too short to be compared.
    fn hash(&mut self, unit: &str) {
        self.hashes.clear();
        self.words.clear();
        split_into(unit, &mut self.words);
        if self.words.is_empty() || self.words.len() < self.config.min_words as usize {
            return;
        }
        if self.config.ngram.is_none() && !self.config.normalize {
            self.hashes.push(xxh3_128(unit.trim().as_bytes()));
            return;
        }
        self.bytes.clear();
        self.words.iter().for_each(|word| self.bytes.extend_from_slice(&word.hash.to_le_bytes()));
        let length = self.config.ngram.map_or(self.words.len(), |ngram| self.words.len().min(ngram as usize));
        let windows = self.bytes.windows(length * WORD_BYTES).step_by(WORD_BYTES);
        self.hashes.extend(windows.map(xxh3_128));
        // What a paragraph repeats of itself did not occur before it.
        self.hashes.sort_unstable();
        self.hashes.dedup();
    }
}

/// The units of a text, in order; what parts a paragraph from the next belongs to it, so that they are all of the text
/// but for blank lines at its beginning.
fn units(text: &str, unit: Unit) -> impl Iterator<Item = Range<usize>> {
    let mut lines = text.split_inclusive('\n').peekable();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let first = lines.next()?;
        at += first.len();
        if unit == Unit::Paragraph {
            let mut blank = first.trim().is_empty();
            // A paragraph goes on until a line that is not blank follows one that is.
            while let Some(line) = lines.next_if(|line| !blank || line.trim().is_empty()) {
                blank = line.trim().is_empty();
                at += line.len();
            }
        }
        Some(start..at)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What is left of texts, one after the other.
    fn left(config: &ParagraphConfig, texts: &[&str]) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut paragraphs = Paragraphs::new(config);
        let mut left = Vec::new();
        for text in texts {
            let mut answers = Vec::new();
            paragraphs.each(text, &mut |hash| answers.push(!seen.insert(hash)));
            let mut answers = answers.into_iter();
            let cuts = paragraphs.cuts(text, &mut || answers.next().expect("an answer an item"));
            assert_eq!(answers.next(), None, "as many items as before");
            let mut text = (*text).to_owned();
            cuts.into_iter().rev().for_each(|cut| text.replace_range(cut, ""));
            left.push(text);
        }
        left
    }

    fn config() -> ParagraphConfig {
        ParagraphConfig::default()
    }

    #[test]
    fn a_paragraph_ends_with_blank_lines() {
        let text = "\n\na\nb\n \n\nc\n\nd";
        let of = |unit| units(text, unit).map(|unit| &text[unit]).collect::<Vec<_>>();
        assert_eq!(of(Unit::Paragraph), ["\n\n", "a\nb\n \n\n", "c\n\n", "d"]);
        assert_eq!(of(Unit::Line).concat(), text);
        assert_eq!(units("", Unit::Paragraph).count(), 0);
    }

    #[test]
    fn the_first_stays_whole_and_short_ones_stay_always() {
        let texts = [
            "One two three.\nFour.\n\nSame again here\n",
            "New words are here\n\nOne two three.\nFour.\n\nend\n",
        ];
        assert_eq!(left(&config(), &texts), [texts[0], "New words are here\n\nend\n"]);
        let lines = ParagraphConfig { unit: Unit::Line, ..config() };
        assert_eq!(left(&lines, &texts), [texts[0], "New words are here\n\nFour.\n\nend\n"]);
        let twice = "a b c\n\nx\n\na b c";
        assert_eq!(left(&config(), &[twice]), ["a b c\n\nx\n\n"], "in one document too");
    }

    #[test]
    fn only_words_count_where_asked() {
        let texts = ["Hello, new World!\n", "hello  new — world\n"];
        assert_eq!(left(&config(), &texts), texts);
        let normalize = ParagraphConfig { normalize: true, ..config() };
        assert_eq!(left(&normalize, &texts), [texts[0], ""]);
    }

    #[test]
    fn a_paragraph_goes_when_enough_of_its_ngrams_were_seen() {
        let config = ParagraphConfig { unit: Unit::Line, ngram: Some(3), ngram_share: 0.5, ..config() };
        // Of six 3-grams four were seen; then two of six.
        let texts = ["a b c d e f\n", "a b c d e f x y\n", "a b c d p q r s\n"];
        assert_eq!(left(&config, &texts), [texts[0], "", texts[2]]);
        // Its own repetitions did not occur before it.
        assert_eq!(left(&config, &["z z z z z z z z"]), ["z z z z z z z z"]);
        // A unit of fewer words than an n-gram is one n-gram of its own.
        let short = ParagraphConfig { ngram: Some(13), ..config };
        assert_eq!(left(&short, &["short line here\n", "SHORT line, here\n"]), ["short line here\n", ""]);
    }
}
