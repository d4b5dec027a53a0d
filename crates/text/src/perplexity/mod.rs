//! How expected a text is to an n-gram model: its perplexity, and bounds or a fraction to keep.

use std::sync::Arc;

use orchestrator_core::{Decision, Document, Note};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ngram::{ArpaError, Model, Scratch, Smoothing, Tokens, TrainConfig};
use crate::scored;
use crate::step::{Better, ConfigError, Languages, Ranking, Scorer, Step, applies};

/// The metadata key that documents get.
const KEY: &str = "perplexity";
/// The column of the perplexity among what stages measure.
pub const PERPLEXITY: &str = "perplexity";

/// Scores documents by an n-gram model and drops them by the rules `perplexity_too_high`, `perplexity_too_low` and, with
/// `keep_fraction`, `perplexity`; the value is the perplexity.
///
/// Every line with words is a sentence. Perplexity is the inverse of the geometric mean of the words' probabilities, ends
/// of sentences and unknown words included, as CCNet computes it; documents that go on carry it in `metadata` as
/// `perplexity`. A text without words has none, and is kept. Exactly one of `model` and `train`. CCNet keeps the third
/// with the lowest perplexity as its "head"; very low values are text that repeats itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerplexityConfig {
    /// An n-gram model in ARPA format, as KenLM, SRILM and this stage's own training write it.
    pub model: Option<String>,
    /// Train the model as a part of this job.
    pub train: Option<PerplexityTraining>,
    /// How lines are cut into the words of the model.
    pub tokens: Tokens,
    /// The largest model that is read, in n-grams; each takes 16 bytes of memory and its share of a hash table.
    pub max_ngrams: u64,
    /// Documents of a higher perplexity are dropped.
    pub max_perplexity: Option<f64>,
    /// Documents of a lower perplexity are dropped.
    pub min_perplexity: Option<f64>,
    /// Keep this fraction of the documents, those of the lowest perplexity; the cut is made after all were scored.
    pub keep_fraction: Option<f64>,
    /// Judge only documents in these languages.
    pub languages: Languages,
    /// Write this stage's documents even where it is fused with its neighbours.
    pub keep: bool,
    /// Write each document's perplexity (`scores-NNNNN.parquet`), also of those that are dropped, for `orchestrator refilter`.
    pub scores: bool,
}

/// Texts and options to train an n-gram model with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerplexityTraining {
    /// Files of texts as all should be: each line a sentence.
    pub paths: Vec<String>,
    /// The longest n-gram, 1 to 8.
    pub order: u32,
    /// How probability is moved from what was seen to what was not.
    pub smoothing: Smoothing,
    /// Occurrences that `laplace` adds to every context.
    pub pseudo_count: f64,
    /// Words rarer than this count as unknown.
    pub min_word_count: u32,
    /// n-grams of two words and more that are rarer than this are left out.
    pub min_count: u32,
    /// The most distinct n-grams that are counted, 60 bytes of memory each; more of them fail the job.
    pub max_ngrams: u64,
}

impl Default for PerplexityConfig {
    fn default() -> Self {
        Self {
            model: None,
            train: None,
            tokens: Tokens::default(),
            max_ngrams: 50_000_000,
            max_perplexity: None,
            min_perplexity: None,
            keep_fraction: None,
            languages: None,
            keep: false,
            scores: false,
        }
    }
}

impl Default for PerplexityTraining {
    fn default() -> Self {
        let options = TrainConfig::default();
        Self {
            paths: Vec::new(),
            order: options.order,
            smoothing: options.smoothing,
            pseudo_count: options.pseudo_count,
            min_word_count: options.min_word_count,
            min_count: options.min_count,
            max_ngrams: options.max_ngrams,
        }
    }
}

impl PerplexityTraining {
    /// The trainer's options.
    pub fn options(&self, tokens: Tokens) -> TrainConfig {
        TrainConfig {
            order: self.order,
            smoothing: self.smoothing,
            pseudo_count: self.pseudo_count,
            min_word_count: self.min_word_count,
            min_count: self.min_count,
            max_ngrams: self.max_ngrams,
            tokens,
        }
    }
}

impl PerplexityConfig {
    /// Refuses what contradicts itself.
    pub fn validate(&self) -> Result<(), ConfigError> {
        scored::check_model(self.model.is_some(), self.train.is_some())?;
        if let Some(train) = &self.train {
            scored::check_examples("train.paths", &train.paths)?;
            let options = train.options(self.tokens);
            options.validate().map_err(|error| ConfigError::new("train", error.to_string()))?;
            if train.max_ngrams > self.max_ngrams {
                let most = self.max_ngrams;
                let message = format!(
                    "{} is above the stage's own, {most}: the model would not be read",
                    train.max_ngrams
                );
                return Err(ConfigError::new("train.max_ngrams", message));
            }
        }
        for (key, value) in [("max_perplexity", self.max_perplexity), ("min_perplexity", self.min_perplexity)]
        {
            if let Some(value) = value.filter(|value| !value.is_finite() || *value < 1.0) {
                return Err(ConfigError::new(key, format!("{value} is out of range: expected 1 or more")));
            }
            scored::check_alone("keep_fraction", self.keep_fraction.is_some(), &[(key, value.is_some())])?;
        }
        if let (Some(least), Some(most)) = (self.min_perplexity, self.max_perplexity)
            && least > most
        {
            let message = format!("{least} is above `max_perplexity`, {most}: nothing would be kept");
            return Err(ConfigError::new("min_perplexity", message));
        }
        scored::check_keep_fraction(self.keep_fraction)?;
        Ok(())
    }

    /// How documents are ranked where a fraction of them is kept.
    pub fn ranking(&self) -> Option<Ranking> {
        self.keep_fraction.map(|fraction| Ranking {
            fraction,
            rule: "perplexity",
            column: PERPLEXITY,
            better: Better::Lower,
            record,
        })
    }

    /// What is said of a perplexity by the two bounds.
    pub fn verdict(&self, perplexity: f32) -> Decision {
        if self.max_perplexity.is_some_and(|most| f64::from(perplexity) > most) {
            return Decision::drop("perplexity_too_high", perplexity);
        }
        if self.min_perplexity.is_some_and(|least| f64::from(perplexity) < least) {
            return Decision::drop("perplexity_too_low", perplexity);
        }
        Decision::Keep
    }
}

fn record(document: &mut Document, perplexity: f32) {
    // The shortest form that reads back as the same `f32`, not that of the `f64` beside it.
    let value = perplexity.to_string().parse::<f64>().unwrap_or(f64::from(perplexity));
    document.set_metadata(KEY, value.into());
}

/// Why the step cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PerplexityError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model cannot be read.
    #[error("`model`: {0}")]
    Model(#[from] ArpaError),
}

/// The `perplexity` stage, where it judges by value; where a fraction is kept, its scorer.
pub struct PerplexityStep {
    config: PerplexityConfig,
    model: Arc<Model>,
    scratch: Scratch,
}

impl PerplexityStep {
    /// Builds the stage; `model` is the content of the model's file, given or trained.
    pub fn new(config: &PerplexityConfig, model: &[u8]) -> Result<Self, PerplexityError> {
        let model = Model::read_arpa(model, config.max_ngrams)?;
        Self::with_model(config, Arc::new(model))
    }

    /// Builds the stage on a model that others may use too.
    pub fn with_model(config: &PerplexityConfig, model: Arc<Model>) -> Result<Self, PerplexityError> {
        config.validate()?;
        // Who reads a model for several stages reads it under the bound of one of them.
        let (found, most) = (model.ngrams(), config.max_ngrams);
        if found > most {
            return Err(ArpaError::TooMany { found, most }.into());
        }
        Ok(Self { config: config.clone(), model, scratch: Scratch::default() })
    }
}

impl Scorer for PerplexityStep {
    fn score(&mut self, document: &Document) -> Option<f32> {
        if !applies(&self.config.languages, None, document) {
            return None;
        }
        let score = self.model.score(&document.text, self.config.tokens, &mut self.scratch);
        score.perplexity().map(|perplexity| (perplexity as f32).min(f32::MAX))
    }
}

impl PerplexityStep {
    /// The decision on a document, and its perplexity where it has one.
    fn judge(&mut self, document: &mut Document) -> (Decision, Option<f32>) {
        let Some(perplexity) = self.score(document) else { return (Decision::Keep, None) };
        let decision = self.config.verdict(perplexity);
        if decision.is_keep() {
            record(document, perplexity);
        }
        (decision, Some(perplexity))
    }
}

impl Step for PerplexityStep {
    fn apply(&mut self, document: &mut Document, _notes: &mut Vec<Note>) -> Decision {
        self.judge(document).0
    }

    fn columns(&self) -> Vec<String> {
        vec![PERPLEXITY.to_owned()]
    }

    fn measure(
        &mut self,
        document: &mut Document,
        _notes: &mut Vec<Note>,
        row: &mut [Option<f64>],
    ) -> Decision {
        let (decision, perplexity) = self.judge(document);
        row.fill(perplexity.map(f64::from));
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ngram::train;

    fn step(config: PerplexityConfig) -> PerplexityStep {
        let texts = ["the cat sat on the mat\nthe dog sat on the log", "a cat and a dog sat on a mat"];
        let model = train(&texts, &TrainConfig { order: 3, ..TrainConfig::default() }).expect("texts");
        PerplexityStep::new(&PerplexityConfig { model: Some("a.arpa".into()), ..config }, &model)
            .expect("our own model")
    }

    fn judge(config: PerplexityConfig, text: &str) -> (Decision, Document) {
        let mut document = Document::new("a", 0, text);
        let decision = step(config).apply(&mut document, &mut Vec::new());
        (decision, document)
    }

    #[test]
    fn the_unexpected_drops_with_its_value() {
        let (decision, document) = judge(PerplexityConfig::default(), "the cat sat on the log");
        assert!(decision.is_keep());
        let metadata: serde_json::Value = serde_json::from_str(&document.metadata).expect("an object");
        let mut scorer = step(PerplexityConfig::default());
        let mut of = |text: &str| scorer.score(&Document::new("a", 0, text)).map(f64::from).expect("words");
        assert!((metadata[KEY].as_f64().expect("a number") - of("the cat sat on the log")).abs() < 1e-4);
        let (likely, unlikely) = (of("the cat sat"), of("zebras xylophone"));
        assert!(likely > 1.0 && likely < unlikely, "{likely} {unlikely}");
        let between = f64::midpoint(likely, unlikely);

        let config = |max, min| PerplexityConfig {
            max_perplexity: max,
            min_perplexity: min,
            ..PerplexityConfig::default()
        };
        let rule = |config, text: &str| match judge(config, text).0 {
            Decision::Keep => None,
            Decision::Drop(reason) => Some(reason.rule.into_owned()),
        };
        assert_eq!(rule(config(Some(between), None), "zebras xylophone"), Some("perplexity_too_high".into()));
        assert_eq!(rule(config(None, Some(between)), "the cat sat"), Some("perplexity_too_low".into()));
        assert_eq!(rule(config(Some(between), Some(1.0)), "the cat sat"), None);
        assert_eq!(rule(config(Some(1.0), None), " \n"), None, "no words, no perplexity");
    }

    #[test]
    fn what_is_measured_changes_no_verdict_and_tells_those_of_other_bounds() {
        let texts = ["the cat sat", "zebras xylophone", "a dog sat on the mat", " \n"];
        let bounds = [(None, None), (Some(20.0), None), (None, Some(8.0)), (Some(20.0), Some(8.0))];
        let config = |(max_perplexity, min_perplexity)| PerplexityConfig {
            max_perplexity,
            min_perplexity,
            ..PerplexityConfig::default()
        };
        let mut fates = std::collections::BTreeSet::new();
        for text in texts {
            let mut row = [None];
            let mut document = Document::new("a", 0, text);
            let measured = step(config(bounds[0])).measure(&mut document, &mut Vec::new(), &mut row);
            assert_eq!((measured, document), judge(config(bounds[0]), text));
            assert_eq!(row[0].is_none(), text.trim().is_empty());
            for bounds in bounds {
                let told =
                    row[0].map_or(Decision::Keep, |perplexity| config(bounds).verdict(perplexity as f32));
                assert_eq!(told, judge(config(bounds), text).0, "{text} {bounds:?}");
                fates.insert(format!("{told:?}").chars().take(60).collect::<String>());
            }
        }
        assert!(fates.len() >= 3, "kept, too high and too low: {fates:?}");
    }

    #[test]
    fn a_model_above_the_bound_is_refused_whoever_read_it() {
        let model = train(&["a b c"], &TrainConfig { order: 2, ..TrainConfig::default() }).expect("words");
        let model = Arc::new(Model::read_arpa(&model, 100).expect("our own model"));
        // Six words, <unk>, <s> and </s> among them, and four pairs.
        assert_eq!(model.ngrams(), 10);
        for (max_ngrams, fits) in [(10, true), (9, false)] {
            let config =
                PerplexityConfig { model: Some("a.arpa".into()), max_ngrams, ..PerplexityConfig::default() };
            assert_eq!(PerplexityStep::with_model(&config, Arc::clone(&model)).is_ok(), fits);
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let given = PerplexityConfig { model: Some("a".into()), ..PerplexityConfig::default() };
        let key = |config: PerplexityConfig| config.validate().expect_err("a contradiction").key;
        assert_eq!(key(PerplexityConfig::default()), "model");
        let train = || Some(PerplexityTraining::default());
        assert_eq!(key(PerplexityConfig { train: train(), ..given.clone() }), "train");
        assert_eq!(key(PerplexityConfig { train: train(), ..PerplexityConfig::default() }), "train.paths");
        let both = PerplexityConfig { max_perplexity: Some(9.0), keep_fraction: Some(0.1), ..given.clone() };
        assert_eq!(key(both), "keep_fraction");
        let none =
            PerplexityConfig { max_perplexity: Some(9.0), min_perplexity: Some(10.0), ..given.clone() };
        assert_eq!(key(none), "min_perplexity");
        assert_eq!(key(PerplexityConfig { max_perplexity: Some(0.5), ..given.clone() }), "max_perplexity");
        let texts = PerplexityTraining { paths: vec!["a".into()], ..PerplexityTraining::default() };
        let small = PerplexityConfig { train: Some(texts), max_ngrams: 1000, ..PerplexityConfig::default() };
        assert_eq!(key(small), "train.max_ngrams");
        assert!(given.validate().is_ok());
    }
}
