//! Parquet inputs of others: one column is the text, plain columns beside it become metadata.

use std::fs::File;
use std::io::{Seek, Write};
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use serde_json::{Map, Value};

use super::{
    Compression, Input, RawKind, RawRecord, ReadRecords, ReaderOptions, Records, Start, guarded, jsonl,
};
use crate::Error;

/// Rows decoded at once.
const BATCH_ROWS: usize = 256;

pub(super) fn open(
    name: &str,
    input: Input,
    compression: Compression,
    start: Start,
    options: &ReaderOptions,
) -> Result<Records, Error> {
    let wrong = |detail: String| Error::WrongInput { path: name.to_owned(), detail };
    if compression != Compression::None {
        return Err(wrong("Parquet compresses inside: expected a file without .gz or .zst".to_owned()));
    }
    let (file, groups) = seekable(name, input)?;
    let options_arrow = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = match guarded(|| ArrowReaderMetadata::load(&file, options_arrow)) {
        Ok(metadata) => metadata,
        // A file without a readable footer is one gap.
        Err(error) => {
            let kind = RawKind::Malformed { cause: format!("no Parquet file: {error}"), length: 0 };
            let gap = RawRecord { ordinal: start.ordinal, offset: start.ordinal, enterable: true, kind };
            return Ok(Box::new(std::iter::once(Ok(gap))));
        }
    };
    if metadata.schema().field_with_name(&options.text_field).is_err() {
        let names: Vec<_> =
            metadata.schema().fields().iter().take(20).map(|field| format!("`{}`", field.name())).collect();
        let detail = format!("expected a column `{}`, found {}", options.text_field, names.join(", "));
        return Err(wrong(detail));
    }
    let count = metadata.metadata().num_row_groups();
    let groups = groups.unwrap_or(0..count as u64);
    let groups = groups.start as usize..(groups.end as usize).min(count);
    let first_row = rows_before(&metadata, groups.start);
    Ok(Box::new(Reader {
        name: name.to_owned(),
        file,
        metadata,
        groups,
        options: options.clone(),
        current: None,
        batch: None,
        next_row: first_row,
        group_end: first_row,
    }))
}

/// A file for seeking, and the range of it to read; what comes as a stream is first written to a file without a name.
pub(super) fn seekable(name: &str, input: Input) -> Result<(File, Option<Range<u64>>), Error> {
    let mut stream = match input {
        Input::Seekable(file, range) => return Ok((file, range)),
        Input::Stream(stream) => stream,
    };
    let mut spool = tempfile::tempfile().map_err(|error| Error::io(name, error))?;
    std::io::copy(&mut stream, &mut spool)
        .and_then(|_| spool.flush())
        .and_then(|()| spool.rewind())
        .map_err(|error| Error::io(name, error))?;
    Ok((spool, None))
}

/// Rows in the groups before `group`.
pub(crate) fn rows_before(metadata: &ArrowReaderMetadata, group: usize) -> u64 {
    let groups = metadata.metadata().row_groups();
    let rows = groups[..group.min(groups.len())].iter().map(|group| group.num_rows().max(0) as u64);
    rows.fold(0, u64::saturating_add)
}

struct Reader {
    name: String,
    file: File,
    metadata: ArrowReaderMetadata,
    groups: Range<usize>,
    options: ReaderOptions,
    current: Option<ParquetRecordBatchReader>,
    batch: Option<(RecordBatch, usize)>,
    next_row: u64,
    group_end: u64,
}

impl Reader {
    /// Opens the next row group. `None` when there is none.
    fn next_group(&mut self) -> Option<Result<(), String>> {
        let group = self.groups.next()?;
        self.next_row = self.group_end;
        let rows = self.metadata.metadata().row_group(group).num_rows().max(0) as u64;
        self.group_end = self.group_end.saturating_add(rows);
        let schema = self.metadata.schema();
        let names = schema
            .fields()
            .iter()
            .filter(|field| {
                let is_group = self.options.nested && matches!(field.data_type(), DataType::Struct(_));
                is_plain(field.data_type()) || is_group || *field.name() == self.options.text_field
            })
            .map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(self.metadata.parquet_schema(), names);
        let file = match self.file.try_clone() {
            Ok(file) => file,
            Err(error) => return Some(Err(error.to_string())),
        };
        let reader = guarded(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS)
                .build()
        });
        Some(reader.map(|reader| self.current = Some(reader)))
    }

    fn record(&mut self, kind: RawKind) -> RawRecord {
        let ordinal = self.next_row;
        self.next_row = self.next_row.saturating_add(1);
        RawRecord { ordinal, offset: ordinal, enterable: false, kind }
    }

    /// The rest of the row group is a gap.
    fn gap(&mut self, cause: &str) -> RawRecord {
        (self.current, self.batch) = (None, None);
        let kind = RawKind::Malformed { cause: format!("corrupt row group: {cause}"), length: 0 };
        self.record(kind)
    }
}

impl Iterator for Reader {
    type Item = Result<RawRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((batch, row)) = self.batch.take()
                && row < batch.num_rows()
            {
                let kind = understand(&batch, row, &self.options);
                self.batch = Some((batch, row + 1));
                return Some(Ok(self.record(kind)));
            }
            let current = &mut self.current;
            match guarded(|| current.as_mut().and_then(Iterator::next).transpose()) {
                Ok(Some(batch)) => self.batch = Some((batch, 0)),
                Err(error) => return Some(Ok(self.gap(&error))),
                Ok(None) => match self.next_group()? {
                    Ok(()) => tracing::trace!(file = self.name, "opened a row group"),
                    Err(error) => return Some(Ok(self.gap(&error))),
                },
            }
        }
    }
}

impl ReadRecords for Reader {
    fn skip_to(&mut self, ordinal: u64, go_on: &mut dyn FnMut() -> bool) -> Result<(), Error> {
        // Whole row groups are not read at all. One that cannot be read is numbered by its footer too.
        while !self.groups.is_empty() {
            let rows = self.metadata.metadata().row_group(self.groups.start).num_rows().max(0) as u64;
            let end = self.group_end.saturating_add(rows);
            if end > ordinal {
                break;
            }
            self.groups.start += 1;
            (self.next_row, self.group_end) = (end, end);
        }
        while self.next_row < ordinal && go_on() {
            match self.next() {
                Some(record) => record.map(drop)?,
                None => break,
            }
        }
        Ok(())
    }
}

/// The record in a row: its columns are the fields.
pub(super) fn understand(batch: &RecordBatch, row: usize, options: &ReaderOptions) -> RawKind {
    let mut fields = Map::new();
    let schema = batch.schema();
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if let Some(value) = value(column.as_ref(), row) {
            fields.insert(field.name().clone(), value);
        }
    }
    match jsonl::body(fields, options) {
        Ok(body) if body.bytes.len() as u64 > options.max_record_bytes => RawKind::Malformed {
            cause: format!("larger than the {} bytes that a record may have", options.max_record_bytes),
            length: body.bytes.len() as u64,
        },
        Ok(body) => RawKind::Body(Box::new(body)),
        Err(cause) => RawKind::Malformed { cause, length: 0 },
    }
}

/// Whether the values of a column can be told in JSON as they are.
pub(super) fn is_plain(kind: &DataType) -> bool {
    if let DataType::Dictionary(_, values) = kind {
        return !matches!(**values, DataType::Dictionary(..)) && is_plain(values);
    }
    kind.is_integer()
        || matches!(kind, DataType::Float32 | DataType::Float64 | DataType::Boolean)
        || matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn value(column: &dyn Array, row: usize) -> Option<Value> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => column.as_primitive::<Float32Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let key = value(dictionary.keys(), row)?.as_u64()? as usize;
            return if key < dictionary.values().len() {
                value(dictionary.values().as_ref(), key)
            } else {
                None
            };
        }
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let named = fields.iter().zip(columns);
            let values = named
                .filter_map(|(field, column)| Some((field.name().clone(), value(column.as_ref(), row)?)));
            Value::Object(values.collect())
        }
        _ => return None,
    })
}
