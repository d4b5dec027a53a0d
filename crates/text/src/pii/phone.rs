//! Phone numbers in international form.
//!
//! `+`, a country code, and a number that the country's plan has. Numbers without `+` are too often something else; the
//! Chinese mobile is the exception with a kind of its own. Reference: ITU-T E.164, through `rlibphonenumber`.
//!
//! Example: `+49 30 901820`.

use std::ops::Range;

use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::Scan;

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    let mut after = 0;
    for plus in memchr::memchr_iter(b'+', bytes) {
        if plus < after || plus.checked_sub(1).is_some_and(|at| bytes[at].is_ascii_alphanumeric()) {
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
        let valid = |end: &&usize| {
            PHONE_NUMBER_UTIL
                .parse(&scan.text[plus..**end], None)
                .is_ok_and(|number| PHONE_NUMBER_UTIL.is_valid_number(&number))
        };
        if let Some(&end) = ends.iter().rev().find(valid) {
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
        for text in
            ["+1 234", "1+2345678901", "+999 123 456 789", "+ 12345678", "+0000000000", "x+12127365000"]
        {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
