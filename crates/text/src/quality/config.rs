//! What the `quality` stage can be told, and how its model is trained.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{QUALITY_SCORE, record};
use crate::fasttext::{self, TrainConfig, TrainLoss, Trainer};
use crate::step::{Better, ConfigError, Languages, Ranking};
use crate::{linear, scored};

/// Scores documents with a classifier and drops the low ones by the rule `quality`, with the score.
///
/// Exactly one of `model` and `train`, and at most one of `threshold`, `keep_fraction` and `pareto`; with none, documents
/// are only scored. DCLM used `label: __label__hq` and `threshold: 0.018112`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualityConfig {
    /// A supervised fastText model (`.bin` or `.ftz`), or a TF-IDF classifier that a job trained.
    pub model: Option<String>,
    /// Train the model as a part of this job.
    pub train: Option<QualityTraining>,
    /// The label whose score is the document's. A TF-IDF classifier has no labels; its score is that of the positive class.
    pub label: String,
    /// Documents that score under this are dropped.
    pub threshold: Option<f64>,
    /// Keep this fraction of the documents, the best ones; the cut is made after all were scored.
    pub keep_fraction: Option<f64>,
    /// Keep each document with the probability `(2 - score)^-pareto`, by the rule `quality_pareto`: good ones surely, and
    /// of the others some, so that what the classifier does not know is not lost. The draw is a function of the job's
    /// seed and the document's id. NeMo Curator, after GPT-3, uses 3 (a draw of NumPy's `pareto` above `1 - score`).
    pub pareto: Option<f64>,
    /// Judge only documents in these languages.
    pub languages: Languages,
    /// Write this stage's documents even where it is fused with its neighbours.
    pub keep: bool,
    /// Write each document's score (`scores-NNNNN.parquet`), also of those that are dropped, for `orchestrator refilter`.
    pub scores: bool,
}

/// Examples and options to train a quality classifier with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualityTraining {
    /// Files of good documents.
    pub positive: Vec<String>,
    /// Files of documents to tell them from.
    pub negative: Vec<String>,
    /// What is trained. Options name the kind that they are for; the others are for both.
    pub classifier: Classifier,
    /// Longest n-gram of words.
    pub word_ngrams: u32,
    /// fastText: what the output layer learns.
    pub loss: TrainLoss,
    /// fastText: length of the hidden vector.
    pub dimension: u32,
    /// fastText: rows shared by hashed n-grams.
    pub bucket: u32,
    /// fastText: shortest n-gram of characters within words.
    pub min_chars: u32,
    /// fastText: longest n-gram of characters within words; 0 for none.
    pub max_chars: u32,
    /// fastText: words rarer than this are known only by their n-grams. TF-IDF: n-grams in fewer examples are unknown.
    pub min_count: u32,
    /// fastText: passes over the examples.
    pub epochs: u32,
    /// fastText: learning rate at the start; it falls in a straight line to 0.
    pub learning_rate: f64,
    /// TF-IDF: at most so many n-grams are looked at, those in the most examples.
    pub max_features: u32,
    /// TF-IDF: what an example's error weighs beside the length of the weights; larger fits closer.
    pub inverse_regularization: f64,
}

/// What kind of classifier is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Classifier {
    /// A fastText model: the mean of learned vectors of words and n-grams.
    #[default]
    Fasttext,
    /// Logistic regression over TF-IDF weighted n-grams: its minimum is one, whatever the seed.
    Tfidf,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self {
            model: None,
            train: None,
            label: "__label__hq".to_owned(),
            threshold: None,
            keep_fraction: None,
            pareto: None,
            languages: None,
            keep: false,
            scores: false,
        }
    }
}

impl Default for QualityTraining {
    fn default() -> Self {
        let options = TrainConfig::default();
        let linear = linear::TrainConfig::default();
        Self {
            positive: Vec::new(),
            negative: Vec::new(),
            classifier: Classifier::default(),
            max_features: linear.max_features,
            inverse_regularization: linear.inverse_regularization,
            loss: options.loss,
            dimension: options.dimension,
            word_ngrams: options.word_ngrams,
            bucket: options.bucket,
            min_chars: options.min_chars,
            max_chars: options.max_chars,
            min_count: options.min_count,
            epochs: options.epochs,
            learning_rate: options.learning_rate,
        }
    }
}

impl QualityTraining {
    /// The label of negative examples; positive ones take the stage's `label`.
    pub const NEGATIVE: &'static str = "__label__lq";

    /// Trains on the two kinds of texts and gives the model's file. `label` names the positive ones.
    pub fn train(
        &self,
        label: &str,
        positive: &[&str],
        negative: &[&str],
        seed: u64,
    ) -> Result<Vec<u8>, TrainingError> {
        match self.classifier {
            Classifier::Tfidf => Ok(linear::train(positive, negative, &self.linear_options())?.write()),
            Classifier::Fasttext => {
                let good = positive.iter().map(|&text| (label, text));
                let bad = negative.iter().map(|&text| (Self::NEGATIVE, text));
                let examples: Vec<(&str, &str)> = good.chain(bad).collect();
                let model = Trainer::train(&examples, &self.options(seed))?;
                Ok(model.write().expect("a trained model is dense"))
            }
        }
    }

    fn validate(&self) -> Result<(), TrainingError> {
        self.options(0).validate()?;
        Ok(self.linear_options().validate()?)
    }

    fn linear_options(&self) -> linear::TrainConfig {
        linear::TrainConfig {
            word_ngrams: self.word_ngrams,
            min_documents: self.min_count,
            max_features: self.max_features,
            inverse_regularization: self.inverse_regularization,
            ..linear::TrainConfig::default()
        }
    }

    /// The fastText trainer's options, with the job's seed.
    fn options(&self, seed: u64) -> TrainConfig {
        TrainConfig {
            loss: self.loss,
            dimension: self.dimension,
            word_ngrams: self.word_ngrams,
            bucket: self.bucket,
            min_chars: self.min_chars,
            max_chars: self.max_chars,
            min_count: self.min_count,
            epochs: self.epochs,
            learning_rate: self.learning_rate,
            seed,
        }
    }
}

impl QualityConfig {
    /// Refuses what contradicts itself.
    pub fn validate(&self) -> Result<(), ConfigError> {
        scored::check_model(self.model.is_some(), self.train.is_some())?;
        if let Some(train) = &self.train {
            scored::check_examples("train.positive", &train.positive)?;
            scored::check_examples("train.negative", &train.negative)?;
            train.validate().map_err(|error| ConfigError::new("train", error.to_string()))?;
            if self.label == QualityTraining::NEGATIVE {
                return Err(ConfigError::new("label", "is the negative examples' own: expected another"));
            }
        }
        let name = self.label.strip_prefix("__label__").unwrap_or_default();
        if name.is_empty() || name.contains(char::is_whitespace) {
            let message = format!("`{}` is no label: expected `__label__` and a name", self.label);
            return Err(ConfigError::new("label", message));
        }
        let (threshold, keep_fraction) =
            (("threshold", self.threshold.is_some()), ("keep_fraction", self.keep_fraction.is_some()));
        scored::check_alone("keep_fraction", self.keep_fraction.is_some(), &[threshold])?;
        scored::check_alone("pareto", self.pareto.is_some(), &[threshold, keep_fraction])?;
        if let Some(alpha) = self.pareto.filter(|alpha| !alpha.is_finite() || *alpha <= 0.0) {
            let message = format!("{alpha} is out of range: expected a number above 0");
            return Err(ConfigError::new("pareto", message));
        }
        if let Some(value) = self.threshold.filter(|value| !(0.0..=1.0).contains(value)) {
            return Err(ConfigError::new("threshold", format!("{value} is out of range: expected 0 to 1")));
        }
        scored::check_keep_fraction(self.keep_fraction)?;
        Ok(())
    }

    /// How documents are ranked where a fraction of them is kept.
    pub fn ranking(&self) -> Option<Ranking> {
        self.keep_fraction.map(|fraction| Ranking {
            fraction,
            rule: "quality",
            column: QUALITY_SCORE,
            better: Better::Higher,
            record,
        })
    }
}

/// Why no classifier can be trained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainingError {
    /// Of the fastText kind.
    #[error(transparent)]
    Fasttext(#[from] fasttext::TrainError),
    /// Of the TF-IDF kind.
    #[error(transparent)]
    Tfidf(#[from] linear::TrainError),
}
