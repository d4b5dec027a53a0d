//! Characters and white space, line by line.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

use super::mojibake::repair;
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
