//! How good a document is, by a classifier: a score, and a threshold, a fraction or a draw to keep.

mod config;
mod model;

use std::sync::Arc;

use orchestrator_core::{Decision, Document, DocumentId, Note};

pub use config::{Classifier, QualityConfig, QualityTraining, TrainingError};
pub use model::{ModelError, QualityModel};

use crate::step::{ConfigError, Scorer, Step, applies};
use model::Scratch;

/// The column of the score among what stages measure.
pub const QUALITY_SCORE: &str = "quality_score";

/// Why the step cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QualityError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model cannot be read.
    #[error("`model`: {0}")]
    Model(#[from] ModelError),
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
    model: Arc<QualityModel>,
    scratch: Scratch,
    seed: u64,
}

impl QualityStep {
    /// Builds the stage; `model` is the content of the model's file, given or trained, and `seed` the job's.
    pub fn new(config: &QualityConfig, model: &[u8], seed: u64) -> Result<Self, QualityError> {
        Self::with_model(config, Arc::new(QualityModel::read(model)?), seed)
    }

    /// Builds the stage on a model that others may use too.
    pub fn with_model(
        config: &QualityConfig,
        model: Arc<QualityModel>,
        seed: u64,
    ) -> Result<Self, QualityError> {
        config.validate()?;
        if let QualityModel::Fasttext(model) = &*model
            && !model.labels().contains(&config.label)
        {
            let known = model.labels().iter().take(8).map(|label| format!("`{label}`")).collect::<Vec<_>>();
            return Err(QualityError::UnknownLabel { label: config.label.clone(), known: known.join(", ") });
        }
        Ok(Self { config: config.clone(), model, scratch: Scratch::default(), seed })
    }
}

impl Scorer for QualityStep {
    fn score(&mut self, document: &Document) -> Option<f32> {
        if !applies(&self.config.languages, None, document) {
            return None;
        }
        Some(self.model.score(&self.config.label, &document.text, &mut self.scratch))
    }
}

impl Step for QualityStep {
    fn apply(&mut self, document: &mut Document, _notes: &mut Vec<Note>) -> Decision {
        let Some(score) = self.score(document) else { return Decision::Keep };
        record(document, score);
        self.config.verdict(document.id, self.seed, score)
    }

    fn columns(&self) -> Vec<String> {
        vec![QUALITY_SCORE.to_owned()]
    }

    fn measure(
        &mut self,
        document: &mut Document,
        _notes: &mut Vec<Note>,
        row: &mut [Option<f64>],
    ) -> Decision {
        let Some(score) = self.score(document) else { return Decision::Keep };
        row.fill(Some(f64::from(score)));
        record(document, score);
        self.config.verdict(document.id, self.seed, score)
    }
}

impl QualityConfig {
    /// What is said of a score: by the threshold, or by the draw, which is a function of the job's seed and the document.
    pub fn verdict(&self, id: DocumentId, seed: u64, score: f32) -> Decision {
        if self.threshold.is_some_and(|threshold| f64::from(score) < threshold) {
            return Decision::drop("quality", score);
        }
        let chance = |alpha: f64| libm::pow(2.0 - f64::from(score), -alpha);
        if self.pareto.is_some_and(|alpha| draw(id, seed) >= chance(alpha)) {
            return Decision::drop("quality_pareto", score);
        }
        Decision::Keep
    }
}

/// A number from 0 to 1 that is the document's own.
fn draw(id: DocumentId, seed: u64) -> f64 {
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&id.0.to_be_bytes(), seed);
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

fn record(document: &mut Document, score: f32) {
    document.quality_score = Some(score);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fasttext::{TrainConfig, Trainer};

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
                QualityStep::new(&QualityConfig { threshold, ..config() }, &bytes, 1).expect("a model");
            let mut good = Document::new("a", 0, "the theorem\nfollows");
            let mut bad = Document::new("a", 1, "buy cheap pills");
            assert!(step.apply(&mut good, &mut Vec::new()).is_keep());
            assert_eq!(step.apply(&mut bad, &mut Vec::new()).is_keep(), kept);
            assert!(good.quality_score > Some(0.5) && bad.quality_score < Some(0.5));
        }
    }

    #[test]
    fn a_pareto_draw_keeps_the_share_that_it_says_and_depends_on_seed_and_id_alone() {
        let bytes = model();
        let config = QualityConfig { pareto: Some(3.0), ..config() };
        let kept = |seed: u64, text: &str| -> Vec<bool> {
            let mut step = QualityStep::new(&config, &bytes, seed).expect("a model");
            let judge = |record| step.apply(&mut Document::new("a", record, text), &mut Vec::new()).is_keep();
            (0..4000).map(judge).collect()
        };
        let mut scorer = QualityStep::new(&config, &bytes, 1).expect("a model");
        for text in ["buy cheap pills", "the theorem\nfollows"] {
            let score = f64::from(scorer.score(&Document::new("a", 0, text)).expect("a score"));
            let share = kept(1, text).iter().filter(|&&kept| kept).count() as f64 / 4000.0;
            let expected = (2.0 - score).powi(-3);
            // Five standard deviations.
            assert!((share - expected).abs() < 5.0 * (expected * (1.0 - expected) / 4000.0).sqrt() + 1e-3);
        }
        assert_eq!(kept(1, "buy cheap pills"), kept(1, "buy cheap pills"));
        assert_ne!(kept(1, "buy cheap pills"), kept(2, "buy cheap pills"));
    }

    #[test]
    fn contradictions_are_refused() {
        let key = |config: QualityConfig| config.validate().expect_err("a contradiction").key;
        assert_eq!(key(QualityConfig::default()), "model");
        assert_eq!(key(QualityConfig { train: Some(QualityTraining::default()), ..config() }), "train");
        let both = QualityConfig { threshold: Some(0.1), keep_fraction: Some(0.1), ..config() };
        assert_eq!(key(both), "keep_fraction");
        let both = QualityConfig { threshold: Some(0.1), pareto: Some(3.0), ..config() };
        assert_eq!(key(both), "pareto");
        assert_eq!(key(QualityConfig { pareto: Some(0.0), ..config() }), "pareto");
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
        let error = QualityStep::new(&config, &model(), 1).err().expect("an unknown label").to_string();
        assert!(error.contains("`__label__hq`"), "{error}");
    }
}
