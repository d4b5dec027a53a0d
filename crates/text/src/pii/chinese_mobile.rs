//! Chinese mobile numbers without a country code.
//!
//! Eleven digits that start with 13 to 19, whole or as three, four and four. Numbers with `+86` are of the kind `phone`.
//!
//! Example: `138 0013 8000`.

use std::ops::Range;

use super::Scan;
use super::digits::{are_joined, stands_alone};

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    for (at, run) in scan.runs.iter().enumerate() {
        let span = match scan.runs.get(at..at + 3) {
            _ if run.len() == 11 => run.start..run.end,
            Some(group @ [a, b, c])
                if (a.len(), b.len(), c.len()) == (3, 4, 4) && are_joined(scan.text, group) =>
            {
                a.start..c.end
            }
            _ => continue,
        };
        if bytes[span.start] == b'1'
            && matches!(bytes[span.start + 1], b'3'..=b'9')
            && stands_alone(scan.text, &span)
        {
            spans.push(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn mobiles_are_found_and_other_numbers_left() {
        assert_eq!(found_by(find, "电话13800138000,或 138-0013-8000"), ["13800138000", "138-0013-8000"]);
        for text in ["12800138000", "138001380001", "id_13800138000", "138 00138 000", "13800138000.5"] {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
