//! Credit and debit cards.
//!
//! 12 to 19 digits, whole or in groups of blanks or hyphens, with the prefix and length of a known network and Luhn's
//! check digit. Reference: ISO/IEC 7812. An order number of 16 digits passes only if it has all three.
//!
//! Example: `4111 1111 1111 1111`.

use std::ops::Range;

use super::Scan;
use super::digits::{DigitRun, are_joined, stands_alone, values};

/// A printed number has at most so many groups.
const MOST_GROUPS: usize = 5;

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while at < scan.runs.len() {
        let most = MOST_GROUPS.min(scan.runs.len() - at);
        match (1..=most).rev().find(|count| is_card(scan.text, &scan.runs[at..at + count])) {
            Some(count) => {
                spans.push(scan.runs[at].start..scan.runs[at + count - 1].end);
                at += count;
            }
            None => at += 1,
        }
    }
}

fn is_card(text: &str, group: &[DigitRun]) -> bool {
    let [first, rest @ ..] = group else { return false };
    let count: usize = group.iter().map(|run| run.len()).sum();
    // Groups as printed on cards: of four, or four, six and the rest.
    let printed =
        rest.is_empty() || (first.len() == 4 && rest.iter().all(|run| (2..=7).contains(&run.len())));
    if !(12..=19).contains(&count) || !printed || !are_joined(text, group) {
        return false;
    }
    let digits: Vec<u32> = values(text, group).collect();
    let span = first.start..group[group.len() - 1].end;
    is_network(&digits) && passes_luhn(&digits) && stands_alone(text, &span)
}

/// Whether prefix and length are those of a network that issues cards.
fn is_network(digits: &[u32]) -> bool {
    let prefix = |length: usize| digits[..length].iter().fold(0, |number, digit| number * 10 + digit);
    let maestro = matches!(prefix(4), 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763);
    let of_length = match digits.len() {
        13 => prefix(1) == 4,
        14 => matches!(prefix(2), 36 | 38 | 39) || matches!(prefix(3), 300..=305 | 309),
        15 => matches!(prefix(2), 34 | 37) || matches!(prefix(4), 1800 | 2131),
        16 => {
            prefix(1) == 4
                || matches!(prefix(2), 51..=55 | 62 | 65)
                || matches!(prefix(3), 644..=649)
                || matches!(prefix(4), 2221..=2720 | 6011 | 3528..=3589)
        }
        17..=19 => prefix(2) == 62 || (digits.len() == 19 && prefix(1) == 4),
        _ => false,
    };
    maestro || of_length
}

/// Luhn's sum: every second digit from the right doubled, its digits added, all a multiple of ten.
fn passes_luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn cards_are_found_and_order_numbers_left() {
        for card in ["4111111111111111", "5500-0000-0000-0004", "3782 822463 10005", "6011 0009 9013 9424"] {
            assert_eq!(found_by(find, &format!("pay {card}, please")), [card]);
        }
        // Maestro has the shortest, and some of JCB's have 15 digits.
        assert_eq!(found_by(find, "501864667909, 180016070420458"), ["501864667909", "180016070420458"]);
        for text in [
            "order 501864667908",
            "order 4111111111111112",
            "order 9111111111111111",
            "AB4111111111111111",
            "4111111111111111.5",
            "41111111111111111111",
            "411 1111 1111 1111 11",
            "0000000000000000",
        ] {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
