//! ARC 1 and 2, the Internet Archive's format before WARC: one line of header, then the response.

use super::decoder::Fault;
use super::scanner::Line;
use super::{Body, Framed, RawKind, RawRecord, ReaderOptions, Scanner, Start, gap_cause, http, warc};

/// A header line may be this long.
const MAX_LINE: usize = 16 << 10;

/// Reads record after record.
pub(super) struct Reader {
    scanner: Scanner,
    ordinal: u64,
    max_record_bytes: u64,
    scan: bool,
}

impl Reader {
    pub(super) fn new(scanner: Scanner, start: Start, options: &ReaderOptions, scan: bool) -> Self {
        Self { scanner, ordinal: start.ordinal, max_record_bytes: options.max_record_bytes, scan }
    }

    fn record(&mut self) -> Result<RawKind, Fault> {
        let before = self.scanner.position();
        let line = match self.scanner.line(MAX_LINE)? {
            Line::Whole(line) => line,
            Line::TooLong(_) => Vec::new(),
        };
        let Some(header) = Header::parse(&line) else {
            let cause = gap_cause(&line).unwrap_or_else(|| "expected an ARC record".to_owned());
            if !starts_record(self.scanner.peek(MAX_LINE)?) {
                self.scanner.seek(MAX_LINE, starts_record)?;
            }
            return Ok(RawKind::Malformed { cause, length: self.scanner.position() - before });
        };
        let fits = header.length <= self.max_record_bytes;
        let (bytes, taken) = self.scanner.body(header.length, fits && !self.scan, b"http")?;
        let cause = if taken < header.length {
            format!("expected {} bytes of content, found {taken}", header.length)
        } else if !fits {
            format!("larger than the {} bytes that a record may have", self.max_record_bytes)
        } else if self.scan {
            return Ok(RawKind::NotADocument { reason: String::new() });
        } else {
            return Ok(header.understand(bytes, self.max_record_bytes));
        };
        Ok(RawKind::Malformed { cause, length: self.scanner.position() - before })
    }
}

impl Framed for Reader {
    fn next_record(&mut self) -> Result<Option<RawRecord>, Fault> {
        warc::next(self, |reader| reader.scanner(), |reader| &mut reader.ordinal, Self::record)
    }

    fn scanner(&mut self) -> &mut Scanner {
        &mut self.scanner
    }

    fn scan(&mut self, scan: bool) {
        self.scan = scan;
    }
}

/// `URL IP date type length`, and between type and length five more fields in version 2. The URL may have spaces.
struct Header {
    url: String,
    date: String,
    content_type: String,
    length: u64,
}

impl Header {
    fn parse(line: &[u8]) -> Option<Self> {
        let line = String::from_utf8_lossy(line.trim_ascii_end());
        let (scheme, _) = line.split_once(':')?;
        if scheme.is_empty()
            || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            return None;
        }
        let fields: Vec<&str> = line.split(' ').collect();
        let length = fields.last()?.parse().ok()?;
        let is_date =
            |field: &str| (8..=17).contains(&field.len()) && field.bytes().all(|byte| byte.is_ascii_digit());
        // Version 1 has the date third from the end, version 2 eighth.
        let at = [3, 8]
            .into_iter()
            .filter_map(|back| fields.len().checked_sub(back))
            .find(|&at| at >= 2 && is_date(fields[at]))?;
        Some(Self {
            url: fields[..at - 1].join(" "),
            date: rfc3339(fields[at]),
            content_type: fields[at + 1].to_owned(),
            length,
        })
    }

    fn understand(self, bytes: Vec<u8>, max_bytes: u64) -> RawKind {
        if self.url.starts_with("filedesc:") {
            return RawKind::NotADocument { reason: "arc file description".to_owned() };
        }
        let mut body = Body { url: Some(self.url), date: Some(self.date), ..Body::default() };
        if bytes.starts_with(b"HTTP/") {
            return http::response(&bytes, body, max_bytes);
        }
        match http::describe(&self.content_type, &bytes, &mut body) {
            Ok(()) => RawKind::Body(Box::new(Body { bytes, ..body })),
            Err(reason) => RawKind::NotADocument { reason },
        }
    }
}

fn starts_record(window: &[u8]) -> bool {
    let line = memchr::memchr(b'\n', window).map_or(window, |end| &window[..end]);
    Header::parse(line).is_some() || line.starts_with(super::GAP_MARK)
}

/// `20140216050221` as `2014-02-16T05:02:21Z`; other lengths stay as they are.
fn rfc3339(digits: &str) -> String {
    if digits.len() != 14 {
        return digits.to_owned();
    }
    let part = |from: usize, to: usize| &digits[from..to];
    format!("{}-{}-{}T{}:{}:{}Z", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 12), part(12, 14))
}
