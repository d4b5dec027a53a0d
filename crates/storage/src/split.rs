//! Cutting big inputs, so that one file can feed several tasks.
//!
//! ```text
//! plain JSONL, plain WARC, ARC ─▶ byte ranges that begin with a record
//! many-member gzip, many-frame zstd ─▶ byte ranges that begin with a member and with a record
//! Parquet, Arrow ─▶ ranges of row groups, of record batches
//! one-member gzip, one-frame zstd ─▶ cannot be entered: carved into pieces of our own
//! ```
//!
//! Cuts follow the target size alone, never the number of workers.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::Range;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use crate::Error;
use crate::formats::{
    self, Compression, Format, Framed, GAP_MARK, RawKind, ReaderOptions, Start, offset_mark,
};

/// The most that the headers of a record can take.
const HEADER_BYTES: usize = 65 << 20;

/// A piece of an input that a reader can start at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the file as it lies there; of Parquet, row groups; of Arrow, record batches.
    pub range: Range<u64>,
    /// Number of the first record in it.
    pub first_record: u64,
}

/// Finds pieces of about `target_bytes` (of the file as it lies there), reading `stream` through once. The last ends at
/// `file_bytes`. One piece alone means that the file is small, or cannot be entered: then see [`carve`].
pub fn index(
    name: &str,
    stream: Box<dyn Read + Send>,
    file_bytes: u64,
    format: Format,
    compression: Compression,
    options: &ReaderOptions,
    target_bytes: u64,
) -> Result<Vec<Piece>, Error> {
    let mut reader = formats::frame(stream, format, compression, Start::default(), options, true);
    let mut pieces = Vec::new();
    let (mut from, mut first_record) = (0, 0);
    while let Some(record) = reader.next_record().map_err(|fault| fault.into_error(name))? {
        // A gap may be told from other bytes when entered directly, so no piece begins with one.
        let whole = !matches!(record.kind, RawKind::Malformed { .. });
        if record.enterable && whole && record.offset - from >= target_bytes.max(1) {
            pieces.push(Piece { range: from..record.offset, first_record });
            (from, first_record) = (record.offset, record.ordinal);
        }
    }
    pieces.push(Piece { range: from..file_bytes.max(from), first_record });
    Ok(pieces)
}

/// Finds pieces of about `target_bytes` of a file whose format [seeks](Format::seeks). Little more than the footer is
/// read. A file that cannot be read is one piece, whose reader will say what is wrong.
pub fn index_rows(name: &str, file: &File, format: Format, target_bytes: u64) -> Result<Vec<Piece>, Error> {
    if format != Format::Arrow {
        return Ok(index_parquet(file, target_bytes));
    }
    let pieces = formats::arrow_pieces(file, target_bytes).map_err(|error| Error::io(name, error))?;
    Ok(pieces.into_iter().map(|(range, first_record)| Piece { range, first_record }).collect())
}

/// Groups the row groups of a Parquet file into pieces of about `target_bytes`. Only the footer is read. A file without a
/// readable footer is one piece, whose reader will say what is wrong.
pub fn index_parquet(file: &File, target_bytes: u64) -> Vec<Piece> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let Ok(metadata) = formats::guarded(|| ArrowReaderMetadata::load(file, options)) else {
        return vec![Piece { range: 0..u64::MAX, first_record: 0 }];
    };
    let groups = metadata.metadata().row_groups();
    let mut pieces = Vec::new();
    let (mut from, mut first_record, mut row, mut bytes) = (0, 0, 0u64, 0u64);
    for (group, of_group) in groups.iter().enumerate() {
        if bytes >= target_bytes.max(1) {
            pieces.push(Piece { range: from..group as u64, first_record });
            (from, first_record, bytes) = (group as u64, row, 0);
        }
        row = row.saturating_add(of_group.num_rows().max(0) as u64);
        bytes = bytes.saturating_add(of_group.compressed_size().max(0) as u64);
    }
    pieces.push(Piece { range: from..groups.len() as u64, first_record });
    pieces
}

/// A carved piece that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carved<T> {
    /// What the caller's `finish` gave.
    pub file: T,
    /// Number of the first record in it.
    pub first_record: u64,
    /// Offset of its first record: [`Start::offset`] of its reader. It need not rise from piece to piece, for it begins
    /// anew, lower, with each member of the input.
    pub offset: u64,
    /// Records in it: the next piece's first record follows on them.
    pub records: u64,
}

/// What [`carve`] reads and how.
#[derive(Clone, Copy, Debug)]
pub struct CarveInput<'a> {
    /// For error messages.
    pub name: &'a str,
    /// The file's format, which its pieces keep.
    pub format: Format,
    /// The file's compression; pieces are always zstd.
    pub compression: Compression,
    /// Bounds of records.
    pub options: &'a ReaderOptions,
    /// Aim for pieces of so many bytes before compression.
    pub target_bytes: u64,
}

/// Reads a file through and writes its records to pieces of zstd: `create(n)` opens the sink of piece `n`, `finish` closes
/// it. Reading the pieces in order, with [`formats::open_carved`], gives the records of the file with their numbers and
/// offsets, gaps included. A file without a record gives no piece.
///
/// ```text
/// piece   frame ─ mark: offset ─ frame ─ mark: offset ─ frame
///         └ records whose offsets follow on each other     └ in a new frame where they do not: another member began
/// ```
pub fn carve<W: Write, T>(
    input: CarveInput<'_>,
    stream: Box<dyn Read + Send>,
    mut create: impl FnMut(u64) -> Result<W, Error>,
    mut finish: impl FnMut(W) -> Result<T, Error>,
) -> Result<Vec<Carved<T>>, Error> {
    let CarveInput { name, format, compression, options, target_bytes } = input;
    let mut reader = formats::frame(stream, format, compression, Start::default(), options, true);
    // Headers of a record are bounded by their readers; beyond this only a malformed record can go.
    reader.scanner().tap(options.max_record_bytes as usize + HEADER_BYTES);
    let mut pieces = Vec::new();
    let mut open: Option<OpenPiece<W>> = None;
    while let Some(record) = reader.next_record().map_err(|fault| fault.into_error(name))? {
        let (mut bytes, begins) = taken(reader.as_mut(), &record.kind);
        let mut piece = match open.take() {
            Some(piece) if piece.next_offset + begins as u64 == record.offset => piece,
            other => {
                bytes.drain(..begins); // blank lines before the record: the piece's, or frame's, offset is the record's
                match other {
                    Some(piece) => piece.jump(name, record.offset)?,
                    None => {
                        OpenPiece::new(name, create(pieces.len() as u64)?, record.ordinal, record.offset)?
                    }
                }
            }
        };
        piece.write(name, &bytes)?;
        // A gap ends its piece: a reader that searches on from it for a record would pass by a gap behind it.
        let gap = matches!(record.kind, RawKind::Malformed { .. });
        if piece.bytes >= target_bytes || gap {
            pieces.push(piece.close(name, &mut finish)?);
        } else {
            open = Some(piece);
        }
    }
    if let Some(piece) = open {
        pieces.push(piece.close(name, &mut finish)?);
    }
    Ok(pieces)
}

/// The bytes of the record just read and where it begins in them, or a line that stands for it where its own bytes would not read as one gap again.
fn taken(reader: &mut dyn Framed, kind: &RawKind) -> (Vec<u8>, usize) {
    let (mut bytes, begins) = reader.scanner().take_tap();
    match kind {
        RawKind::Malformed { cause, .. } => {
            bytes.truncate(begins);
            bytes.extend_from_slice(GAP_MARK);
            bytes.extend(cause.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
            bytes.push(b'\n');
            (bytes, begins)
        }
        RawKind::Body(_) | RawKind::NotADocument { .. } => (bytes, begins),
    }
}

struct OpenPiece<W: Write> {
    encoder: zstd::stream::write::Encoder<'static, W>,
    first_record: u64,
    offset: u64,
    records: u64,
    bytes: u64,
    /// The offset that a reader gives to the byte which is written next.
    next_offset: u64,
}

impl<W: Write> OpenPiece<W> {
    fn new(name: &str, sink: W, first_record: u64, offset: u64) -> Result<Self, Error> {
        let encoder = encoder(name, sink)?;
        Ok(Self { encoder, first_record, offset, records: 0, bytes: 0, next_offset: offset })
    }

    /// Goes on in a new frame, which begins at another offset.
    fn jump(self, name: &str, offset: u64) -> Result<Self, Error> {
        let mut sink = self.encoder.finish().map_err(|error| Error::io(name, error))?;
        sink.write_all(&offset_mark(offset)).map_err(|error| Error::io(name, error))?;
        Ok(Self { encoder: encoder(name, sink)?, next_offset: offset, ..self })
    }

    /// Adds a record.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.encoder.write_all(bytes).map_err(|error| Error::io(name, error))?;
        self.records += 1;
        self.bytes += bytes.len() as u64;
        self.next_offset += bytes.len() as u64;
        Ok(())
    }

    fn close<T>(
        self,
        name: &str,
        finish: &mut impl FnMut(W) -> Result<T, Error>,
    ) -> Result<Carved<T>, Error> {
        let sink = self.encoder.finish().map_err(|error| Error::io(name, error))?;
        let (first_record, offset, records) = (self.first_record, self.offset, self.records);
        Ok(Carved { file: finish(sink)?, first_record, offset, records })
    }
}

/// Level 1: a piece is read once and thrown away.
fn encoder<W: Write>(name: &str, sink: W) -> Result<zstd::stream::write::Encoder<'static, W>, Error> {
    zstd::stream::write::Encoder::new(sink, 1).map_err(|error| Error::io(name, error))
}

#[cfg(test)]
mod tests;
