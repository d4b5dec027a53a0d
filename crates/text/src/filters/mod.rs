//! Published rules that say which documents are text worth learning from.
//!
//! ```text
//! document ─▶ words (split once) ─▶ gopher-repetition ─▶ gopher-quality ─▶ c4 (edits lines) ─▶ fineweb ─▶ keep
//!                                        └──── the first rule that fails names the drop ────┘
//! ```
//!
//! A rule set is one file: its configuration, its rules with their reference, and its tests; and one line in
//! [`RuleSet::judge`]. "Gopher" means different things to different projects, so thresholds come in named profiles.

mod c4;
mod fineweb;
mod gopher_quality;
mod gopher_repetition;
mod grams;

use orchestrator_core::{Decision, Document, Note};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use c4::C4Config;
pub use fineweb::FinewebConfig;
pub use gopher_quality::GopherQualityConfig;
pub use gopher_repetition::GopherRepetitionConfig;

use crate::step::{ConfigError, Languages, Step, applies};
use crate::words::{Span, Splitter};

/// Whose reading of the published rules is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// datatrove's, with which FineWeb was made: only extra copies count as duplicates, words are spaCy's.
    #[default]
    Datatrove,
}

/// A published set of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleSet {
    /// Repeated paragraphs, lines and n-grams (Gopher).
    GopherRepetition,
    /// Counts and lengths of words, symbols, bullets, stop words (Gopher).
    GopherQuality,
    /// Lines that are no prose go; documents of too few sentences go (C4).
    C4,
    /// Line ends, short lines, repeated lines, lists (FineWeb).
    Fineweb,
}

/// Which rules judge documents, in which order, with which thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// Whose reading of the rules is followed.
    pub profile: Profile,
    /// The rule sets, in order; the first rule that fails names the drop.
    pub rules: Vec<RuleSet>,
    /// Thresholds of `gopher-repetition`.
    pub gopher_repetition: GopherRepetitionConfig,
    /// Thresholds of `gopher-quality`.
    pub gopher_quality: GopherQualityConfig,
    /// Options of `c4`.
    pub c4: C4Config,
    /// Thresholds of `fineweb`.
    pub fineweb: FinewebConfig,
    /// Languages to judge; the rules' own, English, where not given. Other documents pass untouched.
    pub languages: Languages,
    /// Writes this stage's documents even where the next stage could read them in passing.
    pub keep: bool,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            rules: vec![RuleSet::GopherRepetition, RuleSet::GopherQuality, RuleSet::C4, RuleSet::Fineweb],
            gopher_repetition: GopherRepetitionConfig::default(),
            gopher_quality: GopherQualityConfig::default(),
            c4: C4Config::default(),
            fineweb: FinewebConfig::default(),
            languages: None,
            keep: false,
        }
    }
}

/// The largest value of a threshold on a share of something.
const SHARE: f64 = 1.0;
/// For thresholds on what there can be any number of for each word.
const UNBOUNDED: f64 = f64::INFINITY;

impl FilterConfig {
    /// Checks what the types cannot say.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.rules.is_empty() {
            return Err(ConfigError::new("rules", "is empty: expected at least one, or no such key"));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if self.rules[..index].contains(rule) {
                return Err(ConfigError::new(
                    format!("rules[{index}]"),
                    "is named twice; expected each rule set once",
                ));
            }
        }
        let shares = self.gopher_repetition.shares().into_iter().map(|(key, value)| (key, value, SHARE));
        let thresholds = shares
            .map(|threshold| ("gopher_repetition", threshold))
            .chain(self.gopher_quality.thresholds().map(|threshold| ("gopher_quality", threshold)))
            .chain(self.fineweb.thresholds().map(|threshold| ("fineweb", threshold)));
        for (set, (key, value, most)) in thresholds {
            let Some(value) = value else { continue };
            if !(value.is_finite() && (0.0..=most).contains(&value)) {
                let expected = if most.is_finite() { "0 to 1" } else { "a number that is not negative" };
                return Err(ConfigError::new(
                    format!("{set}.{key}"),
                    format!("is {value}; expected {expected}"),
                ));
            }
        }
        self.gopher_quality.validate()?;
        self.c4.validate()
    }
}

/// A document's text with its words, as one rule set hands it to the next.
struct View<'a> {
    text: &'a str,
    words: &'a [Span],
    /// Characters of `text`.
    characters: usize,
    splitter: Splitter,
}

/// What a rule set that edits leaves: the new text and its words.
struct Edited {
    text: String,
    words: Vec<Span>,
}

/// The verdict of one rule set.
enum Verdict {
    Keep,
    Edit(Edited),
    Drop(Decision),
}

impl From<Option<Decision>> for Verdict {
    fn from(drop: Option<Decision>) -> Self {
        drop.map_or(Self::Keep, Self::Drop)
    }
}

impl RuleSet {
    /// The table of rule sets.
    fn judge(
        self,
        config: &FilterConfig,
        view: &View<'_>,
        grams: &mut grams::Table,
        notes: &mut Vec<Note>,
    ) -> Verdict {
        match self {
            Self::GopherRepetition => gopher_repetition::judge(&config.gopher_repetition, view, grams).into(),
            Self::GopherQuality => gopher_quality::judge(&config.gopher_quality, view).into(),
            Self::C4 => c4::judge(&config.c4, view, notes),
            Self::Fineweb => fineweb::judge(&config.fineweb, view, grams).into(),
        }
    }
}

/// Judges documents by the rule sets of a configuration.
pub struct FilterStep {
    config: FilterConfig,
    words: Vec<Span>,
    grams: grams::Table,
}

impl FilterStep {
    /// Checks the configuration and makes the step.
    pub fn new(config: &FilterConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config: config.clone(), words: Vec::new(), grams: grams::Table::default() })
    }
}

impl Step for FilterStep {
    fn apply(&mut self, document: &mut Document, notes: &mut Vec<Note>) -> Decision {
        if !applies(&self.config.languages, Some("en"), document) {
            return Decision::Keep;
        }
        let splitter = Splitter::for_language(document.language.as_deref());
        let noted = notes.len();
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        splitter.split_into(&document.text, &mut words);
        let mut decision = Decision::Keep;
        for rules in &self.config.rules {
            let text = &document.text;
            let view = View { text, words: &words, characters: character_count(text), splitter };
            match rules.judge(&self.config, &view, &mut self.grams, notes) {
                Verdict::Keep => {}
                Verdict::Edit(edited) => {
                    document.text = edited.text;
                    words = edited.words;
                }
                Verdict::Drop(drop) => {
                    // Notes tell of documents that go on.
                    notes.truncate(noted);
                    decision = drop;
                    break;
                }
            }
        }
        self.words = words;
        decision
    }
}

/// Characters of a text; a cheap count for ASCII, since every rule divides by it.
fn character_count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// Drops by `rule` where `measured` is above the threshold. A rule without a threshold is off.
fn above(rule: &'static str, measured: f64, threshold: Option<f64>) -> Option<Decision> {
    threshold.is_some_and(|threshold| measured > threshold).then(|| dropped(rule, measured))
}

/// Drops by `rule` where `measured` is below the threshold.
fn below(rule: &'static str, measured: f64, threshold: Option<f64>) -> Option<Decision> {
    threshold.is_some_and(|threshold| measured < threshold).then(|| dropped(rule, measured))
}

/// A drop whose value a person can read: whole numbers as such, ratios with four decimals.
fn dropped(rule: &'static str, measured: f64) -> Decision {
    if measured.fract() == 0.0 {
        Decision::drop(rule, measured)
    } else {
        Decision::drop(rule, format_args!("{measured:.4}"))
    }
}

/// `count` ÷ `of`, where nothing of nothing is none of it.
fn ratio(count: usize, of: usize) -> f64 {
    if count == 0 { 0.0 } else { count as f64 / of as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROSE: &str = "The river rose slowly that spring, and the people of the valley watched it with care. \
        Every morning a child walked down to the old stone bridge to read the marks that were cut into its side. \
        She wrote each number in a small book, because her father had asked her to, and he was not there to ask why. \
        In May the water reached the seventh mark. Nobody living had seen it so high, though the oldest house kept \
        a line on its kitchen wall. They moved the animals to the hill, carried what they could, and waited together.";

    fn judge(config: &FilterConfig, text: &str) -> (Decision, Document, Vec<Note>) {
        let mut document = Document::new("test", 0, text);
        let mut notes = Vec::new();
        let decision =
            FilterStep::new(config).expect("a valid configuration").apply(&mut document, &mut notes);
        (decision, document, notes)
    }

    #[test]
    fn plain_prose_passes_all_rules_unedited() {
        let (decision, document, notes) = judge(&FilterConfig::default(), PROSE);
        assert_eq!((decision, document.text.as_str(), notes.len()), (Decision::Keep, PROSE, 0));
    }

    #[test]
    fn the_first_failing_rule_set_names_the_drop() {
        let drop = |config: &FilterConfig, text: &str| match judge(config, text).0 {
            Decision::Drop(reason) => reason.rule.into_owned(),
            Decision::Keep => "kept".to_owned(),
        };
        let default = FilterConfig::default();
        assert_eq!(drop(&default, PROSE), "kept");
        assert_eq!(drop(&default, ""), "empty");
        assert_eq!(drop(&default, "A short note."), "top_2_gram");
        let quality = FilterConfig { rules: vec![RuleSet::GopherQuality], ..FilterConfig::default() };
        assert_eq!(drop(&quality, "A short note."), "gopher_short_doc");
    }

    #[test]
    fn later_rules_see_the_text_that_c4_leaves_and_a_drop_leaves_no_notes() {
        let text = format!("Menu\n\n{PROSE}\n{PROSE} Enable javascript now please.\n");
        let config = FilterConfig { rules: vec![RuleSet::C4, RuleSet::Fineweb], ..FilterConfig::default() };
        let (decision, document, notes) = judge(&config, &text);
        assert_eq!((decision, document.text.as_str()), (Decision::Keep, PROSE));
        let spans: Vec<_> = notes.iter().map(|note| (note.rule.as_ref(), note.start, note.end)).collect();
        assert_eq!(
            spans,
            [("few_words_line", 0, 4), ("javascript_line", 7 + PROSE.len() as u64, text.len() as u64 - 1),]
        );
        let strict = FilterConfig {
            fineweb: FinewebConfig {
                short_line_ratio: Some(0.0),
                short_line_length: 9999,
                ..FinewebConfig::default()
            },
            ..config
        };
        let (decision, _, notes) = judge(&strict, &text);
        assert!(!decision.is_keep() && notes.is_empty());
    }

    #[test]
    fn other_languages_pass_unless_named() {
        let mut document = Document { language: Some("de".into()), ..Document::new("test", 0, "Kurz.") };
        let mut step = FilterStep::new(&FilterConfig::default()).expect("valid");
        assert!(step.apply(&mut document, &mut Vec::new()).is_keep());
        let named = FilterConfig { languages: Some(vec!["de".into()]), ..FilterConfig::default() };
        assert!(!FilterStep::new(&named).expect("valid").apply(&mut document, &mut Vec::new()).is_keep());
    }

    #[test]
    fn wrong_values_are_named_by_key() {
        let twice = FilterConfig { rules: vec![RuleSet::C4, RuleSet::C4], ..FilterConfig::default() };
        assert_eq!(twice.validate().expect_err("twice").key, "rules[1]");
        let negative = FilterConfig {
            fineweb: FinewebConfig { list_ratio: Some(-1.0), ..FinewebConfig::default() },
            ..FilterConfig::default()
        };
        assert_eq!(negative.validate().expect_err("negative").key, "fineweb.list_ratio");
        let none = FilterConfig { rules: vec![], ..FilterConfig::default() };
        assert_eq!(none.validate().expect_err("no rules").key, "rules");
    }

    #[test]
    fn thresholds_that_no_document_can_pass_or_fail_are_refused() {
        let error = |config: FilterConfig| config.validate().expect_err("an impossible value").to_string();
        let repetition = |dup_line_frac| FilterConfig {
            gopher_repetition: GopherRepetitionConfig {
                dup_line_frac: Some(dup_line_frac),
                ..GopherRepetitionConfig::default()
            },
            ..FilterConfig::default()
        };
        assert_eq!(error(repetition(7.0)), "`gopher_repetition.dup_line_frac`: is 7; expected 0 to 1");
        assert!(repetition(1.0).validate().is_ok() && repetition(0.0).validate().is_ok());
        let quality = |gopher_quality| FilterConfig { gopher_quality, ..FilterConfig::default() };
        let gopher = GopherQualityConfig::default;
        for (config, expected) in [
            (
                GopherQualityConfig { gopher_below_alpha_threshold: Some(2.0), ..gopher() },
                "`gopher_quality.gopher_below_alpha_threshold`: is 2; expected 0 to 1",
            ),
            (
                GopherQualityConfig { gopher_short_doc: Some(500), gopher_long_doc: Some(10), ..gopher() },
                "`gopher_quality.gopher_long_doc`: is 10; expected 500 or more: `gopher_short_doc` drops what has fewer words",
            ),
            (
                GopherQualityConfig { gopher_short_doc: None, gopher_long_doc: Some(0), ..gopher() },
                "`gopher_quality.gopher_long_doc`: is 0; expected 1 or more",
            ),
            (
                GopherQualityConfig { gopher_above_avg_threshold: Some(2.5), ..gopher() },
                "`gopher_quality.gopher_above_avg_threshold`: is 2.5; expected 3 or more, which is `gopher_below_avg_threshold`",
            ),
            (
                GopherQualityConfig { gopher_enough_stop_words: Some(9), ..gopher() },
                "`gopher_quality.gopher_enough_stop_words`: is 9; expected at most 8, for there are no more `stop_words`",
            ),
        ] {
            assert_eq!(error(quality(config)), expected);
        }
        // What is counted for each word can be there more often than words are.
        let many = GopherQualityConfig { gopher_too_many_hashes: Some(2.0), ..gopher() };
        assert!(quality(many).validate().is_ok());
        let c4 = C4Config { max_word_length: Some(0), ..C4Config::default() };
        let all_lines = error(FilterConfig { c4, ..FilterConfig::default() });
        assert_eq!(all_lines, "`c4.max_word_length`: is 0; expected 1 or more, or null");
    }
}
