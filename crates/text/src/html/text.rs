//! The characters of a page's texts: how much there is to read, and how it is written out.

use memchr::{memchr, memmem};

/// What a piece of text holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Visible characters; those that fill a square (Chinese, Japanese, Korean) count twice, as they say as much as two.
    pub(super) letters: u32,
    pub(super) ends_sentence: bool,
    /// How often it speaks of cookies.
    pub(super) cookies: u32,
}

/// The classes of bytes: what begins no visible character, what begins one, what begins a wide one, `&`.
const UNSEEN: u8 = 0;
const LETTER: u8 = 1;
const WIDE: u8 = 2;
const REFERENCE: u8 = 3;

const CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [LETTER; 256];
    let mut byte = 0;
    while byte < 256 {
        // Continuation bytes of UTF-8, and the lead bytes of the blocks from U+3000 to U+DFFF.
        if byte <= 0x20 || (byte >= 0x80 && byte < 0xc0) {
            classes[byte] = UNSEEN;
        } else if byte >= 0xe3 && byte < 0xee {
            classes[byte] = WIDE;
        }
        byte += 1;
    }
    classes[b'&' as usize] = REFERENCE;
    classes
}

/// The longest character reference that counts as one letter.
const MAX_REFERENCE: usize = 10;
/// Shorter texts are no notices about cookies.
const MIN_NOTICE: u32 = 30;

/// Measures a text with character references.
pub(super) fn measure(text: &str) -> Measure {
    let bytes = text.as_bytes();
    let mut letters = 0;
    let mut at = 0;
    while at < bytes.len() {
        match CLASSES[bytes[at] as usize] {
            LETTER => letters += 1,
            WIDE => letters += 2,
            REFERENCE => {
                let (length, is_space) = reference(&bytes[at + 1..]);
                letters += u32::from(!is_space);
                at += length;
            }
            _ => {}
        }
        at += 1;
    }
    let cookies = if letters >= MIN_NOTICE { memmem::find_iter(bytes, b"ookie").count() as u32 } else { 0 };
    Measure { letters, ends_sentence: letters > 0 && ends_sentence(text), cookies }
}

/// How long the character reference after its `&` is (0 where there is none), and whether it is a space.
fn reference(rest: &[u8]) -> (usize, bool) {
    let name = rest.iter().take(MAX_REFERENCE);
    let length = name.take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'#').count();
    let is_space = rest.starts_with(b"nbsp") || rest.starts_with(b"#160");
    (if rest.get(length) == Some(&b';') { length + 1 } else { 0 }, is_space)
}

/// Whether the last visible characters end a sentence, quotation marks and brackets aside.
fn ends_sentence(text: &str) -> bool {
    let closes = ['"', '\'', '”', '’', '»', '“', ')', ']', '」', '』', '）', '*'];
    let ends = ['.', '!', '?', '…', ':', ';', '。', '！', '？', '：', '；', '।', '۔', '؟'];
    let text = text.trim_end().trim_end_matches(closes);
    // A reference ends in the `;` that also ends sentences: those for quotation marks do, as good as ever.
    text.ends_with(ends)
}

/// Writes text with white space collapsed and character references resolved.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) out: String,
    /// Whether white space came since the last visible character.
    pending: bool,
}

impl Writer {
    /// Text of a page: white space of any length is one space, and none at the start of a line.
    pub(super) fn push(&mut self, text: &str) {
        if memchr(b'&', text.as_bytes()).is_some() {
            self.collapse(&htmlize::unescape(text));
        } else {
            self.collapse(text);
        }
    }

    fn collapse(&mut self, text: &str) {
        let mut is_first = true;
        for word in text.split(char::is_whitespace) {
            // What stands before the first white space continues the word before it.
            self.pending |= !is_first;
            is_first = false;
            if word.is_empty() {
                continue;
            }
            if self.pending && !self.at_line_start() {
                self.out.push(' ');
            }
            self.pending = false;
            self.out.push_str(word);
        }
    }

    /// Text as it stands, as in `pre`.
    pub(super) fn push_verbatim(&mut self, text: &str) {
        self.pending = false;
        self.out.push_str(&htmlize::unescape(text));
    }

    /// Marks of our own, after the white space that came.
    pub(super) fn push_mark(&mut self, mark: &str) {
        self.collapse("");
        if self.pending && !self.at_line_start() {
            self.out.push(' ');
        }
        self.pending = false;
        self.out.push_str(mark);
    }

    /// Ends the line, where there is one.
    pub(super) fn end_line(&mut self) {
        self.pending = false;
        if !self.at_line_start() {
            self.out.push('\n');
        }
    }

    fn at_line_start(&self) -> bool {
        self.out.is_empty() || self.out.ends_with('\n')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_what_a_reader_sees() {
        assert_eq!(measure(" a\u{301} b&nbsp;&amp; ").letters, 4);
        assert_eq!(measure("日本&#26085;").letters, 5);
        assert!(measure("Said she: “No.” ").ends_sentence && !measure("No, ").ends_sentence);
        assert_eq!(measure("Cookies help us; by staying you accept cookies.").cookies, 2);
    }

    #[test]
    fn white_space_is_one_space_between_words() {
        let mut writer = Writer::default();
        for text in [" a", "b ", " c&nbsp;\n d", "&lt;", " "] {
            writer.push(text);
        }
        writer.end_line();
        writer.push(" e");
        assert_eq!(writer.out, "ab c d<\ne");
    }
}
