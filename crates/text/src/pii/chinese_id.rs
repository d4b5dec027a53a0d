//! Chinese resident identity numbers.
//!
//! Six digits of a region, eight of a birthday, three of a sequence, and a check digit or `X`.
//! Reference: GB 11643-1999 (ISO 7064, MOD 11-2).
//!
//! Example: `11010519491231002X`.

use std::ops::Range;

use super::Scan;
use super::digits::{stands_alone, values};

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    for run in scan.runs {
        let follows = scan.text.as_bytes().get(run.end);
        let span = match run.len() {
            18 => run.start..run.end,
            17 if matches!(follows, Some(b'X' | b'x')) => run.start..run.end + 1,
            _ => continue,
        };
        let mut digits: Vec<u32> = values(scan.text, std::slice::from_ref(run)).collect();
        if digits.len() == 17 {
            digits.push(10);
        }
        if is_id(&digits) && stands_alone(scan.text, &span) {
            spans.push(span);
        }
    }
}

fn is_id(digits: &[u32]) -> bool {
    let number = |range: Range<usize>| digits[range].iter().fold(0, |number, digit| number * 10 + digit);
    let region =
        matches!(number(0..2), 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83);
    let (year, month, day) = (number(6..10), number(10..12), number(12..14));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last_day = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let birthday = (1850..2100).contains(&year) && (1..=12).contains(&month) && (1..=last_day).contains(&day);
    // Each place weighs twice the one to its right; the weighted sum must be 1 modulo 11.
    let sum = digits.iter().fold(0, |sum, digit| (sum * 2 + digit) % 11);
    region && birthday && sum == 1
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn the_check_digit_and_the_birthday_decide() {
        assert_eq!(found_by(find, "身份证11010519491231002X。"), ["11010519491231002X"]);
        assert_eq!(found_by(find, "440524188001010014"), ["440524188001010014"]);
        for text in ["110105194912310021", "11010519491331002X", "99010519491231002X", "1440524188001010014"]
        {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
