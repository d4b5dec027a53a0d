//! A window over decoded bytes that knows where in the file it stands.
//!
//! The **offset** of a byte is the offset of its gzip member (zstd frame, file) in the compressed file plus the byte's
//! place in what the member decodes to. So it is the plain offset in plain files, the member's offset where each record
//! has its own, the decoded offset in single-member files, and it does not depend on where a reader started.

use std::collections::VecDeque;

use super::decoder::{Decoder, Fault, Step};

/// So many blank bytes before a record are kept.
const MOST_BLANKS: usize = 64 << 10;

/// Reads decoded bytes by lines and lengths.
pub(crate) struct Scanner {
    decoder: Decoder,
    buffer: Vec<u8>,
    start: usize,
    /// Decoded bytes before `buffer[start]`.
    position: u64,
    /// The member that `position` lies in: where it begins in decoded and in compressed bytes.
    member: (u64, u64),
    /// Members that begin further on in the buffer.
    ahead: VecDeque<(u64, u64)>,
    plain: bool,
    tap: Option<Tap>,
}

/// A copy of what was consumed, for carving.
struct Tap {
    bytes: Vec<u8>,
    /// Where the record begins; blank lines lie before it.
    record: usize,
    /// More than this is not kept: only a malformed record can be longer.
    limit: usize,
}

/// A line, as far as it may be long.
pub(crate) enum Line {
    /// All of it, with its newline unless it ends the file.
    Whole(Vec<u8>),
    /// It is longer than allowed; so many bytes were passed by.
    TooLong(u64),
}

impl Scanner {
    pub(crate) fn new(decoder: Decoder, plain: bool, base: u64) -> Self {
        Self {
            decoder,
            buffer: Vec::new(),
            start: 0,
            position: 0,
            member: (0, base),
            ahead: VecDeque::new(),
            plain,
            tap: None,
        }
    }

    /// Keeps a copy of all consumed bytes, up to `limit` per record.
    pub(crate) fn tap(&mut self, limit: usize) {
        self.tap = Some(Tap { bytes: Vec::new(), record: 0, limit });
    }

    /// Tells that a record begins here. Blank lines without end before it must not take the room of the record.
    pub(crate) fn mark_record(&mut self) {
        if let Some(tap) = &mut self.tap {
            if tap.bytes.len() > MOST_BLANKS {
                tap.bytes.clear();
            }
            tap.record = tap.bytes.len();
        }
    }

    /// The bytes consumed since the last call: all of them, and where the record begins among them.
    pub(crate) fn take_tap(&mut self) -> (Vec<u8>, usize) {
        match &mut self.tap {
            Some(tap) => (std::mem::take(&mut tap.bytes), std::mem::take(&mut tap.record)),
            None => (Vec::new(), 0),
        }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.member.1 + (self.position - self.member.0)
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether a reader could start here, knowing only the offset.
    pub(crate) fn enterable(&self) -> bool {
        self.plain || self.position == self.member.0
    }

    /// Whether a member begins at the present position.
    pub(crate) fn at_member_start(&self) -> bool {
        self.position == self.member.0
    }

    pub(crate) fn window(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Decodes more; `false` at the end. After damage the window is empty and stands at the next member.
    fn more(&mut self) -> Result<bool, Fault> {
        if self.start > 0 && self.start * 2 > self.buffer.len() {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        loop {
            match self.decoder.step(&mut self.buffer) {
                Ok(Step::Data) => return Ok(true),
                Ok(Step::End) => return Ok(false),
                Ok(Step::Start(base)) => {
                    let at = self.position + self.window().len() as u64;
                    if at == self.position {
                        self.member = (at, base);
                    } else {
                        self.ahead.push_back((at, base));
                    }
                }
                Err(Fault::Damaged(cause)) => {
                    self.consume(self.window().len());
                    return Err(Fault::Damaged(cause));
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Makes the window at least `count` bytes long, shorter only at the end.
    pub(crate) fn peek(&mut self, count: usize) -> Result<&[u8], Fault> {
        while self.window().len() < count && self.more()? {}
        Ok(self.window())
    }

    /// Passes by `count` bytes of the window.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.window().len());
        if let Some(tap) = &mut self.tap
            && tap.bytes.len() <= tap.limit
        {
            tap.bytes.extend_from_slice(&self.buffer[self.start..self.start + count]);
        }
        self.start += count;
        self.position += count as u64;
        while let Some(&next) = self.ahead.front().filter(|next| next.0 <= self.position) {
            self.member = next;
            self.ahead.pop_front();
        }
    }

    /// Takes a line. One with more than `limit` bytes before its newline is passed by without being held, wherever the
    /// decoder's steps end.
    pub(crate) fn line(&mut self, limit: usize) -> Result<Line, Fault> {
        let mut searched = 0;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.window()[searched..]) {
                let length = searched + found + 1;
                if length - 1 > limit {
                    self.consume(length);
                    return Ok(Line::TooLong(length as u64));
                }
                return Ok(Line::Whole(self.take(length)));
            }
            searched = self.window().len();
            if searched > limit {
                break;
            }
            if !self.more()? {
                return Ok(Line::Whole(self.take(searched)));
            }
        }
        let before = self.position;
        loop {
            match memchr::memchr(b'\n', self.window()) {
                Some(found) => {
                    self.consume(found + 1);
                    break;
                }
                None => self.consume(self.window().len()),
            }
            if !self.more()? {
                break;
            }
        }
        Ok(Line::TooLong(self.position - before))
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let bytes = self.window()[..count].to_vec();
        self.consume(count);
        bytes
    }

    /// Takes `count` bytes (held only if `keep`) and says how many there were before the end, or before a member that
    /// begins with `stop`: a length that runs into the next record is wrong.
    pub(crate) fn body(&mut self, count: u64, keep: bool, stop: &[u8]) -> Result<(Vec<u8>, u64), Fault> {
        let mut bytes = Vec::new();
        let mut taken = 0;
        while taken < count {
            self.peek(1)?;
            if self.at_member_start() && taken > 0 && self.peek(stop.len())?.starts_with(stop) {
                break;
            }
            let next_member = self.ahead.front().map_or(u64::MAX, |next| next.0 - self.position);
            let step = (count - taken).min(self.window().len() as u64).min(next_member) as usize;
            if step == 0 {
                break;
            }
            if keep {
                bytes.extend_from_slice(&self.window()[..step]);
            }
            self.consume(step);
            taken += step as u64;
        }
        Ok((bytes, taken))
    }

    /// Passes by everything up to the next line start or member start that `is_record` accepts.
    pub(crate) fn seek(&mut self, longest: usize, is_record: impl Fn(&[u8]) -> bool) -> Result<(), Fault> {
        loop {
            self.peek(1)?;
            if self.window().is_empty() {
                return Ok(());
            }
            let next_member = self.ahead.front().map_or(usize::MAX, |next| (next.0 - self.position) as usize);
            let newline = memchr::memchr(b'\n', self.window()).map_or(self.window().len(), |found| found + 1);
            let landed_on_line = newline < next_member && self.window()[newline - 1] == b'\n';
            self.consume(newline.min(next_member));
            // A member that begins here is known only once it is begun to be decoded.
            self.peek(1)?;
            if (landed_on_line || self.at_member_start()) && is_record(self.peek(longest)?) {
                return Ok(());
            }
        }
    }
}
