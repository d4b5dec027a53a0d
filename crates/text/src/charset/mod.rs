//! From bytes to text: charset by header, by meta tag, by detection.
//!
//! ```text
//! BOM ─▶ HTTP header ─▶ <meta> (HTML, first 1024 bytes) ─▶ valid UTF-8 ─▶ detection (with the URL's top-level domain)
//!                                                                           └▶ a second look at Latin letters
//! ```
//!
//! The first that answers decides. What detection is known to get wrong stands in docs/decisions/charsets.md. A declared label that nobody knows counts as no answer, so a page with a misspelt
//! header is still read by what it is.

mod latin;

use chardetng::EncodingDetector;
use encoding_rs::{
    Encoding, ISO_2022_JP, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED,
};
use memchr::memmem;

/// How far into an HTML page its `<meta>` declaration may stand (the HTML standard's bound).
const META_WINDOW: usize = 1024;

/// Text decoded from bytes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The text; malformed sequences are U+FFFD. A byte order mark is gone.
    pub text: String,
    /// The WHATWG name of the encoding, for example `windows-1252`.
    pub encoding: &'static str,
    /// Whether a sequence was malformed in that encoding.
    pub malformed: bool,
}

/// What is known of bytes beside themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// The `charset` of the HTTP `Content-Type`, or what the format says.
    pub charset: Option<&'a str>,
    /// Where they were fetched from: what is written in a country tells its encodings apart.
    pub url: Option<&'a str>,
    /// Whether a `<meta>` tag may declare an encoding.
    pub is_html: bool,
}

/// Decodes `bytes`.
pub fn decode(bytes: &[u8], hints: Hints<'_>) -> Decoded {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return with(encoding, &bytes[length..]);
    }
    let declared = hints
        .charset
        .and_then(|label| known(label.trim_matches(['"', '\'', ' ']).as_bytes()))
        .or_else(|| if hints.is_html { meta(&bytes[..bytes.len().min(META_WINDOW)]) } else { None });
    if let Some(encoding) = declared {
        return with(encoding, bytes);
    }
    // ISO-2022-JP is pure ASCII with escapes, so it must be looked for before UTF-8 claims it.
    if memchr::memchr(0x1b, bytes).is_some() && bytes.is_ascii() && detect(bytes, None) == ISO_2022_JP {
        return with(ISO_2022_JP, bytes);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Decoded { text: text.to_owned(), encoding: UTF_8.name(), malformed: false },
        Err(_) => with(latin::second_look(detect(bytes, hints.url.and_then(top_level)), bytes), bytes),
    }
}

fn with(encoding: &'static Encoding, bytes: &[u8]) -> Decoded {
    let (text, malformed) = encoding.decode_without_bom_handling(bytes);
    Decoded { text: text.into_owned(), encoding: encoding.name(), malformed }
}

fn detect(bytes: &[u8], top_level: Option<&str>) -> &'static Encoding {
    let mut detector = EncodingDetector::new();
    detector.feed(bytes, true);
    detector.guess(top_level.map(str::as_bytes), true)
}

/// The top-level domain of a URL in lower case, as the detector wants it.
fn top_level(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let (_, label) = host.trim_end_matches('.').rsplit_once('.')?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (label.starts_with(|first: char| first.is_ascii_lowercase()) && label.bytes().all(is_plain))
        .then_some(label)
}

/// The encoding of a label; none for the labels that the standard maps to "refuse to decode".
fn known(label: &[u8]) -> Option<&'static Encoding> {
    Encoding::for_label(label).filter(|&encoding| encoding != REPLACEMENT)
}

/// Reads `charset` from the first `<meta>` that has one, in either of its two forms.
fn meta(head: &[u8]) -> Option<&'static Encoding> {
    let lower = head.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = memmem::find(&lower[from..], b"<meta") {
        let start = from + at + 5;
        let end = memchr::memchr(b'>', &lower[start..]).map_or(lower.len(), |length| start + length);
        if let Some(encoding) = charset_of(&lower[start..end]) {
            // A page that was readable as ASCII up to here is not UTF-16, whatever it says.
            return Some(match encoding {
                utf_16 if utf_16 == UTF_16BE || utf_16 == UTF_16LE => UTF_8,
                own if own == X_USER_DEFINED => WINDOWS_1252,
                other => other,
            });
        }
        from = end;
    }
    None
}

fn charset_of(tag: &[u8]) -> Option<&'static Encoding> {
    let mut rest = tag;
    while let Some(at) = memmem::find(rest, b"charset") {
        rest = rest[at + 7..].trim_ascii_start();
        if let Some(value) = rest.strip_prefix(b"=") {
            let value = value.trim_ascii_start();
            let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
            let end = value
                .iter()
                .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b';' | b'/'))
                .unwrap_or(value.len());
            return known(&value[..end]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(bytes: &[u8], header: Option<&str>, is_html: bool) -> &'static str {
        decode(bytes, Hints { charset: header, url: None, is_html }).encoding
    }

    #[test]
    fn each_source_of_truth_wins_over_the_later_ones() {
        let page = b"<html><meta charset=windows-1251>\xcf\xf0\xe8\xe2\xe5\xf2";
        assert_eq!(name(b"\xef\xbb\xbfabc", Some("latin1"), false), "UTF-8");
        assert_eq!(name(page, Some("koi8-r"), true), "KOI8-R");
        assert_eq!(name(page, Some("no-such-charset"), true), "windows-1251");
        assert!(decode(page, Hints { is_html: true, ..Hints::default() }).text.ends_with("Привет"));
        assert_eq!(name("Grüße".as_bytes(), None, true), "UTF-8");
    }

    #[test]
    fn meta_has_two_forms_and_cannot_claim_utf_16() {
        let old = br#"<META http-equiv="Content-Type" content="text/html; charset=Shift_JIS">"#;
        assert_eq!(name(old, None, true), "Shift_JIS");
        assert_eq!(name(b"<meta name=a><meta charset = 'gbk'>", None, true), "GBK");
        assert_eq!(name(b"<meta charset='utf-16le'>", None, true), "UTF-8");
        assert_eq!(name(b"<meta charset=gbk>", None, false), "UTF-8", "plain text declares nothing");
    }

    #[test]
    fn undeclared_bytes_are_detected() {
        let (bytes, _, _) =
            encoding_rs::WINDOWS_1251.encode("Широкая электрификация южных губерний даст толчок");
        assert_eq!(name(&bytes, None, false), "windows-1251");
        let (bytes, _, _) = ISO_2022_JP.encode("吾輩は猫である。名前はまだ無い。");
        assert_eq!(decode(&bytes, Hints::default()).text, "吾輩は猫である。名前はまだ無い。");
        assert_eq!(name(b"\x1b[31mred\x1b[0m", None, false), "UTF-8");
    }

    #[test]
    fn a_domain_tells_encodings_apart() {
        for (url, label) in [
            ("https://www.example.cz/a?b=http://c.de", Some("cz")),
            ("http://user:pw@example.ru:8080", Some("ru")),
            ("http://example.xn--p1ai./", Some("xn--p1ai")),
            ("http://EXAMPLE.RU/", None),
            ("http://127.0.0.1/", None),
            ("http://[::1]/", None),
            ("http://localhost/", None),
            ("no URL", None),
        ] {
            assert_eq!(top_level(url), label, "{url}");
        }
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode("Нет");
        let hints = Hints { url: Some("http://example.ru/"), ..Hints::default() };
        assert_eq!(decode(&bytes, hints).text, "Нет");
    }

    #[test]
    fn malformed_bytes_are_told_and_kept_as_marks() {
        let decoded = decode(b"ab\xffcd", Hints { charset: Some("utf-8"), ..Hints::default() });
        assert!(decoded.malformed);
        assert_eq!(decoded.text, "ab\u{fffd}cd");
    }

    proptest! {
        #[test]
        fn any_bytes_decode(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            url in prop::option::of(".{0,20}"),
            is_html in any::<bool>(),
        ) {
            let url = url.map(|host| format!("http://{host}"));
            let hints = Hints { charset: None, url: url.as_deref(), is_html };
            let first = decode(&bytes, hints);
            prop_assert_eq!(&first, &decode(&bytes, hints));
        }
    }
}
