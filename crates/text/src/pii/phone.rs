//! Phone numbers in international form, and in the form that North America prints.
//!
//! `+`, a country code, and a number that the country's plan has; or `(212) 736-5000`, `212-736-5000`, `212.736.5000`, also
//! behind `1` and before an extension, where the plan has the area and the exchange. Other numbers without `+` are too often
//! something else; the Chinese mobile is the exception with a kind of its own. Reference: ITU-T E.164 and the North American
//! Numbering Plan, through `rlibphonenumber`.
//!
//! Example: `+49 30 901820`.

use std::ops::Range;

use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::Scan;
use super::digits::stands_alone;

/// The longest extension, in digits.
const MOST_EXTENSION: usize = 5;

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    find_international(scan, spans);
    find_north_american(scan, spans);
}

fn is_valid(number: &str) -> bool {
    PHONE_NUMBER_UTIL.parse(number, None).is_ok_and(|number| PHONE_NUMBER_UTIL.is_valid_number(&number))
}

fn find_international(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    let mut after = 0;
    for plus in memchr::memchr_iter(b'+', bytes) {
        // Only another number may stand right before it: cells of a table run together.
        let is_touched = plus.checked_sub(1).is_some_and(|at| bytes[at].is_ascii_alphanumeric());
        if plus < after || (is_touched && (plus > after || after == 0)) {
            continue;
        }
        // The ends of digit runs are where a number may stop: the longest that its country has is taken.
        let mut ends = Vec::new();
        let mut digits = 0;
        let mut at = plus + 1;
        while at < bytes.len() && digits <= 15 && at - plus < 32 {
            match bytes[at] {
                b'0'..=b'9' => {
                    digits += 1;
                    if (7..=15).contains(&digits) && !bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric)
                    {
                        ends.push(at + 1);
                    }
                }
                b' ' | b'-' | b'.' | b'(' | b')' | b'/' if at > plus + 1 || bytes[at] == b'(' => {}
                _ => break,
            }
            at += 1;
        }
        if let Some(&end) = ends.iter().rev().find(|&&end| is_valid(&scan.text[plus..end])) {
            spans.push(plus..end);
            after = end;
        }
    }
}

fn find_north_american(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let (text, bytes) = (scan.text, scan.text.as_bytes());
    for (at, group) in scan.runs.windows(3).enumerate() {
        let [area, exchange, line] = group else { continue };
        if (area.len(), exchange.len(), line.len()) != (3, 3, 4) {
            continue;
        }
        let is_open = area.start.checked_sub(1).is_some_and(|before| bytes[before] == b'(');
        let marks = (is_open, &text[area.end..exchange.start], &text[exchange.end..line.start]);
        if !matches!(marks, (true, ")" | ") ", "-" | "." | " ") | (false, "-", "-") | (false, ".", ".")) {
            continue;
        }
        let mut span = area.start - usize::from(is_open)..line.end;
        if let Some(one) = at.checked_sub(1).map(|before| scan.runs[before])
            && &text[one.start..one.end] == "1"
            && matches!(&text[one.end..span.start], " " | "-" | ".")
        {
            span.start = one.start;
        }
        if let Some(extension) = scan.runs.get(at + 3)
            && extension.len() <= MOST_EXTENSION
            && matches!(&text[line.end..extension.start], "x" | " x" | " ext. " | " ext ")
        {
            span.end = extension.end;
        }
        let [area, exchange, line] = [area, exchange, line].map(|run| &text[run.start..run.end]);
        if stands_alone(text, &span) && is_valid(&format!("+1{area}{exchange}{line}")) {
            spans.push(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn numbers_of_a_countrys_plan_are_found() {
        assert_eq!(
            found_by(find, "call +49 30 901820, +1 (212) 736-5000 or +86 138 0013 8000. 20 people"),
            ["+49 30 901820", "+1 (212) 736-5000", "+86 138 0013 8000"]
        );
        let (one, two) = ("+49 30 901820", "+86 138 0013 8000");
        assert_eq!(found_by(find, &format!("{one}{two}{one}")), [one, two, one], "cells without a gap");
        for text in
            ["+1 234", "1+2345678901", "+999 123 456 789", "+ 12345678", "+0000000000", "x+12127365000"]
        {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn numbers_as_north_america_prints_them_are_found() {
        for number in [
            "(212) 736-5000",
            "(212)736-5000",
            "212-736-5000",
            "212.736.5000",
            "1-212-736-5000",
            "1 (212) 736-5000",
            "212-736-5000x459",
            "212-736-5000 ext. 12",
        ] {
            assert_eq!(found_by(find, &format!("call {number}, or write")), [number]);
        }
        for text in [
            "212 736 5000",
            "112-736-5000",
            "212-136-5000",
            "2-212-736-5000",
            "212-736-5000-1",
            "A212-736-5000",
            "212-736.5000",
            "212-7365-000",
        ] {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
