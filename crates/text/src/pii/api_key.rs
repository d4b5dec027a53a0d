//! Keys and tokens of well-known services.
//!
//! A published prefix and the length and alphabet that the service gives its keys. Keys without a prefix cannot be told
//! from other hashes and stay. Reference: the services' documentation; prefixes are also those of secret scanners.
//!
//! Example: `AKIA` and sixteen capitals or digits.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::Scan;

/// What may follow a prefix.
struct Shape {
    prefix: &'static str,
    /// Characters after the prefix: at least, at most.
    length: (usize, usize),
    alphabet: fn(u8) -> bool,
    /// Whether a key without a digit or without a letter is unlikely enough to be a word.
    is_mixed: bool,
}

fn capitals(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn letters(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn dotted(byte: u8) -> bool {
    url_safe(byte) || byte == b'.'
}

const fn shape(prefix: &'static str, least: usize, most: usize, alphabet: fn(u8) -> bool) -> Shape {
    Shape { prefix, length: (least, most), alphabet, is_mixed: true }
}

/// Amazon's identifiers: of sixteen capitals and digits one in thirty has no digit.
const fn identifier(prefix: &'static str) -> Shape {
    Shape { prefix, length: (16, 16), alphabet: capitals, is_mixed: false }
}

/// The table of services.
const SHAPES: &[Shape] = &[
    identifier("AKIA"),
    identifier("ASIA"),
    identifier("ABIA"),
    identifier("ACCA"),
    shape("ghp_", 36, 255, letters),
    shape("gho_", 36, 255, letters),
    shape("ghu_", 36, 255, letters),
    shape("ghs_", 36, 255, letters),
    shape("ghr_", 36, 255, letters),
    shape("github_pat_", 59, 255, url_safe),
    shape("glpat-", 20, 64, url_safe),
    shape("gldt-", 20, 64, url_safe),
    shape("glrt-", 20, 64, url_safe),
    shape("glcbt-", 20, 70, url_safe),
    shape("glptt-", 40, 40, url_safe),
    shape("glft-", 20, 64, url_safe),
    shape("glsoat-", 20, 64, url_safe),
    shape("glimt-", 25, 64, url_safe),
    shape("glagent-", 50, 64, url_safe),
    shape("xoxb-", 20, 255, url_safe),
    shape("xoxp-", 20, 255, url_safe),
    shape("xoxa-", 20, 255, url_safe),
    shape("xoxr-", 20, 255, url_safe),
    shape("xoxs-", 20, 255, url_safe),
    shape("xapp-", 20, 255, url_safe),
    shape("AIza", 35, 35, url_safe),
    shape("GOCSPX-", 28, 28, url_safe),
    shape("ya29.", 40, 2048, url_safe),
    shape("sk_live_", 16, 255, letters),
    shape("sk_test_", 16, 255, letters),
    shape("rk_live_", 16, 255, letters),
    shape("rk_test_", 16, 255, letters),
    shape("whsec_", 32, 64, letters),
    shape("shpat_", 32, 32, letters),
    shape("shpss_", 32, 32, letters),
    shape("dop_v1_", 64, 64, letters),
    shape("sk-proj-", 40, 255, url_safe),
    shape("sk-svcacct-", 40, 255, url_safe),
    shape("sk-admin-", 40, 255, url_safe),
    shape("sk-ant-", 40, 255, url_safe),
    shape("sk-", 40, 64, letters),
    shape("hf_", 34, 64, letters),
    shape("npm_", 36, 36, letters),
    shape("pypi-", 80, 255, url_safe),
    shape("SG.", 60, 80, dotted),
    // Artifactory's reference tokens: base64 of `reftkn`.
    shape("cmVmdGtu", 56, 56, letters),
    shape("eyJ", 30, 8192, dotted),
];

static PREFIXES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(SHAPES.iter().map(|shape| shape.prefix))
        .expect("a few short constant prefixes")
});

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    let mut after = 0;
    for found in PREFIXES.find_iter(scan.text) {
        let start = found.start();
        if start < after || start.checked_sub(1).is_some_and(|at| url_safe(bytes[at])) {
            continue;
        }
        let Shape { prefix, length: (least, most), alphabet, is_mixed } = SHAPES[found.pattern().as_usize()];
        let rest = &bytes[found.end()..];
        let mut length = rest.iter().take(most + 1).take_while(|&&byte| alphabet(byte)).count();
        // A full stop ends the sentence, not the key.
        while length > 0 && rest[length - 1] == b'.' {
            length -= 1;
        }
        let key = &rest[..length];
        let varied =
            !is_mixed || key.iter().any(u8::is_ascii_digit) && key.iter().any(u8::is_ascii_alphabetic);
        let is_token = prefix != "eyJ" || is_jwt(key);
        // What was looked at is not looked at again, key or not: hostile text costs no more than other text.
        after = found.end() + length;
        if (least..=most).contains(&length) && varied && is_token {
            spans.push(start..after);
        }
    }
}

/// A JSON web token has three parts, of which the second is a JSON object too; `eyJ` is base64 of `{"`.
fn is_jwt(rest: &[u8]) -> bool {
    let parts: Vec<&[u8]> = rest.split(|&byte| byte == b'.').collect();
    parts.len() == 3 && parts[1].starts_with(b"eyJ") && parts.iter().all(|part| part.len() >= 8)
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    /// Keys are put together here so that no scanner takes this file for a leak.
    fn key(prefix: &str, length: usize) -> String {
        prefix.to_owned() + &"A1B2C3D4E5".repeat(length.div_ceil(10))[..length]
    }

    #[test]
    fn keys_of_known_shape_are_found() {
        let jwt = format!("eyJ{0}.eyJ{0}.{0}", "hbGciOiJIUzI1NiJ9");
        for secret in [
            key("AKIA", 16),
            "AKIA".to_owned() + "TESTTESTTESTTEST",
            key("ghp_", 36),
            key("xoxb-", 30),
            key("AIza", 35),
            key("sk_live_", 24),
            key("sk-", 48),
            key("sk-proj-", 60),
            jwt,
        ] {
            assert_eq!(found_by(find, &format!("key=\"{secret}\".")), [secret.as_str()]);
            assert_eq!(found_by(find, &format!("it is {secret}.")), [secret.as_str()]);
        }
    }

    #[test]
    fn what_only_begins_like_a_key_stays() {
        for text in [
            key("AKIA", 15),
            key("AKIA", 17),
            key("xAKIA", 16),
            "sk-learn and sk-something-else".to_owned(),
            "sk-".to_owned() + &"a".repeat(48),
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9eyJhbGciOiJIUzI1N".to_owned(),
        ] {
            assert_eq!(found_by(find, &text), Vec::<String>::new(), "{text}");
        }
    }
}
