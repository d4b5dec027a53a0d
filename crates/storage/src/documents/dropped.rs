//! `dropped-NNNNN.parquet`: the records that ended in a stage, each with its reason.

use std::io::Write;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{StringBuilder, UInt64Builder};
use arrow_schema::{DataType, Field, Schema};
use orchestrator_core::{Dropped, Reason};

use super::grouped::row_groups;
use super::table::{Batches, Columns, Row, TableReader, TableWriter};
use crate::{Error, RelativePath, Store};

#[derive(Default)]
struct DroppedColumns {
    id: StringBuilder,
    source: StringBuilder,
    record: UInt64Builder,
    url: StringBuilder,
    rule: StringBuilder,
    value: StringBuilder,
}

impl Columns for DroppedColumns {
    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("source", DataType::Utf8, false),
            Field::new("record", DataType::UInt64, false),
            Field::new("url", DataType::Utf8, true),
            Field::new("rule", DataType::Utf8, false),
            Field::new("value", DataType::Utf8, false),
        ])
    }

    const REPEATING: &'static [&'static str] = &["source", "rule", "value"];

    fn take(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.id.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.record.finish()),
            Arc::new(self.url.finish()),
            Arc::new(self.rule.finish()),
            Arc::new(self.value.finish()),
        ]
    }
}

/// Writes dropped records to one Parquet file.
pub struct DroppedWriter<W: Write + Send>(TableWriter<W, DroppedColumns>);

row_groups!(DroppedWriter);

impl<W: Write + Send> DroppedWriter<W> {
    /// Starts a file on `sink`.
    pub fn new(sink: W) -> Result<Self, Error> {
        TableWriter::new(sink).map(Self)
    }

    /// Appends a record.
    pub fn push(&mut self, dropped: &Dropped) -> Result<(), Error> {
        TableWriter::<W, DroppedColumns>::check(&dropped.reason.value)?;
        let columns = &mut self.0.columns;
        columns.id.append_value(dropped.id.to_string());
        columns.source.append_value(&dropped.source);
        columns.record.append_value(dropped.record);
        columns.url.append_option(dropped.url.as_deref());
        columns.rule.append_value(&dropped.reason.rule);
        columns.value.append_value(&dropped.reason.value);
        let url = dropped.url.as_ref().map_or(0, String::len);
        self.0.row(96 + dropped.source.len() + url + dropped.reason.value.len())
    }

    /// Records so far.
    pub fn rows(&self) -> u64 {
        self.0.rows()
    }

    /// Ends the file and gives the sink back, still to be finished itself.
    pub fn finish(self) -> Result<W, Error> {
        self.0.finish()
    }
}

/// Reads dropped records in order.
pub struct DroppedReader {
    rows: u64,
    batches: Batches,
}

impl DroppedReader {
    /// Opens a file of dropped records.
    pub fn open(store: &Store, path: &RelativePath) -> Result<Self, Error> {
        let table = TableReader::open(store, path)?;
        let text = DataType::Utf8;
        let wanted = [
            ("id", text.clone()),
            ("source", text.clone()),
            ("record", DataType::UInt64),
            ("url", text.clone()),
            ("rule", text.clone()),
            ("value", text),
        ];
        Ok(Self { rows: table.rows(), batches: table.columns(&wanted)? })
    }

    /// Records in the file.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Iterator for DroppedReader {
    type Item = Result<Dropped, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.batches.next_row()?.and_then(|row| dropped(&row)))
    }
}

fn dropped(row: &Row<'_>) -> Result<Dropped, Error> {
    Ok(Dropped {
        id: row.text("id")?.parse().map_err(|error| row.corrupt(format!("{error}")))?,
        source: row.text("source")?.to_owned(),
        record: row.number("record")?,
        url: row.owned("url"),
        reason: Reason { rule: row.text("rule")?.to_owned().into(), value: row.text("value")?.to_owned() },
    })
}
