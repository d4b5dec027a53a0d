//! A list of documents whose fate another configuration would change.

use std::io::Write;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::StringBuilder;
use arrow_schema::{DataType, Field, Schema};
use orchestrator_core::DocumentId;

use super::table::{Columns, TableWriter};
use crate::Error;

#[derive(Default)]
struct MoveColumns([StringBuilder; 4]);

impl Columns for MoveColumns {
    fn schema(&self) -> Schema {
        Schema::new(
            ["id", "stage", "before", "after"].map(|name| Field::new(name, DataType::Utf8, false)).to_vec(),
        )
    }

    const REPEATING: &'static [&'static str] = &["stage", "before", "after"];

    fn take(&mut self) -> Vec<ArrayRef> {
        self.0.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect()
    }
}

/// Writes such a list as Parquet: `id`, `stage`, `before`, `after`.
pub struct MovesWriter<W: Write + Send>(TableWriter<W, MoveColumns>);

impl<W: Write + Send> MovesWriter<W> {
    /// Starts a file on `sink`.
    pub fn new(sink: W) -> Result<Self, Error> {
        TableWriter::new(sink).map(Self)
    }

    /// Appends a document, with the rule of `stage` that dropped it and the one that would, or `kept`.
    pub fn push(&mut self, id: DocumentId, stage: &str, before: &str, after: &str) -> Result<(), Error> {
        let id = id.to_string();
        let values = [id.as_str(), stage, before, after];
        for (column, value) in self.0.columns.0.iter_mut().zip(values) {
            column.append_value(value);
        }
        self.0.row(64 + before.len() + after.len())
    }

    /// Ends the file and gives the sink back, still to be finished itself.
    pub fn finish(self) -> Result<W, Error> {
        self.0.finish()
    }
}
