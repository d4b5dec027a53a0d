//! DCLM-Baseline's heuristics, a reproduction of RefinedWeb's.
//!
//! ```text
//! text ─▶ addresses and blank lines go ─▶ Gopher's rules, repetition ─▶ lines go ─▶ too much gone? ─▶ keep
//! ```
//!
//! Drops documents that are no prose or repeat themselves, takes menus and counters out of the others, and drops those
//! of which that takes more than a twentieth.
//!
//! Reference: Li et al. 2024 (arXiv 2406.11794), appendix, and github.com/mlfoundations/dclm (361714b),
//! `dclm_baseline_refinedweb.yaml`. Words of repetition are Unicode's that begin with a letter or digit, all others are
//! what white space parts. **All** copies count, the first too; the most frequent n-gram is the longest on a tie; of
//! n ≥ 5 the words that lie in a repeated n-gram count once. Rules are named after DCLM's functions. What is known to
//! differ stands in `docs/decisions/filter-profiles.md`.
//!
//! The recipe's other parts are stages of ours: ban lists of addresses, language (`en` above 0.65), the fastText classifier
//! (`__label__hq` at 0.018112), deduplication.
//!
//! Example: a page of 60 words, 5 of them in the lines `3 likes` and `SHARE THIS PAGE`, is dropped as
//! `word_removal_ratio`, 0.0833.

mod draft;
mod lines;
mod urls;

use orchestrator_core::{Decision, Note};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use self::draft::{Cut, Draft};
use super::gauge::{Gauge, Rule};
use super::gopher_quality::{STOP_WORDS, is_letter};
use super::grams::{Same, Tie};
use super::{Edited, RuleConfig, Rules, Scratch, Verdict, View, character_count, ratio};
use crate::files::{FileError, Files};
use crate::words::{Span, Splitter, is_space};

/// Thresholds of `dclm`. `null` turns a rule off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DclmConfig {
    /// Addresses in the text go, with the white space before them; named ones only of a page that begins, in any case, with
    /// the letters of a top-level domain (`In`, `The`, not `Quietly`), since DCLM looks there for one first.
    pub url_removal: bool,
    /// Most newlines in a row; further ones go.
    pub newline_removal: Option<u64>,
    /// Fewest words that begin with a letter or digit (`page_length`).
    pub min_page_length: Option<u64>,
    /// Most such words (`page_length`).
    pub max_page_length: Option<u64>,
    /// Smallest mean length of words, in characters (`word_length`).
    pub min_word_length: Option<f64>,
    /// Largest mean length of words (`word_length`).
    pub max_word_length: Option<f64>,
    /// Most `#`, `...`, `. . .` and `…` per word.
    pub symbol_ratio: Option<f64>,
    /// Largest share of lines that start with `●`, `•`, `*` or `-`.
    pub bullet_count: Option<f64>,
    /// Largest share of lines that end with `...`, `. . .` or `…`.
    pub ellipsis_count: Option<f64>,
    /// Largest share of words without a letter.
    pub alphabetic_word_ratio: Option<f64>,
    /// Fewest occurrences of stop words, in any case.
    pub stop_word: Option<u64>,
    /// Largest share of lines that occur more than once.
    pub repetition_lines: Option<f64>,
    /// Largest share of paragraphs that occur more than once.
    pub repetition_paragraphs: Option<f64>,
    /// Characters in such lines ÷ characters in lines, at most.
    pub repetition_line_characters: Option<f64>,
    /// Characters in such paragraphs ÷ characters in paragraphs, at most.
    pub repetition_paragraph_characters: Option<f64>,
    /// Letters in all occurrences of the most frequent pair of words ÷ letters, at most, where it occurs twice.
    pub repetition_2_grams: Option<f64>,
    /// The same for three words.
    pub repetition_3_grams: Option<f64>,
    /// The same for four words.
    pub repetition_4_grams: Option<f64>,
    /// Letters of words in runs of five that occur more than once ÷ letters, at most.
    pub repetition_5_grams: Option<f64>,
    /// The same for six words.
    pub repetition_6_grams: Option<f64>,
    /// The same for seven words.
    pub repetition_7_grams: Option<f64>,
    /// The same for eight words.
    pub repetition_8_grams: Option<f64>,
    /// The same for nine words.
    pub repetition_9_grams: Option<f64>,
    /// The same for ten words.
    pub repetition_10_grams: Option<f64>,
    /// Lines with a larger share of capitals go (`uppercase_ratio_line`).
    pub uppercase_ratio_line: Option<f64>,
    /// Lines with a larger share of digits go (`numeric_ratio_line`).
    pub numeric_ratio_line: Option<f64>,
    /// Lines such as `3 likes` and `1.2k followers` go.
    pub counter_line: bool,
    /// Lines with fewer words go, blank ones aside (`line_length`).
    pub line_length: Option<u64>,
    /// `items in cart`, a final `Read more...` and a first `Sign-in` go from lines of at most so many words.
    pub substring_line: Option<u64>,
    /// Largest share of words that may go with the lines.
    pub word_removal_ratio: Option<f64>,
}

impl Default for DclmConfig {
    fn default() -> Self {
        Self {
            url_removal: true,
            newline_removal: Some(2),
            min_page_length: Some(50),
            max_page_length: Some(100_000),
            min_word_length: Some(3.0),
            max_word_length: Some(10.0),
            symbol_ratio: Some(0.1),
            bullet_count: Some(0.9),
            ellipsis_count: Some(0.3),
            alphabetic_word_ratio: Some(0.2),
            stop_word: Some(2),
            repetition_lines: Some(0.3),
            repetition_paragraphs: Some(0.3),
            repetition_line_characters: Some(0.2),
            repetition_paragraph_characters: Some(0.2),
            repetition_2_grams: Some(0.2),
            repetition_3_grams: Some(0.18),
            repetition_4_grams: Some(0.16),
            repetition_5_grams: Some(0.15),
            repetition_6_grams: Some(0.14),
            repetition_7_grams: Some(0.13),
            repetition_8_grams: Some(0.12),
            repetition_9_grams: Some(0.11),
            repetition_10_grams: Some(0.10),
            uppercase_ratio_line: Some(0.5),
            numeric_ratio_line: Some(0.999_999),
            counter_line: true,
            line_length: Some(2),
            substring_line: Some(10),
            word_removal_ratio: Some(0.05),
        }
    }
}

impl DclmConfig {
    fn grams(&self) -> [(usize, &'static str, Option<f64>); 9] {
        [
            (2, "repetition_2_grams", self.repetition_2_grams),
            (3, "repetition_3_grams", self.repetition_3_grams),
            (4, "repetition_4_grams", self.repetition_4_grams),
            (5, "repetition_5_grams", self.repetition_5_grams),
            (6, "repetition_6_grams", self.repetition_6_grams),
            (7, "repetition_7_grams", self.repetition_7_grams),
            (8, "repetition_8_grams", self.repetition_8_grams),
            (9, "repetition_9_grams", self.repetition_9_grams),
            (10, "repetition_10_grams", self.repetition_10_grams),
        ]
    }
}

impl RuleConfig for DclmConfig {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        let mut all = vec![
            ("min_word_length", self.min_word_length),
            ("max_word_length", self.max_word_length),
            ("symbol_ratio", self.symbol_ratio),
            ("bullet_count", self.bullet_count),
            ("ellipsis_count", self.ellipsis_count),
            ("alphabetic_word_ratio", self.alphabetic_word_ratio),
            ("repetition_lines", self.repetition_lines),
            ("repetition_paragraphs", self.repetition_paragraphs),
            ("repetition_line_characters", self.repetition_line_characters),
            ("repetition_paragraph_characters", self.repetition_paragraph_characters),
            ("uppercase_ratio_line", self.uppercase_ratio_line),
            ("numeric_ratio_line", self.numeric_ratio_line),
            ("word_removal_ratio", self.word_removal_ratio),
        ];
        all.extend(self.grams().map(|(_, key, value)| (key, value)));
        all
    }

    fn edits(&self) -> bool {
        true
    }

    fn build(&self, _files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        Ok(Box::new(self.clone()))
    }
}

impl Rules for DclmConfig {
    fn splitter(&self, _language: Option<&str>) -> Option<Splitter> {
        // The words are those of the text that is left when addresses are gone.
        None
    }

    fn rules(&self, _language: Option<&str>) -> Vec<Rule> {
        let mut rules = vec![
            Rule::fewest("page_length", self.min_page_length).with_key("min_page_length"),
            Rule::most("page_length", self.max_page_length).with_key("max_page_length"),
            Rule::never("word_length").in_column("no_words"),
            Rule::at_least("word_length", self.min_word_length).with_key("min_word_length"),
            Rule::at_most("word_length", self.max_word_length).with_key("max_word_length"),
            Rule::at_most("symbol_ratio", self.symbol_ratio),
            Rule::at_most("bullet_count", self.bullet_count),
            Rule::at_most("ellipsis_count", self.ellipsis_count),
            Rule::at_most("alphabetic_word_ratio", self.alphabetic_word_ratio),
            Rule::fewest("stop_word", self.stop_word),
            Rule::at_most("repetition_lines", self.repetition_lines),
            Rule::at_most("repetition_paragraphs", self.repetition_paragraphs),
            Rule::at_most("repetition_line_characters", self.repetition_line_characters),
            Rule::at_most("repetition_paragraph_characters", self.repetition_paragraph_characters),
        ];
        rules.extend(self.grams().map(|(_, name, threshold)| Rule::at_most(name, threshold)));
        rules.push(Rule::never("empty"));
        rules.push(Rule::at_most("word_removal_ratio", self.word_removal_ratio));
        rules
    }

    fn judge(
        &self,
        view: &View<'_>,
        scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        notes: &mut Vec<Note>,
    ) -> Verdict {
        let mut draft = Draft::new(view.text);
        self.remove_addresses(&mut draft, notes);
        scratch.words.clear();
        Splitter::Whitespace.split_into(&draft.text, &mut scratch.words);
        let text: &str = &draft.text;
        if self.judge_words(text, &scratch.words, gauge) || self.judge_repetition(text, scratch, gauge) {
            return Verdict::Keep;
        }
        let before = count_words(text);
        let cuts = lines::cuts(self, text);
        draft.cut(&cuts, notes);
        draft.cut(&lines::blank_ends(&draft.text), notes);
        if draft.text.is_empty() {
            gauge.fails("empty", || Decision::drop("empty", 0));
            return Verdict::Keep;
        }
        if !cuts.is_empty() {
            let after = count_words(&draft.text);
            let removed = ratio(before.saturating_sub(after), before.max(1));
            if gauge.above("word_removal_ratio", removed, self.word_removal_ratio) {
                return Verdict::Keep;
            }
        }
        match draft.text {
            std::borrow::Cow::Borrowed(_) => Verdict::Keep,
            std::borrow::Cow::Owned(text) => Verdict::Edit(Edited { text, words: None }),
        }
    }
}

impl DclmConfig {
    fn remove_addresses(&self, draft: &mut Draft<'_>, notes: &mut Vec<Note>) {
        if self.url_removal {
            let mut cuts: Vec<Cut> =
                urls::named(&draft.text).into_iter().map(|range| (range, "url_removal")).collect();
            let named = cuts.len();
            for range in urls::numeric(&draft.text) {
                let next = cuts[..named].partition_point(|(named, _)| named.end <= range.start);
                if cuts[..named].get(next).is_none_or(|(named, _)| range.end <= named.start) {
                    cuts.push((range, "url_removal"));
                }
            }
            cuts.sort_by_key(|(range, _)| range.start);
            draft.cut(&cuts, notes);
        }
        if let Some(most) = self.newline_removal {
            let bytes = draft.text.as_bytes();
            let (mut cuts, mut at) = (Vec::new(), 0);
            while let Some(found) = memchr::memchr(b'\n', &bytes[at..]) {
                let start = at + found;
                let run = bytes[start..].iter().take_while(|&&byte| byte == b'\n').count();
                at = start + run;
                if run as u64 > most {
                    cuts.push((start + most as usize..at, "newline_removal"));
                }
            }
            draft.cut(&cuts, notes);
        }
    }

    fn judge_words(&self, text: &str, words: &[Span], gauge: &mut Gauge<'_>) -> bool {
        let plain = count_words(text);
        if gauge.fewer("page_length", plain, self.min_page_length)
            || gauge.more("page_length", plain, self.max_page_length)
        {
            return true;
        }
        let (mut characters, mut without_letter, mut stop_words) = (0, 0, 0);
        for word in words {
            let word = word.of(text);
            characters += character_count(word);
            without_letter += usize::from(!word.chars().any(is_letter));
            stop_words += usize::from(STOP_WORDS.iter().any(|stop| stop.eq_ignore_ascii_case(word)));
        }
        let count = words.len();
        if count == 0 {
            return gauge.fails("no_words", || Decision::drop("word_length", 0));
        }
        let mean = ratio(characters, count);
        let symbols: usize = ["#", "...", ". . .", "…"]
            .iter()
            .map(|symbol| memchr::memmem::find_iter(text.as_bytes(), symbol).count())
            .sum();
        let (mut lines, mut bullets, mut ellipses) = (0, 0, 0);
        for line in pieces(text, "\n") {
            lines += 1;
            bullets += usize::from(line.starts_with(['●', '•', '*', '-']));
            ellipses += usize::from(["...", ". . .", "…"].iter().any(|end| line.ends_with(end)));
        }
        gauge.below("word_length", mean, self.min_word_length)
            || gauge.above("word_length", mean, self.max_word_length)
            || gauge.above("symbol_ratio", ratio(symbols, count), self.symbol_ratio)
            || gauge.above("bullet_count", ratio(bullets, lines), self.bullet_count)
            || gauge.above("ellipsis_count", ratio(ellipses, lines), self.ellipsis_count)
            || gauge.above("alphabetic_word_ratio", ratio(without_letter, count), self.alphabetic_word_ratio)
            || gauge.fewer("stop_word", stop_words, self.stop_word)
    }

    fn judge_repetition(&self, text: &str, scratch: &mut Scratch, gauge: &mut Gauge<'_>) -> bool {
        let lines: Vec<&str> = pieces(text, "\n").collect();
        let paragraphs: Vec<&str> = pieces(text, "\n\n").collect();
        let of_lines = shares(&lines, scratch);
        let of_paragraphs = shares(&paragraphs, scratch);
        for (rule, share, threshold) in [
            ("repetition_lines", of_lines.0, self.repetition_lines),
            ("repetition_paragraphs", of_paragraphs.0, self.repetition_paragraphs),
            ("repetition_line_characters", of_lines.1, self.repetition_line_characters),
            ("repetition_paragraph_characters", of_paragraphs.1, self.repetition_paragraph_characters),
        ] {
            if gauge.above(rule, share, threshold) {
                return true;
            }
        }
        // White-space words are counted again at the end, so these take their own place.
        let mut words = Vec::new();
        words.extend(
            text.unicode_word_indices()
                .filter(|(_, word)| word.starts_with(char::is_alphanumeric))
                .map(|(start, word)| Span { start, end: start + word.len() }),
        );
        let table = &mut scratch.grams;
        table.load(text, &words, Same::Words);
        let letters = table.all_characters();
        // Longer n-grams repeat no more often.
        let mut some = true;
        for (n, rule, threshold) in self.grams() {
            if !gauge.wants(threshold) {
                continue;
            }
            let repeated = match n {
                _ if !some => 0,
                ..5 => match table.most_frequent(n, Tie::Longest) {
                    Some((count, _, length)) if count > 1 => count * length,
                    _ => 0,
                },
                _ => table.covered_by_repeated(n),
            };
            some = repeated > 0;
            if gauge.above(rule, ratio(repeated, letters), threshold) {
                return true;
            }
            if !some && !gauge.scores() {
                break;
            }
        }
        false
    }
}

/// Parts of a text between separators, without white space at their ends; blank ones do not count.
fn pieces<'a>(text: &'a str, separator: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(separator).map(|piece| piece.trim_matches(is_space)).filter(|piece| !piece.is_empty())
}

/// Of pieces that occur more than once, the share of all pieces and of all characters. One piece repeats nothing.
fn shares(pieces: &[&str], scratch: &mut Scratch) -> (f64, f64) {
    if pieces.len() < 2 {
        return (0.0, 0.0);
    }
    let (repeated, characters) = scratch.grams.repeated_pieces(pieces);
    let all = pieces.iter().map(|piece| character_count(piece)).sum();
    (ratio(repeated, pieces.len()), ratio(characters, all))
}

/// Words that begin with a letter or digit; they are parted as fastText does it, by white space of ASCII alone.
fn count_words(text: &str) -> usize {
    let parts = |c: char| matches!(c, ' ' | '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\0');
    text.split(parts).filter(|word| word.starts_with(char::is_alphanumeric)).count()
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Document;

    use super::*;
    use crate::filters::testing::{self, assert_drops, verdict};

    /// Lines of ten words that do not repeat, with stop words.
    fn prose(lines: usize) -> String {
        testing::prose(lines, 8, |words| format!("The {words} end."))
    }

    #[test]
    fn each_fault_has_its_functions_name() {
        let prose = prose(8);
        let with = |more: &str, times: usize| format!("{prose}\n{}", more.repeat(times));
        assert_drops(
            &DclmConfig::default(),
            &[
                (&prose, None),
                ("", Some(("page_length", "0"))),
                ("too short", Some(("page_length", "2"))),
                (&"a b c ".repeat(40), Some(("word_length", "1"))),
                (&with("# ", 10), Some(("symbol_ratio", "0.1111"))),
                (&with("- everything considered\n", 100), Some(("bullet_count", "0.9259"))),
                (&with("and so on...\n", 5), Some(("ellipsis_count", "0.3846"))),
                (&with("1234 ", 40), Some(("alphabetic_word_ratio", "0.3333"))),
                (&prose.replace("The", "One"), Some(("stop_word", "0"))),
                (&with("twice\n", 4), Some(("repetition_lines", "0.3333"))),
            ],
        );
    }

    #[test]
    fn lines_of_menus_go_and_too_many_drop_the_page() {
        let run = |text: &str| {
            let mut notes = Vec::new();
            let verdict = verdict(&DclmConfig::default(), &Document::new("test", 0, text), &mut notes);
            let rules: Vec<String> = notes.iter().map(|note| note.rule.to_string()).collect();
            match verdict {
                Ok(Verdict::Keep) => (text.to_owned(), rules),
                Ok(Verdict::Edit(edited)) => (edited.text, rules),
                Err(reason) => (format!("{} {}", reason.rule, reason.value), rules),
            }
        };
        let prose = prose(20);
        assert_eq!(run(&prose), (prose.clone(), vec![]));
        let (text, rules) =
            run(&format!("SHARE ME\n{prose}\n\n\n\n3 likes\nMenu\n2024\nSee https://a.example.com/b"));
        assert_eq!(text, prose);
        assert_eq!(
            rules,
            [
                "url_removal",
                "newline_removal",
                "uppercase_ratio_line",
                "counter_line",
                "line_length",
                "numeric_ratio_line",
                "line_length",
                "blank_ends",
            ]
        );
        let menu = "SHARE THIS ON ALL OF IT\nLIKE US ON OUR OWN PAGE\n";
        assert_eq!(run(&format!("{prose}\n{menu}")).0, "word_removal_ratio 0.0566");
    }
}
