//! The rules of one stage, applied to what it measured.

use std::borrow::Cow;

use orchestrator_core::Decision;
use orchestrator_job::Stage;
use orchestrator_job::spec::{LanguageConfig, QualityConfig};
use orchestrator_storage::documents::Scores;
use orchestrator_text::filters::Replay;
use orchestrator_text::language::LANGUAGE_SCORE;
use orchestrator_text::quality::QUALITY_SCORE;

use super::RefilterError;
use crate::context::JobContext;
use crate::listed::StoreFiles;
use crate::scoring::cut;

/// The name of a rule, as in the ledger.
pub(super) type RuleName = &'static str;

/// A stage that can be judged again.
pub(super) enum Judge {
    Filter(Box<Replay>),
    Language(LanguageConfig),
    Quality {
        config: QualityConfig,
        /// With `keep_fraction`, the least score that is kept.
        cut: Option<f32>,
        /// The job's: it decides what is drawn.
        seed: u64,
    },
}

impl Judge {
    /// The judge of a stage; `None` for one that measures nothing.
    pub(super) fn new(context: &JobContext, stage: &Stage) -> Result<Option<Self>, RefilterError> {
        Ok(Some(match stage {
            Stage::Filter(config) => {
                let replay = Replay::new(config, &StoreFiles(context));
                let wrong = |error: &dyn std::fmt::Display| RefilterError::Stage {
                    stage: stage.name().to_owned(),
                    message: error.to_string(),
                };
                Self::Filter(Box::new(replay.map_err(|error| wrong(&error))?))
            }
            Stage::Language(config) => Self::Language(config.clone()),
            Stage::Quality(config) => {
                Self::Quality { config: config.clone(), cut: None, seed: context.job.seed }
            }
            Stage::Read(_)
            | Stage::Clean(_)
            | Stage::Perplexity(_)
            | Stage::Decontaminate(_)
            | Stage::Dedup(_)
            | Stage::Pii(_)
            | Stage::Mix(_)
            | Stage::Tokenize(_)
            | Stage::Train(_)
            | Stage::Export(_) => return Ok(None),
        }))
    }

    /// Why another value of a key cannot be told from scores; `None` where it can.
    pub(super) fn fixed(&self, key: &str) -> Option<String> {
        let top = key.split(['.', '[']).next().unwrap_or(key);
        // What is written beside changes no verdict.
        if matches!(top, "scores" | "write") || top == "keep" && !matches!(self, Self::Language(_)) {
            return None;
        }
        let movable: &[&str] = match self {
            Self::Filter(replay) => return replay.moves(key).err().map(|error| error.message),
            Self::Language(_) => &["keep", "threshold"],
            Self::Quality { .. } => &["threshold", "keep_fraction", "pareto"],
        };
        (!movable.contains(&top)).then(|| "changes what is measured, or of which documents".to_owned())
    }

    /// The columns that it looks at, in order.
    pub(super) fn columns(&self) -> Vec<String> {
        match self {
            Self::Filter(replay) => replay.columns(),
            Self::Language(_) => vec![LANGUAGE_SCORE.to_owned()],
            Self::Quality { .. } => vec![QUALITY_SCORE.to_owned()],
        }
    }

    /// The fraction that is kept, where that and no threshold decides: then [`Self::set_cut`] must be called first.
    pub(super) fn keeps_fraction(&self) -> Option<f64> {
        match self {
            Self::Quality { config, .. } => config.keep_fraction,
            Self::Filter(_) | Self::Language(_) => None,
        }
    }

    /// Tells the scores of all documents, of which a fraction is kept.
    pub(super) fn set_cut(&mut self, scores: Vec<f32>) {
        if let (Some(fraction), Self::Quality { cut: place, .. }) = (self.keeps_fraction(), self) {
            *place = Some(cut(scores, fraction));
        }
    }

    /// The rule that drops a document.
    pub(super) fn judge(&mut self, scores: &Scores) -> Option<RuleName> {
        let score = || scores.measures.first().copied().flatten().map(|score| score as f32);
        match self {
            Self::Filter(replay) => replay.judge(scores.language.as_deref(), &scores.measures),
            Self::Language(config) => {
                score().and_then(|score| rule(config.verdict(scores.language.as_deref(), score)))
            }
            Self::Quality { config, cut: None, seed } => {
                score().and_then(|score| rule(config.verdict(scores.id, *seed, score)))
            }
            Self::Quality { cut: Some(least), .. } => {
                score().and_then(|score| (score < *least).then_some("quality"))
            }
        }
    }
}

fn rule(decision: Decision) -> Option<RuleName> {
    match decision {
        Decision::Keep => None,
        Decision::Drop(reason) => Some(match reason.rule {
            Cow::Borrowed(name) => name,
            Cow::Owned(_) => "another rule",
        }),
    }
}
