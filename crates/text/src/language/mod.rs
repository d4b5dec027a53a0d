//! Which language a document is in: by a fastText model, or by the detector that is built in.

mod codes;
mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use orchestrator_core::{Decision, Document, Note};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fasttext::{self, Model, Scratch};
use crate::step::{ConfigError, Languages, Step, applies};

pub use codes::{built_in_codes, code_of_source, is_code, short_code};
use sample::sample;

/// What the built-in detector looks at of a text, in bytes: longer texts are sampled at even distances.
const BUILT_IN_BYTES: usize = 1024;
/// What a model looks at; fastText reads whole documents, and so do we up to a bound.
const MODEL_BYTES: usize = 1 << 20;
/// Languages of a model that an error names.
const LABELS_SHOWN: usize = 200;
/// The column of the score among what stages measure.
pub const LANGUAGE_SCORE: &str = "language_score";
/// Default threshold with a model: FineWeb's.
const MODEL_THRESHOLD: f64 = 0.65;
/// Default threshold of the built-in detector, whose confidence is near 1 wherever two languages are told apart.
const BUILT_IN_THRESHOLD: f64 = 0.5;

/// Determines each document's language, and drops those in languages that are not kept.
///
/// Sets `language` (ISO 639-1, else 639-3) and `language_score`. Drop rules: `language`, with the code, for a
/// language not in `keep`; `language_score`, with the score, for one at or under `threshold`.
///
/// Without a `model` a detector for 69 languages is used that needs no file. It looks at 1 KiB of a text; its score is
/// how far the best language's trigrams and alphabet lie before the second's (1: nothing else is near), which is no
/// probability, so its default threshold is another.
///
/// Short texts are judged like others, and more often wrongly. Of pieces of 10, 20, 50, 100 and 500 characters of the
/// Declaration of Human Rights in 102 files, `lid.176.ftz` names 46, 60, 70, 75 and 79 % rightly; of those above 0.65,
/// 69, 80, 88, 91 and 93 %. So the threshold is little help below 50 characters: drop short texts before
/// (`clean: {min_characters: 50}`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LanguageConfig {
    /// Codes of the languages that go on, each one that the model or the built-in detector knows. Empty: all go on, only
    /// labelled, whatever their score.
    pub keep: Vec<String>,
    /// A supervised fastText model whose labels are language codes, for example `lid.176.ftz`.
    pub model: Option<String>,
    /// Scores must be strictly greater. Default: 0.65 with a model, 0.5 with the built-in detector.
    pub threshold: Option<f64>,
    /// Judge only documents that already carry one of these languages.
    pub languages: Languages,
    /// Whether to write this stage's documents even where the stage is fused with the next: what other stages call
    /// `keep`, which here lists languages.
    pub write: bool,
    /// Whether to write each document's language and score (`scores-NNNNN.parquet`), also of those that are dropped, for
    /// `orchestrator refilter`.
    pub scores: bool,
}

impl LanguageConfig {
    /// Checks codes and threshold. Which languages a `model` knows, only its file says: see [`LanguageConfig::check_labels`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (place, code) in self.keep.iter().enumerate() {
            let wrong = |message: String| Err(ConfigError::new(format!("keep[{place}]"), message));
            if !is_code(code) {
                return wrong(format!("`{code}` is no language: expected an ISO 639-1 code, else ISO 639-3"));
            }
            if short_code(code) != code {
                return wrong(format!("`{code}` has a shorter code: expected `{}`", short_code(code)));
            }
            if self.model.is_none() && !built_in_codes().contains(&code.as_str()) {
                return wrong(format!(
                    "the built-in detector does not know `{code}`, and every document would go: expected a `model` that \
                     does, or one of {}",
                    built_in_codes().join(", ")
                ));
            }
        }
        match self.threshold {
            Some(threshold) if !(0.0..1.0).contains(&threshold) => Err(ConfigError::new(
                "threshold",
                format!("{threshold} is out of range: expected 0 to below 1"),
            )),
            _ => Ok(()),
        }
    }

    /// Checks that a model knows the languages that are kept: without them every document would go.
    pub fn check_labels(&self, model: &Model) -> Result<(), ConfigError> {
        let known: BTreeSet<&str> = model.labels().iter().map(|label| code_of_label(label)).collect();
        match self.keep.iter().position(|code| !known.contains(code.as_str())) {
            None => Ok(()),
            Some(place) => {
                let code = &self.keep[place];
                let shown: Vec<&str> = known.iter().take(LABELS_SHOWN).copied().collect();
                let more = if known.len() > LABELS_SHOWN { ", …" } else { "" };
                let message = format!(
                    "the model has no label for `{code}`: expected one of its {} languages: {}{more}",
                    known.len(),
                    shown.join(", ")
                );
                Err(ConfigError::new(format!("keep[{place}]"), message))
            }
        }
    }

    /// What is said of a document in a language, with its score.
    pub fn verdict(&self, language: Option<&str>, score: f32) -> Decision {
        match language {
            _ if self.keep.is_empty() => Decision::Keep,
            Some(code) if !self.keep.iter().any(|kept| kept == code) => Decision::drop("language", code),
            None => Decision::drop("language", "und"),
            Some(_) if f64::from(score) <= self.threshold() => Decision::drop("language_score", score),
            Some(_) => Decision::Keep,
        }
    }

    /// The threshold in force.
    pub fn threshold(&self) -> f64 {
        let default = if self.model.is_some() { MODEL_THRESHOLD } else { BUILT_IN_THRESHOLD };
        self.threshold.unwrap_or(default)
    }
}

/// Why the step cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LanguageError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model cannot be read.
    #[error("`model`: {0}")]
    Model(#[from] fasttext::Error),
    /// The configuration names a model and nobody read it.
    #[error("`model` is named: expected its bytes")]
    MissingModel,
}

/// The language that a model's label stands for.
fn code_of_label(label: &str) -> &str {
    short_code(label.strip_prefix("__label__").unwrap_or(label))
}

/// The `language` stage.
pub struct LanguageStep {
    config: LanguageConfig,
    model: Option<Arc<Model>>,
    scratch: Scratch,
}

impl LanguageStep {
    /// Builds the stage; `model` is the content of the file that the configuration names.
    pub fn new(config: &LanguageConfig, model: Option<&[u8]>) -> Result<Self, LanguageError> {
        let model = match (&config.model, model) {
            (Some(_), Some(bytes)) => Some(Arc::new(Model::read(bytes)?)),
            _ => None,
        };
        Self::with_model(config, model)
    }

    /// Builds the stage on a model that others may use too.
    pub fn with_model(config: &LanguageConfig, model: Option<Arc<Model>>) -> Result<Self, LanguageError> {
        config.validate()?;
        let model = match (&config.model, model) {
            (Some(_), None) => return Err(LanguageError::MissingModel),
            (Some(_), Some(model)) => {
                config.check_labels(&model)?;
                Some(model)
            }
            (None, _) => None,
        };
        Ok(Self { config: config.clone(), model, scratch: Scratch::default() })
    }

    /// The language of a text and the score; none where nothing can be said (no letters, say).
    pub fn detect(&mut self, text: &str) -> Option<(String, f32)> {
        if let Some(model) = &self.model {
            let text = &text[..text.floor_char_boundary(MODEL_BYTES)];
            let (label, score) = model.predict(text, 1, &mut self.scratch).into_iter().next()?;
            return Some((code_of_label(label).to_owned(), score.clamp(0.0, 1.0)));
        }
        let info = whatlang::detect(&sample(text, BUILT_IN_BYTES))?;
        Some((short_code(info.lang().code()).to_owned(), info.confidence().clamp(0.0, 1.0) as f32))
    }
}

impl LanguageStep {
    /// The decision on a document, and its score where it was judged.
    fn judge(&mut self, document: &mut Document) -> (Decision, Option<f32>) {
        if !applies(&self.config.languages, None, document) {
            return (Decision::Keep, None);
        }
        let (language, score) = match self.detect(&document.text) {
            Some((language, score)) => (Some(language), score),
            None => (None, 0.0),
        };
        let decision = self.config.verdict(language.as_deref(), score);
        document.language = language;
        document.language_score = Some(score);
        (decision, Some(score))
    }
}

impl Step for LanguageStep {
    fn apply(&mut self, document: &mut Document, _notes: &mut Vec<Note>) -> Decision {
        self.judge(document).0
    }

    fn columns(&self) -> Vec<String> {
        vec![LANGUAGE_SCORE.to_owned()]
    }

    fn measure(
        &mut self,
        document: &mut Document,
        _notes: &mut Vec<Note>,
        row: &mut [Option<f64>],
    ) -> Decision {
        let (decision, score) = self.judge(document);
        row.fill(score.map(f64::from));
        decision
    }
}
