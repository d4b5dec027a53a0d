//! What of a text counts for its likeness to another: letters without case and accents, and that a number was there.
//!
//! Lower case, numbers to `0`, punctuation to blanks, one blank for any white space, no accents: datatrove's steps, in
//! one pass. Where words are not written apart (Chinese, Japanese, Thai and their neighbours) the native mode takes
//! every character for a word, or a page would be one shingle.

use unicode_normalization::char::decompose_canonical;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::words::{Span, is_blanked, is_space};

/// What becomes of an ASCII character: a letter its lower case, a digit `0`, anything else a blank.
const ASCII: [u8; 128] = {
    let mut table = [b' '; 128];
    let mut byte = 0;
    while byte < 128 {
        let of = byte as u8;
        if of.is_ascii_alphabetic() {
            table[byte] = of.to_ascii_lowercase();
        } else if of.is_ascii_digit() {
            table[byte] = b'0';
        }
        byte += 1;
    }
    table
};

/// Writes the normalised `text` to `output`, and where in it the words are, those between blanks, to `words`.
pub(super) fn normalize(text: &str, split_unspaced: bool, output: &mut String, words: &mut Vec<Span>) {
    output.clear();
    words.clear();
    output.reserve(text.len());
    let mut writer = Writer { split_unspaced, output, words, start: 0 };
    // The small sigma's form depends on what follows it; the standard library knows how.
    if text.contains('Σ') {
        writer.write(&text.to_lowercase());
    } else {
        writer.write(text);
    }
    writer.blank();
    output.truncate(output.trim_end_matches(is_space).len());
}

struct Writer<'a> {
    split_unspaced: bool,
    output: &'a mut String,
    words: &'a mut Vec<Span>,
    /// Where the word begins that is being written.
    start: usize,
}

impl Writer<'_> {
    /// Ends a word with a blank, if there is one.
    fn blank(&mut self) {
        let end = self.output.len();
        if end > self.start {
            self.words.push(Span { start: self.start, end });
            self.output.push(' ');
            self.start = end + 1;
        }
    }

    fn write(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if byte.is_ascii() {
                match ASCII[usize::from(byte)] {
                    b' ' => {
                        self.blank();
                        at += 1;
                    }
                    b'0' => {
                        self.output.push('0');
                        at += number_length(&text[at..]);
                    }
                    letter => {
                        self.output.push(char::from(letter));
                        at += 1;
                    }
                }
                continue;
            }
            let rest = &text[at..];
            let Some(c) = rest.chars().next() else { break };
            if is_digit(c) {
                self.output.push('0');
                at += number_length(rest);
                continue;
            }
            at += c.len_utf8();
            if is_space(c) || is_blanked(c) {
                self.blank();
            } else {
                c.to_lowercase().for_each(|lower| self.letter(lower));
            }
        }
    }

    /// Adds a letter in lower case, without its accents.
    fn letter(&mut self, lower: char) {
        let unspaced = self.split_unspaced && is_unspaced(lower);
        if unspaced {
            self.blank();
        }
        decompose_canonical(lower, |part| {
            if part.is_ascii() || part.general_category() != GeneralCategory::NonspacingMark {
                self.output.push(part);
            }
        });
        if unspaced {
            self.blank();
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
    // Nearly always what follows is a letter or a blank.
    if text.as_bytes().get(first).is_none_or(|byte| byte.is_ascii() && !matches!(byte, b'.' | b',')) {
        return first;
    }
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
        let mut words = Vec::new();
        normalize(text, native, &mut output, &mut words);
        let words: Vec<&str> = words.iter().map(|word| word.of(&output)).collect();
        assert_eq!(words, output.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>());
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
