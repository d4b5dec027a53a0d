//! Lines that DCLM takes out: capitals, numbers, counters, single words, and scraps of shops and blogs.

use std::sync::LazyLock;

use regex::Regex;

use super::DclmConfig;
use super::draft::Cut;
use crate::words::is_space;

static COUNTER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^\W*\d[,.\d]*[kmb]?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers)\W*$",
    )
    .expect("a constant pattern")
});

/// What goes from inside a line. The dots of the second are any characters, as published.
static SUBSTRINGS: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    [r"(?i)\s?items in cart", r"(?i)\s?read more...$", r"(?i)^sign-in\s?"]
        .map(|pattern| Regex::new(pattern).expect("a constant pattern"))
});

/// What is to go of a text: whole lines with the newline behind them, and parts of lines.
pub(super) fn cuts(config: &DclmConfig, text: &str) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let content = line.strip_suffix('\n').unwrap_or(line);
        if let Some(rule) = whole_line(config, content) {
            cuts.push((start..end, rule));
        } else if let Some(most) = config.substring_line
            && content.split(is_space).filter(|word| !word.is_empty()).count() as u64 <= most
        {
            substrings(content, start, end, &mut cuts);
        }
        start = end;
    }
    cuts
}

/// The rule that a whole line goes by. Blank lines stay.
fn whole_line(config: &DclmConfig, line: &str) -> Option<&'static str> {
    if line.is_empty() {
        return None;
    }
    let (mut characters, mut capitals, mut digits) = (0, 0, 0);
    for c in line.chars() {
        characters += 1;
        capitals += usize::from(c.is_uppercase());
        digits += usize::from(c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric() && !c.is_alphabetic()));
    }
    let share = |count: usize| count as f64 / f64::from(characters);
    if config.uppercase_ratio_line.is_some_and(|most| share(capitals) > most) {
        return Some("uppercase_ratio_line");
    }
    if config.numeric_ratio_line.is_some_and(|most| share(digits) > most) {
        return Some("numeric_ratio_line");
    }
    if config.counter_line && digits > 0 && COUNTER.is_match(line) {
        return Some("counter_line");
    }
    let words = line.split(is_space).filter(|word| !word.is_empty()).count() as u64;
    config.line_length.is_some_and(|least| words < least).then_some("line_length")
}

/// Cuts scraps out of a line, and all of it where nothing else is left.
fn substrings(line: &str, start: usize, end: usize, cuts: &mut Vec<Cut>) {
    let first = cuts.len();
    for pattern in SUBSTRINGS.iter() {
        for found in pattern.find_iter(line) {
            cuts.push((start + found.start()..start + found.end(), "substring_line"));
        }
    }
    if cuts.len() == first {
        return;
    }
    cuts[first..].sort_by_key(|(range, _)| range.start);
    let mut kept = first;
    for index in first + 1..cuts.len() {
        if cuts[index].0.start >= cuts[kept].0.end {
            kept += 1;
            cuts.swap(kept, index);
        }
    }
    cuts.truncate(kept + 1);
    let mut at = 0;
    let mut blank = true;
    for (range, _) in &cuts[first..] {
        blank &= line[at..range.start - start].chars().all(is_space);
        at = range.end - start;
    }
    if blank && line[at..].chars().all(is_space) {
        cuts.truncate(first);
        cuts.push((start..end, "substring_line"));
    }
}

/// White space at both ends of a text, which the cuts leave.
pub(super) fn blank_ends(text: &str) -> Vec<Cut> {
    let end = text.trim_end_matches(is_space).len();
    let start = end - text[..end].trim_start_matches(is_space).len();
    let ends = [(0..start, "blank_ends"), (end..text.len(), "blank_ends")];
    ends.into_iter().filter(|(range, _)| !range.is_empty()).collect()
}
