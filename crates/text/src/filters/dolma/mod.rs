//! Dolma's rules for its web part: Gopher's as the tagger `gopher_v1` measures them, and C4's rule on line ends.
//!
//! Gopher's rules drop documents whose words and lines are not those of prose; then lines without an end mark go.
//!
//! Reference: Soldaini et al. 2024 (arXiv 2402.00159), section 5, and its toolkit (github.com/allenai/dolma, 669f534:
//! `gopher.py`, `c4.py`, and the thresholds of its mixer). Words are what white space parts; their length is the median;
//! a symbol is a word with `#` or `…` in it; bullets are `*` and `-` at the very start of a line; **all** copies of a
//! line or n-gram count, the first too. Rules are named as the toolkit names its attributes.
//!
//! Dolma used of C4 the rule on line ends alone, so the others are off here until they are asked for. Its list of bad
//! words is not ours to ship.
//!
//! Example: `yes\nno\nyes` has 2 of 3 lines that occur twice and is dropped as `fraction_of_duplicate_lines`, 0.6667.

use orchestrator_core::{Decision, Note, NoteKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gauge::{Gauge, Rule};
use super::gopher_quality::{STOP_WORDS, is_letter};
use super::grams::{Same, Tie};
use super::{Edited, RuleConfig, Rules, Scratch, Verdict, View, ratio};
use crate::files::{FileError, Files};
use crate::words::{Splitter, is_space};

/// Thresholds of `dolma-gopher`. `null` turns a rule off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DolmaGopherConfig {
    /// Fewest words (`word_count`).
    pub min_word_count: Option<u64>,
    /// Most words (`word_count`).
    pub max_word_count: Option<u64>,
    /// Smallest median length of words, in characters (`median_word_length`).
    pub min_median_word_length: Option<f64>,
    /// Largest median length of words (`median_word_length`).
    pub max_median_word_length: Option<f64>,
    /// Largest share of words with `#` or `…` in them.
    pub symbol_to_word_ratio: Option<f64>,
    /// Smallest share of words with a letter in them.
    pub fraction_of_words_with_alpha_character: Option<f64>,
    /// Fewest occurrences of stop words, case-sensitive.
    pub required_word_count: Option<u64>,
    /// Largest share of lines that start with `*` or `-`.
    pub fraction_of_lines_starting_with_bullet_point: Option<f64>,
    /// Largest share of lines that end with `…`.
    pub fraction_of_lines_ending_with_ellipsis: Option<f64>,
    /// Largest share of lines that occur more than once.
    pub fraction_of_duplicate_lines: Option<f64>,
    /// Characters in such lines ÷ characters in words, at most.
    pub fraction_of_characters_in_duplicate_lines: Option<f64>,
    /// Letters in all occurrences of the most frequent pair of words ÷ letters, at most.
    pub fraction_of_characters_in_most_common_2grams: Option<f64>,
    /// The same for three words.
    pub fraction_of_characters_in_most_common_3grams: Option<f64>,
    /// The same for four words.
    pub fraction_of_characters_in_most_common_4grams: Option<f64>,
    /// Letters in runs of five words that occur more than once ÷ letters in all runs of five words, at most.
    pub fraction_of_characters_in_duplicate_5grams: Option<f64>,
    /// The same for six words.
    pub fraction_of_characters_in_duplicate_6grams: Option<f64>,
    /// The same for seven words.
    pub fraction_of_characters_in_duplicate_7grams: Option<f64>,
    /// The same for eight words.
    pub fraction_of_characters_in_duplicate_8grams: Option<f64>,
    /// The same for nine words.
    pub fraction_of_characters_in_duplicate_9grams: Option<f64>,
    /// The same for ten words.
    pub fraction_of_characters_in_duplicate_10grams: Option<f64>,
}

impl Default for DolmaGopherConfig {
    fn default() -> Self {
        Self {
            min_word_count: Some(50),
            max_word_count: Some(100_000),
            min_median_word_length: Some(3.0),
            max_median_word_length: Some(10.0),
            symbol_to_word_ratio: Some(0.1),
            fraction_of_words_with_alpha_character: Some(0.8),
            required_word_count: Some(2),
            fraction_of_lines_starting_with_bullet_point: Some(0.9),
            fraction_of_lines_ending_with_ellipsis: Some(0.3),
            fraction_of_duplicate_lines: Some(0.3),
            fraction_of_characters_in_duplicate_lines: Some(0.3),
            fraction_of_characters_in_most_common_2grams: Some(0.2),
            fraction_of_characters_in_most_common_3grams: Some(0.18),
            fraction_of_characters_in_most_common_4grams: Some(0.16),
            fraction_of_characters_in_duplicate_5grams: Some(0.15),
            fraction_of_characters_in_duplicate_6grams: Some(0.14),
            fraction_of_characters_in_duplicate_7grams: Some(0.13),
            fraction_of_characters_in_duplicate_8grams: Some(0.12),
            fraction_of_characters_in_duplicate_9grams: Some(0.11),
            fraction_of_characters_in_duplicate_10grams: Some(0.10),
        }
    }
}

impl DolmaGopherConfig {
    fn most_common(&self) -> [(usize, &'static str, Option<f64>); 3] {
        [
            (
                2,
                "fraction_of_characters_in_most_common_2grams",
                self.fraction_of_characters_in_most_common_2grams,
            ),
            (
                3,
                "fraction_of_characters_in_most_common_3grams",
                self.fraction_of_characters_in_most_common_3grams,
            ),
            (
                4,
                "fraction_of_characters_in_most_common_4grams",
                self.fraction_of_characters_in_most_common_4grams,
            ),
        ]
    }

    fn duplicate(&self) -> [(usize, &'static str, Option<f64>); 6] {
        [
            (
                5,
                "fraction_of_characters_in_duplicate_5grams",
                self.fraction_of_characters_in_duplicate_5grams,
            ),
            (
                6,
                "fraction_of_characters_in_duplicate_6grams",
                self.fraction_of_characters_in_duplicate_6grams,
            ),
            (
                7,
                "fraction_of_characters_in_duplicate_7grams",
                self.fraction_of_characters_in_duplicate_7grams,
            ),
            (
                8,
                "fraction_of_characters_in_duplicate_8grams",
                self.fraction_of_characters_in_duplicate_8grams,
            ),
            (
                9,
                "fraction_of_characters_in_duplicate_9grams",
                self.fraction_of_characters_in_duplicate_9grams,
            ),
            (
                10,
                "fraction_of_characters_in_duplicate_10grams",
                self.fraction_of_characters_in_duplicate_10grams,
            ),
        ]
    }
}

impl RuleConfig for DolmaGopherConfig {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        let mut all = vec![
            ("min_median_word_length", self.min_median_word_length),
            ("max_median_word_length", self.max_median_word_length),
            ("symbol_to_word_ratio", self.symbol_to_word_ratio),
            ("fraction_of_words_with_alpha_character", self.fraction_of_words_with_alpha_character),
            (
                "fraction_of_lines_starting_with_bullet_point",
                self.fraction_of_lines_starting_with_bullet_point,
            ),
            ("fraction_of_lines_ending_with_ellipsis", self.fraction_of_lines_ending_with_ellipsis),
            ("fraction_of_duplicate_lines", self.fraction_of_duplicate_lines),
            ("fraction_of_characters_in_duplicate_lines", self.fraction_of_characters_in_duplicate_lines),
        ];
        all.extend(
            self.most_common().into_iter().chain(self.duplicate()).map(|(_, key, value)| (key, value)),
        );
        all
    }

    fn build(&self, _files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        Ok(Box::new(self.clone()))
    }
}

impl Rules for DolmaGopherConfig {
    fn splitter(&self, _language: Option<&str>) -> Option<Splitter> {
        Some(Splitter::Whitespace)
    }

    fn rules(&self, _language: Option<&str>) -> Vec<Rule> {
        let mut rules = vec![
            Rule::fewest("word_count", self.min_word_count).with_key("min_word_count"),
            Rule::most("word_count", self.max_word_count).with_key("max_word_count"),
            Rule::at_least("median_word_length", self.min_median_word_length)
                .with_key("min_median_word_length"),
            Rule::at_most("median_word_length", self.max_median_word_length)
                .with_key("max_median_word_length"),
            Rule::at_most("symbol_to_word_ratio", self.symbol_to_word_ratio),
            Rule::at_least(
                "fraction_of_words_with_alpha_character",
                self.fraction_of_words_with_alpha_character,
            ),
            Rule::fewest("required_word_count", self.required_word_count),
            Rule::at_most(
                "fraction_of_lines_starting_with_bullet_point",
                self.fraction_of_lines_starting_with_bullet_point,
            ),
            Rule::at_most(
                "fraction_of_lines_ending_with_ellipsis",
                self.fraction_of_lines_ending_with_ellipsis,
            ),
            Rule::at_most("fraction_of_duplicate_lines", self.fraction_of_duplicate_lines),
            Rule::at_most(
                "fraction_of_characters_in_duplicate_lines",
                self.fraction_of_characters_in_duplicate_lines,
            ),
        ];
        let grams = self.most_common().into_iter().chain(self.duplicate());
        rules.extend(grams.map(|(_, name, threshold)| Rule::at_most(name, threshold)));
        rules
    }

    fn judge(
        &self,
        view: &View<'_>,
        scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        _notes: &mut Vec<Note>,
    ) -> Verdict {
        let _ended = self.judge_words(view, gauge)
            || self.judge_lines(view, scratch, gauge)
            || self.judge_grams(scratch, gauge);
        Verdict::Keep
    }
}

impl DolmaGopherConfig {
    fn judge_words(&self, view: &View<'_>, gauge: &mut Gauge<'_>) -> bool {
        let words = view.words.iter().map(|word| word.of(view.text));
        let count = view.words.len();
        if gauge.fewer("word_count", count, self.min_word_count)
            || gauge.more("word_count", count, self.max_word_count)
        {
            return true;
        }
        let (mut symbols, mut with_letter, mut required) = (0, 0, 0);
        let mut lengths = Vec::with_capacity(count);
        for word in words {
            lengths.push(word.chars().count());
            symbols += usize::from(word.contains(['#', '…']));
            with_letter += usize::from(word.chars().any(is_letter));
            required += usize::from(STOP_WORDS.contains(&word));
        }
        let median = median(&mut lengths);
        let at_least = |all: usize| all.max(1);
        let with_alpha = ratio(with_letter, at_least(count));
        gauge.below("median_word_length", median, self.min_median_word_length)
            || gauge.above("median_word_length", median, self.max_median_word_length)
            || gauge.above("symbol_to_word_ratio", ratio(symbols, at_least(count)), self.symbol_to_word_ratio)
            || gauge.below(
                "fraction_of_words_with_alpha_character",
                with_alpha,
                self.fraction_of_words_with_alpha_character,
            )
            || gauge.fewer("required_word_count", required, self.required_word_count)
    }

    /// Lines are cut at `\n` alone, and empty ones count.
    fn judge_lines(&self, view: &View<'_>, scratch: &mut Scratch, gauge: &mut Gauge<'_>) -> bool {
        let lines: Vec<&str> = view.text.split('\n').collect();
        let bullets = lines.iter().filter(|line| line.starts_with(['*', '-'])).count();
        let ellipses = lines.iter().filter(|line| line.ends_with('…')).count();
        let (repeated, characters) = scratch.grams.repeated_pieces(&lines);
        scratch.grams.load(view.text, view.words, Same::Words);
        let letters = scratch.grams.all_characters().max(1);
        for (rule, share, threshold) in [
            (
                "fraction_of_lines_starting_with_bullet_point",
                ratio(bullets, lines.len()),
                self.fraction_of_lines_starting_with_bullet_point,
            ),
            (
                "fraction_of_lines_ending_with_ellipsis",
                ratio(ellipses, lines.len()),
                self.fraction_of_lines_ending_with_ellipsis,
            ),
            ("fraction_of_duplicate_lines", ratio(repeated, lines.len()), self.fraction_of_duplicate_lines),
            (
                "fraction_of_characters_in_duplicate_lines",
                ratio(characters, letters),
                self.fraction_of_characters_in_duplicate_lines,
            ),
        ] {
            if gauge.above(rule, share, threshold) {
                return true;
            }
        }
        false
    }

    /// Asks the n-grams that [`Self::judge_lines`] loaded.
    fn judge_grams(&self, scratch: &mut Scratch, gauge: &mut Gauge<'_>) -> bool {
        let table = &mut scratch.grams;
        let letters = table.all_characters().max(1);
        for (n, rule, threshold) in self.most_common() {
            if gauge.wants(threshold)
                && let Some((count, _, length)) = table.most_frequent(n, Tie::First)
                && gauge.above(rule, ratio(count * length, letters), threshold)
            {
                return true;
            }
        }
        let mut some = true;
        for (n, rule, threshold) in self.duplicate() {
            if gauge.wants(threshold) {
                let (repeated, all) = if some { table.share_of_repeated(n) } else { (0, 0) };
                if gauge.above(rule, ratio(repeated, all.max(1)), threshold) {
                    return true;
                }
                some = repeated > 0;
                if !some && !gauge.scores() {
                    break;
                }
            }
        }
        false
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
fn median(lengths: &mut [usize]) -> f64 {
    if lengths.is_empty() {
        return 0.0;
    }
    let middle = lengths.len() / 2;
    let even = lengths.len().is_multiple_of(2);
    let (lower, &mut upper, _) = lengths.select_nth_unstable(middle);
    let other = if even { lower.iter().copied().max().unwrap_or(upper) } else { upper };
    (upper + other) as f64 / 2.0
}

/// Options of `dolma-c4`. `null` turns a count off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DolmaC4Config {
    /// Lines that do not end in `.`, `?`, `!` or `"` go.
    pub lines_with_no_ending_punctuation: bool,
    /// Lines with fewer words go (`lines_with_too_few_words`; C4's 3 was not used for Dolma).
    pub min_words_per_line: Option<u64>,
    /// Documents with the word `javascript` are dropped.
    pub has_javascript: bool,
    /// Documents that say `lorem ipsum` are dropped.
    pub has_lorem_ipsum: bool,
    /// Documents with a `{` are dropped.
    pub has_curly_brace: bool,
}

impl Default for DolmaC4Config {
    fn default() -> Self {
        Self {
            lines_with_no_ending_punctuation: true,
            min_words_per_line: None,
            has_javascript: false,
            has_lorem_ipsum: false,
            has_curly_brace: false,
        }
    }
}

impl RuleConfig for DolmaC4Config {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        Vec::new()
    }

    fn edits(&self) -> bool {
        true
    }

    fn build(&self, _files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        Ok(Box::new(self.clone()))
    }
}

impl Rules for DolmaC4Config {
    fn splitter(&self, _language: Option<&str>) -> Option<Splitter> {
        None
    }

    fn rules(&self, _language: Option<&str>) -> Vec<Rule> {
        ["has_lorem_ipsum", "has_curly_brace", "has_javascript", "empty"].map(Rule::never).to_vec()
    }

    fn judge(
        &self,
        view: &View<'_>,
        _scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        notes: &mut Vec<Note>,
    ) -> Verdict {
        let mut kept = String::with_capacity(view.text.len());
        let mut start = 0;
        for line in view.text.split_inclusive('\n') {
            let end = start + line.len();
            let trimmed = line.trim_matches(is_space).to_lowercase();
            let found = [
                (self.has_lorem_ipsum && trimmed.contains("lorem ipsum"), "has_lorem_ipsum"),
                (self.has_curly_brace && trimmed.contains('{'), "has_curly_brace"),
                (
                    self.has_javascript && trimmed.split(is_space).any(|word| word == "javascript"),
                    "has_javascript",
                ),
            ];
            if let Some((_, rule)) = found.into_iter().find(|(found, _)| *found) {
                gauge.fails(rule, || Decision::drop(rule, 1));
                return Verdict::Keep;
            }
            let words = trimmed.split(is_space).filter(|word| !word.is_empty()).count() as u64;
            let rule = if self.lines_with_no_ending_punctuation && !trimmed.ends_with(['.', '?', '!', '"']) {
                Some("lines_with_no_ending_punctuation")
            } else if self.min_words_per_line.is_some_and(|least| words < least) {
                Some("lines_with_too_few_words")
            } else {
                None
            };
            match rule {
                Some(rule) => notes.push(Note {
                    rule: rule.into(),
                    kind: NoteKind::Removed,
                    start: start as u64,
                    end: end as u64,
                }),
                None => kept.push_str(line),
            }
            start = end;
        }
        if kept.trim_matches(is_space).is_empty() {
            gauge.fails("empty", || Decision::drop("empty", 0));
            Verdict::Keep
        } else if kept.len() == view.text.len() {
            Verdict::Keep
        } else {
            Verdict::Edit(Edited { text: kept, words: None })
        }
    }
}

#[cfg(test)]
mod tests;
