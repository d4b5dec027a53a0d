//! The rules of one stage, applied to what it measured.

use std::borrow::Cow;

use orchestrator_core::Decision;
use orchestrator_job::Stage;
use orchestrator_job::spec::{LanguageConfig, PerplexityConfig, QualityConfig};
use orchestrator_storage::documents::Scores;
use orchestrator_text::language::LANGUAGE_SCORE;
use orchestrator_text::perplexity::PERPLEXITY;
use orchestrator_text::quality::QUALITY_SCORE;
use orchestrator_text::{Ranking, decontaminate, filters};

use super::RefilterError;
use crate::context::JobContext;
use crate::listed::StoreFiles;
use crate::scoring::cut;

/// The name of a rule, as in the ledger.
pub(super) type RuleName = Cow<'static, str>;

/// A stage that can be judged again.
pub(super) struct Judge {
    stage: Measured,
    /// Where a fraction is kept, the worst score that is.
    cut: Option<f32>,
    /// The job's: it decides what is drawn.
    seed: u64,
}

/// A stage that measures.
enum Measured {
    Filter(Box<filters::Replay>),
    Language(LanguageConfig),
    Quality(QualityConfig),
    Perplexity(PerplexityConfig),
    Decontaminate(decontaminate::Replay),
}

impl Judge {
    /// The judge of a stage; `None` for one that measures nothing.
    pub(super) fn new(context: &JobContext, stage: &Stage) -> Result<Option<Self>, RefilterError> {
        let measured = match stage {
            Stage::Filter(config) => {
                let replay = filters::Replay::new(config, &StoreFiles(context));
                let wrong = |error: &dyn std::fmt::Display| RefilterError::Stage {
                    stage: stage.name().to_owned(),
                    message: error.to_string(),
                };
                Measured::Filter(Box::new(replay.map_err(|error| wrong(&error))?))
            }
            Stage::Language(config) => Measured::Language(config.clone()),
            Stage::Quality(config) => Measured::Quality(config.clone()),
            Stage::Perplexity(config) => Measured::Perplexity(config.clone()),
            Stage::Decontaminate(config) => Measured::Decontaminate(decontaminate::Replay::new(config)),
            Stage::Read(_)
            | Stage::Clean(_)
            | Stage::Dedup(_)
            | Stage::Pii(_)
            | Stage::Mix(_)
            | Stage::Tokenize(_)
            | Stage::Train(_)
            | Stage::Export(_) => return Ok(None),
        };
        Ok(Some(Self { stage: measured, cut: None, seed: context.job.seed }))
    }

    /// Why another value of a key cannot be told from scores; `None` where it can.
    pub(super) fn fixed(&self, key: &str) -> Option<String> {
        let top = key.split(['.', '[']).next().unwrap_or(key);
        // What is written beside changes no verdict.
        if matches!(top, "scores" | "write") || top == "keep" && !matches!(self.stage, Measured::Language(_))
        {
            return None;
        }
        let movable: &[&str] = match &self.stage {
            Measured::Filter(replay) => return replay.moves(key).err().map(|error| error.message),
            Measured::Language(_) => &["keep", "threshold"],
            Measured::Quality(_) => &["threshold", "keep_fraction", "pareto"],
            Measured::Perplexity(_) => &["max_perplexity", "min_perplexity", "keep_fraction"],
            Measured::Decontaminate(_) => &decontaminate::Replay::MOVABLE,
        };
        (!movable.contains(&top)).then(|| "changes what is measured, or of which documents".to_owned())
    }

    /// The columns that it looks at, in order, where `stored` are those that there are.
    pub(super) fn columns(&mut self, stored: &[String]) -> Vec<String> {
        match &mut self.stage {
            Measured::Filter(replay) => replay.columns(),
            Measured::Language(_) => vec![LANGUAGE_SCORE.to_owned()],
            Measured::Quality(_) => vec![QUALITY_SCORE.to_owned()],
            Measured::Perplexity(_) => vec![PERPLEXITY.to_owned()],
            Measured::Decontaminate(replay) => replay.columns(stored),
        }
    }

    /// How documents are ranked, where a fraction of them and no threshold decides: then [`Self::set_cut`] must be called
    /// first.
    pub(super) fn ranking(&self) -> Option<Ranking> {
        match &self.stage {
            Measured::Quality(config) => config.ranking(),
            Measured::Perplexity(config) => config.ranking(),
            Measured::Filter(_) | Measured::Language(_) | Measured::Decontaminate(_) => None,
        }
    }

    /// Tells the scores of all documents, of which a fraction is kept.
    pub(super) fn set_cut(&mut self, scores: Vec<f32>) {
        self.cut = self.ranking().map(|ranking| cut(scores, &ranking));
    }

    /// The rule that drops a document; an error in words where what was measured does not tell it.
    pub(super) fn judge(&mut self, scores: &Scores) -> Result<Option<RuleName>, String> {
        let score = scores.measures.first().copied().flatten().map(|score| score as f32);
        if let (Some(ranking), Some(worst)) = (self.ranking(), self.cut) {
            let is_worse = score.is_some_and(|score| ranking.better.is_worse(score, worst));
            return Ok(is_worse.then_some(ranking.rule.into()));
        }
        let language = scores.language.as_deref();
        let seed = self.seed;
        let decision = match &mut self.stage {
            Measured::Filter(replay) => return Ok(replay.judge(language, &scores.measures).map(Cow::from)),
            Measured::Decontaminate(replay) => {
                let told = replay.judge(&scores.measures).map_err(|untold| untold.to_string())?;
                return Ok(told.map(|rule| rule.to_owned().into()));
            }
            Measured::Language(config) => score.map(|score| config.verdict(language, score)),
            Measured::Quality(config) => score.map(|score| config.verdict(scores.id, seed, score)),
            Measured::Perplexity(config) => score.map(|score| config.verdict(score)),
        };
        Ok(match decision {
            Some(Decision::Drop(reason)) => Some(reason.rule),
            Some(Decision::Keep) | None => None,
        })
    }
}
