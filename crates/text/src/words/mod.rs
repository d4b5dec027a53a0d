//! Words and sentences as the published rules count them.
//!
//! ```text
//! text ──▶ chunks between white space ──▶ English: affixes, exceptions, infixes   ──▶ spans of words
//!                                    └──▶ others:  Unicode word boundaries (UAX 29) ─┘
//! ```
//!
//! The rules of datatrove and FineWeb count English words with spaCy's blank tokenizer, so a threshold on words per
//! document only means what their authors meant if our words are the same. The splitter here gives the same words
//! without a regular expression per chunk: `docs` of [`english`] say how, and a test counts how often the two agree.

mod characters;
mod english;
mod exceptions;
mod url;

use unicode_segmentation::UnicodeSegmentation;

pub(crate) use characters::is_blanked;
pub use characters::{is_punctuation, is_space, is_terminal, is_unspaced};

/// A word's place in its text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The word itself, in the text that was split.
    pub fn of(self, text: &str) -> &str {
        &text[self.start..self.end]
    }
}

/// Which rules make words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Splitter {
    /// English affixes, contractions and abbreviations.
    #[default]
    English,
    /// Unicode's word boundaries, for every other language.
    Unicode,
    /// What white space parts, marks included: words as Python's `str.split` gives them.
    Whitespace,
}

impl Splitter {
    /// The rules for a language code. A document whose language nobody has determined counts as English.
    pub fn for_language(language: Option<&str>) -> Self {
        match language {
            None | Some("en") => Self::English,
            Some(_) => Self::Unicode,
        }
    }

    /// Appends the spans of the words of `text` to `words`, in order. White space is never a word.
    pub fn split_into(self, text: &str, words: &mut Vec<Span>) {
        match self {
            Self::English => english::split_into(text, words),
            Self::Unicode => words.extend(
                text.split_word_bound_indices()
                    .filter(|(_, word)| !word.chars().all(is_space))
                    .map(|(start, word)| Span { start, end: start + word.len() }),
            ),
            Self::Whitespace => {
                let mut at = 0;
                while let Some(found) = text[at..].find(|c| !is_space(c)) {
                    let start = at + found;
                    at = text[start..].find(is_space).map_or(text.len(), |length| start + length);
                    words.push(Span { start, end: at });
                }
            }
        }
    }

    /// The words of `text`, in order.
    pub fn split(self, text: &str) -> Vec<&str> {
        let mut words = Vec::new();
        self.split_into(text, &mut words);
        words.into_iter().map(|word| word.of(text)).collect()
    }
}

/// Counts the sentences of `line`, a piece of `text` without white space at its ends, from the words in it.
///
/// A sentence ends at a word that is one end mark; the next starts at the first word after it that is no punctuation.
/// White space other than a single blank stands between sentences like a word does. An empty line is one sentence.
pub fn count_sentences(text: &str, words: &[Span]) -> usize {
    let mut sentences = 1;
    let mut ended = false;
    let mut previous_end = words.first().map_or(0, |word| word.start);
    for word in words {
        let gap = &text[previous_end..word.start];
        previous_end = word.end;
        if ended && !gap.is_empty() && gap != " " {
            sentences += 1;
            ended = false;
        }
        let word = word.of(text);
        if characters::is_end_mark(word) {
            ended = true;
        } else if ended && !characters::is_all_punctuation(word) {
            sentences += 1;
            ended = false;
        }
    }
    sentences
}

/// Lines as Python's `splitlines` cuts them, without their ends; a final line end opens no further line.
pub fn lines(text: &str) -> impl Iterator<Item = Span> + '_ {
    let bytes = text.as_bytes();
    let mut start = 0;
    std::iter::from_fn(move || {
        if start >= bytes.len() {
            return None;
        }
        let mut at = start;
        while let Some(found) = bytes[at..].iter().position(|&byte| characters::may_end_line(byte)) {
            at += found;
            let Some(c) = text[at..].chars().next() else { break };
            let next = at + c.len_utf8();
            if characters::ends_line(c) {
                let line = Span { start, end: at };
                start = next + usize::from(c == '\r' && bytes.get(next) == Some(&b'\n'));
                return Some(line);
            }
            at = next;
        }
        let line = Span { start, end: bytes.len() };
        start = bytes.len();
        Some(line)
    })
}

/// The part of `span` without white space at its ends.
pub fn trim(text: &str, span: Span) -> Span {
    let line = span.of(text);
    let start = span.start + (line.len() - line.trim_start_matches(is_space).len());
    let end = start + text[start..span.end].trim_end_matches(is_space).len();
    Span { start, end }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn english(text: &str) -> Vec<&str> {
        Splitter::English.split(text)
    }

    fn sentences(text: &str) -> usize {
        let mut words = Vec::new();
        Splitter::English.split_into(text, &mut words);
        count_sentences(text, &words)
    }

    #[test]
    fn contractions_abbreviations_and_marks_are_taken_apart_as_published() {
        for (text, expected) in [
            ("", vec![]),
            ("  a  b\n", vec!["a", "b"]),
            ("I can't, won't.", vec!["I", "ca", "n't", ",", "wo", "n't", "."]),
            ("They’ll’ve gone", vec!["They", "’ll", "’ve", "gone"]),
            ("They’ll've gone", vec!["They’ll've", "gone"]),
            (
                "Mr. Smith's dog (the U.S. one)...",
                vec!["Mr.", "Smith", "'s", "dog", "(", "the", "U.S.", "one", ")", "..."],
            ),
            (
                "10km at 5pm, 3-4 and x-ray",
                vec!["10", "km", "at", "5", "pm", ",", "3", "-", "4", "and", "x", "-", "ray"],
            ),
            ("see http://a.example/x?y=1.", vec!["see", "http://a.example/x?y=1", "."]),
            ("end.Start and/or w/o", vec!["end", ".", "Start", "and/or", "w/o"]),
            ("hello:) US$5 $5 C++", vec!["hello", ":)", "US$", "5", "$", "5", "C++"]),
            ("“Quoted”—dash", vec!["“", "Quoted”—dash"]),
        ] {
            assert_eq!(english(text), expected, "{text}");
        }
    }

    #[test]
    fn other_languages_split_at_unicode_boundaries() {
        assert_eq!(
            Splitter::for_language(Some("de")).split("Grüß Gott, Welt!"),
            ["Grüß", "Gott", ",", "Welt", "!"]
        );
        assert_eq!(Splitter::for_language(None), Splitter::English);
    }

    #[test]
    fn sentences_end_at_single_marks_only() {
        for (text, expected) in [
            ("", 1),
            ("One.", 1),
            ("One. Two", 2),
            ("One... two", 1),
            ("Mr. A said hi! \"Yes?\" No.", 3),
            ("Go.  B", 2),
        ] {
            assert_eq!(sentences(text), expected, "{text}");
        }
    }

    #[test]
    fn lines_end_where_python_ends_them() {
        let of = |text: &'static str| lines(text).map(|line| line.of(text)).collect::<Vec<_>>();
        assert_eq!(of("a\r\nb\rc\n\nd\u{2028}e\u{85}f\n"), ["a", "b", "c", "", "d", "e", "f"]);
        assert_eq!(of(""), Vec::<&str>::new());
        assert_eq!(of("\n"), [""]);
    }

    proptest! {
        #[test]
        fn words_are_ordered_disjoint_and_cover_all_but_white_space(text in "\\PC{0,60}|[a-z'.,:;()$ \\-0-9…’\\n]{0,60}") {
            for splitter in [Splitter::English, Splitter::Unicode, Splitter::Whitespace] {
                let mut words = Vec::new();
                splitter.split_into(&text, &mut words);
                let mut end = 0;
                for word in &words {
                    prop_assert!(word.start >= end && word.end > word.start);
                    prop_assert!(text[end..word.start].chars().all(is_space));
                    end = word.end;
                }
                prop_assert!(text[end..].chars().all(is_space));
            }
        }
    }
}
