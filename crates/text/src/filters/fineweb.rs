//! FineWeb's own rules.
//!
//! Drops lists, menus and pages whose lines repeat, which the older rules let pass.
//!
//! Reference: Penedo et al. 2024 (arXiv 2406.17557), section 3.5, as datatrove 0.10 has it. Blank lines do not count.
//!
//! Example: a recipe of 20 lines of which 15 have at most 30 characters is dropped as `short_line_ratio`, 0.75.

use orchestrator_core::{Decision, Note};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gauge::{Bound, Gauge, Rule};
use super::{RuleConfig, Rules, Scratch, Verdict, View, character_count, grams, ratio};
use crate::files::{FileError, Files};
use crate::words::{is_space, is_terminal};

/// Thresholds of `fineweb`. `null` turns a rule off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FinewebConfig {
    /// Smallest share of lines that end with an end mark of any script.
    pub line_punct_ratio: Option<f64>,
    /// Lets documents pass in which no line at all ends with such a mark.
    pub line_punct_exclude_zero: bool,
    /// Largest share of short lines.
    pub short_line_ratio: Option<f64>,
    /// A line of at most so many characters is short.
    pub short_line_length: u64,
    /// Characters in copies of earlier lines ÷ characters without newlines, at most.
    pub char_dup_ratio: Option<f64>,
    /// Most newlines per word.
    pub list_ratio: Option<f64>,
}

impl Default for FinewebConfig {
    fn default() -> Self {
        Self {
            line_punct_ratio: Some(0.12),
            line_punct_exclude_zero: false,
            short_line_ratio: Some(0.67),
            short_line_length: 30,
            char_dup_ratio: Some(0.01),
            list_ratio: Some(0.3),
        }
    }
}

impl RuleConfig for FinewebConfig {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        [
            ("line_punct_ratio", self.line_punct_ratio),
            ("short_line_ratio", self.short_line_ratio),
            ("char_dup_ratio", self.char_dup_ratio),
            ("list_ratio", self.list_ratio),
        ]
        .to_vec()
    }

    fn shares(&self) -> &'static [&'static str] {
        &["line_punct_ratio", "short_line_ratio", "char_dup_ratio"]
    }

    /// Where no line ends with a mark, the share of those that do is 0.
    fn movable(&self) -> &'static [&'static str] {
        &["line_punct_exclude_zero"]
    }

    fn build(&self, _files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        Ok(Box::new(self.clone()))
    }
}

impl Rules for FinewebConfig {
    fn rules(&self, _language: Option<&str>) -> Vec<Rule> {
        let ended = if self.line_punct_exclude_zero {
            Bound::AtLeastOrZero(self.line_punct_ratio)
        } else {
            Bound::AtLeast(self.line_punct_ratio)
        };
        vec![
            Rule::never("empty"),
            Rule::new("line_punct_ratio", ended),
            Rule::at_most("short_line_ratio", self.short_line_ratio),
            Rule::at_most("char_dup_ratio", self.char_dup_ratio),
            Rule::at_most("list_ratio", self.list_ratio),
        ]
    }

    fn judge(
        &self,
        view: &View<'_>,
        scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        _notes: &mut Vec<Note>,
    ) -> Verdict {
        judge(self, view, &mut scratch.grams, gauge);
        Verdict::Keep
    }
}

/// Says whether a rule failed that ends the judgement.
pub(super) fn judge(
    config: &FinewebConfig,
    view: &View<'_>,
    table: &mut grams::Table,
    gauge: &mut Gauge<'_>,
) -> bool {
    let text = view.text;
    let lines: Vec<&str> = text.split('\n').filter(|line| !line.chars().all(is_space)).collect();
    if lines.is_empty() {
        return gauge.fails("empty", || Decision::drop("empty", 0));
    }
    let ended = lines.iter().filter(|line| line.chars().next_back().is_some_and(is_terminal)).count();
    let least = config.line_punct_ratio.filter(|_| ended > 0 || !config.line_punct_exclude_zero);
    if gauge.below("line_punct_ratio", ratio(ended, lines.len()), least) {
        return true;
    }
    let short = lines.iter().filter(|line| character_count(line) as u64 <= config.short_line_length).count();
    if gauge.above("short_line_ratio", ratio(short, lines.len()), config.short_line_ratio) {
        return true;
    }
    let newlines = memchr::memchr_iter(b'\n', text.as_bytes()).count();
    let (_, copied) = table.duplicates(&lines);
    gauge.above("char_dup_ratio", ratio(copied, view.characters - newlines), config.char_dup_ratio)
        || gauge.above("list_ratio", ratio(newlines, view.words.len()), config.list_ratio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::testing;

    fn drop(text: &str) -> Option<(String, String)> {
        testing::drop(&FinewebConfig::default(), text)
    }

    #[test]
    fn each_fault_has_its_name() {
        let long = "A line that is longer than thirty characters by some.";
        let other = "Another line of the same kind, with other words in it。";
        for (text, expected) in [
            (" \n\n".to_owned(), Some(("empty", "0"))),
            (format!("{}\n{}", &long[..40], &long[..45]), Some(("line_punct_ratio", "0"))),
            (format!("{long}\nshort.\nshorter.\nx.\n"), Some(("short_line_ratio", "0.7500"))),
            (format!("{long}\n{other}\n{long}"), Some(("char_dup_ratio", "0.3333"))),
            (format!("{long}\n\n\n\n\n\n\n"), Some(("list_ratio", "0.6364"))),
            (format!("{long}\n{other}"), None),
        ] {
            let measured = drop(&text);
            let measured = measured.as_ref().map(|(rule, value)| (rule.as_str(), value.as_str()));
            assert_eq!(measured.map(|found| found.0), expected.map(|wanted| wanted.0), "{text}");
        }
    }
}
