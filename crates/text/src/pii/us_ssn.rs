//! US social security numbers.
//!
//! Three, two and four digits parted by hyphens or blanks, in ranges that were ever issued: no area 000, 666 or 900 and
//! above, no group 00, no serial 0000. Reference: Social Security Administration, POMS RM 10201. Nine digits in one run
//! are too often something else.
//!
//! Example: `536-90-4399`.

use std::ops::Range;

use super::Scan;
use super::digits::{are_joined, stands_alone, values};

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    for group in scan.runs.windows(3) {
        let [area, pair, serial] = group else { continue };
        if (area.len(), pair.len(), serial.len()) != (3, 2, 4) || !are_joined(scan.text, group) {
            continue;
        }
        let number =
            |at: usize| values(scan.text, &group[at..=at]).fold(0, |number, digit| number * 10 + digit);
        let issued = !matches!(number(0), 0 | 666 | 900..) && number(1) != 0 && number(2) != 0;
        let span = area.start..serial.end;
        if issued && stands_alone(scan.text, &span) {
            spans.push(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn issued_numbers_are_found_and_others_left() {
        assert_eq!(found_by(find, "SSN 536-90-4399 or 536 90 4399."), ["536-90-4399", "536 90 4399"]);
        for text in [
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "536-00-4399",
            "536-90-0000",
            "536904399",
            "1-536-90-4399",
            "536-90-43990",
        ] {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
