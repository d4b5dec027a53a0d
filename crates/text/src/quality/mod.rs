//! How good a document is, by a fastText classifier: a score, and a threshold or a fraction to keep.

use std::sync::Arc;

use orchestrator_core::{Decision, Document, Note};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fasttext::{self, Model, Scratch, TrainConfig};
use crate::step::{ConfigError, Languages, Step, applies};

/// Scores documents with a fastText classifier and drops the low ones by the rule `quality`, with the score.
///
/// Exactly one of `model` and `train`, and at most one of `threshold` and `keep_fraction`; with neither, documents are
/// only scored. DCLM used `label: __label__hq` and `threshold: 0.018112`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualityConfig {
    /// A supervised fastText model (`.bin` or `.ftz`).
    pub model: Option<String>,
    /// Train the model as a part of this job.
    pub train: Option<QualityTraining>,
    /// The label whose score is the document's.
    pub label: String,
    /// Documents that score under this are dropped.
    pub threshold: Option<f64>,
    /// Keep this fraction of the documents, the best ones; the cut is made after all were scored.
    pub keep_fraction: Option<f64>,
    /// Judge only documents in these languages.
    pub languages: Languages,
    /// Write this stage's documents even where it is fused with its neighbours.
    pub keep: bool,
}

/// Examples and options to train a quality classifier with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualityTraining {
    /// Files of good documents.
    pub positive: Vec<String>,
    /// Files of documents to tell them from.
    pub negative: Vec<String>,
    /// Length of the hidden vector.
    pub dimension: u32,
    /// Longest n-gram of words.
    pub word_ngrams: u32,
    /// Rows shared by hashed n-grams.
    pub bucket: u32,
    /// Words rarer than this are known only by their n-grams.
    pub min_count: u32,
    /// Passes over the examples.
    pub epochs: u32,
    /// Learning rate at the start; it falls in a straight line to 0.
    pub learning_rate: f64,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self {
            model: None,
            train: None,
            label: "__label__hq".to_owned(),
            threshold: None,
            keep_fraction: None,
            languages: None,
            keep: false,
        }
    }
}

impl Default for QualityTraining {
    fn default() -> Self {
        let TrainConfig { dimension, word_ngrams, bucket, min_count, epochs, learning_rate, .. } =
            TrainConfig::default();
        let (positive, negative) = (Vec::new(), Vec::new());
        Self { positive, negative, dimension, word_ngrams, bucket, min_count, epochs, learning_rate }
    }
}

impl QualityTraining {
    /// The label of negative examples; positive ones take the stage's `label`.
    pub const NEGATIVE: &'static str = "__label__lq";

    /// The trainer's options, with the job's seed.
    pub fn options(&self, seed: u64) -> TrainConfig {
        TrainConfig {
            dimension: self.dimension,
            word_ngrams: self.word_ngrams,
            bucket: self.bucket,
            min_count: self.min_count,
            epochs: self.epochs,
            learning_rate: self.learning_rate,
            seed,
            ..TrainConfig::default()
        }
    }
}

impl QualityConfig {
    /// Refuses what contradicts itself.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match (&self.model, &self.train) {
            (None, None) => return Err(ConfigError::new("model", "is missing: expected `model` or `train`")),
            (Some(_), Some(_)) => {
                return Err(ConfigError::new("train", "stands beside `model`: expected one of the two"));
            }
            (None, Some(train)) => {
                for (key, paths) in [("train.positive", &train.positive), ("train.negative", &train.negative)]
                {
                    if paths.is_empty() {
                        return Err(ConfigError::new(key, "is empty: expected at least one path"));
                    }
                }
                train.options(0).validate().map_err(|error| ConfigError::new("train", error.to_string()))?;
                if self.label == QualityTraining::NEGATIVE {
                    return Err(ConfigError::new("label", "is the negative examples' own: expected another"));
                }
            }
            (Some(_), None) => {}
        }
        let name = self.label.strip_prefix("__label__").unwrap_or_default();
        if name.is_empty() || name.contains(char::is_whitespace) {
            let message = format!("`{}` is no label: expected `__label__` and a name", self.label);
            return Err(ConfigError::new("label", message));
        }
        if self.threshold.is_some() && self.keep_fraction.is_some() {
            return Err(ConfigError::new(
                "keep_fraction",
                "stands beside `threshold`: expected one of the two",
            ));
        }
        for (key, value) in [("threshold", self.threshold), ("keep_fraction", self.keep_fraction)] {
            if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
                return Err(ConfigError::new(key, format!("{value} is out of range: expected 0 to 1")));
            }
        }
        if let Some(fraction) = self.keep_fraction.filter(|fraction| *fraction <= 0.0) {
            let message = format!("{fraction} is out of range: expected more than 0, up to 1");
            return Err(ConfigError::new("keep_fraction", message));
        }
        Ok(())
    }
}

/// Why the step cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QualityError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model cannot be read.
    #[error("`model`: {0}")]
    Model(#[from] fasttext::Error),
    /// The model does not know the label.
    #[error("the model has no label `{label}`: expected one of {known}")]
    UnknownLabel {
        /// The configured label.
        label: String,
        /// Labels of the model, in backticks.
        known: String,
    },
}

/// The `quality` stage. With `keep_fraction` the map before the barrier scores, and the one behind it cuts.
pub struct QualityStep {
    config: QualityConfig,
    model: Arc<Model>,
    scratch: Scratch,
}

impl QualityStep {
    /// Builds the stage; `model` is the content of the model's file, given or trained.
    pub fn new(config: &QualityConfig, model: &[u8]) -> Result<Self, QualityError> {
        Self::with_model(config, Arc::new(Model::read(model)?))
    }

    /// Builds the stage on a model that others may use too.
    pub fn with_model(config: &QualityConfig, model: Arc<Model>) -> Result<Self, QualityError> {
        config.validate()?;
        if !model.labels().contains(&config.label) {
            let known = model.labels().iter().take(8).map(|label| format!("`{label}`")).collect::<Vec<_>>();
            return Err(QualityError::UnknownLabel { label: config.label.clone(), known: known.join(", ") });
        }
        Ok(Self { config: config.clone(), model, scratch: Scratch::default() })
    }
}

impl QualityStep {
    /// The score of a document, 0 to 1; `None` in a language that is not judged.
    pub fn score(&mut self, document: &Document) -> Option<f32> {
        if !applies(&self.config.languages, None, document) {
            return None;
        }
        let score = self.model.score_of(&self.config.label, &document.text, &mut self.scratch);
        Some(score.unwrap_or(0.0).clamp(0.0, 1.0))
    }
}

impl Step for QualityStep {
    fn apply(&mut self, document: &mut Document, _notes: &mut Vec<Note>) -> Decision {
        let Some(score) = self.score(document) else { return Decision::Keep };
        document.quality_score = Some(score);
        match self.config.threshold {
            Some(threshold) if f64::from(score) < threshold => Decision::drop("quality", score),
            _ => Decision::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fasttext::Trainer;

    fn model() -> Vec<u8> {
        let examples = [
            ("__label__hq", "the lemma follows from the theorem"),
            ("__label__lq", "click here to buy cheap pills"),
        ]
        .repeat(8);
        let options = TrainConfig {
            dimension: 8,
            bucket: 100,
            epochs: 30,
            learning_rate: 0.5,
            ..TrainConfig::default()
        };
        Trainer::train(&examples, &options).expect("two labels").write().expect("a dense model")
    }

    fn config() -> QualityConfig {
        QualityConfig { model: Some("quality.bin".into()), ..QualityConfig::default() }
    }

    #[test]
    fn low_scores_drop_under_a_threshold_and_only_there() {
        let bytes = model();
        for (threshold, kept) in [(Some(0.5), false), (None, true)] {
            let mut step =
                QualityStep::new(&QualityConfig { threshold, ..config() }, &bytes).expect("a model");
            let mut good = Document::new("a", 0, "the theorem\nfollows");
            let mut bad = Document::new("a", 1, "buy cheap pills");
            assert!(step.apply(&mut good, &mut Vec::new()).is_keep());
            assert_eq!(step.apply(&mut bad, &mut Vec::new()).is_keep(), kept);
            assert!(good.quality_score > Some(0.5) && bad.quality_score < Some(0.5));
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let key = |config: QualityConfig| config.validate().expect_err("a contradiction").key;
        assert_eq!(key(QualityConfig::default()), "model");
        assert_eq!(key(QualityConfig { train: Some(QualityTraining::default()), ..config() }), "train");
        let both = QualityConfig { threshold: Some(0.1), keep_fraction: Some(0.1), ..config() };
        assert_eq!(key(both), "keep_fraction");
        assert_eq!(key(QualityConfig { threshold: Some(1.5), ..config() }), "threshold");
        let none = QualityConfig { keep_fraction: Some(0.0), ..config() };
        assert_eq!(
            none.validate().expect_err("nothing is kept").to_string(),
            "`keep_fraction`: 0 is out of range: expected more than 0, up to 1"
        );
        assert_eq!(key(QualityConfig { label: "hq".into(), ..config() }), "label");
        let train = Some(QualityTraining { positive: vec!["a".into()], ..QualityTraining::default() });
        assert_eq!(key(QualityConfig { train, ..QualityConfig::default() }), "train.negative");
        assert!(serde_json::from_str::<QualityConfig>(r#"{"treshold": 1}"#).is_err());
        let text = serde_json::to_string(&config()).expect("a configuration");
        assert_eq!(serde_json::from_str::<QualityConfig>(&text).expect("its own text"), config());
    }

    #[test]
    fn an_unknown_label_names_the_known_ones() {
        let config = QualityConfig { label: "__label__best".into(), ..config() };
        let error = QualityStep::new(&config, &model()).err().expect("an unknown label").to_string();
        assert!(error.contains("`__label__hq`"), "{error}");
    }
}
