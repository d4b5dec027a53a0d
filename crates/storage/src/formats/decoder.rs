//! Decompression that survives damage: members of gzip and frames of zstd one by one, and on to the next after a bad one.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::Compression;

/// Bytes read from below at once.
const CHUNK: usize = 64 << 10;
/// A member may be this large whatever its ratio.
const BOMB_FLOOR: u64 = 256 << 20;
/// What begins a mark: zstd's frame to be skipped (RFC 8878, section 3.1.2), and the length of an offset.
const MARK: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 8, 0, 0, 0];
/// Bytes of a mark.
const MARK_BYTES: usize = 16;

/// Tells the reader of a carved piece the offset of what the frame behind it decodes to.
pub(crate) fn mark(offset: u64) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    mark[..8].copy_from_slice(&MARK);
    mark[8..].copy_from_slice(&offset.to_le_bytes());
    mark
}

/// The offset that a mark tells, if it is one.
fn marked(head: &[u8]) -> Option<u64> {
    let offset = head.strip_prefix(&MARK)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*offset))
}

/// What stops a reader of records.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The bytes are wrong; the decoder already stands at the next member, or at the end.
    Damaged(String),
    /// The store failed: nothing can be said of the bytes.
    Io(io::Error),
}

/// What one step of decoding gave.
pub(crate) enum Step {
    /// A member (of plain files: the file) begins at this offset of the compressed bytes; of a carved piece, what the
    /// frame decodes to has this offset.
    Start(u64),
    /// Bytes were appended.
    Data,
    /// There is no more.
    End,
}

/// Decodes a stream step by step.
pub(crate) struct Decoder {
    state: State,
    compression: Compression,
    max_ratio: u64,
    /// Where the present member begins, and what came out of it so far.
    member: (u64, u64),
    /// Nothing came out since the last damage: more damage belongs to the same gap.
    in_gap: bool,
    /// Whether marks are obeyed. Only in pieces that we carved: what others put into frames to be skipped is theirs.
    is_carved: bool,
    /// What a mark told of the frame behind it.
    marked: Option<u64>,
}

enum State {
    Between(Raw),
    Plain(Raw),
    Gzip(Box<GzDecoder<Raw>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Raw>>),
    Done,
}

impl Decoder {
    /// Reads from `inner`, whose first byte has the offset `base` in its file.
    pub(crate) fn new(
        inner: Box<dyn Read + Send>,
        compression: Compression,
        base: u64,
        max_ratio: u64,
    ) -> Self {
        let raw = Raw { inner, buffer: Vec::new(), start: 0, offset: base, failed: None };
        Self {
            state: State::Between(raw),
            compression,
            max_ratio,
            member: (base, 0),
            in_gap: false,
            is_carved: false,
            marked: None,
        }
    }

    /// Reads a carved piece, whose first byte has the offset `base` in the file that it was carved from. What is ours is
    /// no bomb: the file was held to its bound when it was carved.
    pub(crate) fn carved(inner: Box<dyn Read + Send>, base: u64) -> Self {
        Self { is_carved: true, ..Self::new(inner, Compression::Zstd, base, u64::MAX) }
    }

    /// Makes one step; decoded bytes are appended to `out`.
    pub(crate) fn step(&mut self, out: &mut Vec<u8>) -> Result<Step, Fault> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(Step::End),
                State::Between(raw) => {
                    if let Some(step) = self.begin(raw)? {
                        return Ok(step);
                    }
                }
                State::Plain(mut raw) => {
                    let count = append(&mut raw, out).map_err(Fault::Io)?;
                    if count == 0 {
                        return Ok(Step::End);
                    }
                    self.state = State::Plain(raw);
                    return Ok(Step::Data);
                }
                State::Gzip(mut decoder) => match append(&mut decoder, out) {
                    Ok(0) => self.state = State::Between(decoder.into_inner()),
                    Ok(count) => {
                        if let Some(cause) = self.count(count, decoder.get_ref().offset) {
                            self.damaged(decoder.into_inner(), cause)?;
                        } else {
                            self.state = State::Gzip(decoder);
                            return Ok(Step::Data);
                        }
                    }
                    Err(error) => {
                        self.damaged(decoder.into_inner(), format!("corrupt gzip member: {error}"))?;
                    }
                },
                State::Zstd(mut decoder) => match append(&mut decoder, out) {
                    Ok(0) => self.state = State::Between(decoder.finish()),
                    Ok(count) => {
                        if let Some(cause) = self.count(count, decoder.get_ref().offset) {
                            self.damaged(decoder.finish(), cause)?;
                        } else {
                            self.state = State::Zstd(decoder);
                            return Ok(Step::Data);
                        }
                    }
                    Err(error) => self.damaged(decoder.finish(), format!("corrupt zstd frame: {error}"))?,
                },
            }
        }
    }

    /// Counts output; says if the member is a bomb.
    fn count(&mut self, count: usize, offset: u64) -> Option<String> {
        self.in_gap = false;
        self.member.1 += count as u64;
        let read = offset.saturating_sub(self.member.0).max(1);
        let bomb = self.member.1 > BOMB_FLOOR && self.member.1 / read > self.max_ratio;
        bomb.then(|| format!("decompression bomb: more than {} times its compressed size", self.max_ratio))
    }

    /// Starts the next member, if there is one. `None` after a mark, and after damage that belongs to a gap already told.
    fn begin(&mut self, mut raw: Raw) -> Result<Option<Step>, Fault> {
        if self.is_carved {
            let told = marked(raw.peek(MARK_BYTES).map_err(Fault::Io)?);
            if told.is_some() {
                self.marked = told;
                raw.consume(MARK_BYTES);
                self.state = State::Between(raw);
                return Ok(None);
            }
        }
        let head = raw.peek(4).map_err(Fault::Io)?;
        if self.compression == Compression::None {
            let base = raw.offset;
            self.state = State::Plain(raw);
            return Ok(Some(Step::Start(base)));
        }
        if head.is_empty() {
            // The stream's place moves past the start of every member that it had: this one had none.
            if raw.offset == self.member.0 {
                let cause = format!("the file is empty: expected the start of a {} member", self.compression);
                return Err(Fault::Damaged(cause));
            }
            return Ok(Some(Step::End));
        }
        if !is_start(self.compression, head) {
            self.damaged(raw, format!("expected the start of a {} member", self.compression))?;
            return Ok(None);
        }
        self.member = (raw.offset, 0);
        self.state = if self.compression == Compression::Gzip {
            State::Gzip(Box::new(GzDecoder::new(raw)))
        } else {
            let decoder = zstd::stream::read::Decoder::with_buffer(raw).map_err(Fault::Io)?;
            State::Zstd(Box::new(decoder.single_frame()))
        };
        Ok(Some(Step::Start(self.marked.take().unwrap_or(self.member.0))))
    }

    /// Goes to the next place that looks like a member, and tells the damage unless it lies in a gap already told.
    fn damaged(&mut self, mut raw: Raw, cause: String) -> Result<(), Fault> {
        if let Some(error) = raw.failed.take() {
            return Err(Fault::Io(error));
        }
        let told = std::mem::replace(&mut self.in_gap, true);
        // Step over the start that led here, or the search would find it again.
        if raw.offset == self.member.0 {
            raw.consume(1);
        }
        self.state = loop {
            let head = raw.peek(4).map_err(Fault::Io)?;
            if head.is_empty() {
                break State::Done;
            }
            if is_start(self.compression, head) {
                break State::Between(raw);
            }
            // Jump to the next byte that could begin one.
            let first = if self.compression == Compression::Gzip { 0x1f } else { 0x28 };
            let buffered = raw.buffered();
            let jump = memchr::memchr(first, &buffered[1..]).map_or(buffered.len(), |found| found + 1);
            raw.consume(jump);
        };
        if told { Ok(()) } else { Err(Fault::Damaged(cause)) }
    }
}

fn is_start(compression: Compression, head: &[u8]) -> bool {
    match compression {
        Compression::None => true,
        // Magic, method 8, no reserved flag.
        Compression::Gzip => matches!(head, [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0),
        // A frame, or a frame to be skipped.
        Compression::Zstd => {
            matches!(head, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
        }
    }
}

fn append(reader: &mut impl Read, out: &mut Vec<u8>) -> io::Result<usize> {
    let before = out.len();
    out.resize(before + CHUNK, 0);
    let result = loop {
        match reader.read(&mut out[before..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    out.truncate(before + *result.as_ref().unwrap_or(&0));
    result
}

/// The bytes as they lie in the file, with their offset. Remembers failures of the store, which decoders would disguise.
struct Raw {
    inner: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    failed: Option<io::Error>,
}

impl Raw {
    fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// At least `count` bytes, fewer only at the end of the file.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.buffered().len() < count {
            self.buffer.drain(..self.start);
            self.start = 0;
            if append(&mut self.inner, &mut self.buffer)? == 0 {
                break;
            }
        }
        Ok(self.buffered())
    }
}

impl Read for Raw {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Raw {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffered().is_empty() {
            self.buffer.clear();
            self.start = 0;
            if let Err(error) = append(&mut self.inner, &mut self.buffer) {
                let told = io::Error::new(error.kind(), error.to_string());
                self.failed = Some(error);
                return Err(told);
            }
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }
}
