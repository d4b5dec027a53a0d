//! Gopher's rules on repetition.
//!
//! Drops documents that repeat themselves: pages made by programs, error messages, lyrics typed ten times.
//!
//! Reference: Rae et al. 2021 (arXiv 2112.11446), table A1, as datatrove 0.10 has it: only further copies count,
//! shares are of all characters, top n-grams are joined with blanks and repeated ones without.
//!
//! Example: `yes\nno\nyes\nyes` has 2 of 4 lines that are copies and is dropped as `dup_line_frac`, 0.5.

use orchestrator_core::{Decision, Note};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gauge::{Gauge, Rule};
use super::{RuleConfig, Rules, Scratch, Verdict, View, grams, ratio};
use crate::files::{FileError, Files};
use crate::words::is_space;

/// Thresholds of `gopher-repetition`: the largest share that passes. `null` turns a rule off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GopherRepetitionConfig {
    /// Share of paragraphs that are copies of earlier ones.
    pub dup_para_frac: Option<f64>,
    /// Characters in copied paragraphs ÷ characters.
    pub dup_para_char_frac: Option<f64>,
    /// Share of lines that are copies of earlier ones.
    pub dup_line_frac: Option<f64>,
    /// Characters in copied lines ÷ characters.
    pub dup_line_char_frac: Option<f64>,
    /// Characters in all occurrences of the most frequent pair of words ÷ characters.
    pub top_2_gram: Option<f64>,
    /// The same for three words.
    pub top_3_gram: Option<f64>,
    /// The same for four words.
    pub top_4_gram: Option<f64>,
    /// Characters in runs of five words that occurred before ÷ characters.
    pub duplicated_5_n_grams: Option<f64>,
    /// The same for six words.
    pub duplicated_6_n_grams: Option<f64>,
    /// The same for seven words.
    pub duplicated_7_n_grams: Option<f64>,
    /// The same for eight words.
    pub duplicated_8_n_grams: Option<f64>,
    /// The same for nine words.
    pub duplicated_9_n_grams: Option<f64>,
    /// The same for ten words.
    pub duplicated_10_n_grams: Option<f64>,
}

impl Default for GopherRepetitionConfig {
    fn default() -> Self {
        Self {
            dup_para_frac: Some(0.3),
            dup_para_char_frac: Some(0.2),
            dup_line_frac: Some(0.3),
            dup_line_char_frac: Some(0.2),
            top_2_gram: Some(0.2),
            top_3_gram: Some(0.18),
            top_4_gram: Some(0.16),
            duplicated_5_n_grams: Some(0.15),
            duplicated_6_n_grams: Some(0.14),
            duplicated_7_n_grams: Some(0.13),
            duplicated_8_n_grams: Some(0.12),
            duplicated_9_n_grams: Some(0.11),
            duplicated_10_n_grams: Some(0.10),
        }
    }
}

impl GopherRepetitionConfig {
    /// The rules on lines and paragraphs, in the order of their evaluation.
    fn pieces(&self) -> [(&'static str, Option<f64>); 4] {
        [
            ("dup_para_frac", self.dup_para_frac),
            ("dup_para_char_frac", self.dup_para_char_frac),
            ("dup_line_frac", self.dup_line_frac),
            ("dup_line_char_frac", self.dup_line_char_frac),
        ]
    }

    fn top(&self) -> [(usize, &'static str, Option<f64>); 3] {
        [
            (2, "top_2_gram", self.top_2_gram),
            (3, "top_3_gram", self.top_3_gram),
            (4, "top_4_gram", self.top_4_gram),
        ]
    }

    fn repeated(&self) -> [(usize, &'static str, Option<f64>); 6] {
        [
            (5, "duplicated_5_n_grams", self.duplicated_5_n_grams),
            (6, "duplicated_6_n_grams", self.duplicated_6_n_grams),
            (7, "duplicated_7_n_grams", self.duplicated_7_n_grams),
            (8, "duplicated_8_n_grams", self.duplicated_8_n_grams),
            (9, "duplicated_9_n_grams", self.duplicated_9_n_grams),
            (10, "duplicated_10_n_grams", self.duplicated_10_n_grams),
        ]
    }
}

impl RuleConfig for GopherRepetitionConfig {
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)> {
        let grams =
            self.top().into_iter().chain(self.repeated()).map(|(_, rule, threshold)| (rule, threshold));
        self.pieces().into_iter().chain(grams).collect()
    }

    /// What n-grams that overlap cover is counted more than once, and may be more than the text.
    fn shares(&self) -> &'static [&'static str] {
        &["dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac"]
    }

    fn build(&self, _files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        Ok(Box::new(self.clone()))
    }
}

impl Rules for GopherRepetitionConfig {
    fn rules(&self, _language: Option<&str>) -> Vec<Rule> {
        let thresholds =
            self.thresholds().into_iter().map(|(name, threshold)| Rule::at_most(name, threshold));
        std::iter::once(Rule::never("empty")).chain(thresholds).collect()
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
    config: &GopherRepetitionConfig,
    view: &View<'_>,
    table: &mut grams::Table,
    gauge: &mut Gauge<'_>,
) -> bool {
    let View { text, words, characters, .. } = *view;
    if text.is_empty() {
        return gauge.fails("empty", || Decision::drop("empty", 0));
    }
    let [para_frac, para_char_frac, line_frac, line_char_frac] = config.pieces();
    let paragraphs = split_at_newlines(text.trim_matches(is_space), 2);
    let (copies, copied) = table.duplicates(&paragraphs);
    if gauge.above(para_frac.0, ratio(copies, paragraphs.len()), para_frac.1)
        || gauge.above(para_char_frac.0, ratio(copied, characters), para_char_frac.1)
    {
        return true;
    }
    let lines = split_at_newlines(text, 1);
    let (copies, copied) = table.duplicates(&lines);
    if gauge.above(line_frac.0, ratio(copies, lines.len()), line_frac.1)
        || gauge.above(line_char_frac.0, ratio(copied, characters), line_char_frac.1)
    {
        return true;
    }
    table.load(text, words, grams::Same::Letters);
    for (n, rule, threshold) in config.top() {
        if gauge.wants(threshold)
            && let Some(length) = table.top(n)
            && gauge.above(rule, ratio(length, characters), threshold)
        {
            return true;
        }
    }
    // Words that repeat no run of n repeat no longer run.
    let mut some = true;
    for (n, rule, threshold) in config.repeated() {
        if !gauge.wants(threshold) {
            continue;
        }
        let repeated = if some { table.repeated(n) } else { 0 };
        if gauge.above(rule, ratio(repeated, characters), threshold) {
            return true;
        }
        some = repeated > 0;
        if !some && !gauge.scores() {
            break;
        }
    }
    false
}

/// Cuts at every run of at least `least` newlines; ends that are empty count, as in Python's `re.split`.
fn split_at_newlines(text: &str, least: usize) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = memchr::memchr(b'\n', &bytes[at..]) {
        let newline = at + found;
        at = newline + bytes[newline..].iter().take_while(|&&byte| byte == b'\n').count();
        if at - newline >= least {
            pieces.push(&text[start..newline]);
            start = at;
        }
    }
    pieces.push(&text[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::testing;

    fn judge_text(text: &str) -> Option<(String, String)> {
        testing::drop(&GopherRepetitionConfig::default(), text)
    }

    #[test]
    fn pieces_are_cut_as_a_regular_expression_would() {
        assert_eq!(split_at_newlines("\na\n\nb\nc\n", 1), ["", "a", "b", "c", ""]);
        assert_eq!(split_at_newlines("a\n\n\nb\nc", 2), ["a", "b\nc"]);
    }

    #[test]
    fn each_kind_of_repetition_has_its_name() {
        let drop = |text: &str| judge_text(text).map(|(rule, _)| rule);
        assert_eq!(judge_text("yes\nno\nyes\nyes"), Some(("dup_line_frac".into(), "0.5000".into())));
        assert_eq!(drop("p one\n\np one\n\np two").as_deref(), Some("dup_para_frac"));
        assert_eq!(
            drop("a\nb\nc\na rather long line of text\na rather long line of text").as_deref(),
            Some("dup_line_char_frac")
        );
        assert_eq!(drop("just two words or three").as_deref(), Some("top_2_gram"));
        let run = "one more run of words that will come back again after some other lines ";
        let filler = (0..40).map(|n| format!("w{n} x{n}")).collect::<Vec<_>>().join(" ") + " ";
        assert_eq!(drop(&format!("{run}{filler}{run}{run}{run}")).as_deref(), Some("duplicated_5_n_grams"));
        assert_eq!(drop(&filler), None);
    }
}
