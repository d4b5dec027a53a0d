//! What a stage says of a document: keep it, or drop it with a rule and a value; and what it edited.

use std::borrow::Cow;

use crate::document::Document;
use crate::ids::DocumentId;

/// Why a document was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule's name as `data-rules` and the docs spell it, for example `gopher_short_doc`.
    pub rule: Cow<'static, str>,
    /// The measured value that broke the rule, as text; a near-duplicate's is its survivor's id.
    pub value: String,
}

impl Reason {
    /// A rule of ours and the value that broke it.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand in numbers and temporaries")]
    pub fn new(rule: &'static str, value: impl ToString) -> Self {
        Self { rule: Cow::Borrowed(rule), value: value.to_string() }
    }
}

/// The verdict of one stage on one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The document goes on.
    Keep,
    /// The document ends here, with its reason.
    Drop(Reason),
}

impl Decision {
    /// Drops by a rule of ours, with the value that broke it.
    pub fn drop(rule: &'static str, value: impl ToString) -> Self {
        Self::Drop(Reason::new(rule, value))
    }

    /// Whether the document goes on.
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

/// A row of `dropped-NNNNN.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The document's id.
    pub id: DocumentId,
    /// Its source file.
    pub source: String,
    /// Its record in that file.
    pub record: u64,
    /// Its URL, where known.
    pub url: Option<String>,
    /// Why it was dropped.
    pub reason: Reason,
}

impl Dropped {
    /// Takes the identity of `document` and the reason it was dropped for.
    pub fn of(document: &Document, reason: Reason) -> Self {
        Self {
            id: document.id,
            source: document.source.clone(),
            record: document.record,
            url: document.url.clone(),
            reason,
        }
    }
}

/// What kind of thing a note tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// Text was removed.
    Removed,
    /// Text was replaced by other text.
    Replaced,
    /// A span was found and left.
    Found,
}

impl NoteKind {
    /// The word in the `what` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Found => "found",
        }
    }
}

/// An edit or a span in a document that goes on; a row of `notes-NNNNN.parquet` (which adds the id). Never holds text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The rule that edited, for example `email` or `javascript_line`.
    pub rule: Cow<'static, str>,
    /// What it did.
    pub kind: NoteKind,
    /// First byte of the span in the text as it came into the stage.
    pub start: u64,
    /// One past its last byte.
    pub end: u64,
}
