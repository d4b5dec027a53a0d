//! Numbers behind a word that says that they are telephone numbers.
//!
//! The word, a colon, and seven to fifteen digits in groups, at most a line further down. What stands there is a number of
//! some network whether or not its country is known, and so no plan is asked; an amount (`7.990.000`) and a date
//! (`2019-01-31`) are none.
//!
//! Example: `Phone: 0490 75 40 81`, `电话：010-6552 9988`.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::super::Scan;
use super::super::digits::DigitRun;
use super::north_america::with_extension;

/// Digits of a number: E.164 allows fifteen, and fewer than seven are a number within a house.
const DIGITS: Range<usize> = 7..16;
/// Bytes before a number that are looked at; no label is nearly as long.
const BEFORE: usize = 48;

static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:(?-u:\b)(?:tele)?phone(?:[ \t]?(?:number|no\.?))?|(?-u:\b)(?:tel|mobile|mob|fax|telefax|whatsapp|cell ?phone)\.?",
        r"|(?-u:\b)(?:mobile|cell|work|home|office|contact)[ \t](?:number|no\.?)|(?-u:\b)telefon(?:nummer)?",
        r"|(?-u:\b)(?:t[eé]l[eé]phone|tel[eé]fono|handy)|телефон|тел\.|电话|電話|手机|手機|传真|傳真|携帯)[ \t]{0,3}$",
    ))
    .expect("a constant pattern compiles")
});

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    for (at, run) in scan.runs.iter().enumerate() {
        let Some(start) = behind_label(scan.text, run.start) else { continue };
        if let Some(end) = end_of_number(scan.text, &scan.runs[at..]) {
            spans.push(start..end);
        }
    }
}

/// Where the number whose first digit stands at `digit` begins, if a label and a colon stand before it.
fn behind_label(text: &str, digit: usize) -> Option<usize> {
    let less = |mut text: &str, times, mark: fn(char) -> bool| -> usize {
        for _ in 0..times {
            text = text.strip_suffix(mark).unwrap_or(text);
        }
        text.len()
    };
    let start = less(&text[..digit], 2, |c| matches!(c, '+' | '('));
    let colon = less(&text[..start], 3, char::is_whitespace);
    let label = text[..colon].strip_suffix([':', '：'])?;
    let from = label.floor_char_boundary(label.len().saturating_sub(BEFORE));
    LABEL.is_match(&label[from..]).then_some(start)
}

/// Where the number that begins with the first of `runs` ends; none where there is none.
fn end_of_number(text: &str, runs: &[DigitRun]) -> Option<usize> {
    let joins = |pair: &[DigitRun]| {
        matches!(
            &text[pair[0].end..pair[1].start],
            " " | "-" | "." | "/" | ")" | ") " | " (" | "-(" | ")-" | " - "
        )
    };
    let count = 1 + runs.windows(2).take_while(|pair| joins(pair)).count();
    let mut digits = 0;
    // A number of too many digits has something else behind it: the groups that fit are taken.
    let fit = runs[..count].iter().take_while(|run| {
        digits += run.len();
        digits < DIGITS.end
    });
    let group = &runs[..fit.count()];
    let last = group.last()?;
    let digits: usize = group.iter().map(|run| run.len()).sum();
    let end = with_extension(text, last.end, runs.get(group.len()));
    let is_touched = text[end..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    if !DIGITS.contains(&digits) || is_touched || is_amount(text, group) || is_date(text, group) {
        return None;
    }
    Some(end)
}

fn are_all_joined_by(text: &str, group: &[DigitRun], mark: &str) -> bool {
    group.len() > 1 && group.windows(2).all(|pair| &text[pair[0].end..pair[1].start] == mark)
}

/// Thousands parted by full stops.
fn is_amount(text: &str, group: &[DigitRun]) -> bool {
    are_all_joined_by(text, group, ".") && group[0].len() <= 3 && group[1..].iter().all(|run| run.len() == 3)
}

/// A year, a month and a day, in this order or the other.
fn is_date(text: &str, group: &[DigitRun]) -> bool {
    let [a, b, c] = group else { return false };
    let lengths = (a.len(), b.len(), c.len());
    matches!(lengths, (4, 2, 2) | (2, 2, 4))
        && ["-", ".", "/"].iter().any(|mark| are_all_joined_by(text, group, mark))
}

#[cfg(test)]
mod tests {
    use super::super::super::found_by;
    use super::*;

    #[test]
    fn numbers_behind_a_label_are_found() {
        for (before, number) in [
            ("Phone: ", "0490 75 40 81"),
            ("Phone:\n", "60-56-85-91"),
            ("FAX: ", "03.93.92.16.85"),
            ("Mobile : ", "(72) 754-186"),
            ("Tel.: ", "+46 (0)8 928 571 38"),
            ("电话：", "010-6552 9988"),
            ("Phone number: ", "9472 7916"),
            ("téléphone: ", "9498777106"),
            ("fax: ", "345-899-3560x4587"),
        ] {
            assert_eq!(found_by(find, &format!("{before}{number}, Bremen")), [number], "{before}");
        }
    }

    #[test]
    fn other_numbers_behind_a_label_stay() {
        for text in [
            "Phone: 7.990.000 VND",
            "Mobile: 2019-01-31",
            "Mobile: 1920x1080",
            "Tel: 110",
            "phone 0490754081",
            "microphone: 0490754081a",
            "Fax: none, 12345678",
            "Phone: 12345678901234567890",
        ] {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
