//! Work tables between phases: Parquet with columns of 64-bit numbers and 128-bit ids, read column by column.
//!
//! Hashes do not compress, so the columns are plain; what is sorted is delta-encoded by zstd's own modelling.

use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use orchestrator_core::FileKind;
use orchestrator_storage::documents::parquet_error;
use orchestrator_storage::{RelativePath, Store, Writer};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Rows held before they go to the file, and rows in a batch read back.
const BATCH_ROWS: usize = 64 << 10;

/// Writes a table with one optional id column (`id`) and named columns of optional numbers.
pub(crate) struct TableWriter {
    path: String,
    schema: Arc<Schema>,
    writer: ArrowWriter<Writer>,
    ids: Option<Vec<u128>>,
    columns: Vec<Vec<Option<u64>>>,
    rows: u64,
}

impl TableWriter {
    /// Starts a table that will be published as `path`.
    pub(crate) fn create(
        files: &AttemptFiles,
        path: String,
        with_id: bool,
        columns: &[String],
    ) -> Result<Self, TaskError> {
        Self::create_with(files, path, with_id, columns, Compression::ZSTD(ZstdLevel::default()))
    }

    /// The same with another compression.
    pub(crate) fn create_with(
        files: &AttemptFiles,
        path: String,
        with_id: bool,
        columns: &[String],
        compression: Compression,
    ) -> Result<Self, TaskError> {
        let mut fields = Vec::new();
        if with_id {
            fields.push(Field::new("id", DataType::FixedSizeBinary(16), false));
        }
        fields.extend(columns.iter().map(|name| Field::new(name, DataType::UInt64, true)));
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(1 << 20))
            .set_created_by("orchestrator".to_owned())
            .build();
        let writer = ArrowWriter::try_new(files.create(&path)?, Arc::clone(&schema), Some(properties))
            .map_err(|error| parquet_error(&path, error))?;
        Ok(Self {
            path,
            schema,
            writer,
            ids: with_id.then(Vec::new),
            columns: vec![Vec::new(); columns.len()],
            rows: 0,
        })
    }

    /// Adds a row; `values` has one entry per column.
    pub(crate) fn push(
        &mut self,
        id: u128,
        values: impl IntoIterator<Item = Option<u64>>,
    ) -> Result<(), TaskError> {
        if let Some(ids) = &mut self.ids {
            ids.push(id);
        }
        let mut values = values.into_iter();
        for column in &mut self.columns {
            column.push(values.next().flatten());
        }
        self.rows += 1;
        if self.rows.is_multiple_of(BATCH_ROWS as u64) { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        let mut arrays: Vec<ArrayRef> = Vec::new();
        if let Some(ids) = &mut self.ids {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(ids.len(), 16);
            for id in ids.drain(..) {
                // Sixteen bytes into a column of sixteen: cannot be refused.
                builder
                    .append_value(id.to_be_bytes())
                    .map_err(|error| TaskError::corrupt(&self.path, error))?;
            }
            arrays.push(Arc::new(builder.finish()));
        }
        for column in &mut self.columns {
            arrays.push(Arc::new(UInt64Array::from(std::mem::take(column))));
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map_err(|error| TaskError::corrupt(&self.path, error))?;
        Ok(self.writer.write(&batch).map_err(|error| parquet_error(&self.path, error))?)
    }

    /// Closes the table and books it as what a later phase reads.
    pub(crate) fn finish(self, files: &mut AttemptFiles, stage: u32) -> Result<(), TaskError> {
        self.finish_as(files, stage, FileKind::Intermediate)
    }

    /// Closes the table and books it as a file of this kind.
    pub(crate) fn finish_as(
        mut self,
        files: &mut AttemptFiles,
        stage: u32,
        kind: FileKind,
    ) -> Result<(), TaskError> {
        self.flush()?;
        let writer = self.writer.into_inner().map_err(|error| parquet_error(&self.path, error))?;
        let written = writer.finish()?;
        files.record(stage, kind, self.path, self.rows, written);
        Ok(())
    }
}

/// Reads some columns of a table, batch by batch.
pub(crate) struct TableReader {
    path: String,
    batches: ParquetRecordBatchReader,
}

/// Some rows of a table: the columns asked for, in the table's order.
pub(crate) struct Rows {
    batch: RecordBatch,
    path: String,
}

impl TableReader {
    /// Opens a committed table for the named columns.
    pub(crate) fn open(store: &Store, path: &str, columns: &[&str]) -> Result<Self, TaskError> {
        let file = store.open_seekable(&RelativePath::new(path)?)?;
        let corrupt = |error: parquet::errors::ParquetError| TaskError::corrupt(path, error);
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(corrupt)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(corrupt)?;
        Ok(Self { path: path.to_owned(), batches })
    }
}

impl TableReader {
    /// Rows of a table, as its footer says.
    pub(crate) fn rows(store: &Store, path: &str) -> Result<u64, TaskError> {
        let file = store.open_seekable(&RelativePath::new(path)?)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| TaskError::corrupt(path, error))?;
        Ok(builder.metadata().file_metadata().num_rows().try_into().unwrap_or(0))
    }
}

impl Iterator for TableReader {
    type Item = Result<Rows, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        Some(
            batch
                .map(|batch| Rows { batch, path: self.path.clone() })
                .map_err(|error| TaskError::corrupt(&self.path, error)),
        )
    }
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    fn column<T: Array + 'static>(&self, name: &str) -> Result<&T, TaskError> {
        self.batch
            .column_by_name(name)
            .and_then(|column| column.as_any().downcast_ref::<T>())
            .ok_or_else(|| TaskError::corrupt(&self.path, format!("expected a column `{name}` of our type")))
    }

    /// A column of optional numbers.
    pub(crate) fn numbers(&self, name: &str) -> Result<impl Iterator<Item = Option<u64>> + '_, TaskError> {
        Ok(self.column::<UInt64Array>(name)?.iter())
    }

    /// A column of text.
    pub(crate) fn texts(&self, name: &str) -> Result<impl Iterator<Item = &str> + '_, TaskError> {
        Ok(self.column::<StringArray>(name)?.iter().map(Option::unwrap_or_default))
    }

    /// The id column.
    pub(crate) fn ids(&self) -> Result<impl Iterator<Item = u128> + '_, TaskError> {
        let column = self.column::<FixedSizeBinaryArray>("id")?;
        Ok((0..column.len()).map(|row| {
            let mut id = [0; 16];
            // A column of another width was refused with the file's schema; a short value reads as zeros.
            let value = column.value(row);
            let width = value.len().min(16);
            id[..width].copy_from_slice(&value[..width]);
            u128::from_be_bytes(id)
        }))
    }
}
