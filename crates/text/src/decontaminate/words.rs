//! Words without case and marks.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use xxhash_rust::xxh3::xxh3_64;

use crate::words::is_unspaced;

/// A word: the hash of its small letters, and its place in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) hash: u64,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Whether a character is of a word.
pub(crate) fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c.general_category_group() == GeneralCategoryGroup::Mark
}

/// Appends the words of `text`.
pub(crate) fn split_into(text: &str, words: &mut Vec<Word>) {
    let bytes = text.as_bytes();
    let mut small = Vec::with_capacity(64);
    let mut start = 0;
    let mut at = 0;
    let push = |small: &mut Vec<u8>, start, end, words: &mut Vec<Word>| {
        if !small.is_empty() {
            words.push(Word { hash: xxh3_64(small), start, end });
            small.clear();
        }
    };
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii() {
            if byte.is_ascii_alphanumeric() {
                if small.is_empty() {
                    start = at;
                }
                small.push(byte.to_ascii_lowercase());
            } else {
                push(&mut small, start, at, words);
            }
            at += 1;
            continue;
        }
        let Some(c) = text[at..].chars().next() else { break };
        let end = at + c.len_utf8();
        if is_unspaced(c) && is_of_word(c) {
            push(&mut small, start, at, words);
            words.push(Word { hash: xxh3_64(&bytes[at..end]), start: at, end });
        } else if is_of_word(c) {
            if small.is_empty() {
                start = at;
            }
            for c in c.to_lowercase() {
                small.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        } else {
            push(&mut small, start, at, words);
        }
        at = end;
    }
    push(&mut small, start, bytes.len(), words);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut words = Vec::new();
        split_into(text, &mut words);
        words.iter().map(|word| &text[word.start..word.end]).collect()
    }

    #[test]
    fn marks_part_words_and_case_does_not_count() {
        assert_eq!(words("Don't—stop, (it's 3.5)!"), ["Don", "t", "stop", "it", "s", "3", "5"]);
        assert_eq!(words("Größe ΟΔΟΣ e\u{301}"), ["Größe", "ΟΔΟΣ", "e\u{301}"]);
        assert_eq!(words("我喜欢Rust。ภาษา"), ["我", "喜", "欢", "Rust", "ภ", "า", "ษ", "า"]);
        assert_eq!(words(""), Vec::<&str>::new());
        let hash = |text: &str| {
            let mut words = Vec::new();
            split_into(text, &mut words);
            words.iter().map(|word| word.hash).collect::<Vec<_>>()
        };
        assert_eq!(hash("ÉCOLE, Straße"), hash("école\nstraße"));
    }
}
