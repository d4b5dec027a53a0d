//! Characters and white space, line by line.

use std::borrow::Cow;

use encoding_rs::{Encoding, MACINTOSH, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

use super::{CleanConfig, UnicodeForm, Whitespace};

/// The clean form of `text`.
pub(super) fn normalise(text: &str, config: &CleanConfig) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut blank = 0;
    let keep = config.whitespace == Whitespace::Keep;
    let text = if keep { Cow::Borrowed(text) } else { line_ends(text) };
    for (number, line) in text.split('\n').enumerate() {
        let line = characters(line, config);
        if keep {
            if number > 0 {
                out.push('\n');
            }
            out.push_str(&line);
            continue;
        }
        let line = line.trim_end();
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank > 0 { "\n\n" } else { "\n" });
        }
        blank = 0;
        if config.whitespace == Whitespace::Collapse {
            for (position, word) in line.split_whitespace().enumerate() {
                if position > 0 {
                    out.push(' ');
                }
                out.push_str(word);
            }
        } else {
            out.push_str(line);
        }
    }
    (out != *text || matches!(text, Cow::Owned(_))).then_some(out)
}

fn line_ends(text: &str) -> Cow<'_, str> {
    if text.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        Cow::Owned(text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// One line (or anything without a newline) with its characters put right.
pub(super) fn characters<'a>(line: &'a str, config: &CleanConfig) -> Cow<'a, str> {
    let mut line = Cow::Borrowed(line);
    if config.repair_mojibake {
        // Each repair leaves fewer characters, so this ends; doubly damaged text is repaired twice.
        while let Some(repaired) = repair(&line) {
            line = Cow::Owned(repaired);
        }
    }
    if config.strip_control && line.contains(is_stray) {
        line = Cow::Owned(line.replace(is_stray, ""));
    }
    let is_normal = match config.unicode {
        UnicodeForm::None => true,
        UnicodeForm::Nfc => line.is_ascii() || is_nfc_quick(line.chars()) == IsNormalized::Yes,
        UnicodeForm::Nfkc => line.is_ascii() || is_nfkc_quick(line.chars()) == IsNormalized::Yes,
    };
    match config.unicode {
        UnicodeForm::Nfc if !is_normal => Cow::Owned(line.nfc().collect()),
        UnicodeForm::Nfkc if !is_normal => Cow::Owned(line.nfkc().collect()),
        _ => line,
    }
}

fn is_stray(character: char) -> bool {
    let code = u32::from(character);
    (character.is_control() && !matches!(character, '\t' | '\n' | '\r' | '\u{85}'))
        || character == '\u{feff}'
        || code & 0xfffe == 0xfffe
        || (0xfdd0..=0xfdef).contains(&code)
}

/// Encodings that UTF-8 is misread as, the likeliest first.
static MISREAD: [&Encoding; 4] = [WINDOWS_1252, WINDOWS_1251, WINDOWS_1250, MACINTOSH];

/// The line with every run of characters beyond ASCII read again as UTF-8, where the run's bytes in an encoding are that.
///
/// A run must be UTF-8 as a whole: words in which letters follow letters never are, since each character of UTF-8 begins
/// with a byte that is a letter in these encodings and goes on with bytes that are mostly signs.
fn repair(line: &str) -> Option<String> {
    if line.is_ascii() {
        return None;
    }
    let mut repaired = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(start) = line[at..].find(|c: char| !c.is_ascii()).map(|start| at + start) {
        let end = line[start..].find(|c: char| c.is_ascii()).map_or(line.len(), |length| start + length);
        if let Some(text) = MISREAD.iter().find_map(|encoding| read_again(encoding, &line[start..end])) {
            repaired.push_str(&line[copied..start]);
            repaired.push_str(&text);
            copied = end;
        }
        at = end;
    }
    (copied > 0).then(|| repaired + &line[copied..])
}

fn read_again(encoding: &'static Encoding, run: &str) -> Option<String> {
    let (bytes, _, unmappable) = encoding.encode(run);
    let text = std::str::from_utf8(&bytes).ok().filter(|_| !unmappable)?;
    // Misread text has no control characters in it; what gives some was something else.
    (!text.contains(char::is_control)).then(|| text.to_owned())
}
