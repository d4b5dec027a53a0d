//! `part-NNNNN.parquet`: the documents of a stage.

use std::io::Write;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{Float32Builder, StringBuilder, UInt64Builder};
use arrow_schema::{DataType, Field, Schema};
use orchestrator_core::{Document, DocumentId, Media};

use super::grouped::row_groups;
use super::table::{Batches, Columns, Row, TableReader, TableWriter};
use crate::{Error, RelativePath, Store};

/// Key under which metadata carries a medium that is not plain text.
const MEDIA: &str = "media";

#[derive(Default)]
struct DocumentColumns {
    id: StringBuilder,
    text: StringBuilder,
    source: StringBuilder,
    record: UInt64Builder,
    url: StringBuilder,
    date: StringBuilder,
    language: StringBuilder,
    language_score: Float32Builder,
    quality_score: Float32Builder,
    metadata: StringBuilder,
}

impl Columns for DocumentColumns {
    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("text", DataType::Utf8, false),
            Field::new("source", DataType::Utf8, false),
            Field::new("record", DataType::UInt64, false),
            Field::new("url", DataType::Utf8, true),
            Field::new("date", DataType::Utf8, true),
            Field::new("language", DataType::Utf8, true),
            Field::new("language_score", DataType::Float32, true),
            Field::new("quality_score", DataType::Float32, true),
            Field::new("metadata", DataType::Utf8, false),
        ])
    }

    const REPEATING: &'static [&'static str] = &["source", "date", "language"];

    fn take(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.id.finish()),
            Arc::new(self.text.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.record.finish()),
            Arc::new(self.url.finish()),
            Arc::new(self.date.finish()),
            Arc::new(self.language.finish()),
            Arc::new(self.language_score.finish()),
            Arc::new(self.quality_score.finish()),
            Arc::new(self.metadata.finish()),
        ]
    }
}

/// Writes documents to one Parquet file.
pub struct DocumentWriter<W: Write + Send>(TableWriter<W, DocumentColumns>);

row_groups!(DocumentWriter);

impl<W: Write + Send> DocumentWriter<W> {
    /// Starts a file on `sink`, usually a [`crate::Writer`].
    pub fn new(sink: W) -> Result<Self, Error> {
        TableWriter::new(sink).map(Self)
    }

    /// Appends a document.
    pub fn push(&mut self, document: &Document) -> Result<(), Error> {
        let metadata = with_media(&document.metadata, document.media)?;
        TableWriter::<W, DocumentColumns>::check(&document.text)?;
        TableWriter::<W, DocumentColumns>::check(&metadata)?;
        let columns = &mut self.0.columns;
        columns.id.append_value(document.id.to_string());
        columns.text.append_value(&document.text);
        columns.source.append_value(&document.source);
        columns.record.append_value(document.record);
        columns.url.append_option(document.url.as_deref());
        columns.date.append_option(document.date.as_deref());
        columns.language.append_option(document.language.as_deref());
        columns.language_score.append_option(document.language_score);
        columns.quality_score.append_option(document.quality_score);
        columns.metadata.append_value(&metadata);
        let url = document.url.as_ref().map_or(0, String::len);
        self.0.row(128 + document.text.len() + document.source.len() + url + metadata.len())
    }

    /// Documents so far.
    pub fn rows(&self) -> u64 {
        self.0.rows()
    }

    /// Ends the file and gives the sink back, still to be finished itself.
    pub fn finish(self) -> Result<W, Error> {
        self.0.finish()
    }
}

/// Which columns to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Projection {
    /// All of them.
    #[default]
    All,
    /// All but `text`, which reads as empty: a scan over a large part then costs little.
    WithoutText,
}

/// Reads the documents of one Parquet file, in order.
pub struct DocumentReader {
    rows: u64,
    batches: Batches,
}

impl DocumentReader {
    /// Opens a part. A remote one is copied to a temporary local file first.
    pub fn open(store: &Store, path: &RelativePath, projection: Projection) -> Result<Self, Error> {
        Self::reading(TableReader::open(store, path)?, projection)
    }

    /// Opens a part for these rows alone, given in rising order. Row groups without any are not read.
    pub fn open_rows(
        store: &Store,
        path: &RelativePath,
        projection: Projection,
        rows: &[u64],
    ) -> Result<Self, Error> {
        Self::reading(TableReader::open(store, path)?.only(rows), projection)
    }

    /// Opens a part from a row on. Row groups before it are not read.
    pub fn open_from(
        store: &Store,
        path: &RelativePath,
        projection: Projection,
        row: u64,
    ) -> Result<Self, Error> {
        Self::reading(TableReader::open(store, path)?.after_rows(row), projection)
    }

    fn reading(table: TableReader, projection: Projection) -> Result<Self, Error> {
        let schema = DocumentColumns::default().schema();
        let wanted: Vec<(&'static str, DataType)> = NAMES
            .iter()
            .filter(|&&name| projection == Projection::All || name != "text")
            .filter_map(|&name| Some((name, schema.field_with_name(name).ok()?.data_type().clone())))
            .collect();
        Ok(Self { rows: table.rows(), batches: table.columns(&wanted)? })
    }

    /// Documents in the file.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

const NAMES: [&str; 10] = [
    "id",
    "text",
    "source",
    "record",
    "url",
    "date",
    "language",
    "language_score",
    "quality_score",
    "metadata",
];

impl Iterator for DocumentReader {
    type Item = Result<Document, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.batches.next_row()?.and_then(|row| document(&row)))
    }
}

fn document(row: &Row<'_>) -> Result<Document, Error> {
    let id: DocumentId = row.text("id")?.parse().map_err(|error| row.corrupt(format!("{error}")))?;
    let (metadata, media) = without_media(row.text("metadata")?);
    Ok(Document {
        id,
        text: row.owned("text").unwrap_or_default(),
        source: row.text("source")?.to_owned(),
        record: row.number("record")?,
        url: row.owned("url"),
        date: row.owned("date"),
        language: row.owned("language"),
        language_score: row.score("language_score"),
        quality_score: row.score("quality_score"),
        metadata,
        media,
    })
}

/// Adds `media` to a metadata object. Plain text needs none, and its metadata pass untouched, unless the source itself has
/// a field of that name: it must not be read back as ours.
fn with_media(metadata: &str, media: Media) -> Result<std::borrow::Cow<'_, str>, Error> {
    let name = match media {
        Media::Plain if !metadata.contains("\"media") => return Ok(metadata.into()),
        Media::Plain => PLAIN,
        Media::Markdown => "markdown",
        Media::Html => "html",
    };
    let corrupt = |detail: String| Error::Corrupt { path: "metadata of a document".to_owned(), detail };
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(metadata)
        .map_err(|error| corrupt(format!("expected a JSON object: {error}")))?;
    if media == Media::Plain && !fields.keys().any(|key| is_media(key)) {
        return Ok(metadata.into());
    }
    // A field of the source with our key moves aside, and back again when read.
    let aside = |(key, value): (String, _)| if is_media(&key) { (key + ASIDE, value) } else { (key, value) };
    let mut object: serde_json::Map<_, _> = fields.into_iter().map(aside).collect();
    object.insert(MEDIA.to_owned(), name.into());
    serde_json::to_string(&object).map(Into::into).map_err(|error| corrupt(error.to_string()))
}

/// What marks plain text whose source has a field `media`.
const PLAIN: &str = "plain";
/// What is added to the name of a field that would be taken for ours.
const ASIDE: &str = "_of_source";

/// Whether a key is `media`, or `media` that was moved aside any number of times.
fn is_media(key: &str) -> bool {
    key.strip_prefix(MEDIA).is_some_and(|rest| rest.trim_end_matches(ASIDE).is_empty())
}

/// Takes `media` out again. A value of that key which is none of ours belongs to the source and stays.
fn without_media(metadata: &str) -> (String, Media) {
    let plain = || (metadata.to_owned(), Media::Plain);
    if !metadata.contains("\"media\"") {
        return plain();
    }
    let Ok(mut object) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(metadata) else {
        return plain();
    };
    let media = match object.get(MEDIA).and_then(serde_json::Value::as_str) {
        Some(PLAIN) => Media::Plain,
        Some("markdown") => Media::Markdown,
        Some("html") => Media::Html,
        _ => return plain(),
    };
    object.shift_remove(MEDIA);
    let back = |(key, value): (String, _)| match key.strip_suffix(ASIDE) {
        Some(theirs) if is_media(&key) => (theirs.to_owned(), value),
        _ => (key, value),
    };
    let object: serde_json::Map<_, _> = object.into_iter().map(back).collect();
    (serde_json::to_string(&object).unwrap_or_else(|_| metadata.to_owned()), media)
}
