//! Runs of ASCII digits, found once for all kinds that are made of them.

use std::ops::Range;

/// A maximal run of ASCII digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DigitRun {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl DigitRun {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }
}

/// Finds the runs of `text`, in order.
pub(super) fn find_runs(text: &str, runs: &mut Vec<DigitRun>) {
    runs.clear();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let Some(found) = bytes[at..].iter().position(u8::is_ascii_digit) else { return };
        let start = at + found;
        let length =
            bytes[start..].iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len() - start);
        at = start + length;
        runs.push(DigitRun { start, end: at });
    }
}

/// Whether nothing that would make the span part of a longer number or word touches it: a letter or digit of ASCII,
/// an underscore, or a separator with a digit behind it.
pub(super) fn stands_alone(text: &str, span: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let separates = |byte: &u8| matches!(byte, b'.' | b'-' | b'/' | b',' | b'+' | b'=' | b'#');
    let before = span.start.checked_sub(1).and_then(|at| bytes.get(at));
    let before_that = span.start.checked_sub(2).and_then(|at| bytes.get(at));
    let after = bytes.get(span.end);
    let after_that = bytes.get(span.end + 1);
    let joins_before = before.is_some_and(separates) && before_that.is_some_and(u8::is_ascii_digit);
    let joins_after = after.is_some_and(separates) && after_that.is_some_and(u8::is_ascii_digit);
    let touched = before.is_some_and(is_word) || after.is_some_and(is_word);
    !(touched || joins_before || joins_after || matches!(before, Some(b'#' | b'+')))
}

/// Whether one and the same separator, a blank or a hyphen, parts all neighbours; so it does with a run alone.
pub(super) fn are_joined(text: &str, runs: &[DigitRun]) -> bool {
    let bytes = text.as_bytes();
    let Some(&separator) = runs.first().and_then(|run| bytes.get(run.end)) else { return runs.len() == 1 };
    runs.len() == 1
        || (matches!(separator, b' ' | b'-')
            && runs
                .windows(2)
                .all(|pair| pair[1].start == pair[0].end + 1 && bytes[pair[0].end] == separator))
}

/// The digits of some runs, as numbers 0 to 9.
pub(super) fn values<'a>(text: &'a str, runs: &'a [DigitRun]) -> impl DoubleEndedIterator<Item = u32> + 'a {
    runs.iter().flat_map(|run| text.as_bytes()[run.start..run.end].iter().map(|byte| u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_maximal_and_joined_by_one_separator() {
        let text = "a12 34-56-78x9";
        let mut runs = Vec::new();
        find_runs(text, &mut runs);
        assert_eq!(runs.len(), 5);
        assert!(
            are_joined(text, &runs[1..4]) && are_joined(text, &runs[..2]) && are_joined(text, &runs[4..])
        );
        assert!(!are_joined(text, &runs[..3]) && !are_joined(text, &runs[3..]));
        assert_eq!(values(text, &runs[..1]).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn numbers_inside_longer_ones_do_not_stand_alone() {
        assert!(stands_alone("x 123, y", &(2..5)));
        for (text, span) in [("a123", 1..4), ("123.4", 0..3), ("1-123", 2..5), ("#123", 1..4), ("123_", 0..3)]
        {
            assert!(!stands_alone(text, &span), "{text}");
        }
    }
}
