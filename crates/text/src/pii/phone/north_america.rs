//! Numbers as North America prints them, also behind `1` and before an extension.
//!
//! Reference: the North American Numbering Plan, through `rlibphonenumber`: it has the area and the exchange.
//!
//! Example: `(212) 736-5000`, `212-736-5000`, `212.736.5000`.

use std::ops::Range;

use super::super::Scan;
use super::super::digits::{DigitRun, stands_alone};
use super::is_valid;

/// The longest extension, in digits.
const MOST_EXTENSION: usize = 5;

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
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
        span.end = with_extension(text, span.end, scan.runs.get(at + 3));
        let [area, exchange, line] = [area, exchange, line].map(|run| &text[run.start..run.end]);
        if stands_alone(text, &span) && is_valid(&format!("+1{area}{exchange}{line}")) {
            spans.push(span);
        }
    }
}

/// The end of a number with the extension behind it, if `next` is one.
pub(super) fn with_extension(text: &str, end: usize, next: Option<&DigitRun>) -> usize {
    let is_extension = |next: &&DigitRun| {
        next.len() <= MOST_EXTENSION && matches!(&text[end..next.start], "x" | " x" | " ext. " | " ext ")
    };
    next.filter(is_extension).map_or(end, |next| next.end)
}

#[cfg(test)]
mod tests {
    use super::super::super::found_by;
    use super::*;

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
