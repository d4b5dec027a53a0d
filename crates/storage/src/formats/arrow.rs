//! Arrow IPC inputs: the file format (Feather version 2) and the stream format. One column is the text, plain columns
//! beside it become metadata, a row is a record.
//!
//! ```text
//! file    ARROW1 ─ schema ─ (dictionary │ record batch) … ─ footer: where each of them lies ─ ARROW1
//! stream           schema ─ (dictionary │ record batch) … ─ end
//! ```
//!
//! Both are made of the same messages, so both become a list of record batches that can be read one by one. A file whose
//! footer is gone is read like a stream, up to the damage. A batch that cannot be read is one gap, and its rows keep
//! their numbers. Lengths that the file states are held against its size before anything is allocated for them; the
//! library checks the messages themselves and the arrays in them.

mod layout;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::reader::FileDecoder;
use arrow_schema::{ArrowError, DataType, Schema};

use self::layout::{Layout, Message, Trouble, broken, load};
use super::parquet::{is_plain, seekable, understand};
use super::{Compression, Input, RawKind, RawRecord, ReadRecords, ReaderOptions, Records, Start, guarded};
use crate::Error;

pub(super) fn open(
    name: &str,
    input: Input,
    compression: Compression,
    start: Start,
    options: &ReaderOptions,
) -> Result<Records, Error> {
    let wrong = |detail: String| Error::WrongInput { path: name.to_owned(), detail };
    if compression != Compression::None {
        return Err(wrong("Arrow compresses inside: expected a file without .gz or .zst".to_owned()));
    }
    let (file, batches) = seekable(name, input)?;
    let layout = match Layout::read(&file) {
        Ok(layout) => layout,
        Err(Trouble::Io(error)) => return Err(Error::io(name, error)),
        // A file without a readable schema is one gap.
        Err(Trouble::Broken(cause)) => {
            let kind =
                RawKind::Malformed { cause: format!("no Arrow IPC file or stream: {cause}"), length: 0 };
            let gap = RawRecord { ordinal: start.ordinal, offset: 0, enterable: true, kind };
            return Ok(Box::new(std::iter::once(Ok(gap))));
        }
    };
    let projection = project(&layout.schema, &options.text_field).map_err(wrong)?;
    let units = layout.units();
    let units = batches.map_or(0..units, |range| range.start as usize..(range.end as usize).min(units));
    let reads_dictionaries = projection
        .iter()
        .any(|&column| matches!(layout.schema.field(column).data_type(), DataType::Dictionary(..)));
    Ok(Box::new(Reader {
        name: name.to_owned(),
        decoder: FileDecoder::new(Arc::clone(&layout.schema), layout.version).with_projection(projection),
        next_row: layout.rows_before(units.start),
        file,
        layout,
        units,
        options: options.clone(),
        reads_dictionaries,
        dictionaries: 0,
        lost_dictionary: None,
        batch: None,
    }))
}

/// Groups the record batches of a file into pieces of about `target_bytes`, with the number of the first row of each. A
/// file that cannot be read is one piece, whose reader will say what is wrong.
pub(crate) fn pieces(file: &File, target_bytes: u64) -> Result<Vec<(Range<u64>, u64)>, std::io::Error> {
    let layout = match Layout::read(file) {
        Ok(layout) => layout,
        Err(Trouble::Io(error)) => return Err(error),
        Err(Trouble::Broken(_)) => return Ok(vec![(0..u64::MAX, 0)]),
    };
    let mut pieces = Vec::new();
    let (mut from, mut first_row, mut row, mut bytes) = (0, 0, 0u64, 0);
    for (number, batch) in (0..).zip(&layout.batches) {
        if bytes >= target_bytes.max(1) {
            pieces.push((from..number, first_row));
            (from, first_row, bytes) = (number, row, 0);
        }
        row = row.saturating_add(batch.rows());
        bytes += batch.message.as_ref().map_or(0, Message::bytes);
    }
    pieces.push((from..(layout.units() as u64).max(1), first_row));
    Ok(pieces)
}

/// Columns to decode: the text, and what can become metadata.
fn project(schema: &Schema, text_field: &str) -> Result<Vec<usize>, String> {
    let Ok(text) = schema.field_with_name(text_field) else {
        let names: Vec<_> =
            schema.fields().iter().take(20).map(|field| format!("`{}`", field.name())).collect();
        return Err(format!("expected a column `{text_field}`, found {}", names.join(", ")));
    };
    let mut kind = text.data_type();
    if let DataType::Dictionary(_, values) = kind {
        kind = values;
    }
    if !matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        return Err(format!("expected the column `{text_field}` to hold text, found {}", text.data_type()));
    }
    let columns = schema.fields().iter().enumerate();
    Ok(columns.filter(|(_, field)| is_plain(field.data_type())).map(|(column, _)| column).collect())
}

struct Reader {
    name: String,
    file: File,
    layout: Layout,
    decoder: FileDecoder,
    options: ReaderOptions,
    units: Range<usize>,
    /// Whether a column that is read has its values in a dictionary.
    reads_dictionaries: bool,
    /// Dictionaries that the decoder has.
    dictionaries: usize,
    /// Why a dictionary is missing: batches after it would be decoded to wrong values.
    lost_dictionary: Option<String>,
    batch: Option<(u64, RecordBatch, usize)>,
    next_row: u64,
}

impl Reader {
    /// Reads the next batch, or says what of the file is a gap. `None` at the end.
    fn next_batch(&mut self) -> Option<Result<Option<RawRecord>, std::io::Error>> {
        let unit = self.units.next()?;
        let Some(batch) = self.layout.batches.get(unit) else {
            let (offset, cause) = self.layout.damage.clone()?;
            return Some(Ok(Some(self.gap(offset, 1, &format!("the rest of the file is lost: {cause}")))));
        };
        let (offset, rows) = (batch.offset, batch.rows());
        let decoded = match self.dictionaries_for(unit) {
            Ok(()) => self.decode(unit),
            Err(trouble) => Err(trouble),
        };
        Some(match decoded {
            Ok(batch) => {
                self.batch = Some((offset, batch, 0));
                Ok(None)
            }
            Err(Trouble::Broken(cause)) => {
                Ok(Some(self.gap(offset, rows, &format!("corrupt record batch {unit}: {cause}"))))
            }
            Err(Trouble::Io(error)) => Err(error),
        })
    }

    /// One record stands for `rows` rows that are lost.
    fn gap(&mut self, offset: u64, rows: u64, cause: &str) -> RawRecord {
        let ordinal = self.next_row;
        self.next_row = self.next_row.saturating_add(rows.max(1));
        let kind = RawKind::Malformed { cause: cause.to_owned(), length: 0 };
        RawRecord { ordinal, offset, enterable: false, kind }
    }

    /// Gives the decoder every dictionary that stands before a batch.
    fn dictionaries_for(&mut self, unit: usize) -> Result<(), Trouble> {
        while self.reads_dictionaries
            && let Some((first, dictionary)) = self.layout.dictionaries.get(self.dictionaries)
            && *first <= unit
        {
            self.dictionaries += 1;
            let loaded = load(&self.file, dictionary)
                .and_then(|(block, bytes)| checked(|| self.decoder.read_dictionary(&block, &bytes)));
            match loaded {
                Ok(()) => {}
                Err(Trouble::Broken(cause)) => {
                    self.lost_dictionary =
                        Some(format!("its dictionary at byte {} is corrupt: {cause}", dictionary.offset));
                }
                Err(trouble) => return Err(trouble),
            }
        }
        self.lost_dictionary.clone().map_or(Ok(()), broken)
    }

    fn decode(&self, unit: usize) -> Result<RecordBatch, Trouble> {
        let (block, bytes) = load(&self.file, &self.layout.batches[unit])?;
        checked(|| self.decoder.read_record_batch(&block, &bytes))?.map_or_else(|| broken("it is empty"), Ok)
    }
}

fn checked<T>(decode: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, Trouble> {
    guarded(decode).or_else(broken)
}

impl Iterator for Reader {
    type Item = Result<RawRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((offset, batch, row)) = self.batch.take()
                && row < batch.num_rows()
            {
                let kind = understand(&batch, row, &self.options);
                self.batch = Some((offset, batch, row + 1));
                let ordinal = self.next_row;
                self.next_row += 1;
                return Some(Ok(RawRecord { ordinal, offset, enterable: false, kind }));
            }
            match self.next_batch()? {
                Ok(None) => tracing::trace!(file = self.name, "opened a record batch"),
                Ok(Some(gap)) => return Some(Ok(gap)),
                Err(error) => return Some(Err(Error::io(self.name.as_str(), error))),
            }
        }
    }
}

impl ReadRecords for Reader {
    fn skip_to(&mut self, ordinal: u64, go_on: &mut dyn FnMut() -> bool) -> Result<(), Error> {
        // Whole batches are not decoded. An empty one is: if it is damaged it is a record, else none.
        while let Some(batch) = self.layout.batches.get(self.units.start)
            && !self.units.is_empty()
        {
            let end = self.next_row.saturating_add(batch.rows());
            if batch.rows() == 0 || end > ordinal {
                break;
            }
            self.units.start += 1;
            self.next_row = end;
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

#[cfg(test)]
mod tests;
