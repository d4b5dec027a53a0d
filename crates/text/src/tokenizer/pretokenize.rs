//! GPT-2's word splitting, by hand.
//!
//! The published pattern is
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`. Its look-ahead needs a backtracking
//! engine, which is most of the time of an encoder; read as classes of characters it is one pass.

use std::sync::LazyLock;

use regex_syntax::hir::{Class as HirClass, HirKind};

/// The four disjoint classes that the pattern knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

/// The class of each character up to the last that is not `Other`, from the very tables that the regex engine uses.
static CLASSES: LazyLock<Vec<Class>> = LazyLock::new(|| {
    let mut table = Vec::new();
    for (pattern, class) in [(r"\p{L}", Class::Letter), (r"\p{N}", Class::Number), (r"\s", Class::Space)] {
        let hir = regex_syntax::parse(pattern).expect("the pattern is a literal of ours");
        let HirKind::Class(HirClass::Unicode(set)) = hir.kind() else {
            unreachable!("a Unicode class was parsed")
        };
        for range in set.ranges() {
            let end = range.end() as usize + 1;
            if table.len() < end {
                table.resize(end, Class::Other);
            }
            table[range.start() as usize..end].fill(class);
        }
    }
    table
});

/// The words of `text`, which together are `text`.
pub(super) fn split(text: &str) -> Words<'_> {
    Words { text, at: 0, classes: &CLASSES }
}

/// Iterates over words.
pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
    classes: &'static [Class],
}

impl Words<'_> {
    /// The class and the length of the character at `index`, unless the text ends there.
    #[inline]
    fn class_at(&self, index: usize) -> Option<(Class, usize)> {
        let byte = *self.text.as_bytes().get(index)?;
        if byte < 0x80 {
            return Some((self.classes[byte as usize], 1));
        }
        let char = self.text[index..].chars().next()?;
        Some((self.classes.get(char as usize).copied().unwrap_or(Class::Other), char.len_utf8()))
    }

    /// Where the run of `class` that reaches over `index` ends.
    #[inline]
    fn run(&self, class: Class, mut index: usize) -> usize {
        while let Some((found, length)) = self.class_at(index) {
            if found != class {
                break;
            }
            index += length;
        }
        index
    }

    /// Where the white space that starts at `start` ends: all of it at the end of the text, otherwise all but its last
    /// character, which the next word may take.
    fn space(&self, start: usize) -> usize {
        let (mut last, mut end) = (start, start);
        while let Some((Class::Space, length)) = self.class_at(end) {
            last = end;
            end += length;
        }
        if end == self.text.len() || last == start { end } else { last }
    }
}

/// The length of an English contraction's ending at the start of `bytes`.
fn contraction(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\'', b's' | b't' | b'm' | b'd', ..] => Some(2),
        [b'\'', b'r' | b'v', b'e', ..] | [b'\'', b'l', b'l', ..] => Some(3),
        _ => None,
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let start = self.at;
        let (class, length) = self.class_at(start)?;
        let bytes = &self.text.as_bytes()[start..];
        self.at = if let Some(length) = contraction(bytes) {
            start + length
        } else if class != Class::Space {
            self.run(class, start + length)
        } else if bytes[0] != b' ' {
            self.space(start)
        } else {
            match self.class_at(start + 1) {
                Some((Class::Space, _)) | None => self.space(start),
                Some((class, length)) => self.run(class, start + 1 + length),
            }
        };
        Some(&self.text[start..self.at])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _};

    use super::*;

    /// The words as the library's regular expression finds them.
    fn by_regex(text: &str) -> Vec<&str> {
        let mut split = PreTokenizedString::from(text);
        ByteLevel::new(false, false, true).pre_tokenize(&mut split).expect("the pattern is fixed");
        let words = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
        words.into_iter().map(|(_, (start, end), _)| &text[start..end]).collect()
    }

    #[test]
    fn words_are_what_the_pattern_says() {
        for text in [
            "",
            " ",
            "  ",
            "a",
            " a",
            "  a",
            "a ",
            "a  ",
            "a \n b",
            "\n\n\nx",
            "it's we'll 'tis ''s 'S '",
            "x\u{85}y",
            "\u{a0}\u{a0}a",
            "１２３ ½x",
            "e\u{301}te",
            "日本語 テキスト。",
            "a\t b",
            "\r\n \r\n",
            "…  …",
            "🙂🙂 🙂a1_b",
        ] {
            assert_eq!(split(text).collect::<Vec<_>>(), by_regex(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_splits_as_by_the_pattern(text in "\\PC*") {
            prop_assert_eq!(split(&text).collect::<Vec<_>>(), by_regex(&text));
        }

        #[test]
        fn spaces_and_quotes_split_as_by_the_pattern(text in "[ \n\t\u{a0}\u{2003}'sreltvmdS1a²é日.\u{301}\u{200b}]{0,24}") {
            prop_assert_eq!(split(&text).collect::<Vec<_>>(), by_regex(&text));
            prop_assert_eq!(split(&text).collect::<String>(), text);
        }
    }

    #[test]
    fn every_character_has_the_class_of_the_pattern() {
        // Above plane 3 there is neither letter nor number nor space.
        let text: String =
            ('\0'..='\u{3ffff}').flat_map(|char| ['a', char, char, ' ', char, '1', char]).collect();
        let own: Vec<&str> = split(&text).collect();
        assert!(own == by_regex(&text), "a character has another class");
    }
}
