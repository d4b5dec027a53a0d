//! `notes-NNNNN.parquet`: edits and found spans of documents that go on; never their text.

use std::io::Write;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{StringBuilder, UInt64Builder};
use arrow_schema::{DataType, Field, Schema};
use orchestrator_core::{DocumentId, Note, NoteKind};

use super::grouped::row_groups;
use super::table::{Batches, Columns, Row, TableReader, TableWriter};
use crate::{Error, RelativePath, Store};

#[derive(Default)]
struct NoteColumns {
    id: StringBuilder,
    rule: StringBuilder,
    what: StringBuilder,
    start: UInt64Builder,
    end: UInt64Builder,
}

impl Columns for NoteColumns {
    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("rule", DataType::Utf8, false),
            Field::new("what", DataType::Utf8, false),
            Field::new("start", DataType::UInt64, false),
            Field::new("end", DataType::UInt64, false),
        ])
    }

    const REPEATING: &'static [&'static str] = &["id", "rule", "what"];

    fn take(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.id.finish()),
            Arc::new(self.rule.finish()),
            Arc::new(self.what.finish()),
            Arc::new(self.start.finish()),
            Arc::new(self.end.finish()),
        ]
    }
}

/// Writes notes to one Parquet file.
pub struct NotesWriter<W: Write + Send>(TableWriter<W, NoteColumns>);

row_groups!(NotesWriter);

impl<W: Write + Send> NotesWriter<W> {
    /// Starts a file on `sink`.
    pub fn new(sink: W) -> Result<Self, Error> {
        TableWriter::new(sink).map(Self)
    }

    /// Appends a note on document `id`.
    pub fn push(&mut self, id: DocumentId, note: &Note) -> Result<(), Error> {
        let columns = &mut self.0.columns;
        columns.id.append_value(id.to_string());
        columns.rule.append_value(&note.rule);
        columns.what.append_value(note.kind.as_str());
        columns.start.append_value(note.start);
        columns.end.append_value(note.end);
        self.0.row(72 + note.rule.len())
    }

    /// Notes so far.
    pub fn rows(&self) -> u64 {
        self.0.rows()
    }

    /// Ends the file and gives the sink back, still to be finished itself.
    pub fn finish(self) -> Result<W, Error> {
        self.0.finish()
    }
}

/// Reads notes in order, each with its document's id.
pub struct NotesReader {
    rows: u64,
    batches: Batches,
}

impl NotesReader {
    /// Opens a file of notes.
    pub fn open(store: &Store, path: &RelativePath) -> Result<Self, Error> {
        let table = TableReader::open(store, path)?;
        let wanted = [
            ("id", DataType::Utf8),
            ("rule", DataType::Utf8),
            ("what", DataType::Utf8),
            ("start", DataType::UInt64),
            ("end", DataType::UInt64),
        ];
        Ok(Self { rows: table.rows(), batches: table.columns(&wanted)? })
    }

    /// Notes in the file.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Iterator for NotesReader {
    type Item = Result<(DocumentId, Note), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.batches.next_row()?.and_then(|row| note(&row)))
    }
}

fn note(row: &Row<'_>) -> Result<(DocumentId, Note), Error> {
    let id = row.text("id")?.parse().map_err(|error| row.corrupt(format!("{error}")))?;
    let what = row.text("what")?;
    let kind = [NoteKind::Removed, NoteKind::Replaced, NoteKind::Found]
        .into_iter()
        .find(|kind| kind.as_str() == what)
        .ok_or_else(|| {
            row.corrupt(format!("expected `removed`, `replaced` or `found` in `what`, found `{what}`"))
        })?;
    let rule = row.text("rule")?.to_owned().into();
    Ok((id, Note { rule, kind, start: row.number("start")?, end: row.number("end")? }))
}
