//! Work tables between phases: Parquet with columns of 64-bit numbers and 128-bit ids, read column by column.
//!
//! Hashes do not compress, so the columns are plain; what is sorted is delta-encoded by zstd's own modelling.

use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use orchestrator_core::FileKind;
use orchestrator_storage::documents::{GroupedWriter, parquet_error};
use orchestrator_storage::{RelativePath, Store, Writer};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Rows held before they go to the file, and rows in a batch read back.
const BATCH_ROWS: usize = 64 << 10;

/// Writes a table with one optional id column (`id`) and named columns of optional numbers.
pub(crate) struct TableWriter {
    path: String,
    schema: Arc<Schema>,
    sink: Sink,
    ids: Option<Vec<u128>>,
    columns: Vec<Vec<Option<u64>>>,
    rows: u64,
    /// Rows that are not in the file yet.
    pending: usize,
    /// Row groups since the last savepoint, where they are kept.
    groups: Option<Vec<Bytes>>,
}

/// How rows become a file.
enum Sink {
    /// Row groups as large as the library makes them.
    Whole(Box<ArrowWriter<Writer>>),
    /// Row groups that can be kept for a savepoint.
    Groups(Box<GroupedWriter<Writer>>),
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
        let schema = schema(with_id, columns);
        let properties = properties(compression).set_max_row_group_row_count(Some(1 << 20)).build();
        let writer = ArrowWriter::try_new(files.create(&path)?, Arc::clone(&schema), Some(properties))
            .map_err(|error| parquet_error(&path, error))?;
        Ok(Self::on(path, schema, Sink::Whole(Box::new(writer)), (with_id, columns.len())))
    }

    /// Starts a table whose row groups are kept for savepoints.
    pub(crate) fn create_grouped(
        files: &AttemptFiles,
        path: String,
        with_id: bool,
        columns: &[String],
    ) -> Result<Self, TaskError> {
        let schema = schema(with_id, columns);
        let properties = properties(Compression::ZSTD(ZstdLevel::default()))
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .build();
        let writer = GroupedWriter::new(files.create(&path)?, Arc::clone(&schema), properties)?;
        let table = Self::on(path, schema, Sink::Groups(Box::new(writer)), (with_id, columns.len()));
        Ok(Self { groups: files.keeps_groups().then(Vec::new), ..table })
    }

    fn on(path: String, schema: Arc<Schema>, sink: Sink, (with_id, columns): (bool, usize)) -> Self {
        let (ids, columns) = (with_id.then(Vec::new), vec![Vec::new(); columns]);
        Self { path, schema, sink, ids, columns, rows: 0, pending: 0, groups: None }
    }

    /// The path that it will be published to.
    pub(crate) fn path(&self) -> &str {
        &self.path
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
        self.pending += 1;
        if self.pending >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    /// Brings the rows that are held to the file; where groups are made, they become one.
    pub(crate) fn flush(&mut self) -> Result<(), TaskError> {
        if std::mem::take(&mut self.pending) == 0 {
            return Ok(());
        }
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
        match &mut self.sink {
            Sink::Whole(writer) => {
                writer.write(&batch).map_err(|error| parquet_error(&self.path, error))?;
            }
            Sink::Groups(writer) => {
                let group = writer.encode(&batch)?;
                writer.append(&group)?;
                if let Some(groups) = &mut self.groups {
                    groups.push(group);
                }
            }
        }
        Ok(())
    }

    /// The row groups that were made since the last call, if they are kept.
    pub(crate) fn take_groups(&mut self) -> Vec<Bytes> {
        self.groups.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Appends a row group of an earlier attempt's table.
    pub(crate) fn append_group(&mut self, group: &Bytes) -> Result<(), TaskError> {
        match &mut self.sink {
            Sink::Whole(_) => Err(TaskError::corrupt(&self.path, "the table is not made of groups")),
            Sink::Groups(writer) => {
                self.rows += writer.append(group)?;
                Ok(())
            }
        }
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
        let writer = match self.sink {
            Sink::Whole(writer) => writer.into_inner().map_err(|error| parquet_error(&self.path, error))?,
            Sink::Groups(writer) => writer.finish()?,
        };
        let written = writer.finish()?;
        files.record(stage, kind, self.path, self.rows, written);
        Ok(())
    }
}

fn schema(with_id: bool, columns: &[String]) -> Arc<Schema> {
    let id = with_id.then(|| Field::new("id", DataType::FixedSizeBinary(16), false));
    let columns = columns.iter().map(|name| Field::new(name, DataType::UInt64, true));
    Arc::new(Schema::new(id.into_iter().chain(columns).collect::<Vec<_>>()))
}

fn properties(compression: Compression) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_created_by("orchestrator".to_owned())
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
