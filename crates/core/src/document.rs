//! The document: what flows through every data stage.

use serde::{Deserialize, Serialize};

use crate::ids::DocumentId;

/// What the text of a document still is, so that `clean` knows what to do with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    /// Plain text; nothing to extract.
    #[default]
    Plain,
    /// Markdown source.
    Markdown,
    /// An HTML page; `clean` takes its main text.
    Html,
}

/// One document and what is known of it. Field order is column order on disk and in digests.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Stable: a function of `source` and `record`.
    pub id: DocumentId,
    /// UTF-8, whatever the source's encoding was.
    pub text: String,
    /// Path of the source file relative to the read step's root, `/`-separated.
    pub source: String,
    /// Ordinal of the record in its source, from 0.
    pub record: u64,
    /// Where the document was fetched from, if the source says so.
    pub url: Option<String>,
    /// When it was fetched or written, as the source has it (RFC 3339 where it is a time).
    pub date: Option<String>,
    /// ISO 639-1 code, else 639-3; set by `language`, or taken from the source.
    pub language: Option<String>,
    /// Confidence of `language`, 0 to 1.
    pub language_score: Option<f32>,
    /// Score of the quality model, 0 to 1.
    pub quality_score: Option<f32>,
    /// JSON object text of what else the source had; `{}` when nothing.
    pub metadata: String,
    /// What `text` still is. Not a column: kept in `metadata` under `media` when not plain.
    pub media: Media,
}

impl Document {
    /// Makes a document with an id derived from `source` and `record` and nothing known beside.
    pub fn new(source: impl Into<String>, record: u64, text: impl Into<String>) -> Self {
        let source = source.into();
        Self {
            id: DocumentId::derive(&source, record),
            text: text.into(),
            source,
            record,
            url: None,
            date: None,
            language: None,
            language_score: None,
            quality_score: None,
            metadata: "{}".to_owned(),
            media: Media::Plain,
        }
    }

    /// Sets a key of the metadata, in place of what stood under it. Metadata that is no JSON object stays as it is.
    pub fn set_metadata(&mut self, key: &str, value: serde_json::Value) {
        if let Ok(serde_json::Value::Object(mut object)) = serde_json::from_str(&self.metadata) {
            object.insert(key.to_owned(), value);
            self.metadata = serde_json::Value::Object(object).to_string();
        }
    }
}
