//! NeMo Curator's heuristics for English.
//!
//! Drops documents of marks, numbers, links and boilerplate, documents that repeat themselves, and what is no English.
//!
//! Reference: github.com/NVIDIA-NeMo/Curator, release 1.4.0, the chain of `heuristic_filter_english_pipeline.yaml` in its
//! order. Words are what white space parts, a "sentence" is a line that is not blank, a paragraph ends at an empty line,
//! and further copies alone count. Rules are named as the toolkit names its filters. Where several n-grams are the most
//! frequent, the first is taken; Curator's choice hangs on the order of a Python set.
//!
//! Example: `123 456 789` is dropped as `numbers_ratio`, 0.8182.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use orchestrator_core::{Decision, Note};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::gauge::{Gauge, Rule};
use super::gopher_quality::STOP_WORDS;
use super::grams::{Same, Table, Tie};
use super::{RuleConfig, Rules, Scratch, Verdict, View, character_count, ratio};
use crate::files::{FileError, Files};
use crate::words::{Splitter, is_space};

/// Thresholds of `curator`. `null` turns a rule off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CuratorConfig {
    /// Largest share of characters other than ASCII letters and digits, newlines and `?!,.`; blanks count.
    pub alpha_numeric: Option<f64>,
    /// Largest share of words that are ellipses or mostly `#`.
    pub symbol_to_word: Option<f64>,
    /// Largest share of digits.
    pub numbers_ratio: Option<f64>,
    /// Largest share of characters in links.
    pub urls_ratio: Option<f64>,
    /// Largest share of blanks, tabs and line ends.
    pub white_space: Option<f64>,
    /// Largest share of brackets.
    pub parentheses_ratio: Option<f64>,
    /// Largest share of paragraphs with a phrase of cookie banners; `lorem ipsum` counts as all of them.
    pub boilerplate_string_ratio: Option<f64>,
    /// Smallest share of lines that are left without copies.
    pub repeated_lines: Option<f64>,
    /// Smallest share of paragraphs that are left without copies.
    pub repeated_paragraphs: Option<f64>,
    /// Smallest share of characters in lines that are left without copies.
    pub repeated_lines_char: Option<f64>,
    /// Smallest share of characters in paragraphs that are left without copies.
    pub repeated_paragraphs_char: Option<f64>,
    /// Fewest words (`word_count`).
    pub min_word_count: Option<u64>,
    /// Most words (`word_count`).
    pub max_word_count: Option<u64>,
    /// Largest share of lines without an end mark.
    pub punctuation: Option<f64>,
    /// Smallest share of words with a letter in them.
    pub words_without_alphabets: Option<f64>,
    /// Fewest occurrences of common words, in small letters.
    pub common_english_words: Option<u64>,
    /// Smallest mean length of words, in characters (`mean_word_length`).
    pub min_mean_word_length: Option<f64>,
    /// Largest mean length of words (`mean_word_length`).
    pub max_mean_word_length: Option<f64>,
    /// The longest word, in characters.
    pub max_word_length: Option<u64>,
    /// Largest share of lines that end with an ellipsis or `read more`.
    pub ellipsis: Option<f64>,
    /// Share of characters that go with all occurrences of the most frequent pair of words, at most.
    pub repeating_top_2grams: Option<f64>,
    /// The same for three words.
    pub repeating_top_3grams: Option<f64>,
    /// The same for four words.
    pub repeating_top_4grams: Option<f64>,
    /// Share of characters in runs of five words that occurred before, at most; characters count once.
    pub repeating_dup_5gram: Option<f64>,
    /// The same for six words.
    pub repeating_dup_6gram: Option<f64>,
    /// The same for seven words.
    pub repeating_dup_7gram: Option<f64>,
    /// The same for eight words.
    pub repeating_dup_8gram: Option<f64>,
    /// The same for nine words.
    pub repeating_dup_9gram: Option<f64>,
    /// The same for ten words.
    pub repeating_dup_10gram: Option<f64>,
    /// Largest share of lines that start with a bullet.
    pub bullet_ratio: Option<f64>,
}

impl Default for CuratorConfig {
    fn default() -> Self {
        Self {
            alpha_numeric: Some(0.25),
            symbol_to_word: Some(0.1),
            numbers_ratio: Some(0.15),
            urls_ratio: Some(0.2),
            white_space: Some(0.25),
            parentheses_ratio: Some(0.1),
            boilerplate_string_ratio: Some(0.4),
            repeated_lines: Some(0.7),
            repeated_paragraphs: Some(0.7),
            repeated_lines_char: Some(0.8),
            repeated_paragraphs_char: Some(0.8),
            min_word_count: Some(50),
            max_word_count: Some(100_000),
            punctuation: Some(0.85),
            words_without_alphabets: Some(0.8),
            common_english_words: Some(2),
            min_mean_word_length: Some(3.0),
            max_mean_word_length: Some(10.0),
            max_word_length: Some(1000),
            ellipsis: Some(0.3),
            repeating_top_2grams: Some(0.2),
            repeating_top_3grams: Some(0.18),
            repeating_top_4grams: Some(0.16),
            repeating_dup_5gram: Some(0.15),
            repeating_dup_6gram: Some(0.14),
            repeating_dup_7gram: Some(0.13),
            repeating_dup_8gram: Some(0.12),
            repeating_dup_9gram: Some(0.11),
            repeating_dup_10gram: Some(0.10),
            bullet_ratio: Some(0.9),
        }
    }
}

/// Phrases of cookie banners. The toolkit's list has five long passages more; all but the last two hold one of these.
const PHRASES: [&str; 11] = [
    "lorem ipsum",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "privacy overview",
    "use of cookies",
    "use cookies",
    "privacy & cookies policy",
    "privacy and cookies policy",
    "any cookies that may not be particularly necessary for the website",
];
const ELLIPSES: [&str; 8] = ["...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more"];
const BULLETS: [char; 12] = ['•', '‣', '⁃', '⁌', '⁍', '∙', '○', '●', '◘', '◦', '⦾', '⦿'];

static PHRASE_FINDER: LazyLock<AhoCorasick> =
    LazyLock::new(|| AhoCorasick::new(PHRASES).expect("a few short constant phrases"));
static LINKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"https?://(?:[a-zA-Z0-9$\-_@.&+/:=?#~!*(),]|%[0-9a-fA-F]{2})+").expect("a constant pattern")
});

impl CuratorConfig {
    fn top(&self) -> [(usize, &'static str, Option<f64>); 3] {
        [
            (2, "repeating_top_2grams", self.repeating_top_2grams),
            (3, "repeating_top_3grams", self.repeating_top_3grams),
            (4, "repeating_top_4grams", self.repeating_top_4grams),
        ]
    }

    fn duplicate(&self) -> [(usize, &'static str, Option<f64>); 6] {
        [
            (5, "repeating_dup_5gram", self.repeating_dup_5gram),
            (6, "repeating_dup_6gram", self.repeating_dup_6gram),
            (7, "repeating_dup_7gram", self.repeating_dup_7gram),
            (8, "repeating_dup_8gram", self.repeating_dup_8gram),
            (9, "repeating_dup_9gram", self.repeating_dup_9gram),
            (10, "repeating_dup_10gram", self.repeating_dup_10gram),
        ]
    }
}

impl RuleConfig for CuratorConfig {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        let mut all = vec![
            ("alpha_numeric", self.alpha_numeric),
            ("symbol_to_word", self.symbol_to_word),
            ("numbers_ratio", self.numbers_ratio),
            ("urls_ratio", self.urls_ratio),
            ("white_space", self.white_space),
            ("parentheses_ratio", self.parentheses_ratio),
            ("boilerplate_string_ratio", self.boilerplate_string_ratio),
            ("repeated_lines", self.repeated_lines),
            ("repeated_paragraphs", self.repeated_paragraphs),
            ("repeated_lines_char", self.repeated_lines_char),
            ("repeated_paragraphs_char", self.repeated_paragraphs_char),
            ("punctuation", self.punctuation),
            ("words_without_alphabets", self.words_without_alphabets),
            ("min_mean_word_length", self.min_mean_word_length),
            ("max_mean_word_length", self.max_mean_word_length),
            ("ellipsis", self.ellipsis),
            ("bullet_ratio", self.bullet_ratio),
        ];
        all.extend(self.top().into_iter().chain(self.duplicate()).map(|(_, key, value)| (key, value)));
        all
    }

    fn build(&self, _files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        Ok(Box::new(self.clone()))
    }
}

impl Rules for CuratorConfig {
    fn splitter(&self, _language: Option<&str>) -> Option<Splitter> {
        Some(Splitter::Whitespace)
    }

    fn rules(&self, _language: Option<&str>) -> Vec<Rule> {
        let mut rules = vec![
            Rule::never("alpha_numeric").in_column("no_characters"),
            Rule::at_most("alpha_numeric", self.alpha_numeric),
            Rule::at_most("symbol_to_word", self.symbol_to_word),
            Rule::at_most("numbers_ratio", self.numbers_ratio),
            Rule::at_most("urls_ratio", self.urls_ratio),
            Rule::at_most("white_space", self.white_space),
            Rule::at_most("parentheses_ratio", self.parentheses_ratio),
            Rule::at_most("boilerplate_string_ratio", self.boilerplate_string_ratio),
            Rule::at_least("repeated_lines", self.repeated_lines),
            Rule::at_least("repeated_paragraphs", self.repeated_paragraphs),
            Rule::at_least("repeated_lines_char", self.repeated_lines_char),
            Rule::at_least("repeated_paragraphs_char", self.repeated_paragraphs_char),
            Rule::fewest("word_count", self.min_word_count).with_key("min_word_count"),
            Rule::most("word_count", self.max_word_count).with_key("max_word_count"),
            Rule::at_most("punctuation", self.punctuation),
            Rule::at_least("words_without_alphabets", self.words_without_alphabets),
            Rule::fewest("common_english_words", self.common_english_words),
            Rule::at_least("mean_word_length", self.min_mean_word_length).with_key("min_mean_word_length"),
            Rule::at_most("mean_word_length", self.max_mean_word_length).with_key("max_mean_word_length"),
            Rule::most("max_word_length", self.max_word_length),
            Rule::at_most("ellipsis", self.ellipsis),
        ];
        let grams = self.top().into_iter().chain(self.duplicate());
        rules.extend(grams.map(|(_, name, threshold)| Rule::at_most(name, threshold)));
        rules.push(Rule::at_most("bullet_ratio", self.bullet_ratio));
        rules
    }

    fn judge(
        &self,
        view: &View<'_>,
        scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        _notes: &mut Vec<Note>,
    ) -> Verdict {
        if view.characters == 0 {
            gauge.fails("no_characters", || Decision::drop("alpha_numeric", 1));
            return Verdict::Keep;
        }
        let lines: Vec<&str> = view.text.split('\n').filter(|line| !line.chars().all(is_space)).collect();
        let bullets =
            || lines.iter().filter(|line| line.trim_start_matches(is_space).starts_with(BULLETS)).count();
        let _ended = self.judge_characters(view, gauge)
            || self.judge_pieces(view, &lines, scratch, gauge)
            || self.judge_words(view, &lines, gauge)
            || self.judge_grams(view, scratch, gauge)
            || gauge.above("bullet_ratio", of_lines(bullets(), &lines), self.bullet_ratio);
        Verdict::Keep
    }
}

/// A share of lines; where there is no line it is all of them.
fn of_lines(count: usize, lines: &[&str]) -> f64 {
    if lines.is_empty() { 1.0 } else { ratio(count, lines.len()) }
}

impl CuratorConfig {
    fn judge_characters(&self, view: &View<'_>, gauge: &mut Gauge<'_>) -> bool {
        let (mut plain, mut digits, mut blanks, mut brackets) = (0, 0, 0, 0);
        for c in view.text.chars() {
            plain += usize::from(c.is_ascii_alphanumeric() || matches!(c, '\n' | '?' | '!' | ',' | '.'));
            digits += usize::from(
                c.is_ascii_digit()
                    || (!c.is_ascii() && c.general_category() == GeneralCategory::DecimalNumber),
            );
            blanks += usize::from(matches!(c, '\t' | '\n' | '\r' | '\u{8}' | ' '));
            brackets += usize::from(matches!(c, '{' | '}' | '⟨' | '⟩' | '[' | ']' | '(' | ')'));
        }
        let share = |count: usize| ratio(count, view.characters);
        let symbols = view.words.iter().map(|word| word.of(view.text)).filter(|word| is_symbol(word)).count();
        let symbols = if view.words.is_empty() { 1.0 } else { ratio(symbols, view.words.len()) };
        let links = || LINKS.find_iter(view.text).map(|link| link.len()).sum();
        gauge.above("alpha_numeric", share(view.characters - plain), self.alpha_numeric)
            || gauge.above("symbol_to_word", symbols, self.symbol_to_word)
            || gauge.above("numbers_ratio", share(digits), self.numbers_ratio)
            || gauge.above("urls_ratio", share(links()), self.urls_ratio)
            || gauge.above("white_space", share(blanks), self.white_space)
            || gauge.above("parentheses_ratio", share(brackets), self.parentheses_ratio)
    }

    fn judge_pieces(
        &self,
        view: &View<'_>,
        lines: &[&str],
        scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
    ) -> bool {
        let paragraphs: Vec<&str> = view.text.split("\n\n").collect();
        let mut left = |pieces: &[&str]| {
            let (copies, copied) = scratch.grams.duplicates(pieces);
            let characters: usize = pieces.iter().map(|piece| character_count(piece)).sum();
            let share = |gone: usize, all: usize| if all == 0 { 0.0 } else { ratio(all - gone, all) };
            (share(copies, pieces.len()), share(copied, characters))
        };
        let (left_lines, left_paragraphs) = (left(lines), left(&paragraphs));
        gauge.above("boilerplate_string_ratio", boilerplate(&paragraphs), self.boilerplate_string_ratio)
            || gauge.below("repeated_lines", left_lines.0, self.repeated_lines)
            || gauge.below("repeated_paragraphs", left_paragraphs.0, self.repeated_paragraphs)
            || gauge.below("repeated_lines_char", left_lines.1, self.repeated_lines_char)
            || gauge.below("repeated_paragraphs_char", left_paragraphs.1, self.repeated_paragraphs_char)
    }

    fn judge_words(&self, view: &View<'_>, lines: &[&str], gauge: &mut Gauge<'_>) -> bool {
        let count = view.words.len();
        if gauge.fewer("word_count", count, self.min_word_count)
            || gauge.more("word_count", count, self.max_word_count)
        {
            return true;
        }
        let (mut with_letter, mut common, mut characters, mut longest) = (0, 0, 0, 0);
        for word in view.words.iter().map(|word| word.of(view.text)) {
            let length = character_count(word);
            characters += length;
            longest = longest.max(length);
            with_letter += usize::from(word.chars().any(char::is_alphabetic));
            common += usize::from(STOP_WORDS.contains(&word));
        }
        let trimmed = || lines.iter().map(|line| line.trim_matches(is_space));
        let unended = trimmed().filter(|line| !line.ends_with(['.', '?', '!', '"', '\''])).count();
        let mean = ratio(characters, count);
        let ended = || trimmed().filter(|line| ends_with_ellipsis(line)).count();
        let with_letter = ratio(with_letter, count);
        gauge.above("punctuation", of_lines(unended, lines), self.punctuation)
            || gauge.below("words_without_alphabets", with_letter, self.words_without_alphabets)
            || gauge.fewer("common_english_words", common, self.common_english_words)
            || gauge.below("mean_word_length", mean, self.min_mean_word_length)
            || gauge.above("mean_word_length", mean, self.max_mean_word_length)
            || gauge.more("max_word_length", longest, self.max_word_length)
            || gauge.above("ellipsis", of_lines(ended(), lines), self.ellipsis)
    }

    fn judge_grams(&self, view: &View<'_>, scratch: &mut Scratch, gauge: &mut Gauge<'_>) -> bool {
        let table = &mut scratch.grams;
        table.load(view.text, view.words, Same::Words);
        for (n, rule, threshold) in self.top() {
            if !gauge.wants(threshold) {
                continue;
            }
            let share = match table.most_frequent(n, Tie::First) {
                Some((_, first, _)) => {
                    let words = view.words[first..first + n].iter().map(|word| word.of(view.text));
                    let gram = words.collect::<Vec<_>>().join(" ");
                    let found = memchr::memmem::find_iter(view.text.as_bytes(), &gram).count();
                    ratio(found * character_count(&gram), view.characters)
                }
                None => 1.0,
            };
            if gauge.above(rule, share, threshold) {
                return true;
            }
        }
        let mut none = false;
        for (n, rule, threshold) in self.duplicate() {
            if !gauge.wants(threshold) {
                continue;
            }
            let share = match n {
                _ if none => 0.0,
                _ if view.words.len() < n => 1.0,
                _ => ratio(duplicated(table, n), view.characters),
            };
            if gauge.above(rule, share, threshold) {
                return true;
            }
            none = share == 0.0;
            if none && !gauge.scores() {
                break;
            }
        }
        false
    }
}

/// Whether a word is an ellipsis, or has more runs of `#` than half its characters.
fn is_symbol(word: &str) -> bool {
    if ELLIPSES.contains(&word) {
        return true;
    }
    let bytes = word.as_bytes();
    let runs = memchr::memchr_iter(b'#', bytes).filter(|&at| at == 0 || bytes[at - 1] != b'#').count();
    runs > 0 && runs * 2 > character_count(word)
}

/// Case aside, which only matters for `read more`.
fn ends_with_ellipsis(line: &str) -> bool {
    let tail = |length: usize| line.get(line.len().saturating_sub(length)..).unwrap_or_default();
    ELLIPSES.iter().any(|end| tail(end.len()).eq_ignore_ascii_case(end))
}

/// The share of paragraphs with a phrase of cookie banners.
fn boilerplate(paragraphs: &[&str]) -> f64 {
    let mut found = 0;
    for paragraph in paragraphs {
        let paragraph = paragraph.to_lowercase();
        let mut has_phrase = false;
        for phrase in PHRASE_FINDER.find_iter(&paragraph) {
            if phrase.pattern().as_usize() == 0 {
                return 1.0;
            }
            has_phrase = true;
        }
        found += usize::from(has_phrase);
    }
    ratio(found, paragraphs.len())
}

/// Characters in n-grams that occurred before, blanks between their words included, each character once.
fn duplicated(table: &mut Table, n: usize) -> usize {
    let (mut characters, mut overlapping) = (0, 0);
    table.each_gram(n, |table, index, again| {
        if again {
            let blanks = (n - overlapping).min(n - 1);
            characters += table.characters_between(index + overlapping, index + n) + blanks;
            overlapping = n;
        }
        overlapping = overlapping.saturating_sub(1);
    });
    characters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::testing::{self, assert_drops, drop};

    /// Lines of seven words that do not repeat, with common words.
    fn prose(lines: usize) -> String {
        testing::prose(lines, 5, |words| format!("so the {words}."))
    }

    #[test]
    fn each_fault_has_its_filters_name() {
        let prose = prose(10);
        let with = |more: &str, times: usize| format!("{prose}\n{}", more.repeat(times));
        assert_drops(
            &CuratorConfig::default(),
            &[
                (&prose, None),
                ("", Some(("alpha_numeric", "1"))),
                ("a --- b", Some(("alpha_numeric", "0.7143"))),
                (&with("# ", 10), Some(("symbol_to_word", "0.1250"))),
                ("123,456,789", Some(("numbers_ratio", "0.8182"))),
                (
                    &with("seehttps://a.example.com.long.address.of.many.words.in.it ", 3),
                    Some(("urls_ratio", "0.2477")),
                ),
                (&with("\n", 200), Some(("white_space", "0.3971"))),
                (&with("no.dots.but(brackets)(all)(over)(the)(place)", 2), None),
                (&with("\nWe use cookies.\n", 2), Some(("boilerplate_string_ratio", "0.6667"))),
                (&with("lorem ipsum", 1), Some(("boilerplate_string_ratio", "1"))),
                (&with("one more line here.\n", 8), Some(("repeated_lines", "0.6111"))),
                ("Too short to be kept.", Some(("word_count", "5"))),
                (&prose.replace('.', ""), Some(("punctuation", "1"))),
                (&prose.replace("the", "The"), Some(("common_english_words", "0"))),
                (&with("read more\n", 1).replace(".\n", "...\n"), Some(("ellipsis", "1"))),
            ],
        );
    }

    #[test]
    fn repeated_characters_count_once() {
        let words = "a b c d e a b c d e a b c d e";
        let mut table = Table::default();
        let mut spans = Vec::new();
        Splitter::Whitespace.split_into(words, &mut spans);
        table.load(words, &spans, Same::Words);
        // The first repeated run has 5 letters and 4 blanks; each of the five after it adds a letter and a blank.
        assert_eq!(duplicated(&mut table, 5), 9 + 5 * 2);
        assert!(drop(&CuratorConfig::default(), &"so the end of it. ".repeat(20)).is_some());
    }

    #[test]
    fn symbols_and_ellipses_are_told_apart() {
        assert!(
            is_symbol("#") && is_symbol("...") && is_symbol("#a#") && !is_symbol("##") && !is_symbol("#ab")
        );
        assert!(
            ends_with_ellipsis("go on, READ MORE") && ends_with_ellipsis("…") && !ends_with_ellipsis("é.")
        );
    }
}
