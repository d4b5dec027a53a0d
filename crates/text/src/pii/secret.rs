//! Secrets whose shape is more than a prefix: tokens in parts, keys in connection strings, passwords in addresses.
//!
//! One row a pattern in [`PATTERNS`]; where only a part of a match is secret, it is the group `s`. Shapes are the services'
//! own and those that Yelp's detect-secrets looks for. What has neither prefix nor context is found by `named_secret` and
//! `high_entropy`.
//!
//! Example: `https://ann:hunter2@host/` loses `ann:hunter2`.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::Regex;

use super::Scan;

/// A kind of secret: strings of which a text with one holds at least one, and the expression.
struct Pattern {
    anchors: &'static [&'static str],
    expression: &'static str,
}

const fn pattern(anchors: &'static [&'static str], expression: &'static str) -> Pattern {
    Pattern { anchors, expression }
}

/// The table. Expressions are over ASCII; no two anchors of one match overlap.
const PATTERNS: &[Pattern] = &[
    // Twilio: account and key identifiers.
    pattern(
        &[
            "AC0", "AC1", "AC2", "AC3", "AC4", "AC5", "AC6", "AC7", "AC8", "AC9", "ACa", "ACb", "ACc", "ACd",
            "ACe", "ACf",
        ],
        r"(?-u:\b)AC[0-9a-f]{32}(?-u:\b)",
    ),
    pattern(
        &[
            "SK0", "SK1", "SK2", "SK3", "SK4", "SK5", "SK6", "SK7", "SK8", "SK9", "SKa", "SKb", "SKc", "SKd",
            "SKe", "SKf",
        ],
        r"(?-u:\b)SK[0-9a-f]{32}(?-u:\b)",
    ),
    // Mailchimp, with its data centre.
    pattern(&["-us"], r"(?-u:\b)[0-9a-f]{32}-us[0-9]{1,2}(?-u:\b)"),
    // Azure: keys of storage and service bus, shared access signatures.
    pattern(
        &["AccountKey=", "SharedAccessKey="],
        r"(?-u:\b)(?:Account|SharedAccess)Key=(?<s>[A-Za-z0-9+/]{42,86}={1,2})",
    ),
    pattern(&["?sig=", "&sig="], r"[?&]sig=(?<s>[A-Za-z0-9%+/]{42,64}(?:%3[Dd]|=))"),
    // Slack's and Discord's incoming webhooks.
    pattern(
        &["hooks.slack.com"],
        r"hooks\.slack\.com/services/(?<s>T[A-Za-z0-9_]{8,12}/B[A-Za-z0-9_]{8,12}/[A-Za-z0-9_]{24})",
    ),
    pattern(
        &["com/api/webhooks/"],
        r"discord(?:app)?\.com/api/webhooks/(?<s>[0-9]{17,20}/[A-Za-z0-9_-]{60,80})",
    ),
    // Square.
    pattern(&["sq0"], r"(?-u:\b)sq0(?:csp|atp|idp)-[A-Za-z0-9_-]{22,43}(?-u:\b)"),
    // Artifactory.
    pattern(&["AKC"], r"(?-u:\b)AKC[A-Za-z0-9]{60,80}(?-u:\b)"),
    // npm's and PyPI's configuration files.
    pattern(
        &["_auth", "_password"],
        r#"_(?:authToken|auth|password)[ \t]{0,3}=[ \t]{0,3}"?(?<s>[A-Za-z0-9+/_=-]{16,255})"#,
    ),
    // Amazon's secret keys have a name beside them and no shape.
    pattern(
        &["aws", "AWS", "Aws"],
        concat!(
            r#"(?:aws|AWS|Aws)(?i:_?(?:secret)?_?(?:access)?_?key)["']?[ \t]{0,5}[:=]{1,2}>?[ \t]{0,5}["']?"#,
            r"(?<s>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)",
        ),
    ),
    // IBM's clouds, SoftLayer and Cloudant: keys without a shape of their own, by their names.
    pattern(
        &[
            "ibm",
            "IBM",
            "iam",
            "IAM",
            "softlayer",
            "SOFTLAYER",
            "cloudant",
            "CLOUDANT",
            "cos_hmac",
            "COS_HMAC",
        ],
        concat!(
            r"(?:ibm|IBM|iam|IAM|softlayer|SOFTLAYER|cloudant|CLOUDANT|cos_hmac|COS_HMAC)",
            r#"(?i:[a-z_-]{0,24}(?:key|pwd|password|pass|token))["']?\]?[ \t]{0,5}(?::=|=>|::|[:=])[ \t]{0,5}["']?"#,
            r"(?<s>[A-Za-z0-9_-]{44}|[0-9a-f]{48}|[0-9a-f]{64})(?:[^A-Za-z0-9_-]|$)",
        ),
    ),
    // User and password in an address.
    pattern(&["://"], r#"://(?<s>[^\s:/?#@\[\]"'<>`{}]{1,64}:[^\s:/?#@\[\]"'<>`{}]{1,128})@[A-Za-z0-9]"#),
];

static COMPILED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compile = |row: &Pattern| Regex::new(row.expression).expect("a pattern of the table compiles");
    PATTERNS.iter().map(compile).collect()
});

/// All anchors, and the row of each: one pass over a text says which expressions are worth trying.
static ANCHORS: LazyLock<(AhoCorasick, Vec<usize>)> = LazyLock::new(|| {
    let rows = (0..).zip(PATTERNS).flat_map(|(row, pattern)| pattern.anchors.iter().map(move |_| row));
    let anchors = PATTERNS.iter().flat_map(|pattern| pattern.anchors);
    let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(anchors);
    (automaton.expect("a few short constant strings"), rows.collect())
});

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let (automaton, rows) = &*ANCHORS;
    let mut likely = [false; PATTERNS.len()];
    for found in automaton.find_iter(scan.text) {
        likely[rows[found.pattern().as_usize()]] = true;
    }
    for (expression, _) in COMPILED.iter().zip(likely).filter(|(_, likely)| *likely) {
        for found in expression.captures_iter(scan.text) {
            if let Some(secret) = found.name("s").or_else(|| found.get(0)) {
                spans.push(secret.range());
            }
        }
    }
    telegram(scan, spans);
    discord(scan, spans);
}

fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// How many url-safe bytes stand at `at`, looked for up to `most`.
fn url_safe(bytes: &[u8], at: usize, most: usize) -> usize {
    bytes[at..].iter().take(most).take_while(|&&byte| is_url_safe(byte)).count()
}

/// Telegram's bots: eight to ten digits, a colon, 35 characters.
fn telegram(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    for run in scan.runs.iter().filter(|run| (8..=10).contains(&run.len())) {
        let begins = run.start.checked_sub(1).is_none_or(|at| !is_url_safe(bytes[at]));
        if begins && bytes.get(run.end) == Some(&b':') && url_safe(bytes, run.end + 1, 36) == 35 {
            spans.push(run.start..run.end + 36);
        }
    }
}

/// Discord's bots: the id in base64 (it begins with `M`, `N` or `O`), a time, a signature.
fn discord(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    for dot in memchr::memchr_iter(b'.', bytes) {
        if bytes.get(dot + 7) != Some(&b'.') || url_safe(bytes, dot + 1, 6) != 6 {
            continue;
        }
        let id = bytes[..dot].iter().rev().take(30).take_while(|&&byte| is_url_safe(byte)).count();
        let signature = url_safe(bytes, dot + 8, 39);
        let begins = matches!(bytes[dot - id], b'M' | b'N' | b'O');
        if (23..=28).contains(&id) && begins && (27..=38).contains(&signature) {
            spans.push(dot - id..dot + 8 + signature);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    /// `length` characters of an alphabet, put together here so that no scanner takes this file for a leak.
    fn some(alphabet: &str, length: usize) -> String {
        alphabet.chars().cycle().take(length).collect()
    }

    #[test]
    fn secrets_of_every_service_are_found_and_only_they() {
        let (hex, mixed) = ("0a1b2c3d4e5f", "aB3dE5gH7jK9mN");
        let cases = [
            ("sid: ", format!("AC{}", some(hex, 32)), ","),
            ("sid=", format!("SK{}", some(hex, 32)), ""),
            ("", format!("{}-us12", some(hex, 32)), "."),
            ("AccountName=a;AccountKey=", some(mixed, 86) + "==", ";EndpointSuffix"),
            ("?sv=1&sig=", some(mixed, 43) + "%3D", "&x"),
            ("hooks.slack.com/services/", format!("T0A1B2C3D/B0A1B2C3D/{}", some(mixed, 24)), "'"),
            ("x ", format!("sq0csp-{}", some(mixed, 43)), " "),
            ("\"", format!("AKC{}", some(mixed, 70)), "\""),
            ("//registry.npmjs.org/:_authToken=", some(mixed, 36), "\n"),
            ("aws_secret_access_key = '", some(mixed, 40), "'"),
            ("AWS_SECRET_KEY=", some(mixed, 40), "\n"),
            ("ibm_cloud_iam_api_key = '", some("aB3_", 44), "'"),
            ("softlayer-api-key: ", some(hex, 64), "\n"),
            ("https://", "ann:hunter2".to_owned(), "@example.org/"),
            ("bot ", format!("110201543:{}", some(mixed, 35)), " "),
            ("", format!("MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.{}", some(mixed, 27)), "\""),
        ];
        for (before, secret, after) in cases {
            let text = format!("{before}{secret}{after}");
            assert_eq!(found_by(find, &text), [secret], "{text}");
        }
    }

    #[test]
    fn what_only_looks_alike_stays() {
        let hex = some("0a1b2c3d4e5f", 40);
        for text in [
            format!("AC{hex} is too long"),
            format!("commit {hex}"),
            "https://example.org:8080/@user".to_owned(),
            "see http://a/b:c@d".to_owned(),
            "1.234567.8 and version 2.123456.3".to_owned(),
            "at 12345678:30 o'clock".to_owned(),
            "aws_secret_access_key = ${SECRET}".to_owned(),
        ] {
            assert_eq!(found_by(find, &text), Vec::<String>::new(), "{text}");
        }
    }
}
