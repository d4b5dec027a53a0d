//! By what a document of ours is recognised in a peer's files.

use orchestrator_core::DocumentId;
use orchestrator_core::digest::RowHasher;
use serde::Serialize;
use serde_json::Value;

/// What documents are joined by. The order is that in which they are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The id that the source gave: the field `id` of its records, or the WARC record's id.
    Id,
    /// The file and the record's place in it, which datatrove makes an id of (`data/00000.jsonl/17`) where the source has none.
    Record,
    /// The URL, as it stands.
    Url,
    /// The text as it came in: equal texts are one document.
    Text,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Id, Self::Record, Self::Url, Self::Text];

    /// The name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Record => "record",
            Self::Url => "url",
            Self::Text => "text",
        }
    }

    /// Whether different documents may well have one key: those are one document to the comparison, kept if any is.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Url | Self::Text)
    }
}

/// What a document can be recognised by; what is not known is absent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) record: Option<DocumentId>,
    pub(crate) url: Option<&'a str>,
    pub(crate) text: Option<&'a str>,
}

impl Names<'_> {
    /// The key to join by.
    pub(crate) fn key(&self, by: By) -> Option<u128> {
        match by {
            By::Id => self.id.map(hash),
            By::Record => self.record.map(|id| id.0),
            By::Url => self.url.map(hash),
            By::Text => self.text.map(hash),
        }
    }
}

/// The hash of a text: half of it tells texts apart where a document is known already.
pub(crate) fn hash(text: &str) -> u128 {
    RowHasher::default().text(text).finish()
}

/// The document that datatrove's own id names, `FILE/PLACE`.
pub(crate) fn named_record(id: &str) -> Option<DocumentId> {
    let (source, record) = id.rsplit_once('/')?;
    Some(DocumentId::derive(source, record.parse().ok()?))
}

/// The id that the source gave a document of ours, from its metadata.
pub(crate) fn source_id(metadata: &str) -> Option<String> {
    let fields: Value = serde_json::from_str(metadata).ok()?;
    ["id", "warc_record_id"].iter().find_map(|name| match fields.get(*name)? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_where_sources_and_peers_put_them() {
        assert_eq!(source_id(r#"{"id":"a-1","warc_record_id":"w"}"#).as_deref(), Some("a-1"));
        assert_eq!(source_id(r#"{"id":17}"#).as_deref(), Some("17"));
        assert_eq!(
            source_id(r#"{"id":null,"warc_record_id":"<urn:uuid:1>"}"#).as_deref(),
            Some("<urn:uuid:1>")
        );
        assert_eq!(source_id("{}"), None);
        assert_eq!(source_id("no JSON"), None);
        assert_eq!(named_record("data/a.jsonl/17"), Some(DocumentId::derive("data/a.jsonl", 17)));
        assert_eq!(named_record("17"), None);
        assert_eq!(named_record("data/a.jsonl/x"), None);
    }
}
