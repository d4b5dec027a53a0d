//! The trait that every per-document stage implements.

use orchestrator_core::{Decision, Document, Note};

/// One per-document stage: looks at a document, may edit it, and decides whether it goes on.
///
/// ```text
/// document ──▶ Step ──Keep──▶ next Step ──Keep──▶ …
///               │ └─ notes: which spans were edited
///               └─ Drop(rule, value)
/// ```
///
/// The outcome is a function of the document and the configuration alone: no state is carried from one document
/// to the next (`&mut self` is for scratch buffers), or the same job would not give the same bytes.
pub trait Step: Send {
    /// Judges `document`, edits it in place where the stage edits, and appends a note for every edit.
    fn apply(&mut self, document: &mut Document, notes: &mut Vec<Note>) -> Decision;

    /// Looks at a document that went through this stage and all that are fused with it, before it is written; says what
    /// must not be. An error fails the task.
    fn verify(&mut self, _document: &Document) -> Result<(), String> {
        Ok(())
    }

    /// Names of what [`Self::measure`] measures, in order; none where the stage measures nothing.
    fn columns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Judges as [`Self::apply`] does, to the same end, and puts what was measured into `row`: a value for each of
    /// [`Self::columns`], all of them empty before, and those of what does not concern the document after.
    fn measure(
        &mut self,
        document: &mut Document,
        notes: &mut Vec<Note>,
        row: &mut [Option<f64>],
    ) -> Decision {
        let _ = row;
        self.apply(document, notes)
    }
}

/// Gives a document a number to be ranked by, where a stage keeps a fraction of all documents.
///
/// A pure function of the document and the configuration, as [`Step`] is.
pub trait Scorer: Send {
    /// The document's score, a finite number from 0 up; none for a document that is not judged, and so is kept.
    fn score(&mut self, document: &Document) -> Option<f32>;
}

/// Which end of the ranking is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Documents with the highest scores.
    Higher,
    /// Documents with the lowest scores.
    Lower,
}

impl Better {
    /// A score's bits, so that those of better documents are higher; its own inverse. Scores are never negative, and so
    /// their bits rise with their value.
    pub fn key(self, bits: u32) -> u32 {
        match self {
            Self::Higher => bits,
            Self::Lower => !bits,
        }
    }

    /// Whether `score` is worse than `threshold`.
    pub fn is_worse(self, score: f32, threshold: f32) -> bool {
        match self {
            Self::Higher => score < threshold,
            Self::Lower => score > threshold,
        }
    }

    /// A threshold that every score is worse than.
    pub fn unreachable(self) -> f32 {
        match self {
            Self::Higher => f32::INFINITY,
            Self::Lower => f32::NEG_INFINITY,
        }
    }
}

/// How a stage that keeps a fraction ranks documents and tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Ranking {
    /// The fraction that is kept, 0 to 1.
    pub fraction: f64,
    /// The rule of those that are dropped; the value is their score.
    pub rule: &'static str,
    /// The column of the score among what stages measure.
    pub column: &'static str,
    /// Which end is kept.
    pub better: Better,
    /// Writes the score into a document that goes on.
    pub record: fn(&mut Document, f32),
}

/// Which languages a stage judges. Others pass it by untouched.
///
/// `None`: all of them, or the rules' own where a stage's rules are written for one language.
pub type Languages = Option<Vec<String>>;

/// Whether a stage with this option judges `document`. `own` is the language that its rules are written for, if any;
/// a document whose language nobody has determined counts as that one.
pub fn applies(languages: &Languages, own: Option<&str>, document: &Document) -> bool {
    match (languages, document.language.as_deref(), own) {
        (Some(named), Some(language), _) => named.iter().any(|name| name == language),
        (Some(named), None, Some(own)) => named.iter().any(|name| name == own),
        (None, Some(language), Some(own)) => language == own,
        (Some(_) | None, None, None) | (None, _, _) => true,
    }
}

/// A value that a stage's configuration cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct ConfigError {
    /// The key below the stage, for example `threshold` or `thresholds.gopher_short_doc`.
    pub key: String,
    /// What it is and what was expected.
    pub message: String,
}

impl ConfigError {
    /// Names a key and says what was expected of it.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(language: Option<&str>) -> Document {
        Document { language: language.map(str::to_owned), ..Document::new("a", 0, "") }
    }

    #[test]
    fn english_rules_pass_other_languages_by_unless_named() {
        let named = Some(vec!["de".to_owned()]);
        assert!(applies(&None, Some("en"), &document(Some("en"))));
        assert!(!applies(&None, Some("en"), &document(Some("de"))));
        assert!(applies(&None, Some("en"), &document(None)));
        assert!(applies(&None, None, &document(Some("de"))));
        assert!(applies(&named, Some("en"), &document(Some("de"))));
        assert!(!applies(&named, Some("en"), &document(None)));
    }
}
