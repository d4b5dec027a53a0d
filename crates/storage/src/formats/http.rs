//! The HTTP response inside an archive record: lenient, since archives keep what servers sent, right or wrong.

use std::io::Read;

use orchestrator_core::Media;

use super::{Body, RawKind};

/// More headers than this are no response.
const MAX_HEADER_BYTES: usize = 256 << 10;

/// Headers of a record or response, in order, names in lower case.
pub(super) type Headers = Vec<(String, String)>;

/// The first header of that name.
pub(super) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Reads `name: value` lines; a line that begins with a space continues the one before.
pub(super) fn parse_headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Headers {
    let mut headers: Headers = Vec::new();
    for line in lines {
        let line = String::from_utf8_lossy(line);
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    headers
}

/// What becomes of a stored HTTP response. `body` already has what the record itself says.
pub(super) fn response(raw: &[u8], mut body: Body, max_bytes: u64) -> RawKind {
    let length = raw.len() as u64;
    let Some((head, payload)) = split_head(raw) else {
        return RawKind::Malformed { cause: "expected an HTTP response with headers".to_owned(), length };
    };
    let mut lines = head.split(|&byte| byte == b'\n');
    let status_line = String::from_utf8_lossy(lines.next().unwrap_or_default()).trim().to_owned();
    let status = status_line.split_ascii_whitespace().nth(1).and_then(|code| code.parse::<u16>().ok());
    let Some(status) = status.filter(|_| status_line.starts_with("HTTP/")) else {
        return RawKind::Malformed { cause: "expected an HTTP status line".to_owned(), length };
    };
    if !(200..300).contains(&status) {
        return RawKind::NotADocument { reason: format!("http status {status}") };
    }
    let headers = parse_headers(lines);
    let content_type = header(&headers, "content-type").unwrap_or("");
    if let Err(reason) = describe(content_type, payload, &mut body) {
        return RawKind::NotADocument { reason };
    }
    for name in ["content-language", "last-modified"] {
        if let Some(value) = header(&headers, name) {
            body.metadata.insert(format!("http_{}", name.replace('-', "_")), value.into());
        }
    }
    let chunked =
        header(&headers, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let payload = if chunked { unchunk(payload) } else { payload.to_vec() };
    match decode(payload, header(&headers, "content-encoding").unwrap_or(""), max_bytes) {
        Ok(bytes) => RawKind::Body(Box::new(Body { bytes, ..body })),
        Err(cause) => RawKind::Malformed { cause, length },
    }
}

/// Takes medium and charset from a content type; the error is why it is no document.
pub(super) fn describe(content_type: &str, payload: &[u8], body: &mut Body) -> Result<(), String> {
    let mut parts = content_type.split(';');
    let kind = parts.next().unwrap_or("").trim().to_ascii_lowercase();
    body.media = match kind.as_str() {
        "text/html" | "application/xhtml+xml" => Media::Html,
        "text/plain" => Media::Plain,
        "text/markdown" | "text/x-markdown" => Media::Markdown,
        "" if payload[..payload.len().min(1024)]
            .to_ascii_lowercase()
            .windows(5)
            .any(|part| part == b"<html") =>
        {
            Media::Html
        }
        "" => return Err("no content type".to_owned()),
        other => return Err(format!("content type {}", other.chars().take(60).collect::<String>())),
    };
    body.charset = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches(['"', '\'']).to_owned())
        .filter(|charset| !charset.is_empty() && charset.len() <= 40);
    if !content_type.is_empty() {
        body.metadata
            .insert("content_type".to_owned(), content_type.chars().take(200).collect::<String>().into());
    }
    Ok(())
}

/// Splits at the first empty line, with or without carriage returns.
fn split_head(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut line_start = 0;
    while line_start < raw.len().min(MAX_HEADER_BYTES) {
        let end = line_start + memchr::memchr(b'\n', &raw[line_start..])?;
        if raw[line_start..end].trim_ascii_end().is_empty() {
            return Some((&raw[..line_start], &raw[end + 1..]));
        }
        line_start = end + 1;
    }
    None
}

/// Joins chunks. Where a size is no number (the archive stored it decoded, or the server was wrong), the rest stands as
/// it is.
fn unchunk(payload: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(payload.len());
    let mut rest = payload;
    while let Some(end) = memchr::memchr(b'\n', &rest[..rest.len().min(1024)]) {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|line| {
            let digits = line.split(';').next().unwrap_or("").trim();
            usize::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
        });
        match size {
            Some(0) => return joined,
            Some(size) if size < rest.len() - end => {
                joined.extend_from_slice(&rest[end + 1..end + 1 + size]);
                rest = &rest[end + 1 + size..];
                rest = rest.strip_prefix(b"\r").unwrap_or(rest);
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            // A last chunk cut short.
            Some(_) if !joined.is_empty() => {
                rest = &rest[end + 1..];
                break;
            }
            _ => break,
        }
    }
    joined.extend_from_slice(rest);
    joined
}

/// Undoes content codings, the last applied first, to at most `max_bytes`.
fn decode(mut bytes: Vec<u8>, codings: &str, max_bytes: u64) -> Result<Vec<u8>, String> {
    for coding in codings.rsplit(',').map(|coding| coding.trim().to_ascii_lowercase()).take(4) {
        bytes = match coding.as_str() {
            "" | "identity" | "none" => bytes,
            // Some archives store bodies decoded and keep the header.
            "gzip" | "x-gzip" if !bytes.starts_with(&[0x1f, 0x8b]) => bytes,
            "gzip" | "x-gzip" => bounded(flate2::read::MultiGzDecoder::new(&bytes[..]), max_bytes, &coding)?,
            // `deflate` means zlib, but some servers send it raw.
            "deflate" => bounded(flate2::read::ZlibDecoder::new(&bytes[..]), max_bytes, &coding)
                .or_else(|_| bounded(flate2::read::DeflateDecoder::new(&bytes[..]), max_bytes, &coding))?,
            "br" => {
                bounded(brotli_decompressor::Decompressor::new(&bytes[..], 64 << 10), max_bytes, &coding)?
            }
            "zstd" => {
                let decoder =
                    zstd::stream::read::Decoder::new(&bytes[..]).map_err(|error| error.to_string())?;
                bounded(decoder, max_bytes, &coding)?
            }
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(format!("unknown content encoding `{other}`"));
            }
        };
    }
    Ok(bytes)
}

fn bounded(reader: impl Read, max_bytes: u64, coding: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| format!("corrupt {coding} body: {error}"))?;
    if bytes.len() as u64 > max_bytes {
        return Err(format!("decodes to more than the {max_bytes} bytes that a record may have"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn body_of(kind: RawKind) -> Vec<u8> {
        match kind {
            RawKind::Body(body) => body.bytes,
            other => panic!("expected a body, found {other:?}"),
        }
    }

    #[test]
    fn codings_and_chunks_are_undone() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"<p>hello").expect("write");
        let gzip = gzip.finish().expect("finish");
        let mut raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=\"UTF-8\"\r\n\
            Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
            .to_vec();
        for part in gzip.chunks(7) {
            raw.extend_from_slice(format!("{:x};x=y\r\n", part.len()).as_bytes());
            raw.extend_from_slice(part);
            raw.extend_from_slice(b"\r\n");
        }
        raw.extend_from_slice(b"0\r\n\r\n");
        let kind = response(&raw, Body::default(), 100);
        assert!(matches!(&kind, RawKind::Body(body) if body.charset.as_deref() == Some("UTF-8")), "{kind:?}");
        assert_eq!(body_of(kind), b"<p>hello");
        assert!(matches!(response(&raw, Body::default(), 3), RawKind::Malformed { .. }), "a bomb is bounded");
    }

    #[test]
    fn what_is_not_really_chunked_stands_as_it_is() {
        assert_eq!(unchunk(b"<html>\nno chunks"), b"<html>\nno chunks");
        assert_eq!(unchunk(b"3\r\nabc\r\nnonsense"), b"abcnonsense");
        assert_eq!(unchunk(b""), b"");
    }
}
