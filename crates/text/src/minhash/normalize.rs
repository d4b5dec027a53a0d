//! What of a text counts for its likeness to another: letters without case and accents, and that a number was there.
//!
//! Lower case, numbers to `0`, punctuation to blanks, one blank for any white space, no accents: datatrove's steps, in
//! one pass. Where words are not written apart (Chinese, Japanese, Thai and their neighbours) the native mode takes
//! every character for a word, or a page would be one shingle.

use unicode_normalization::char::decompose_canonical;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::words::{is_blanked, is_space};

/// Writes the normalised `text` to `output`.
pub(super) fn normalize(text: &str, split_unspaced: bool, output: &mut String) {
    output.clear();
    output.reserve(text.len());
    // The small sigma's form depends on what follows it; the standard library knows how.
    if text.contains('Σ') {
        write(&text.to_lowercase(), split_unspaced, output);
    } else {
        write(text, split_unspaced, output);
    }
    output.truncate(output.trim_end_matches(is_space).len());
}

/// A blank, unless nothing or a blank stands before it.
fn push_blank(output: &mut String) {
    if !output.is_empty() && !output.ends_with(' ') {
        output.push(' ');
    }
}

fn write(text: &str, split_unspaced: bool, output: &mut String) {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_alphabetic() {
            let end = rest.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(rest.len());
            let start = output.len();
            output.push_str(&rest[..end]);
            output[start..].make_ascii_lowercase();
            rest = &rest[end..];
            continue;
        }
        if is_digit(c) {
            output.push('0');
            rest = &rest[number_length(rest)..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if is_space(c) || is_blanked(c) {
            push_blank(output);
        } else {
            for lower in c.to_lowercase() {
                let unspaced = split_unspaced && is_unspaced(lower);
                if unspaced {
                    push_blank(output);
                }
                decompose_canonical(lower, |part| {
                    if part.is_ascii() || part.general_category() != GeneralCategory::NonspacingMark {
                        output.push(part);
                    }
                });
                if unspaced {
                    push_blank(output);
                }
            }
        }
    }
}

fn is_digit(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_digit()
    } else {
        c.is_numeric() && c.general_category() == GeneralCategory::DecimalNumber
    }
}

/// Bytes of a run of digits, with one separator and a second run where both follow.
fn number_length(text: &str) -> usize {
    let run = |text: &str| text.find(|c| !is_digit(c)).unwrap_or(text.len());
    let first = run(text);
    let Some(separator) = text[first..].chars().next().filter(|c| ".,،٫⎖⎗⎘".contains(*c)) else {
        return first;
    };
    let after = first + separator.len_utf8();
    match run(&text[after..]) {
        0 => first,
        second => after + second,
    }
}

/// Letters of scripts that put no blanks between words.
fn is_unspaced(c: char) -> bool {
    matches!(c as u32,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xf900..=0xfaff | 0x20000..=0x2fa1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, native: bool) -> String {
        let mut output = String::new();
        normalize(text, native, &mut output);
        output
    }

    #[test]
    fn case_accents_numbers_and_marks_do_not_count() {
        assert_eq!(of("  Élan,  1,234.5 km—CAFÉ\n(ok)  ", true), "elan 0 0 km cafe ok");
        assert_eq!(of("ΟΔΟΣ ２０２４年", false), "οδος 0年");
        assert_eq!(of("漢字かな text", true), "漢 字 か な text");
        assert_eq!(of("漢字かな text", false), "漢字かな text");
        assert_eq!(of("...", true), "");
    }
}
