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
}
