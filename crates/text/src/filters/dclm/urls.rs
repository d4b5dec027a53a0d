//! Addresses in running text, as DCLM finds them: a known top-level domain behind a dot, or four numbers.

use std::ops::Range;
use std::sync::LazyLock;

use psl::{List, Psl, Type};
use regex::Regex;

/// The longest name before the dot that is looked at.
const MOST_NAME_BYTES: usize = 256;
/// The longest top-level domain that a beginning is compared with.
const MOST_DOMAIN_BYTES: usize = 24;
/// White space before an address that goes with it, in characters.
const MOST_SPACE: usize = 10;

static NUMBERS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"\s{0,10}\b(?:(?:https?|ftp)://)?(?:[0-2]?[0-9]{1,2}\.){3}[0-2]?[0-9]{1,2}[-a-zA-Z0-9()@:%_+.~#?&/=]*",
    )
    .expect("a constant pattern")
});

/// The numeric addresses of a text, with the white space before them.
pub(super) fn numeric(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    NUMBERS.find_iter(text).map(|found| found.range())
}

/// Whether a byte may stand before the dot.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-@:%._+~#=".contains(&byte)
}

/// Whether a byte may stand behind the domain.
fn is_tail(byte: u8) -> bool {
    is_name(byte) || b"()?&/".contains(&byte)
}

/// Whether a text begins with the letters of a top-level domain, in any case.
///
/// DCLM asks a pattern of all domains whether a text has one before it looks for addresses, and asks with a match that
/// is anchored at the text's beginning. So it is in the data that was published.
fn begins_with_domain(text: &str) -> bool {
    let letters = text.bytes().take(MOST_DOMAIN_BYTES).take_while(u8::is_ascii_alphabetic);
    let letters: Vec<u8> = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    (2..=letters.len()).any(|length| is_top_level(&letters[..length]))
}

/// The named addresses of a text, with the white space before them, from left to right.
pub(super) fn named(text: &str) -> Vec<Range<usize>> {
    if !begins_with_domain(text) {
        return Vec::new();
    }
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(dot) = memchr::memchr(b'.', &bytes[at..]).map(|dot| at + dot) {
        let start =
            bytes[at..dot].iter().rposition(|&byte| !is_name(byte)).map_or(at, |before| at + before + 1);
        let end = dot + bytes[dot..].iter().position(|&byte| !is_name(byte)).unwrap_or(bytes.len() - dot);
        let Some(domain_end) = domain_end(text, start, end) else {
            at = end;
            continue;
        };
        let tail = bytes[domain_end..].iter().position(|&byte| !is_tail(byte));
        let end = tail.map_or(bytes.len(), |length| domain_end + length);
        let begin = space_before(text, scheme_before(text, start, at), at);
        found.push(begin..end);
        at = end;
    }
    found
}

/// Where the last known top-level domain in a run of name characters ends.
fn domain_end(text: &str, start: usize, end: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let run = &bytes[start..end];
    memchr::memrchr_iter(b'.', run).find_map(|dot| {
        if dot == 0 || dot > MOST_NAME_BYTES {
            return None;
        }
        let label = &run[dot + 1..];
        let length = label
            .iter()
            .position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
            .unwrap_or(label.len());
        let after = start + dot + 1 + length;
        let word_goes_on = text[after..].chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
        (!word_goes_on && is_top_level(&label[..length])).then_some(after)
    })
}

fn is_top_level(label: &[u8]) -> bool {
    if label.len() < 2 || !label.iter().all(u8::is_ascii_lowercase) {
        return false;
    }
    let found = List.find(std::iter::once(label));
    found.typ == Some(Type::Icann) && found.len == label.len()
}

/// The start of `http://` and its like before a name that begins at `start`.
fn scheme_before(text: &str, start: usize, least: usize) -> usize {
    let before = &text[least..start];
    ["https://", "http://", "ftp://"]
        .iter()
        .find(|scheme| before.ends_with(**scheme))
        .map_or(start, |scheme| start - scheme.len())
}

/// The start of the white space before `start`.
fn space_before(text: &str, start: usize, least: usize) -> usize {
    let space = text[least..start].chars().rev().take(MOST_SPACE).take_while(|c| c.is_whitespace());
    start - space.map(char::len_utf8).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_known_top_level_domain() {
        for (text, expected) in [
            ("see  http://a.example.com/x?y=1#z now", vec!["  http://a.example.com/x?y=1#z"]),
            ("me@site.org, or www.b.de.", vec!["me@site.org", " www.b.de."]),
            ("end.Start of file.txt e.g. 3.14", vec![]),
            ("ünï.com ümlaut.comé", vec![]),
            ("in ünï.com ümlaut.comé", vec![]),
            ("a.b.c.d", vec![]),
            ("THE site is b.de", vec![" b.de"]),
            ("Quietly, the site is b.de", vec![]),
            ("1 site is b.de", vec![]),
        ] {
            let found: Vec<&str> = named(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected, "{text}");
        }
        let text = "at 10.0.0.1:80/x and 1.2.3";
        let numbers: Vec<&str> = numeric(text).map(|range| &text[range]).collect();
        assert_eq!(numbers, [" 10.0.0.1:80/x"]);
    }
}
