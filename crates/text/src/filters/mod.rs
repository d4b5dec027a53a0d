//! Published rules that say which documents are text worth learning from.
//!
//! ```text
//! document ─▶ words (split once) ─▶ gopher-repetition ─▶ gopher-quality ─▶ c4 (edits lines) ─▶ fineweb ─▶ keep
//!                                        └──── the first rule that fails names the drop ────┘
//! ```
//!
//! A rule set is one file: its configuration, its rules with their reference, and its tests; and one row in the
//! [table]. "Gopher" means different things to different projects, so a set says whose reading it is, and a [`Profile`]
//! names a project's sets in its order.

mod c4;
mod curator;
mod dclm;
mod dolma;
mod fineweb;
mod fineweb_2;
mod gauge;
mod gopher_quality;
mod gopher_repetition;
mod grams;
mod replay;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod url;

use std::sync::Arc;

use orchestrator_core::{Decision, Document, Note};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use c4::C4Config;
pub use curator::CuratorConfig;
pub use dclm::DclmConfig;
pub use dolma::{DolmaC4Config, DolmaGopherConfig};
pub use fineweb::FinewebConfig;
pub use fineweb_2::{Fineweb2Config, Fineweb2Language};
pub use gopher_quality::GopherQualityConfig;
pub use gopher_repetition::GopherRepetitionConfig;
pub use replay::Replay;
pub use table::{FilterConfig, RuleSet};
pub use url::UrlConfig;

use self::gauge::{Gauge, Measures, Rule};
use crate::files::{FileError, Files, NoFiles};
use crate::step::{ConfigError, Step, applies};
use crate::words::{Span, Splitter};

/// Whose reading of the published rules is followed: the rule sets that judge where `rules` are not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// datatrove's, with which FineWeb was made: `gopher-repetition`, `gopher-quality`, `c4`, `fineweb`.
    #[default]
    Datatrove,
    /// FineWeb-2's, for other languages than English: `fineweb-2`.
    #[serde(rename = "fineweb-2")]
    Fineweb2,
    /// Dolma's, for its web part: `dolma-gopher`, `dolma-c4`.
    Dolma,
    /// DCLM-Baseline's: `dclm`.
    Dclm,
    /// NeMo Curator's, for English: `curator`.
    Curator,
}

impl Profile {
    /// The sets of rules, in the project's order.
    pub fn rules(self) -> &'static [RuleSet] {
        match self {
            Self::Datatrove => {
                &[RuleSet::GopherRepetition, RuleSet::GopherQuality, RuleSet::C4, RuleSet::Fineweb]
            }
            Self::Fineweb2 => &[RuleSet::Fineweb2],
            Self::Dolma => &[RuleSet::DolmaGopher, RuleSet::DolmaC4],
            Self::Dclm => &[RuleSet::Dclm],
            Self::Curator => &[RuleSet::Curator],
        }
    }
}

/// What a rule set's configuration does for its stage.
trait RuleConfig {
    /// Thresholds by key: numbers that may not be negative.
    fn thresholds(&self) -> Vec<(&'static str, Option<f64>)>;

    /// Those of the thresholds that are on a share of something, and so at most 1; of what there can be any number of for
    /// each word there can be more.
    fn shares(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks what the types cannot say beyond that.
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Every path that the options name, with its key.
    fn locations(&mut self) -> Vec<(String, &mut String)> {
        Vec::new()
    }

    /// Writes out what options stand for, paths being absolute.
    fn resolve(&mut self) {}

    /// Whether the rules change texts, and so where the notes of a second set would point.
    fn edits(&self) -> bool {
        false
    }

    /// Keys beside those of thresholds whose change can be seen in what was measured.
    fn movable(&self) -> &'static [&'static str] {
        &[]
    }

    /// Makes the rules ready to judge; reads the files that the options name.
    fn build(&self, files: &dyn Files) -> Result<Box<dyn Rules>, FileError>;

    /// Makes the rules ready to say what they are, though not to judge: lists need not be read for that.
    fn build_thresholds(&self, files: &dyn Files) -> Result<Box<dyn Rules>, FileError> {
        self.build(files)
    }
}

/// A set of rules that is ready to judge, shared by all tasks of a process.
trait Rules: Send + Sync {
    /// The language that the rules are written for; documents in others pass unless the stage names them.
    fn language(&self) -> Option<&'static str> {
        Some("en")
    }

    /// How words of a document in a language are cut for the view, if the rules look at any.
    fn splitter(&self, language: Option<&str>) -> Option<Splitter> {
        Some(Splitter::for_language(language))
    }

    /// The rules for documents in a language, in the order in which they judge. Names and columns are the same for all.
    fn rules(&self, language: Option<&str>) -> Vec<Rule>;

    /// Measures a document, in the order of [`Self::rules`]: the gauge takes what is found, and says where to end.
    fn judge(
        &self,
        view: &View<'_>,
        scratch: &mut Scratch,
        gauge: &mut Gauge<'_>,
        notes: &mut Vec<Note>,
    ) -> Verdict;
}

impl FilterConfig {
    /// The sets that judge, in order.
    pub fn rules(&self) -> &[RuleSet] {
        self.rules.as_deref().unwrap_or(self.profile.rules())
    }

    /// Checks what the types cannot say.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules = self.rules();
        if rules.is_empty() {
            return Err(ConfigError::new("rules", "is empty: expected at least one, or no such key"));
        }
        let mut editing = None;
        for (index, set) in rules.iter().enumerate() {
            let wrong = |message: String| Err(ConfigError::new(format!("rules[{index}]"), message));
            if rules[..index].contains(set) {
                return wrong("is named twice; expected each rule set once".to_owned());
            }
            let options = self.options(*set);
            if options.edits()
                && let Some(first) = editing.replace(*set)
            {
                let (first, second) = (RuleSet::name(first), set.name());
                return wrong(format!(
                    "both `{first}` and `{second}` edit texts: expected one of them, and the other in a `filter` of its own"
                ));
            }
            let within =
                |error: ConfigError| ConfigError::new(format!("{}.{}", set.key(), error.key), error.message);
            options.validate().map_err(within)?;
            for (key, value) in options.thresholds() {
                let Some(value) = value else { continue };
                let (most, expected) = if options.shares().contains(&key) {
                    (1.0, "0 to 1")
                } else {
                    (f64::MAX, "a number that is not negative")
                };
                if !(0.0..=most).contains(&value) {
                    return Err(within(ConfigError::new(key, format!("is {value}; expected {expected}"))));
                }
            }
        }
        let stray = RuleSet::ALL.iter().find(|set| !rules.contains(set) && self.is_given(**set));
        if let Some(set) = stray {
            let named: Vec<String> = rules.iter().map(|set| format!("`{}`", set.name())).collect();
            return Err(ConfigError::new(
                set.key(),
                format!("is given, but `{}` is not among the rules: {}", set.name(), named.join(", ")),
            ));
        }
        Ok(())
    }

    /// Writes out what the profile stands for: the rule sets and their options.
    pub fn resolve(&mut self) {
        let rules = self.rules().to_vec();
        for set in &rules {
            self.write_out(*set);
        }
        self.rules = Some(rules);
    }
}

/// A document as one rule set after the other sees it.
struct View<'a> {
    text: &'a str,
    /// Where it was fetched from, where known.
    url: Option<&'a str>,
    language: Option<&'a str>,
    /// The words, cut as the set asked for.
    words: &'a [Span],
    splitter: Splitter,
    /// Characters of `text`.
    characters: usize,
}

/// What a rule set that edits leaves: the new text, and its words where it knows them.
struct Edited {
    text: String,
    words: Option<Vec<Span>>,
}

/// What one rule set does to a text. Whether the document is dropped the gauge knows.
enum Verdict {
    Keep,
    Edit(Edited),
}

/// Space that one document after the other uses. No document may leave anything in it for the next.
#[derive(Default)]
struct Scratch {
    grams: grams::Table,
    words: Vec<Span>,
}

/// Why a filter cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that it names is wrong.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A rule set in its place.
struct Set {
    name: RuleSet,
    rules: Box<dyn Rules>,
    /// Columns of its measures.
    columns: Vec<&'static str>,
}

impl Set {
    fn new(name: RuleSet, rules: Box<dyn Rules>) -> Self {
        let columns = gauge::columns(&rules.rules(None));
        Self { name, rules, columns }
    }
}

/// The columns of all sets, in order: `gopher_quality.gopher_short_doc`.
fn columns(sets: &[Set]) -> Vec<String> {
    let of_set = |set: &Set| {
        let key = set.name.key();
        set.columns.iter().map(move |column| format!("{key}.{column}")).collect::<Vec<_>>()
    };
    sets.iter().flat_map(of_set).collect()
}

/// The rule sets of a configuration, ready to judge: built once, shared by every task of a process.
pub struct Filter {
    languages: crate::step::Languages,
    sets: Vec<Set>,
}

impl Filter {
    /// Checks a configuration and reads the files that it names.
    pub fn new(config: &FilterConfig, files: &dyn Files) -> Result<Self, FilterError> {
        config.validate()?;
        let build = |set: &RuleSet| config.options(*set).build(files).map(|rules| Set::new(*set, rules));
        let sets = config.rules().iter().map(build).collect::<Result<_, _>>()?;
        Ok(Self { languages: config.languages.clone(), sets })
    }
}

/// Judges documents by the rule sets of a filter.
pub struct FilterStep {
    filter: Arc<Filter>,
    words: Vec<Span>,
    scratch: Scratch,
}

impl From<Arc<Filter>> for FilterStep {
    fn from(filter: Arc<Filter>) -> Self {
        Self { filter, words: Vec::new(), scratch: Scratch::default() }
    }
}

impl FilterStep {
    /// Makes the step of a configuration that names no files.
    pub fn new(config: &FilterConfig) -> Result<Self, FilterError> {
        Filter::new(config, &NoFiles).map(|filter| Arc::new(filter).into())
    }
}

impl FilterStep {
    /// Judges a document. With a `row`, whose values are those of [`Filter`]'s columns, every rule is measured, and the
    /// first that fails has the same say.
    fn judge(
        &mut self,
        document: &mut Document,
        notes: &mut Vec<Note>,
        mut row: Option<&mut [Option<f64>]>,
    ) -> Decision {
        let noted = notes.len();
        let mut words = std::mem::take(&mut self.words);
        // How `words` were cut, while they are those of the text.
        let mut cut = None;
        let mut decision = Decision::Keep;
        // The text as it was when the document was dropped, where later rules were measured on another.
        let mut dropped_text = None;
        for set in &self.filter.sets {
            let (of_set, rest) = match row.take() {
                Some(row) => {
                    let (of_set, rest) = row.split_at_mut(set.columns.len());
                    (Some(of_set), Some(rest))
                }
                None => (None, None),
            };
            row = rest;
            if !applies(&self.filter.languages, set.rules.language(), document) {
                continue;
            }
            let splitter = set.rules.splitter(document.language.as_deref());
            if let Some(splitter) = splitter
                && cut != Some(splitter)
            {
                words.clear();
                splitter.split_into(&document.text, &mut words);
                cut = Some(splitter);
            }
            let view = View {
                text: &document.text,
                url: document.url.as_deref(),
                language: document.language.as_deref(),
                words: if splitter.is_some() { &words } else { &[] },
                splitter: splitter.unwrap_or_default(),
                characters: character_count(&document.text),
            };
            let scores = of_set.is_some();
            let measures = of_set.map(|row| Measures { names: &set.columns, row });
            let mut gauge = measures.map_or_else(Gauge::default, Gauge::scoring);
            let verdict = set.rules.judge(&view, &mut self.scratch, &mut gauge, notes);
            if let Some(drop) = gauge.into_drop()
                && decision.is_keep()
            {
                decision = drop;
                if !scores {
                    break;
                }
            }
            if let Verdict::Edit(edited) = verdict {
                let before = std::mem::replace(&mut document.text, edited.text);
                if !decision.is_keep() {
                    dropped_text.get_or_insert(before);
                }
                match edited.words {
                    Some(left) => words = left,
                    None => cut = None,
                }
            }
        }
        if !decision.is_keep() {
            // Notes tell of documents that go on.
            notes.truncate(noted);
        }
        if let Some(text) = dropped_text {
            document.text = text;
        }
        self.words = words;
        decision
    }
}

impl Step for FilterStep {
    fn apply(&mut self, document: &mut Document, notes: &mut Vec<Note>) -> Decision {
        self.judge(document, notes, None)
    }

    fn columns(&self) -> Vec<String> {
        columns(&self.filter.sets)
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

/// Characters of a text; a cheap count for ASCII, since every rule divides by it.
fn character_count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
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
