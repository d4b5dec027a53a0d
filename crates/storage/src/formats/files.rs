//! Text, Markdown and HTML: one file is one document.

use orchestrator_core::Media;

use super::decoder::Fault;
use super::{Body, Framed, RawKind, RawRecord, ReaderOptions, Scanner, Start};

/// Reads a file whole.
pub(super) struct Reader {
    scanner: Scanner,
    start: Start,
    max_bytes: u64,
    media: Media,
    ended: bool,
}

impl Reader {
    pub(super) fn new(scanner: Scanner, start: Start, options: &ReaderOptions, media: Media) -> Self {
        Self { scanner, start, max_bytes: options.max_record_bytes, media, ended: false }
    }

    fn whole(&mut self) -> Result<RawKind, Fault> {
        let limit = self.max_bytes.saturating_add(1);
        match self.scanner.body(limit, true, &[0; 16]) {
            Ok((_, length)) if length == limit => {
                let cause = format!("larger than the {} bytes that a record may have", self.max_bytes);
                Ok(RawKind::Malformed { cause, length })
            }
            Ok((bytes, _)) => {
                Ok(RawKind::Body(Box::new(Body { bytes, media: self.media, ..Body::default() })))
            }
            Err(Fault::Damaged(cause)) => Ok(RawKind::Malformed { cause, length: self.scanner.position() }),
            Err(fault) => Err(fault),
        }
    }
}

impl Framed for Reader {
    fn next_record(&mut self) -> Result<Option<RawRecord>, Fault> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(None);
        }
        let kind = self.whole()?;
        Ok(Some(RawRecord { ordinal: self.start.ordinal, offset: self.start.offset, enterable: true, kind }))
    }

    fn scanner(&mut self) -> &mut Scanner {
        &mut self.scanner
    }

    fn scan(&mut self, _: bool) {} // the one record of a file is never passed by
}
