//! `.docs.parquet`: which document each sequence of a token shard is.

use std::io::Write;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{StringBuilder, UInt64Builder};
use arrow_schema::{DataType, Field, Schema};
use orchestrator_core::DocumentId;

use crate::documents::table::{Batches, Columns, Row, TableReader, TableWriter};
use crate::{Error, RelativePath, Store};

/// Where a document lies in a token shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenDocument {
    /// The document.
    pub id: DocumentId,
    /// Its sequence in `.idx`.
    pub sequence: u64,
    /// Its first token in `.bin`, counted in tokens.
    pub offset: u64,
    /// Its tokens, end-of-text included.
    pub length: u64,
}

#[derive(Default)]
pub(super) struct DocColumns {
    id: StringBuilder,
    sequence: UInt64Builder,
    offset: UInt64Builder,
    length: UInt64Builder,
}

impl Columns for DocColumns {
    fn schema(&self) -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("sequence", DataType::UInt64, false),
            Field::new("offset", DataType::UInt64, false),
            Field::new("length", DataType::UInt64, false),
        ])
    }

    const REPEATING: &'static [&'static str] = &[];

    fn take(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.id.finish()),
            Arc::new(self.sequence.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.length.finish()),
        ]
    }
}

pub(super) fn push<W: Write + Send>(
    table: &mut TableWriter<W, DocColumns>,
    document: TokenDocument,
) -> Result<(), Error> {
    let columns = &mut table.columns;
    columns.id.append_value(document.id.to_string());
    columns.sequence.append_value(document.sequence);
    columns.offset.append_value(document.offset);
    columns.length.append_value(document.length);
    table.row(56)
}

/// Reads the documents of a token shard in order.
pub struct TokenDocumentReader {
    rows: u64,
    batches: Batches,
}

impl TokenDocumentReader {
    /// Opens the documents of the shard `stem`, for example `tokens/train-00000`.
    pub fn open(store: &Store, stem: &RelativePath) -> Result<Self, Error> {
        let [_, _, path] = super::paths(stem)?;
        let table = TableReader::open(store, &path)?;
        let number = DataType::UInt64;
        let wanted = [
            ("id", DataType::Utf8),
            ("sequence", number.clone()),
            ("offset", number.clone()),
            ("length", number),
        ];
        Ok(Self { rows: table.rows(), batches: table.columns(&wanted)? })
    }

    /// Documents in the shard.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Iterator for TokenDocumentReader {
    type Item = Result<TokenDocument, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.batches.next_row()?.and_then(|row| document(&row)))
    }
}

fn document(row: &Row<'_>) -> Result<TokenDocument, Error> {
    Ok(TokenDocument {
        id: row.text("id")?.parse().map_err(|error| row.corrupt(format!("{error}")))?,
        sequence: row.number("sequence")?,
        offset: row.number("offset")?,
        length: row.number("length")?,
    })
}
