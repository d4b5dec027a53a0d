//! JSON Lines: an object per non-blank line.

use std::time::Instant;

use serde_json::{Map, Value};

use super::decoder::Fault;
use super::scanner::Line;
use super::{Body, Choice, Framed, RawKind, RawRecord, ReaderOptions, Scanner, Start, gap_cause};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a line at a time.
pub(super) struct Reader {
    scanner: Scanner,
    ordinal: u64,
    options: ReaderOptions,
    scan: bool,
    choice: Option<Box<dyn Choice>>,
}

impl Reader {
    pub(super) fn new(scanner: Scanner, start: Start, options: &ReaderOptions, scan: bool) -> Self {
        Self { scanner, ordinal: start.ordinal, options: options.clone(), scan, choice: None }
    }

    /// Parses chosen lines alone.
    pub(super) fn choosing(self, choice: Box<dyn Choice>) -> Self {
        Self { choice: Some(choice), ..self }
    }

    fn kind(&mut self, line: Line) -> Option<RawKind> {
        let line = match line {
            Line::TooLong(length) => {
                let cause =
                    format!("larger than the {} bytes that a record may have", self.options.max_record_bytes);
                return Some(RawKind::Malformed { cause, length });
            }
            Line::Whole(line) => line,
        };
        let length = line.len() as u64;
        let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line).trim_ascii();
        if text.is_empty() {
            return None;
        }
        let is_spared = self.choice.as_ref().is_some_and(|choice| !choice.takes(self.ordinal));
        if self.scan || is_spared {
            return Some(RawKind::NotADocument { reason: String::new() });
        }
        let begun = self.choice.as_ref().map(|_| Instant::now());
        let body = match gap_cause(&line) {
            Some(cause) => Err(cause),
            None => parse(text, &self.options),
        };
        if let (Some(choice), Some(begun)) = (&self.choice, begun) {
            choice.understood(begun.elapsed());
        }
        Some(match body {
            Ok(body) => RawKind::Body(Box::new(body)),
            Err(cause) => RawKind::Malformed { cause, length },
        })
    }
}

impl Framed for Reader {
    fn next_record(&mut self) -> Result<Option<RawRecord>, Fault> {
        loop {
            let before = self.scanner.position();
            // Decodes ahead, so that a member which begins here is known before the offset is asked.
            let more = self.scanner.peek(1).map(|window| !window.is_empty());
            self.scanner.mark_record();
            let (offset, enterable) = (self.scanner.offset(), self.scanner.enterable());
            let line = match more {
                Ok(false) => return Ok(None),
                Ok(true) => self.scanner.line(self.options.max_record_bytes as usize),
                Err(fault) => Err(fault),
            };
            let (kind, enterable) = match line {
                Ok(line) => match self.kind(line) {
                    None => continue,
                    Some(kind) => (kind, enterable),
                },
                Err(Fault::Damaged(cause)) => {
                    (RawKind::Malformed { cause, length: self.scanner.position() - before }, false)
                }
                Err(fault) => return Err(fault),
            };
            let ordinal = self.ordinal;
            self.ordinal += 1;
            return Ok(Some(RawRecord { ordinal, offset, enterable, kind }));
        }
    }

    fn scanner(&mut self) -> &mut Scanner {
        &mut self.scanner
    }

    fn scan(&mut self, scan: bool) {
        self.scan = scan;
    }
}

fn parse(line: &[u8], options: &ReaderOptions) -> Result<Body, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("invalid UTF-8 at byte {}", error.valid_up_to()))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => body(fields, options),
        Ok(_) => Err("expected a JSON object".to_owned()),
        Err(error) => Err(format!("invalid JSON at column {}", error.column())),
    }
}

/// Takes the known fields out; the others stay as metadata.
pub(super) fn body(mut fields: Map<String, Value>, options: &ReaderOptions) -> Result<Body, String> {
    let text = match fields.shift_remove(&options.text_field) {
        Some(Value::String(text)) => text,
        Some(_) => return Err(format!("expected the field `{}` to be text", options.text_field)),
        None => return Err(missing(&fields, options)),
    };
    let mut take = |names: &[String]| {
        let name = names.iter().find(|name| fields.get(*name).is_some_and(Value::is_string))?;
        match fields.shift_remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    };
    let url = take(std::slice::from_ref(&options.url_field));
    let date = take(&options.date_fields);
    let language = take(&options.language_fields);
    let charset = Some("utf-8".to_owned());
    Ok(Body { bytes: text.into_bytes(), charset, url, date, language, metadata: fields, ..Body::default() })
}

fn missing(fields: &Map<String, Value>, options: &ReaderOptions) -> String {
    let names: Vec<String> = fields
        .keys()
        .take(8)
        .map(|name| format!("`{}`", name.chars().take(40).collect::<String>()))
        .collect();
    format!("expected a field `{}`, found {}", options.text_field, names.join(", "))
}
