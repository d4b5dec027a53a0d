//! Tables of a run, and records of an input.

use anyhow::anyhow;
use orchestrator_core::Media;
use orchestrator_storage::RelativePath;
use orchestrator_storage::documents::{DocumentReader, DroppedReader, NotesReader, Projection, ScoresReader};
use orchestrator_storage::formats::{self, Input, RawKind, RawRecord, ReaderOptions, Start};
use orchestrator_storage::tokens::TokenDocumentReader;
use orchestrator_text::charset;
use serde_json::{Value, json};

use super::{Subject, unknown};
use crate::console::{count, table};
use crate::failure::Failure;

/// Characters of a text that are shown.
const SHOWN: usize = 200;

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

pub(super) fn documents(subject: &Subject<'_>) -> Result<(), Failure> {
    let reader =
        DocumentReader::open(&subject.store, &subject.path, Projection::All).map_err(Failure::reading)?;
    let total = reader.rows();
    let shown = reader.take(subject.rows).collect::<Result<Vec<_>, _>>().map_err(Failure::reading)?;
    let value: Vec<Value> = shown
        .iter()
        .map(|document| {
            json!({ "id": document.id, "source": document.source, "record": document.record, "url": document.url,
                "language": document.language, "characters": document.text.chars().count(), "text": document.text })
        })
        .collect();
    subject.console.result(&json!({ "documents": total, "rows": value }), || {
        let rows = shown.iter().map(|document| {
            [
                document.id.to_string(),
                format!("{} {}", document.source, document.record),
                document.language.clone().unwrap_or_default(),
                shortened(&document.text),
            ]
        });
        format!(
            "{} documents\n{}",
            count(total),
            table(["id", "source", "language", "text"], &[], rows.collect())
        )
    })
}

pub(super) fn dropped(subject: &Subject<'_>) -> Result<(), Failure> {
    let reader = DroppedReader::open(&subject.store, &subject.path).map_err(Failure::reading)?;
    let total = reader.rows();
    let shown = reader.take(subject.rows).collect::<Result<Vec<_>, _>>().map_err(Failure::reading)?;
    let value: Vec<Value> = shown
        .iter()
        .map(|row| {
            json!({ "id": row.id, "source": row.source, "record": row.record, "url": row.url,
                "rule": row.reason.rule, "value": row.reason.value })
        })
        .collect();
    subject.console.result(&json!({ "dropped": total, "rows": value }), || {
        let rows = shown.iter().map(|row| {
            [
                row.id.to_string(),
                format!("{} {}", row.source, row.record),
                row.reason.rule.to_string(),
                shortened(&row.reason.value),
            ]
        });
        format!("{} dropped\n{}", count(total), table(["id", "source", "rule", "value"], &[], rows.collect()))
    })
}

pub(super) fn notes(subject: &Subject<'_>) -> Result<(), Failure> {
    let reader = NotesReader::open(&subject.store, &subject.path).map_err(Failure::reading)?;
    let total = reader.rows();
    let shown = reader.take(subject.rows).collect::<Result<Vec<_>, _>>().map_err(Failure::reading)?;
    let value: Vec<Value> = shown
        .iter()
        .map(|(id, note)| {
            json!({ "id": id, "rule": note.rule, "what": note.kind.as_str(), "start": note.start, "end": note.end })
        })
        .collect();
    subject.console.result(&json!({ "notes": total, "rows": value }), || {
        let rows = shown.iter().map(|(id, note)| {
            [
                id.to_string(),
                note.rule.to_string(),
                note.kind.as_str().to_owned(),
                format!("{}..{}", note.start, note.end),
            ]
        });
        format!("{} notes\n{}", count(total), table(["id", "rule", "what", "bytes"], &[], rows.collect()))
    })
}

/// What a stage measured; of its many columns people get those that hold something, a line each.
pub(super) fn scores(subject: &Subject<'_>) -> Result<(), Failure> {
    let reader = ScoresReader::open(&subject.store, &subject.path).map_err(Failure::usage)?;
    let (total, names) = (reader.rows(), reader.names().to_vec());
    let shown = reader.take(subject.rows).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
    let value: Vec<Value> = shown
        .iter()
        .map(|row| {
            let measures: serde_json::Map<String, Value> =
                names.iter().cloned().zip(row.measures.iter().map(|&measured| json!(measured))).collect();
            json!({ "id": row.id, "language": row.language, "measures": measures })
        })
        .collect();
    subject.console.result(&json!({ "documents": total, "rows": value }), || {
        let rows = shown.iter().flat_map(|row| {
            let measured =
                names.iter().zip(&row.measures).filter_map(|(name, value)| Some((name, (*value)?)));
            measured.map(|(name, value)| [row.id.to_string(), name.clone(), value.to_string()])
        });
        format!("{} documents\n{}", count(total), table(["id", "measure", "value"], &[2], rows.collect()))
    })
}

/// The documents of a token shard.
pub(super) fn token_documents(subject: &Subject<'_>) -> Result<(), Failure> {
    let path = subject.path.as_str();
    let stem =
        RelativePath::new(path.strip_suffix(".docs.parquet").unwrap_or(path)).map_err(Failure::reading)?;
    let reader = TokenDocumentReader::open(&subject.store, &stem).map_err(Failure::reading)?;
    let total = reader.rows();
    let shown = reader.take(subject.rows).collect::<Result<Vec<_>, _>>().map_err(Failure::reading)?;
    let value: Vec<Value> = shown
        .iter()
        .map(|row| json!({ "id": row.id, "sequence": row.sequence, "offset": row.offset, "length": row.length }))
        .collect();
    subject.console.result(&json!({ "documents": total, "rows": value }), || {
        let rows = shown
            .iter()
            .map(|row| [row.id.to_string(), count(row.sequence), count(row.offset), count(row.length)]);
        format!(
            "{} documents\n{}",
            count(total),
            table(["id", "sequence", "offset", "tokens"], &[1, 2, 3], rows.collect())
        )
    })
}

/// The first records of an input, as the read stage would find them.
pub(super) fn input(subject: &Subject<'_>) -> Result<(), Failure> {
    let (format, compression) = subject.format().ok_or_else(|| unknown(subject.url))?;
    let input = if format.seeks() {
        Input::Seekable(subject.store.open_seekable(&subject.path).map_err(Failure::reading)?, None)
    } else {
        Input::Stream(subject.store.open_reader(&subject.path, None).map_err(Failure::reading)?)
    };
    let options = ReaderOptions::default();
    let records = formats::open(subject.url, input, format, compression, Start::default(), &options);
    let records = records.map_err(Failure::reading)?.take(subject.rows).collect::<Result<Vec<_>, _>>();
    let shown: Vec<Shown> = records.map_err(Failure::reading)?.into_iter().map(Shown::of).collect();
    if shown.is_empty() {
        return Err(Failure::usage(anyhow!("`{}` holds no record", subject.url)));
    }
    let value: Vec<Value> = shown
        .iter()
        .map(|record| {
            json!({ "record": record.record, "offset": record.offset, "kind": record.kind, "url": record.url,
                "bytes": record.bytes, "text": record.text })
        })
        .collect();
    let value =
        json!({ "format": format.to_string(), "compression": compression.to_string(), "records": value });
    subject.console.result(&value, || {
        let rows = shown.iter().map(|record| {
            [
                record.record.to_string(),
                record.offset.to_string(),
                record.kind.to_owned(),
                record.url.as_deref().map(shortened).unwrap_or_default(),
                shortened(&record.text),
            ]
        });
        format!(
            "{format}, {compression}; the first records:\n{}",
            table(["record", "offset", "kind", "url", "text"], &[0, 1], rows.collect())
        )
    })
}

/// A record of an input.
struct Shown {
    record: u64,
    offset: u64,
    kind: &'static str,
    url: Option<String>,
    bytes: u64,
    /// Its text, or why it has none.
    text: String,
}

impl Shown {
    fn of(record: RawRecord) -> Self {
        let RawRecord { ordinal, offset, kind, .. } = record;
        let (kind, url, bytes, text) = match kind {
            RawKind::Body(body) => {
                let kind = match body.media {
                    Media::Plain => "text",
                    Media::Markdown => "markdown",
                    Media::Html => "html",
                };
                let is_html = body.media == Media::Html;
                let text = charset::decode(
                    &body.bytes,
                    charset::Hints { charset: body.charset.as_deref(), url: body.url.as_deref(), is_html },
                )
                .text;
                (kind, body.url, body.bytes.len() as u64, text)
            }
            RawKind::NotADocument { reason } => ("not_a_document", None, 0, reason),
            RawKind::Malformed { cause, length } => ("malformed", None, length, cause),
        };
        Self { record: ordinal, offset, kind, url, bytes, text }
    }
}
