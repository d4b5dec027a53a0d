//! What all our Parquet files share: properties, bounds of row groups, and checked access to columns.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, LargeStringArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::grouped::GroupedWriter;
use crate::formats::guarded;
use crate::{Error, RelativePath, Store};

/// A row group is closed once it holds so many bytes of values…
const GROUP_BYTES: usize = 16 << 20;
/// …or so many rows.
const GROUP_ROWS: usize = 8192;
/// Rows decoded at once; with the bound on a row group, a batch stays about as large as one group.
const BATCH_ROWS: usize = 1024;
/// No value may be longer: offsets within a batch are 32 bits wide.
const MAX_VALUE: usize = 1 << 30;

/// Columns under construction.
pub(crate) trait Columns {
    /// Names and types, in order.
    fn schema(&self) -> Schema;
    /// Columns whose values repeat, so that a dictionary pays.
    const REPEATING: &'static [&'static str];
    /// Takes the rows gathered so far.
    fn take(&mut self) -> Vec<ArrayRef>;
}

/// Writes rows of one kind.
pub(crate) struct TableWriter<W: Write + Send, C: Columns> {
    file: GroupedWriter<W>,
    pub(crate) columns: C,
    rows: usize,
    bytes: usize,
    total: u64,
    /// Closed groups, for who keeps them.
    groups: Option<Vec<Bytes>>,
}

impl<W: Write + Send, C: Columns> TableWriter<W, C> {
    pub(crate) fn new(sink: W) -> Result<Self, Error>
    where
        C: Default,
    {
        Self::with(sink, C::default())
    }

    /// A writer of columns that are known when it is made.
    pub(crate) fn with(sink: W, columns: C) -> Result<Self, Error> {
        let level = ZstdLevel::try_new(3).map_err(failed)?;
        let mut properties = WriterProperties::builder()
            .set_created_by("orchestrator".to_owned()) // the default names the library's version: bytes would change with it
            .set_compression(Compression::ZSTD(level))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(None);
        for column in C::REPEATING {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(*column), true);
        }
        let file = GroupedWriter::new(sink, Arc::new(columns.schema()), properties.build())?;
        Ok(Self { file, columns, rows: 0, bytes: 0, total: 0, groups: None })
    }

    /// Refuses a value that is too long to be stored. Call before appending it.
    pub(crate) fn check(text: &str) -> Result<(), Error> {
        if text.len() > MAX_VALUE {
            return Err(Error::TooLarge { path: "a column value".to_owned(), limit: MAX_VALUE as u64 });
        }
        Ok(())
    }

    /// Counts the row just appended to `columns`; `bytes` is about its size.
    pub(crate) fn row(&mut self, bytes: usize) -> Result<(), Error> {
        self.rows += 1;
        self.bytes += bytes;
        self.total += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.close_group() } else { Ok(()) }
    }

    pub(crate) fn close_group(&mut self) -> Result<(), Error> {
        if self.rows == 0 {
            return Ok(());
        }
        let batch = RecordBatch::try_new(Arc::clone(self.file.schema()), self.columns.take())
            .map_err(|error| Error::Corrupt { path: "a row group".to_owned(), detail: error.to_string() })?;
        let group = self.file.encode(&batch)?;
        self.file.append(&group)?;
        if let Some(groups) = &mut self.groups {
            groups.push(group);
        }
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    pub(crate) fn keep_groups(&mut self) {
        self.groups.get_or_insert_default();
    }

    pub(crate) fn take_groups(&mut self) -> Vec<Bytes> {
        self.groups.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn append_group(&mut self, group: &Bytes) -> Result<u64, Error> {
        self.close_group()?;
        let rows = self.file.append(group)?;
        self.total += rows;
        Ok(rows)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.total
    }

    pub(crate) fn finish(mut self) -> Result<W, Error> {
        self.close_group()?;
        self.file.finish()
    }
}

fn failed(error: ParquetError) -> Error {
    parquet_error("a Parquet file", error)
}

/// An error of the Parquet library at `path`. Our own errors (a full disk) come home through it.
pub fn parquet_error(path: &str, error: ParquetError) -> Error {
    let error = match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) => return Error::io(path, *io),
            Err(inner) => ParquetError::External(inner),
        },
        other => other,
    };
    Error::Corrupt { path: path.to_owned(), detail: error.to_string() }
}

/// Opens a table of ours for reading.
pub(crate) struct TableReader {
    /// As messages name it.
    path: String,
    builder: Option<ParquetRecordBatchReaderBuilder<File>>,
}

impl TableReader {
    pub(crate) fn open(store: &Store, path: &RelativePath) -> Result<Self, Error> {
        let file = store.open_seekable(path)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))
            .map_err(|detail| Error::Corrupt { path: store.name(path), detail })?;
        Ok(Self { path: store.name(path), builder: Some(builder) })
    }

    /// Reads these rows only, given in rising order; what lies between is not decoded.
    pub(crate) fn only(mut self, rows: &[u64]) -> Self {
        let total = usize::try_from(self.rows()).unwrap_or(usize::MAX);
        // Rows beyond the end select nothing: whoever counts what comes back finds them missing.
        let ranges =
            rows.iter().map(|&row| row as usize..row as usize + 1).filter(|range| range.end <= total);
        let selection = RowSelection::from_consecutive_ranges(ranges, total);
        self.builder = self.builder.map(|builder| builder.with_row_selection(selection));
        self
    }

    /// Reads from this row on.
    pub(crate) fn after_rows(mut self, row: u64) -> Self {
        let total = usize::try_from(self.rows()).unwrap_or(usize::MAX);
        let skipped = usize::try_from(row).unwrap_or(usize::MAX).min(total);
        if skipped > 0 {
            let selection =
                RowSelection::from(vec![RowSelector::skip(skipped), RowSelector::select(total - skipped)]);
            self.builder = self.builder.map(|builder| builder.with_row_selection(selection));
        }
        self
    }

    /// Rows in the file, as its footer says.
    pub(crate) fn rows(&self) -> u64 {
        let rows = self.builder.as_ref().map_or(0, |builder| builder.metadata().file_metadata().num_rows());
        u64::try_from(rows).unwrap_or(0)
    }

    /// Names of the columns, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let fields = self.builder.iter().flat_map(|builder| builder.schema().fields());
        fields.map(|field| field.name().clone()).collect()
    }

    /// Starts reading these columns, which must be there with these types.
    pub(crate) fn columns(mut self, wanted: &[(&str, DataType)]) -> Result<Batches, Error> {
        let corrupt = |detail: String| Error::Corrupt { path: self.path.clone(), detail };
        let Some(builder) = self.builder.take() else {
            return Err(corrupt("it was opened twice".to_owned()));
        };
        for (name, kind) in wanted {
            match builder.schema().field_with_name(name) {
                Ok(field) if same_kind(field.data_type(), kind) => {}
                Ok(field) => {
                    let found = field.data_type();
                    return Err(corrupt(format!("expected the column `{name}` to be {kind}, found {found}")));
                }
                Err(_) => return Err(corrupt(format!("expected a column `{name}`"))),
            }
        }
        // By place and not by name, for the names of measures have a dot, which the library takes for a path.
        let is_wanted = |name: &str| wanted.iter().any(|(wanted, _)| *wanted == name);
        let fields = builder.schema().fields().iter().enumerate();
        let places: Vec<usize> =
            fields.filter(|(_, field)| is_wanted(field.name())).map(|(place, _)| place).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), places);
        let reader =
            guarded(|| builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()).map_err(corrupt)?;
        Ok(Batches { path: self.path, reader, batch: None, row: 0 })
    }
}

fn same_kind(found: &DataType, wanted: &DataType) -> bool {
    let text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8);
    found == wanted || (text(found) && text(wanted))
}

/// Walks the rows of a table, one batch in memory.
pub(crate) struct Batches {
    path: String,
    reader: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    row: usize,
}

impl Batches {
    /// The next row, or `None` at the end.
    pub(crate) fn next_row(&mut self) -> Option<Result<Row<'_>, Error>> {
        let more = self.batch.as_ref().is_some_and(|batch| self.row + 1 < batch.num_rows());
        if more {
            self.row += 1;
        } else {
            loop {
                let reader = &mut self.reader;
                match guarded(|| reader.next().transpose()) {
                    Ok(Some(batch)) if batch.num_rows() == 0 => {}
                    Ok(Some(batch)) => {
                        (self.batch, self.row) = (Some(batch), 0);
                        break;
                    }
                    Ok(None) => return None,
                    Err(detail) => return Some(Err(Error::Corrupt { path: self.path.clone(), detail })),
                }
            }
        }
        let batch = self.batch.as_ref()?;
        Some(Ok(Row { path: &self.path, batch, index: self.row }))
    }
}

/// One row, with checked access to its columns.
pub(crate) struct Row<'a> {
    path: &'a str,
    batch: &'a RecordBatch,
    index: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn corrupt(&self, detail: impl Into<String>) -> Error {
        Error::Corrupt { path: self.path.to_owned(), detail: detail.into() }
    }

    pub(crate) fn text_or_null(&self, name: &str) -> Option<&'a str> {
        let column = self.batch.column_by_name(name)?;
        if column.is_null(self.index) {
            return None;
        }
        if let Some(column) = column.as_any().downcast_ref::<StringArray>() {
            return Some(column.value(self.index));
        }
        column.as_any().downcast_ref::<LargeStringArray>().map(|column| column.value(self.index))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, Error> {
        self.text_or_null(name).ok_or_else(|| self.corrupt(format!("expected text in every row of `{name}`")))
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.text_or_null(name).map(str::to_owned)
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, Error> {
        let column: Option<&PrimitiveArray<UInt64Type>> =
            self.batch.column_by_name(name).and_then(|column| column.as_primitive_opt());
        match column {
            Some(column) if column.is_valid(self.index) => Ok(column.value(self.index)),
            _ => Err(self.corrupt(format!("expected a number in every row of `{name}`"))),
        }
    }

    pub(crate) fn score(&self, name: &str) -> Option<f32> {
        let column: &PrimitiveArray<Float32Type> = self.batch.column_by_name(name)?.as_primitive_opt()?;
        column.is_valid(self.index).then(|| column.value(self.index))
    }

    pub(crate) fn measure(&self, name: &str) -> Option<f64> {
        let column: &PrimitiveArray<Float64Type> = self.batch.column_by_name(name)?.as_primitive_opt()?;
        column.is_valid(self.index).then(|| column.value(self.index))
    }
}
