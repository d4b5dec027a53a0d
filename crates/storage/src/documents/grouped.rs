//! Parquet files that are made of row groups which can be kept apart and joined again.
//!
//! ```text
//!  rows ──encode──▶ a row group, as a small Parquet file of its own ──append──▶ the file
//!                        └──▶ kept by who may have to begin again ──append──▶ another file with the same bytes
//! ```
//!
//! Every group goes through its own small file on its way, whether somebody keeps it or not: so the bytes of the whole
//! depend on its groups alone. Nothing is encoded twice; appending copies column chunks and moves their offsets.

use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;

use super::table::parquet_error;
use crate::Error;
use crate::formats::guarded;

/// Writes a Parquet file group by group.
pub struct GroupedWriter<W: Write + Send> {
    schema: SchemaRef,
    properties: WriterPropertiesPtr,
    writer: SerializedFileWriter<W>,
}

impl<W: Write + Send> GroupedWriter<W> {
    /// Starts a file on `sink`. The properties must ask for no page index: it is not carried over.
    pub fn new(sink: W, schema: SchemaRef, properties: WriterProperties) -> Result<Self, Error> {
        let columns = ArrowSchemaConverter::new().convert(&schema).map_err(failed)?;
        let properties = Arc::new(properties);
        let writer = SerializedFileWriter::new(sink, columns.root_schema_ptr(), Arc::clone(&properties))
            .map_err(failed)?;
        Ok(Self { schema, properties, writer })
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Makes one row group of some rows: a whole Parquet file, for [`Self::append`] of this or another writer.
    pub fn encode(&self, rows: &RecordBatch) -> Result<Bytes, Error> {
        let options = ArrowWriterOptions::new()
            .with_properties(self.properties.as_ref().clone())
            .with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&self.schema), options)
            .map_err(failed)?;
        writer.write(rows).map_err(failed)?;
        Ok(writer.into_inner().map_err(failed)?.into())
    }

    /// Appends what [`Self::encode`] made, and says how many rows that is.
    pub fn append(&mut self, group: &Bytes) -> Result<u64, Error> {
        let corrupt = |detail: String| Error::Corrupt { path: "a row group".to_owned(), detail };
        let metadata = guarded(|| ParquetMetaDataReader::new().parse_and_finish(group)).map_err(corrupt)?;
        let mut rows = 0;
        for group_metadata in metadata.row_groups() {
            let mut row_group = self.writer.next_row_group().map_err(failed)?;
            for column in group_metadata.columns() {
                let close = ColumnCloseResult {
                    bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
                    rows_written: u64::try_from(group_metadata.num_rows()).unwrap_or(0),
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                row_group.append_column(group, close).map_err(failed)?;
            }
            row_group.close().map_err(failed)?;
            rows += u64::try_from(group_metadata.num_rows()).unwrap_or(0);
        }
        Ok(rows)
    }

    /// Ends the file and gives the sink back.
    pub fn finish(self) -> Result<W, Error> {
        self.writer.into_inner().map_err(failed)
    }
}

fn failed(error: ParquetError) -> Error {
    parquet_error("a Parquet file", error)
}

/// A writer of rows whose groups can be kept, for a writer that begins again.
pub trait RowGroups {
    /// Keeps the groups that are closed from now on, until they are taken.
    fn keep_groups(&mut self);
    /// The groups that were closed since the last call, if they are kept.
    fn take_groups(&mut self) -> Vec<Bytes>;
    /// Closes the group that is open, if there are rows in it.
    fn close_group(&mut self) -> Result<(), Error>;
    /// Appends a group that another writer of the same kind kept. Only between groups.
    fn append_group(&mut self, group: &Bytes) -> Result<u64, Error>;
}

/// Passes the groups of a writer around a table on.
macro_rules! row_groups {
    ($($name:ident),*) => {$(
        impl<W: std::io::Write + Send> $crate::documents::RowGroups for $name<W> {
            fn keep_groups(&mut self) {
                self.0.keep_groups();
            }

            fn take_groups(&mut self) -> Vec<bytes::Bytes> {
                self.0.take_groups()
            }

            fn close_group(&mut self) -> Result<(), $crate::Error> {
                self.0.close_group()
            }

            fn append_group(&mut self, group: &bytes::Bytes) -> Result<u64, $crate::Error> {
                self.0.append_group(group)
            }
        }
    )*};
}

pub(super) use row_groups;
