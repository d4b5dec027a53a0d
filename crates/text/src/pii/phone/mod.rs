//! Phone numbers, told from other numbers by one of three things.
//!
//! | what tells | example |
//! |---|---|
//! | `+`, a country code, and a number that the country's plan has | `+49 30 901820` |
//! | the marks that North America prints, an area and an exchange of its plan | `(212) 736-5000` |
//! | a word for a telephone and a colon before it | `Fax: 0341 838 71 76` |
//!
//! Chinese mobiles are a kind of their own. Reference: ITU-T E.164 and the countries' plans, through `rlibphonenumber`.

mod labelled;
mod north_america;

use std::ops::Range;

use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::Scan;

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    find_international(scan, spans);
    north_america::find(scan, spans);
    labelled::find(scan, spans);
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
}
