//! Readers of raw inputs. One file per format, one line each in [`FORMATS`].
//!
//! ```text
//! bytes ──▶ decoder (gzip members, zstd frames) ──▶ scanner (lines, lengths, offsets) ──▶ format ──▶ RawRecord
//! ```
//!
//! A bad record never ends a file: it becomes [`RawKind::Malformed`], and the reader goes on with the next record it can
//! find. What it had to jump counts as one record. Only a failing store is an error.

mod arc;
mod arrow;
mod decoder;
mod files;
mod http;
mod jsonl;
mod members;
mod parquet;
mod scanner;
mod warc;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::time::Duration;

use orchestrator_core::Media;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::arrow::pieces as arrow_pieces;
pub(crate) use self::decoder::mark as offset_mark;
use self::decoder::{Decoder, Fault};
pub use self::members::members_begin_lines;
pub(crate) use self::scanner::Scanner;
use crate::Error;

/// The form of an input file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Web archive records.
    Warc,
    /// Common Crawl's extracted text: WARC `conversion` records.
    Wet,
    /// The older web archive.
    Arc,
    /// A JSON object per line.
    Jsonl,
    /// Columns; one is the text.
    Parquet,
    /// Arrow's IPC file or stream, columns too.
    Arrow,
    /// One plain text per file.
    Text,
    /// One Markdown document per file.
    Markdown,
    /// One HTML page per file.
    Html,
}

/// How an input is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// One or many gzip members.
    Gzip,
    /// One or many zstd frames.
    Zstd,
}

/// Every format, its name in the job file and the file names that are taken for it.
pub const FORMATS: [(Format, &str, &[&str]); 9] = [
    (Format::Warc, "warc", &["warc"]),
    (Format::Wet, "wet", &["wet"]),
    (Format::Arc, "arc", &["arc"]),
    (Format::Jsonl, "jsonl", &["jsonl", "ndjson"]),
    (Format::Parquet, "parquet", &["parquet"]),
    (Format::Arrow, "arrow", &["arrow", "arrows", "feather"]),
    (Format::Text, "text", &["txt", "text"]),
    (Format::Markdown, "markdown", &["md", "markdown"]),
    (Format::Html, "html", &["html", "htm", "xhtml"]),
];

/// Tells the format and compression of a file by its name.
pub fn detect(path: &str) -> Option<(Format, Compression)> {
    let (stem, compression) = detect_compression(path);
    let (_, extension) = stem.rsplit_once('.')?;
    FORMATS
        .iter()
        .find(|(_, _, extensions)| extensions.iter().any(|known| known.eq_ignore_ascii_case(extension)))
        .map(|(format, _, _)| (*format, compression))
}

/// Tells the compression of a file by its name, and gives the name without that ending.
pub fn detect_compression(path: &str) -> (&str, Compression) {
    for (ending, compression) in
        [(".gz", Compression::Gzip), (".zst", Compression::Zstd), (".zstd", Compression::Zstd)]
    {
        if let Some(at) = path.len().checked_sub(ending.len())
            && path.is_char_boundary(at)
            && path[at..].eq_ignore_ascii_case(ending)
        {
            return (&path[..at], compression);
        }
    }
    (path, Compression::None)
}

impl Format {
    /// Whether a reader must seek: it wants [`Input::Seekable`], and its files are cut between groups of rows.
    pub fn seeks(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FORMATS.iter().find(|(format, _, _)| format == self).map_or("", |(_, name, _)| name);
        f.write_str(name)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// How to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderOptions {
    /// JSONL field, or Parquet or Arrow column, that holds the text.
    pub text_field: String,
    /// Field of the URL.
    pub url_field: String,
    /// Fields of the date; the first that is there counts.
    pub date_fields: Vec<String>,
    /// Fields of the language code; the first that is there counts.
    pub language_fields: Vec<String>,
    /// A larger record is malformed.
    pub max_record_bytes: u64,
    /// A gzip member or zstd frame that grows more than this is malformed (once past 256 MiB).
    pub max_ratio: u64,
    /// Whether Parquet's columns of groups become objects, as their writers mean them; else they are passed by.
    pub nested: bool,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            text_field: "text".to_owned(),
            url_field: "url".to_owned(),
            date_fields: ["date", "timestamp", "created"].map(str::to_owned).to_vec(),
            language_fields: ["lang", "language"].map(str::to_owned).to_vec(),
            max_record_bytes: 64 << 20,
            max_ratio: 1000,
            nested: false,
        }
    }
}

/// One record of an input.
#[derive(Clone, Debug, PartialEq)]
pub struct RawRecord {
    /// Its number in the file, from 0.
    pub ordinal: u64,
    /// Where it lies: the offset of its gzip member (zstd frame, plain file) plus its place in what that decodes to.
    /// Of Parquet: the row. Of Arrow: the offset of its record batch.
    pub offset: u64,
    /// Whether a reader can start at `offset` of the file.
    pub enterable: bool,
    /// What it is.
    pub kind: RawKind,
}

/// What a record is.
#[derive(Clone, Debug, PartialEq)]
pub enum RawKind {
    /// Something that can become a document.
    Body(Box<Body>),
    /// A record of a kind that is no document.
    NotADocument {
        /// Which kind, for example `warc type request`.
        reason: String,
    },
    /// A record that cannot be read, or a gap.
    Malformed {
        /// What is wrong with it.
        cause: String,
        /// Decoded bytes passed by.
        length: u64,
    },
}

/// Bytes that can become a document, and what the source says of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// The text, in `charset` or an unknown encoding.
    pub bytes: Vec<u8>,
    /// What kind of text.
    pub media: Media,
    /// The encoding that the source names.
    pub charset: Option<String>,
    /// Where it was fetched from.
    pub url: Option<String>,
    /// When.
    pub date: Option<String>,
    /// The language code that the source gives.
    pub language: Option<String>,
    /// Everything else.
    pub metadata: Map<String, Value>,
}

/// Where a format's bytes come from.
pub enum Input {
    /// A stream, from a place where a record starts.
    Stream(Box<dyn Read + Send>),
    /// A file for seeking, as Parquet and Arrow need, and the row groups or record batches to read of it.
    Seekable(File, Option<Range<u64>>),
}

/// Where a reader starts: what it cannot know from the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Number of the first record.
    pub ordinal: u64,
    /// Offset of the first byte in its file.
    pub offset: u64,
}

/// Records of one input, in order. An error is the store's and ends the iteration.
pub type Records = Box<dyn ReadRecords>;

/// What a reader can do beside giving one record after the other.
pub trait ReadRecords: Iterator<Item = Result<RawRecord, Error>> + Send {
    /// Passes by the records before number `ordinal`, which the input must have, without understanding them where the
    /// format allows. Only before the first record was asked for. Ends early where `go_on` says no, asked before each.
    fn skip_to(&mut self, ordinal: u64, go_on: &mut dyn FnMut() -> bool) -> Result<(), Error>;
}

/// The one gap that a file without any order is: there is nothing before it.
impl ReadRecords for std::iter::Once<Result<RawRecord, Error>> {
    fn skip_to(&mut self, _: u64, _: &mut dyn FnMut() -> bool) -> Result<(), Error> {
        Ok(())
    }
}

/// Opens a reader. `name` is for error messages.
pub fn open(
    name: &str,
    input: Input,
    format: Format,
    compression: Compression,
    start: Start,
    options: &ReaderOptions,
) -> Result<Records, Error> {
    match format {
        Format::Parquet => return parquet::open(name, input, compression, start, options),
        Format::Arrow => return arrow::open(name, input, compression, start, options),
        _ => {}
    }
    let stream: Box<dyn Read + Send> = match input {
        Input::Stream(stream) => stream,
        Input::Seekable(file, _) => Box::new(file),
    };
    let framed = frame(stream, format, compression, start, options, false);
    Ok(Box::new(FramedRecords { name: name.to_owned(), framed, next: start.ordinal, ended: false }))
}

/// Which records of an input are wanted.
pub trait Choice: Send {
    /// Whether the record with this number is.
    fn takes(&self, ordinal: u64) -> bool;
    /// Hears how long it took to understand one that is, where the others were spared that.
    fn understood(&self, time: Duration);
}

/// Opens a reader as [`open`] does. Lines that are not wanted are not parsed: they come as [`RawKind::NotADocument`]. Of other
/// formats all records come as they are.
pub fn open_chosen(
    name: &str,
    input: Input,
    format: Format,
    compression: Compression,
    start: Start,
    options: &ReaderOptions,
    choice: Box<dyn Choice>,
) -> Result<Records, Error> {
    let stream: Box<dyn Read + Send> = match (format, input) {
        (Format::Jsonl, Input::Stream(stream)) => stream,
        (Format::Jsonl, Input::Seekable(file, _)) => Box::new(file),
        (_, input) => return open(name, input, format, compression, start, options),
    };
    let decoder = Decoder::new(stream, compression, start.offset, options.max_ratio);
    let scanner = Scanner::new(decoder, compression == Compression::None, start.offset);
    let framed = Box::new(jsonl::Reader::new(scanner, start, options, false).choosing(choice));
    Ok(Box::new(FramedRecords { name: name.to_owned(), framed, next: start.ordinal, ended: false }))
}

/// Opens a reader of a piece that [`carve`](crate::split::carve) wrote of a file of this format: `start` is what the piece
/// says of itself. The records have the numbers and the offsets that they have in the file.
pub fn open_carved(
    name: &str,
    piece: Box<dyn Read + Send>,
    format: Format,
    start: Start,
    options: &ReaderOptions,
) -> Records {
    let scanner = Scanner::new(Decoder::carved(piece, start.offset), false, start.offset);
    let framed = frame_scanned(scanner, format, start, options, false);
    Box::new(FramedRecords { name: name.to_owned(), framed, next: start.ordinal, ended: false })
}

/// Calls a library's decoder, which checks what it reads but for what nobody has thought of: an assertion that fails in it
/// costs what it was decoding, and no task.
pub(crate) fn guarded<T, E: fmt::Display>(decode: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(|error| error.to_string()),
        Err(_) => Err("it breaks an assumption of the decoder".to_owned()),
    }
}

/// What a whole file decompresses to: a list or a table, of which damage anywhere spoils all.
pub fn decompress(
    stream: Box<dyn Read + Send>,
    compression: Compression,
) -> std::io::Result<Box<dyn Read + Send>> {
    Ok(match compression {
        Compression::None => stream,
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(stream)),
        Compression::Zstd => Box::new(zstd::Decoder::new(stream)?),
    })
}

/// A reader whose records can be told apart without being understood.
pub(crate) trait Framed: Send {
    /// The next record.
    fn next_record(&mut self) -> Result<Option<RawRecord>, Fault>;
    /// The bytes below.
    fn scanner(&mut self) -> &mut Scanner;
    /// Says whether records are to be found alone, or to be understood too.
    fn scan(&mut self, scan: bool);
}

/// Opens a framed reader. With `scan`, records are found and counted but not understood: bodies come as
/// [`RawKind::NotADocument`].
pub(crate) fn frame(
    stream: Box<dyn Read + Send>,
    format: Format,
    compression: Compression,
    start: Start,
    options: &ReaderOptions,
    scan: bool,
) -> Box<dyn Framed> {
    let decoder = Decoder::new(stream, compression, start.offset, options.max_ratio);
    let scanner = Scanner::new(decoder, compression == Compression::None, start.offset);
    frame_scanned(scanner, format, start, options, scan)
}

/// The table of framed readers.
fn frame_scanned(
    scanner: Scanner,
    format: Format,
    start: Start,
    options: &ReaderOptions,
    scan: bool,
) -> Box<dyn Framed> {
    match format {
        Format::Warc | Format::Wet => Box::new(warc::Reader::new(scanner, start, options, scan)),
        Format::Arc => Box::new(arc::Reader::new(scanner, start, options, scan)),
        Format::Jsonl => Box::new(jsonl::Reader::new(scanner, start, options, scan)),
        Format::Text | Format::Parquet | Format::Arrow => {
            Box::new(files::Reader::new(scanner, start, options, Media::Plain))
        }
        Format::Markdown => Box::new(files::Reader::new(scanner, start, options, Media::Markdown)),
        Format::Html => Box::new(files::Reader::new(scanner, start, options, Media::Html)),
    }
}

struct FramedRecords {
    name: String,
    framed: Box<dyn Framed>,
    /// Number of the record that comes next: a gap is one record, so they are numbered without gaps.
    next: u64,
    ended: bool,
}

impl ReadRecords for FramedRecords {
    fn skip_to(&mut self, ordinal: u64, go_on: &mut dyn FnMut() -> bool) -> Result<(), Error> {
        self.framed.scan(true);
        while self.next < ordinal && go_on() {
            match self.next() {
                Some(record) => record.map(drop)?,
                None => break,
            }
        }
        self.framed.scan(false);
        Ok(())
    }
}

impl Iterator for FramedRecords {
    type Item = Result<RawRecord, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.framed.next_record() {
            Ok(Some(record)) => {
                self.next += 1;
                Some(Ok(record))
            }
            Ok(None) => None,
            Err(fault) => {
                self.ended = true;
                Some(Err(fault.into_error(&self.name)))
            }
        }
    }
}

impl Fault {
    /// The error that ends a file.
    pub(crate) fn into_error(self, name: &str) -> Error {
        match self {
            Self::Damaged(detail) => Error::Corrupt { path: name.to_owned(), detail },
            Self::Io(error) => Error::io(name, error),
        }
    }
}

/// Begins what stands for a gap in carved pieces; the cause follows, up to the end of the line.
pub(crate) const GAP_MARK: &[u8] = b"\0gap: ";

/// The cause in a gap's line, if it is one.
pub(crate) fn gap_cause(line: &[u8]) -> Option<String> {
    let cause = line.strip_prefix(GAP_MARK)?;
    Some(String::from_utf8_lossy(cause.trim_ascii_end()).into_owned())
}

#[cfg(test)]
mod tests;
