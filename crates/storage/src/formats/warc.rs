//! WARC 0.17 to 1.1, and WET, which is WARC with `conversion` records.

use super::decoder::Fault;
use super::http::{self, Headers, header};
use super::scanner::Line;
use super::{Body, Framed, RawKind, RawRecord, ReaderOptions, Scanner, Start, gap_cause};

/// A header line may be this long.
const MAX_LINE: usize = 64 << 10;
/// A record may have this many header lines.
const MAX_HEADERS: usize = 1000;
/// A record begins so.
const MAGIC: &[u8] = b"WARC/";

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
        let head = self.headers()?;
        let (headers, length) = match head {
            Ok(head) => head,
            Err(cause) => {
                // What the broken header left is passed by, up to the next record.
                if !self.scanner.peek(MAGIC.len())?.starts_with(MAGIC) {
                    self.scanner.seek(MAGIC.len(), |window| window.starts_with(MAGIC))?;
                }
                return Ok(RawKind::Malformed { cause, length: self.scanner.position() - before });
            }
        };
        let fits = length <= self.max_record_bytes;
        let (bytes, taken) = self.scanner.body(length, fits && !self.scan, MAGIC)?;
        if taken < length {
            let cause = format!("expected {length} bytes of content, found {taken}");
            return Ok(RawKind::Malformed { cause, length: self.scanner.position() - before });
        }
        if !fits {
            let cause = format!("larger than the {} bytes that a record may have", self.max_record_bytes);
            return Ok(RawKind::Malformed { cause, length: self.scanner.position() - before });
        }
        if self.scan {
            return Ok(RawKind::NotADocument { reason: String::new() });
        }
        Ok(understand(&headers, bytes, self.max_record_bytes))
    }

    /// Reads the header block. The inner error is why it is none.
    fn headers(&mut self) -> Result<Result<(Headers, u64), String>, Fault> {
        let mut lines = Vec::new();
        loop {
            match self.scanner.line(MAX_LINE)? {
                Line::TooLong(_) => return Ok(Err("a header line is longer than 64 KiB".to_owned())),
                Line::Whole(line) if lines.is_empty() && !line.starts_with(MAGIC) => {
                    let cause = gap_cause(&line).unwrap_or_else(|| "expected a WARC record".to_owned());
                    return Ok(Err(cause));
                }
                Line::Whole(line) if line.is_empty() => {
                    return Ok(Err("the header ends too early".to_owned()));
                }
                Line::Whole(line) if line.trim_ascii().is_empty() => break,
                Line::Whole(line) => lines.push(line),
            }
            if lines.len() > MAX_HEADERS {
                return Ok(Err(format!("more than {MAX_HEADERS} header lines")));
            }
        }
        let headers = http::parse_headers(lines.iter().skip(1).map(|line| line.trim_ascii_end()));
        let length = header(&headers, "content-length").and_then(|length| length.parse().ok());
        Ok(length.map(|length| (headers, length)).ok_or_else(|| "expected a `Content-Length`".to_owned()))
    }
}

impl Framed for Reader {
    fn next_record(&mut self) -> Result<Option<RawRecord>, Fault> {
        next(self, |reader| reader.scanner(), |reader| &mut reader.ordinal, Self::record)
    }

    fn scanner(&mut self) -> &mut Scanner {
        &mut self.scanner
    }

    fn scan(&mut self, scan: bool) {
        self.scan = scan;
    }
}

/// Passes by the empty lines between archive records and reads the next; damage becomes one malformed record.
pub(super) fn next<R>(
    reader: &mut R,
    scanner: impl Fn(&mut R) -> &mut Scanner,
    ordinal: impl Fn(&mut R) -> &mut u64,
    record: impl Fn(&mut R) -> Result<RawKind, Fault>,
) -> Result<Option<RawRecord>, Fault> {
    let skipped = skip_blank(scanner(reader));
    let below = scanner(reader);
    below.mark_record();
    let (before, offset) = (below.position(), below.offset());
    let mut enterable = below.enterable();
    let kind = match skipped {
        Ok(false) => return Ok(None),
        Ok(true) => record(reader),
        Err(fault) => Err(fault),
    };
    let kind = match kind {
        Ok(kind) => kind,
        Err(Fault::Damaged(cause)) => {
            enterable = false;
            RawKind::Malformed { cause, length: scanner(reader).position() - before }
        }
        Err(fault) => return Err(fault),
    };
    let number = ordinal(reader);
    let record = RawRecord { ordinal: *number, offset, enterable, kind };
    *number += 1;
    Ok(Some(record))
}

fn skip_blank(scanner: &mut Scanner) -> Result<bool, Fault> {
    loop {
        let window = scanner.peek(1)?;
        if window.is_empty() {
            return Ok(false);
        }
        let blank = window.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank == 0 {
            return Ok(true);
        }
        scanner.consume(blank);
    }
}

fn understand(headers: &Headers, bytes: Vec<u8>, max_bytes: u64) -> RawKind {
    let kind = header(headers, "warc-type").unwrap_or("").to_ascii_lowercase();
    let url = header(headers, "warc-target-uri");
    let mut body = Body {
        // wget writes it in angle brackets.
        url: url.map(|url| url.trim_start_matches('<').trim_end_matches('>').to_owned()),
        date: header(headers, "warc-date").map(str::to_owned),
        ..Body::default()
    };
    for (name, key) in [
        ("warc-record-id", "warc_record_id"),
        ("warc-refers-to", "warc_refers_to"),
        ("warc-identified-content-language", "warc_languages"),
    ] {
        if let Some(value) = header(headers, name) {
            body.metadata.insert(key.to_owned(), value.into());
        }
    }
    let content_type = header(headers, "content-type").unwrap_or("");
    match kind.as_str() {
        "response" if content_type.to_ascii_lowercase().starts_with("application/http") => {
            http::response(&bytes, body, max_bytes)
        }
        // `response` without HTTP (from ftp, say) carries its type itself, as `resource` does.
        "response" | "resource" | "conversion" => match http::describe(content_type, &bytes, &mut body) {
            Ok(()) => RawKind::Body(Box::new(Body { bytes, ..body })),
            Err(reason) => RawKind::NotADocument { reason },
        },
        other => RawKind::NotADocument {
            reason: format!("warc type {}", other.chars().take(40).collect::<String>()),
        },
    }
}
