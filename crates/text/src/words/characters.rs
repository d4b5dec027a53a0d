//! Classes of characters that the splitter and the rules ask for.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Opens or closes a chunk: spaCy's punctuation and quotation marks beyond ASCII.
const MARKS: &str = "…¿؟¡。？！，、；：～·।،۔؛٪”“‘´’‚„»«「」『』（）〔〕【】《》〈〉\u{2329}\u{232a}⟦⟧";
const QUOTES: &str = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉\u{2329}\u{232a}⟦⟧";
/// The same in ASCII.
const ASCII_MARKS: &[u8] = b",:;!?()[]{}<>_#*&'\"`";

/// Marks that end a sentence or a line, beyond ASCII's `.`, `!` and `?`. Sorted.
const TERMINAL: &str = "\u{589}\u{61d}\u{61e}\u{61f}\u{6d4}\u{700}\u{701}\u{702}\u{7f9}\u{837}\u{839}\u{83d}\u{83e}\
    \u{964}\u{965}\u{104a}\u{104b}\u{1362}\u{1367}\u{1368}\u{166e}\u{1735}\u{1736}\u{17d4}\u{17d5}\u{17d6}\u{17d9}\
    \u{17da}\u{1803}\u{1809}\u{1944}\u{1945}\u{1aa8}\u{1aa9}\u{1aaa}\u{1aab}\u{1b5a}\u{1b5b}\u{1b5e}\u{1b5f}\u{1b7d}\
    \u{1b7e}\u{1c3b}\u{1c3c}\u{1c7e}\u{1c7f}\u{203c}\u{203d}\u{2047}\u{2048}\u{2049}\u{2e2e}\u{2e3c}\u{2e53}\u{2e54}\
    \u{3002}\u{a4ff}\u{a60e}\u{a60f}\u{a6f3}\u{a6f7}\u{a876}\u{a877}\u{a8ce}\u{a8cf}\u{a92f}\u{a9c8}\u{a9c9}\u{aa5d}\
    \u{aa5e}\u{aa5f}\u{aaf0}\u{aaf1}\u{abeb}\u{fe52}\u{fe56}\u{fe57}\u{ff01}\u{ff0e}\u{ff1f}\u{ff61}\u{10a56}\
    \u{10a57}\u{10f55}\u{10f56}\u{10f57}\u{10f58}\u{10f59}\u{10f86}\u{10f87}\u{10f88}\u{10f89}\u{11047}\u{11048}\
    \u{110be}\u{110bf}\u{110c0}\u{110c1}\u{11141}\u{11142}\u{11143}\u{111c5}\u{111c6}\u{111cd}\u{111de}\u{111df}\
    \u{11238}\u{11239}\u{1123b}\u{1123c}\u{112a9}\u{1144b}\u{1144c}\u{115c2}\u{115c3}\u{115c9}\u{115ca}\u{115cb}\
    \u{115cc}\u{115cd}\u{115ce}\u{115cf}\u{115d0}\u{115d1}\u{115d2}\u{115d3}\u{115d4}\u{115d5}\u{115d6}\u{115d7}\
    \u{11641}\u{11642}\u{1173c}\u{1173d}\u{1173e}\u{11944}\u{11946}\u{11a42}\u{11a43}\u{11a9b}\u{11a9c}\u{11c41}\
    \u{11c42}\u{11ef7}\u{11ef8}\u{11f43}\u{11f44}\u{16a6e}\u{16a6f}\u{16af5}\u{16b37}\u{16b38}\u{16b44}\u{16e98}\
    \u{1bc9f}\u{1da88}";
/// Those of them that end a line for FineWeb's rule, but no sentence.
const NO_SENTENCE_END: &str = "\u{61d}\u{61e}\u{837}\u{839}\u{83d}\u{83e}\u{17d4}\u{17d5}\u{17d6}\u{17d9}\u{17da}\
    \u{1b7d}\u{1b7e}\u{2e53}\u{2e54}\u{10f55}\u{10f56}\u{10f57}\u{10f58}\u{10f59}\u{10f86}\u{10f87}\u{10f88}\u{10f89}\
    \u{11944}\u{11946}\u{11ef7}\u{11ef8}\u{11f43}\u{11f44}\u{16e98}";
/// What datatrove takes for punctuation beyond ASCII and the terminal marks. It has a full-width 1 in it: theirs.
const PUNCTUATION: &str = "«´»–—’“”„…∶━►、。〈〉《》「」【】！％（），．１：；？～";

/// White space as Python's `str.isspace` sees it: Unicode's, and the four ASCII separators.
#[inline]
pub fn is_space(c: char) -> bool {
    if c.is_ascii() { is_ascii_space(c as u8) } else { c.is_whitespace() }
}

#[inline]
pub(super) fn is_ascii_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1c..=0x20)
}

/// Whether a mark ends a line of prose, in any script.
pub fn is_terminal(c: char) -> bool {
    matches!(c, '.' | '!' | '?') || (!c.is_ascii() && TERMINAL.contains(c))
}

/// Whether datatrove counts a character as punctuation: marks of several scripts, and control characters.
#[inline]
pub fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        ASCII_PUNCTUATION[c as usize]
    } else {
        (c as u32) < 0xa0 || (may_be_mark(c) && (PUNCTUATION.contains(c) || TERMINAL.contains(c)))
    }
}

/// What datatrove blanks before it makes shingles: its punctuation without the terminal marks of other scripts.
#[inline]
pub(crate) fn is_blanked(c: char) -> bool {
    if c.is_ascii() {
        ASCII_PUNCTUATION[c as usize]
    } else {
        (c as u32) < 0xa0 || (may_be_mark(c) && PUNCTUATION.contains(c))
    }
}

/// ASCII punctuation and control characters, except tab and newline, which datatrove's ranges leave out. So is DEL.
pub(crate) const ASCII_PUNCTUATION: [bool; 128] = {
    let mut table = [false; 128];
    let mut byte = 0;
    while byte < 127 {
        table[byte as usize] =
            !(byte as u8).is_ascii_alphanumeric() && !matches!(byte as u8, b'\t' | b'\n' | b' ');
        byte += 1;
    }
    table[127] = true;
    table
};

/// A cheap first test: most letters of the big scripts lie in blocks without any mark that we list.
#[inline]
fn may_be_mark(c: char) -> bool {
    !matches!(c as u32, 0xc0..=0x588 | 0xac00..=0xd7ff | 0x4e00..=0xa4fe | 0x3040..=0x30ff)
}

/// Whether a character is of a script that writes no blanks between words: Thai, Lao, Burmese, Khmer, kana, Han.
pub fn is_unspaced(c: char) -> bool {
    matches!(c as u32,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x31f0..=0x31ff | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0xff66..=0xff9f | 0x20000..=0x323af)
}

/// Whether a word is exactly one mark that ends a sentence.
pub(super) fn is_end_mark(word: &str) -> bool {
    let mut characters = word.chars();
    let (first, rest) = (characters.next(), characters.next());
    rest.is_none() && first.is_some_and(|c| is_terminal(c) && !NO_SENTENCE_END.contains(c))
}

/// Whether Unicode counts every character of a word as punctuation.
pub(super) fn is_all_punctuation(word: &str) -> bool {
    word.chars().all(|c| match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
        _ if c.is_ascii() => c.is_ascii_punctuation(),
        _ => {
            use GeneralCategory as G;
            matches!(
                c.general_category(),
                G::ConnectorPunctuation
                    | G::DashPunctuation
                    | G::OpenPunctuation
                    | G::ClosePunctuation
                    | G::InitialPunctuation
                    | G::FinalPunctuation
                    | G::OtherPunctuation
            )
        }
    })
}

/// Whether a byte can be, or can begin, a line end: newline to carriage return, three separators, U+0085, U+2028/9.
#[inline]
pub(super) fn may_end_line(byte: u8) -> bool {
    matches!(byte, b'\n'..=b'\r' | 0x1c..=0x1e | 0xc2 | 0xe2)
}

/// Whether a character ends a line for Python.
#[inline]
pub(super) fn ends_line(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A mark that is cut off both ends of a chunk.
pub(super) fn is_mark(c: char) -> bool {
    if c.is_ascii() { ASCII_MARKS.contains(&(c as u8)) } else { MARKS.contains(c) || is_symbol(c) }
}

/// Pictures, dingbats, technical signs: a word each.
pub(super) fn is_symbol(c: char) -> bool {
    !c.is_ascii() && !c.is_alphanumeric() && c.general_category() == GeneralCategory::OtherSymbol
}

pub(super) fn is_quote(c: char) -> bool {
    QUOTES.contains(c)
}

/// A sign of money that is one character.
pub(super) fn is_currency(c: char) -> bool {
    matches!(c, '$' | '£' | '€' | '¥' | '฿' | '﷼' | '\u{20a0}'..='\u{20bf}')
}

/// Scripts without case, whose letters count as both upper and lower.
fn is_uncased(c: char) -> bool {
    matches!(c as u32,
        0x0591..=0x05f4 | 0x0620..=0x064a | 0x066e..=0x06d5 | 0x06e5..=0x06ff | 0x0750..=0x077f | 0x08a0..=0x08bd
        | 0x0900..=0x09ff | 0x0b80..=0x0cff | 0x0d80..=0x0dff | 0x1100..=0x137f | 0x2e80..=0x2fdf | 0x2ff0..=0x30ff
        | 0x31c0..=0x31ef | 0x3200..=0x4dbf | 0x4e00..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0xfb1d..=0xfbb1
        | 0xfbd3..=0xfd3d | 0xfd50..=0xfdc7 | 0xfdf0..=0xfdfb | 0xfe30..=0xfe4f | 0xfe70..=0xfefc
        | 0x1ee00..=0x1eebb | 0x1f200..=0x1f2ff | 0x20000..=0x2ebef | 0x2f800..=0x2fa1f)
}

/// Latin, Greek and Cyrillic, the cased scripts that the affix rules know.
fn is_cased_script(c: char) -> bool {
    matches!(c as u32, 0x00c0..=0x02af | 0x0386..=0x03ce | 0x0400..=0x04ff | 0x1d00..=0x1d9a | 0x1e00..=0x1eff
        | 0x2c60..=0x2c7f | 0xa722..=0xa7b9 | 0xab30..=0xab64 | 0xff21..=0xff5a)
}

pub(super) fn is_lower(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_lowercase()
    } else {
        is_uncased(c) || (is_cased_script(c) && c.is_lowercase())
    }
}

pub(super) fn is_upper(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_uppercase()
    } else {
        is_uncased(c) || (is_cased_script(c) && c.is_uppercase())
    }
}

pub(super) fn is_letter(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphabetic()
    } else {
        is_uncased(c) || (is_cased_script(c) && c.is_alphabetic())
    }
}

/// Whether a full stop after this character is cut off: digits, small letters, marks; not a single capital (`J.`).
pub(super) fn precedes_full_stop(c: char) -> bool {
    c.is_ascii_digit()
        || is_lower(c)
        || matches!(c, '%' | '²' | '-' | '+' | '|')
        || (c.is_ascii() && ASCII_MARKS.contains(&(c as u8)))
        || (!c.is_ascii() && MARKS.contains(c))
}
