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
