//! Gopher's rules on quality.
//!
//! Drops documents whose words, symbols and lines are not those of prose.
//!
//! Reference: Rae et al. 2021 (arXiv 2112.11446), section A.1.1, as datatrove 0.10 has it: `words` are those that are
//! not all punctuation for counts and lengths, and all words as the divisor of symbols.
//!
//! Example: a list of links with 20 words is dropped as `gopher_short_doc`, 20.

use orchestrator_core::Note;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::gauge::{Gauge, Rule};
use super::{RuleConfig, Rules, Scratch, Verdict, View, ratio};
use crate::files::{FileError, Files};
use crate::step::ConfigError;
use crate::words::{is_punctuation, is_space, lines};

/// Thresholds of `gopher-quality`. `null` turns a rule off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GopherQualityConfig {
    /// Fewest words that are not all punctuation.
    pub gopher_short_doc: Option<u64>,
    /// Most words that are not all punctuation.
    pub gopher_long_doc: Option<u64>,
    /// Smallest mean length of those words, in characters.
    pub gopher_below_avg_threshold: Option<f64>,
    /// Largest mean length of those words.
    pub gopher_above_avg_threshold: Option<f64>,
    /// Most `#` per word.
    pub gopher_too_many_hashes: Option<f64>,
    /// Most `...` and `…` per word.
    pub gopher_too_many_ellipsis: Option<f64>,
    /// Largest share of lines that start with a bullet (`•` or `-`).
    pub gopher_too_many_bullets: Option<f64>,
    /// Largest share of lines that end with an ellipsis.
    pub gopher_too_many_end_ellipsis: Option<f64>,
    /// Smallest share of words with a letter in them.
    pub gopher_below_alpha_threshold: Option<f64>,
    /// Fewest distinct stop words.
    pub gopher_enough_stop_words: Option<u64>,
    /// The stop words, as they are written: case counts.
    pub stop_words: Vec<String>,
}

/// The words that Gopher asks for.
pub(super) const STOP_WORDS: [&str; 8] = ["the", "be", "to", "of", "and", "that", "have", "with"];

impl Default for GopherQualityConfig {
    fn default() -> Self {
        Self {
            gopher_short_doc: Some(50),
            gopher_long_doc: Some(100_000),
            gopher_below_avg_threshold: Some(3.0),
            gopher_above_avg_threshold: Some(10.0),
            gopher_too_many_hashes: Some(0.1),
            gopher_too_many_ellipsis: Some(0.1),
            gopher_too_many_bullets: Some(0.9),
            gopher_too_many_end_ellipsis: Some(0.3),
            gopher_below_alpha_threshold: Some(0.8),
            gopher_enough_stop_words: Some(2),
            stop_words: STOP_WORDS.map(str::to_owned).to_vec(),
        }
    }
}

impl RuleConfig for GopherQualityConfig {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        [
            ("gopher_below_avg_threshold", self.gopher_below_avg_threshold),
            ("gopher_above_avg_threshold", self.gopher_above_avg_threshold),
            ("gopher_too_many_hashes", self.gopher_too_many_hashes),
            ("gopher_too_many_ellipsis", self.gopher_too_many_ellipsis),
            ("gopher_too_many_bullets", self.gopher_too_many_bullets),
            ("gopher_too_many_end_ellipsis", self.gopher_too_many_end_ellipsis),
            ("gopher_below_alpha_threshold", self.gopher_below_alpha_threshold),
        ]
        .to_vec()
    }

    fn shares(&self) -> &'static [&'static str] {
        &["gopher_too_many_bullets", "gopher_too_many_end_ellipsis", "gopher_below_alpha_threshold"]
    }

    /// Refuses bounds that leave no document between them.
    fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, message: String| Err(ConfigError::new(key, message));
        if let Some(most) = self.gopher_long_doc {
            if let Some(least) = self.gopher_short_doc.filter(|&least| most < least) {
                let message = format!(
                    "is {most}; expected {least} or more: `gopher_short_doc` drops what has fewer words"
                );
                return wrong("gopher_long_doc", message);
            }
            if most == 0 {
                return wrong("gopher_long_doc", "is 0; expected 1 or more".to_owned());
            }
        }
        if let (Some(least), Some(most)) = (self.gopher_below_avg_threshold, self.gopher_above_avg_threshold)
            && most < least
        {
            let message =
                format!("is {most}; expected {least} or more, which is `gopher_below_avg_threshold`");
            return wrong("gopher_above_avg_threshold", message);
        }
        let mut stop_words: Vec<&String> = self.stop_words.iter().collect();
        stop_words.sort_unstable();
        stop_words.dedup();
        let there = stop_words.len() as u64;
        if let Some(wanted) = self.gopher_enough_stop_words.filter(|&wanted| wanted > there) {
            let message =
                format!("is {wanted}; expected at most {there}, for there are no more `stop_words`");
            return wrong("gopher_enough_stop_words", message);
        }
        Ok(())
    }

    fn build(&self, _files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        Ok(Box::new(self.clone()))
    }
}

impl Rules for GopherQualityConfig {
    fn rules(&self, _language: Option<&str>) -> Vec<Rule> {
        vec![
            Rule::fewest("gopher_short_doc", self.gopher_short_doc),
            Rule::most("gopher_long_doc", self.gopher_long_doc),
            Rule::at_least("gopher_below_avg_threshold", self.gopher_below_avg_threshold),
            Rule::at_most("gopher_above_avg_threshold", self.gopher_above_avg_threshold),
            Rule::at_most("gopher_too_many_hashes", self.gopher_too_many_hashes),
            Rule::at_most("gopher_too_many_ellipsis", self.gopher_too_many_ellipsis),
            Rule::at_most("gopher_too_many_bullets", self.gopher_too_many_bullets),
            Rule::at_most("gopher_too_many_end_ellipsis", self.gopher_too_many_end_ellipsis),
            Rule::at_least("gopher_below_alpha_threshold", self.gopher_below_alpha_threshold),
            Rule::fewest("gopher_enough_stop_words", self.gopher_enough_stop_words),
        ]
    }

    fn judge(
        &self,
        view: &View<'_>,
        _scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        _notes: &mut Vec<Note>,
    ) -> Verdict {
        judge(self, view, gauge);
        Verdict::Keep
    }
}

/// What one pass over the words finds.
#[derive(Default)]
struct WordCounts {
    /// Words that are not all punctuation, and their characters.
    plain: usize,
    plain_characters: usize,
    with_letter: usize,
    /// One bit per stop word seen.
    stop_words: Vec<bool>,
}

fn count_words(config: &GopherQualityConfig, view: &View<'_>) -> WordCounts {
    let mut counts = WordCounts { stop_words: vec![false; config.stop_words.len()], ..WordCounts::default() };
    let longest = config.stop_words.iter().map(String::len).max().unwrap_or(0);
    for span in view.words {
        let word = span.of(view.text);
        let (mut characters, mut plain, mut letter) = (0, false, false);
        for c in word.chars() {
            characters += 1;
            if c.is_ascii_alphabetic() {
                (plain, letter) = (true, true);
            } else {
                plain = plain || !is_punctuation(c);
                letter = letter || is_letter(c);
            }
        }
        if plain {
            counts.plain += 1;
            counts.plain_characters += characters;
        }
        counts.with_letter += usize::from(letter);
        if word.len() <= longest
            && let Some(index) = config.stop_words.iter().position(|stop| stop == word)
        {
            counts.stop_words[index] = true;
        }
    }
    counts
}

/// Whether Unicode files a character under letters, as Python's `isalpha` asks.
pub(super) fn is_letter(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphabetic()
    } else {
        c.is_alphabetic() && c.general_category_group() == GeneralCategoryGroup::Letter
    }
}

/// Says whether a rule failed that ends the judgement.
pub(super) fn judge(config: &GopherQualityConfig, view: &View<'_>, gauge: &mut Gauge<'_>) -> bool {
    let text = view.text;
    let all = view.words.len();
    let counts = count_words(config, view);
    if gauge.fewer("gopher_short_doc", counts.plain, config.gopher_short_doc)
        || gauge.more("gopher_long_doc", counts.plain, config.gopher_long_doc)
    {
        return true;
    }
    let mean = ratio(counts.plain_characters, counts.plain);
    let hashes = memchr::memchr_iter(b'#', text.as_bytes()).count();
    let ellipses = memchr::memmem::find_iter(text.as_bytes(), "...").count()
        + memchr::memmem::find_iter(text.as_bytes(), "…").count();
    let stop_words = || counts.stop_words.iter().filter(|&&seen| seen).count();
    gauge.below("gopher_below_avg_threshold", mean, config.gopher_below_avg_threshold)
        || gauge.above("gopher_above_avg_threshold", mean, config.gopher_above_avg_threshold)
        || gauge.above("gopher_too_many_hashes", ratio(hashes, all), config.gopher_too_many_hashes)
        || gauge.above("gopher_too_many_ellipsis", ratio(ellipses, all), config.gopher_too_many_ellipsis)
        || judge_lines(config, text, gauge)
        || {
            let share = ratio(counts.with_letter, all);
            gauge.below("gopher_below_alpha_threshold", share, config.gopher_below_alpha_threshold)
        }
        || gauge.fewer("gopher_enough_stop_words", stop_words(), config.gopher_enough_stop_words)
}

fn judge_lines(config: &GopherQualityConfig, text: &str, gauge: &mut Gauge<'_>) -> bool {
    let (mut count, mut bullets, mut ellipses) = (0, 0, 0);
    for line in lines(text) {
        let line = line.of(text);
        count += 1;
        bullets += usize::from(line.trim_start_matches(is_space).starts_with(['•', '-']));
        let end = line.trim_end_matches(is_space);
        ellipses += usize::from(end.ends_with("...") || end.ends_with('…'));
    }
    gauge.above("gopher_too_many_bullets", ratio(bullets, count), config.gopher_too_many_bullets)
        || gauge.above(
            "gopher_too_many_end_ellipsis",
            ratio(ellipses, count),
            config.gopher_too_many_end_ellipsis,
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::testing;

    fn rule(text: &str) -> Option<String> {
        testing::drop(&GopherQualityConfig::default(), text).map(|(rule, _)| rule)
    }

    #[test]
    fn each_fault_has_its_name() {
        let prose = "the people of that town have walked with care ".repeat(8);
        assert_eq!(rule(&prose), None);
        for (text, expected) in [
            (". , ; word ! ? ".repeat(30), "gopher_short_doc"),
            ("word ".repeat(100_001), "gopher_long_doc"),
            ("at of it ".repeat(20), "gopher_below_avg_threshold"),
            ("incomprehensible ".repeat(60), "gopher_above_avg_threshold"),
            (format!("{prose}{}", "# ".repeat(20)), "gopher_too_many_hashes"),
            (format!("{prose}{}", "... ".repeat(20)), "gopher_too_many_ellipsis"),
            ("- the people of that town have walked\n".repeat(10), "gopher_too_many_bullets"),
            (
                "the people of that town have walked with much care and waited long...\n".repeat(5),
                "gopher_too_many_end_ellipsis",
            ),
            (format!("{prose}{}", "12345 ".repeat(40)), "gopher_below_alpha_threshold"),
            ("quick brown foxes jumped over lazy dogs ".repeat(9), "gopher_enough_stop_words"),
        ] {
            assert_eq!(rule(&text).as_deref(), Some(expected));
        }
    }
}
