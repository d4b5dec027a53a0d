//! International bank account numbers.
//!
//! Two letters, two check digits, and what the country's structure wants; whole or in groups of four, in capitals or in
//! small letters. Reference: ISO
//! 13616, through the registry in `iban_validate`.
//!
//! Example: `DE89 3704 0044 0532 0130 00`.

use std::ops::Range;

use iban::Iban;

use super::Scan;

/// The longest is 34 characters, with a blank after every four.
const LONGEST: usize = 42;

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    for run in scan.runs {
        let Some(start) = run.start.checked_sub(2) else { continue };
        let letters = &bytes[start..run.start];
        let is_small = letters.iter().all(u8::is_ascii_lowercase);
        let country = is_small || letters.iter().all(u8::is_ascii_uppercase);
        let joined = start > 0 && bytes[start - 1].is_ascii_alphanumeric();
        if run.len() < 2 || !country || joined {
            continue;
        }
        if let Some(end) = end_of_iban(bytes, start, is_small) {
            spans.push(start..end);
        }
    }
}

/// The longest stretch of digits and letters of one size from `start` that is a valid number, blanks after every four allowed.
fn end_of_iban(bytes: &[u8], start: usize, is_small: bool) -> Option<usize> {
    let mut compact = String::new();
    let mut ends = Vec::new();
    let spaced = bytes.get(start + 4) == Some(&b' ');
    for (at, &byte) in bytes.iter().enumerate().skip(start).take(LONGEST) {
        if byte == b' ' && spaced && compact.len().is_multiple_of(4) {
            continue;
        }
        let is_letter = if is_small { byte.is_ascii_lowercase() } else { byte.is_ascii_uppercase() };
        if !(is_letter || byte.is_ascii_digit()) {
            break;
        }
        compact.push(char::from(byte.to_ascii_uppercase()));
        ends.push(at + 1);
    }
    (15..=compact.len().min(34))
        .rev()
        .filter(|&length| !bytes.get(ends[length - 1]).is_some_and(u8::is_ascii_alphanumeric))
        .find(|&length| compact[..length].parse::<Iban>().is_ok())
        .map(|length| ends[length - 1])
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn the_check_digits_decide() {
        assert_eq!(
            found_by(find, "DE89370400440532013000, GB82 WEST 1234 5698 7654 32 or"),
            ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32"]
        );
        assert_eq!(found_by(find, "an gb82west12345698765432."), ["gb82west12345698765432"]);
        for text in [
            "gb82WEST12345698765432",
            "DE88370400440532013000",
            "XDE89370400440532013000",
            "DE89370400440532013000X",
            "AB12",
            "US12 34",
        ] {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
