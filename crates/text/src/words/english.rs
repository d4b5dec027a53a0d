//! English words, as spaCy's blank English pipeline gives them.
//!
//! ```text
//! chunk "(don't),"  ──▶ exception? ─no─▶ cut one mark off each end, ask again ──▶ "don't" ─exception─▶ do n't
//!                                        nothing left to cut: an address? one word : cut at infixes
//! ```
//!
//! Reference: spaCy 3.8, `spacy.blank("en")`. Chunks of letters alone, nine in ten of prose, take one table look-up.

use super::Span;
use super::characters::{
    is_ascii_space, is_currency, is_letter, is_lower, is_mark, is_quote, is_space, is_symbol, is_upper,
    precedes_full_stop,
};
use super::exceptions;
use super::url::is_url;

/// Units that are cut off a number. Every one that ends in another is listed before it.
const UNITS: &[&str] = &[
    "km²",
    "km³",
    "km",
    "dm²",
    "dm³",
    "dm",
    "cm²",
    "cm³",
    "cm",
    "mm²",
    "mm³",
    "mm",
    "m²",
    "m³",
    "nm",
    "ha",
    "µm",
    "yd",
    "in",
    "ft",
    "kg",
    "mg",
    "µg",
    "lb",
    "oz",
    "m/s",
    "km/h",
    "kmh",
    "mph",
    "hPa",
    "Pa",
    "mbar",
    "mb",
    "MB",
    "kb",
    "KB",
    "gb",
    "GB",
    "tb",
    "TB",
    "m",
    "g",
    "t",
    "T",
    "G",
    "M",
    "K",
    "%",
    "км²",
    "км³",
    "км",
    "дм²",
    "дм³",
    "дм",
    "см²",
    "см³",
    "см",
    "мм²",
    "мм³",
    "мм",
    "нм",
    "м²",
    "м³",
    "м/с",
    "км/ч",
    "м",
    "кг",
    "мг",
    "г",
    "кПа",
    "Па",
    "мбар",
    "Кб",
    "КБ",
    "кб",
    "Мб",
    "МБ",
    "мб",
    "Гб",
    "ГБ",
    "гб",
    "Тб",
    "ТБ",
    "тбكم",
    "كم²",
    "كم³",
    "كم",
    "م²",
    "م³",
    "سم²",
    "سم³",
    "سم",
    "مم²",
    "مم³",
    "مم",
    "م",
    "غرام",
    "جرام",
    "جم",
    "كغ",
    "ملغ",
    "كوب",
    "اكواب",
];

/// Bytes of the longest of them.
const LONGEST_UNIT: usize = 16;

/// Appends the words of `text`.
pub(super) fn split_into(text: &str, words: &mut Vec<Span>) {
    const LETTER: u8 = 1;
    const DIGIT: u8 = 2;
    const OTHER: u8 = 4;
    let bytes = text.as_bytes();
    let mut suffixes = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let width = space_width(text, at);
        if width > 0 {
            at += width;
            continue;
        }
        let start = at;
        let mut kinds = 0;
        while at < bytes.len() && space_width(text, at) == 0 {
            kinds |= match bytes[at] {
                b'a'..=b'z' | b'A'..=b'Z' => LETTER,
                b'0'..=b'9' => DIGIT,
                _ => OTHER,
            };
            at += 1;
        }
        let chunk = Span { start, end: at };
        match kinds {
            LETTER if at - start > 16 => words.push(chunk),
            LETTER => push_letters(text, chunk, words),
            DIGIT => words.push(chunk),
            _ => split_chunk(text, chunk, &mut suffixes, words),
        }
    }
}

/// Bytes of the white-space character at `at`; 0 where there is none, and inside a character.
#[inline]
fn space_width(text: &str, at: usize) -> usize {
    let byte = text.as_bytes()[at];
    if byte < 0x80 {
        usize::from(is_ascii_space(byte))
    } else if matches!(byte, 0xc2 | 0xe1 | 0xe2 | 0xe3) {
        match text[at..].chars().next() {
            Some(c) if is_space(c) => c.len_utf8(),
            _ => 0,
        }
    } else {
        0
    }
}

#[inline]
fn push_letters(text: &str, chunk: Span, words: &mut Vec<Span>) {
    if !push_exception(text, chunk, words) {
        words.push(chunk);
    }
}

fn push_exception(text: &str, chunk: Span, words: &mut Vec<Span>) -> bool {
    let Some(lengths) = exceptions::lookup(chunk.of(text)) else { return false };
    let mut start = chunk.start;
    for length in lengths {
        words.push(Span { start, end: start + length });
        start += length;
    }
    true
}

fn is_exception(text: &str, start: usize, end: usize) -> bool {
    exceptions::lookup(&text[start..end]).is_some()
}

fn split_chunk(text: &str, chunk: Span, suffixes: &mut Vec<Span>, words: &mut Vec<Span>) {
    let first = words.len();
    split_affixes(text, chunk, true, suffixes, words);
    if words.len() - first > 2 {
        join_exceptions(text, chunk, first, suffixes, words);
    }
}

/// Cuts marks off both ends until none is left or what is left is an exception, then cuts at infixes.
fn split_affixes(text: &str, chunk: Span, exceptions: bool, suffixes: &mut Vec<Span>, words: &mut Vec<Span>) {
    suffixes.clear();
    let Span { mut start, mut end } = chunk;
    let is_exception = |start, end| exceptions && is_exception(text, start, end);
    while start < end && !is_exception(start, end) {
        let prefix = prefix_length(&text[start..end]);
        if prefix > 0 && start + prefix < end && is_exception(start + prefix, end) {
            words.push(Span { start, end: start + prefix });
            start += prefix;
            break;
        }
        let suffix = suffix_length(&text[start + prefix..end]);
        if suffix > 0 && start < end - suffix && is_exception(start, end - suffix) {
            suffixes.push(Span { start: end - suffix, end });
            end -= suffix;
            break;
        }
        if prefix == 0 && suffix == 0 {
            break;
        }
        if prefix > 0 {
            words.push(Span { start, end: start + prefix });
            start += prefix;
        }
        if suffix > 0 {
            suffixes.push(Span { start: end - suffix, end });
            end -= suffix;
        }
    }
    if start < end {
        let rest = Span { start, end };
        if !(exceptions && push_exception(text, rest, words)) {
            if is_url(rest.of(text)) {
                words.push(rest);
            } else {
                split_infixes(text, rest, words);
            }
        }
    }
    words.extend(suffixes.drain(..).rev());
}

/// Bytes of the mark at the start of a chunk.
fn prefix_length(chunk: &str) -> usize {
    let bytes = chunk.as_bytes();
    match bytes[0] {
        b'U' if chunk.starts_with("US$") => 3,
        b'C' | b'A' if bytes.get(1) == Some(&b'$') => 2,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => 0,
        b'+' => usize::from(!bytes.get(1).is_some_and(u8::is_ascii_digit)),
        b'.' => match bytes.iter().take_while(|&&byte| byte == b'.').count() {
            1 => 0,
            dots => dots,
        },
        b'%' | b'=' | b'$' => 1,
        _ => match chunk.chars().next() {
            Some(c) if is_mark(c) || is_currency(c) || matches!(c, '§' | '—' | '–') => c.len_utf8(),
            _ => 0,
        },
    }
}

/// Bytes of the mark, unit or possessive at the end of a chunk; the longest that applies.
fn suffix_length(chunk: &str) -> usize {
    let mut backwards = chunk.chars().rev();
    let Some(last) = backwards.next() else { return 0 };
    let before = backwards.next();
    match last {
        's' | 'S' if matches!(before, Some('\'' | '’')) => return 1 + before.map_or(0, char::len_utf8),
        '.' => {
            let dots = chunk.bytes().rev().take_while(|&byte| byte == b'.').count();
            if dots > 1 {
                return dots;
            }
            let Some(before) = before else { return 0 };
            let two_capitals = is_upper(before) && backwards.next().is_some_and(is_upper);
            return usize::from(precedes_full_stop(before) || two_capitals);
        }
        '+' => return usize::from(before.is_some_and(|c| c.is_ascii_digit())),
        '—' | '–' => return last.len_utf8(),
        _ => {}
    }
    if is_mark(last) {
        return last.len_utf8();
    }
    // Whatever else is cut off stands right behind a digit.
    let after_digit =
        |length: usize| chunk.len() > length && chunk.as_bytes()[chunk.len() - length - 1].is_ascii_digit();
    if is_currency(last) {
        return ["US$", "C$", "A$"]
            .iter()
            .find(|sign| chunk.ends_with(**sign) && after_digit(sign.len()))
            .map(|sign| sign.len())
            .or_else(|| after_digit(last.len_utf8()).then(|| last.len_utf8()))
            .unwrap_or(0);
    }
    if !last.is_ascii_digit() && chunk.bytes().rev().take(LONGEST_UNIT + 1).any(|byte| byte.is_ascii_digit())
    {
        return UNITS
            .iter()
            .find(|unit| chunk.ends_with(**unit) && after_digit(unit.len()))
            .map_or(0, |unit| unit.len());
    }
    0
}

/// Cuts what is left of a chunk at the marks inside it.
fn split_infixes(text: &str, rest: Span, words: &mut Vec<Span>) {
    let mut word_start = rest.start;
    let mut at = rest.start;
    let mut before = None;
    while at < rest.end {
        let Some(c) = text[at..rest.end].chars().next() else { break };
        let length = infix_length(before, c, &text[at..rest.end]);
        if length == 0 {
            before = Some(c);
            at += c.len_utf8();
            continue;
        }
        // A mark at the very start of what is left belongs to the word after it.
        if at > rest.start {
            if at > word_start {
                words.push(Span { start: word_start, end: at });
            }
            words.push(Span { start: at, end: at + length });
            word_start = at + length;
        }
        at += length;
        before = text[..at].chars().next_back();
    }
    if word_start < rest.end {
        words.push(Span { start: word_start, end: rest.end });
    }
}

/// Bytes of the infix at the start of `rest`, whose first character is `c`.
fn infix_length(before: Option<char>, c: char, rest: &str) -> usize {
    if c.is_ascii_alphanumeric() {
        return 0;
    }
    let after = |length: usize| rest[length..].chars().next();
    if c == '.' {
        let dots = rest.bytes().take_while(|&byte| byte == b'.').count();
        if dots > 1 {
            return dots;
        }
    }
    if c == '…' || is_symbol(c) {
        return c.len_utf8();
    }
    let Some(before) = before else { return 0 };
    let next = after(c.len_utf8());
    let cuts = match c {
        '+' | '*' | '^' => before.is_ascii_digit() && next.is_some_and(|c| c.is_ascii_digit() || c == '-'),
        '.' => (is_lower(before) || is_quote(before)) && next.is_some_and(|c| is_upper(c) || is_quote(c)),
        ',' => is_letter(before) && next.is_some_and(is_letter),
        ':' | '<' | '>' | '=' | '/' => {
            (is_letter(before) || before.is_ascii_digit()) && next.is_some_and(is_letter)
        }
        '-' | '–' | '—' | '~' => {
            if c == '-' && before.is_ascii_digit() && next.is_some_and(|c| c.is_ascii_digit() || c == '-') {
                return 1;
            }
            if !(is_letter(before) || before.is_ascii_digit()) {
                return 0;
            }
            return ["-", "–", "—", "~", "--", "---", "——"]
                .iter()
                .find(|dash| rest.starts_with(**dash) && after(dash.len()).is_some_and(is_letter))
                .map_or(0, |dash| dash.len());
        }
        _ => false,
    };
    if cuts { c.len_utf8() } else { 0 }
}

/// Puts words together again where they spell an exception: the colon and bracket of `word:)`.
///
/// Longer exceptions win, then earlier ones, as in the reference.
fn join_exceptions(text: &str, chunk: Span, first: usize, suffixes: &mut Vec<Span>, words: &mut Vec<Span>) {
    const LONGEST: usize = 16;
    let mut found: Vec<(usize, usize)> = Vec::new();
    let count = words.len();
    for from in first..count {
        for to in from + 1..count {
            let span = Span { start: words[from].start, end: words[to].end };
            if span.end - span.start > LONGEST {
                break;
            }
            if span != chunk && is_exception(text, span.start, span.end) {
                let mut plain = Vec::new();
                split_affixes(text, span, false, suffixes, &mut plain);
                if plain == words[from..=to] {
                    found.push((from, to));
                }
            }
        }
    }
    if found.is_empty() {
        return;
    }
    found.sort_by_key(|&(from, to)| (std::cmp::Reverse(to - from), from));
    let mut taken = vec![false; count - first];
    let mut chosen: Vec<(usize, usize)> = Vec::new();
    for (from, to) in found {
        if !taken[from - first] && !taken[to - first] {
            chosen.push((from, to));
        }
        taken[from - first..=to - first].fill(true);
    }
    chosen.sort_unstable();
    let old = words.split_off(first);
    let mut at = first;
    for (from, to) in chosen {
        words.extend_from_slice(&old[at - first..from - first]);
        let span = Span { start: old[from - first].start, end: old[to - first].end };
        push_exception(text, span, words);
        at = to + 1;
    }
    words.extend_from_slice(&old[at - first..]);
}
