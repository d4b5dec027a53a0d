//! The substrings that a unigram model begins with.

use rustc_hash::FxHashMap;

/// Longest piece, in characters.
const MAX_PIECE_CHARS: usize = 16;

/// Most pieces to begin with, single characters aside.
const MAX_SEEDS: usize = 1_000_000;

/// Stands where no frequent substring begins.
const NONE: u32 = u32::MAX;

/// Pieces with their weights: single characters by their bytes, then longer ones, the heaviest first.
pub(super) struct Seeds<'a> {
    /// Every character and how often it occurs.
    pub(super) singles: Vec<(&'a str, u64)>,
    /// Frequent substrings, weighted by the characters they cover.
    pub(super) longer: Vec<(&'a str, u64)>,
}

/// Finds all substrings that occur at least `min_frequency` times, and twice; the lightest fall first where there are too
/// many.
///
/// A substring is counted only if both its halves that are one character shorter are frequent, so each pass holds few; and
/// it is named by the numbers of those two, so that no pass hashes or compares text.
pub(super) fn seeds<'a>(words: &[(&'a str, u64)], min_frequency: u64, reserved: &[&str]) -> Seeds<'a> {
    let mut text = Positions::new(words);
    let singles = text.singles();
    let mut longer = Vec::new();
    for chars in 2..=MAX_PIECE_CHARS {
        let found = text.lengthen(chars, min_frequency.max(2));
        if found.is_empty() {
            break;
        }
        let found = found.into_iter().filter(|(piece, _)| !reserved.contains(piece));
        longer.extend(found.map(|(piece, count)| (count * chars as u64, Ordered::new(piece))));
    }
    longer.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    longer.truncate(MAX_SEEDS);
    Seeds { singles, longer: longer.into_iter().map(|(weight, piece)| (piece.text(), weight)).collect() }
}

/// Text that is ordered by its bytes, of which the first sixteen are at hand: sorting a million pieces would else miss the
/// cache at every comparison.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ordered<'a>(u128, &'a str);

impl<'a> Ordered<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut first = [0; 16];
        let bytes = &text.as_bytes()[..text.len().min(16)];
        first[..bytes.len()].copy_from_slice(bytes);
        Self(u128::from_be_bytes(first), text)
    }

    pub(super) fn text(self) -> &'a str {
        self.1
    }
}

/// All characters of all words one after the other, and the frequent substring that begins at each.
struct Positions<'a, 'w> {
    words: &'w [(&'a str, u64)],
    /// Where each word begins, and the end of the last.
    bounds: Vec<u32>,
    /// The number of the substring of the present length that begins here, or [`NONE`].
    substrings: Vec<u32>,
}

impl<'a, 'w> Positions<'a, 'w> {
    fn new(words: &'w [(&'a str, u64)]) -> Self {
        let mut bounds = Vec::with_capacity(words.len() + 1);
        let mut substrings = Vec::new();
        for (word, _) in words {
            bounds.push(substrings.len() as u32);
            substrings.extend(word.chars().map(u32::from));
        }
        bounds.push(substrings.len() as u32);
        Self { words, bounds, substrings }
    }

    /// Numbers the characters.
    fn singles(&mut self) -> Vec<(&'a str, u64)> {
        let mut numbers = FxHashMap::<u32, u32>::default();
        let mut found = Found::default();
        for (word, bounds) in self.bounds.windows(2).enumerate() {
            for at in bounds[0]..bounds[1] {
                let char = self.substrings[at as usize];
                let number = *numbers.entry(char).or_insert_with(|| found.push(at));
                found.counts[number as usize] += self.words[word].1;
                self.substrings[at as usize] = number;
            }
        }
        let mut singles: Vec<_> =
            found.firsts.iter().zip(found.counts).map(|(&at, count)| (self.text(at, 1), count)).collect();
        singles.sort_unstable();
        singles
    }

    /// Goes from substrings of `chars - 1` characters to those of `chars` that occur `least` times, and gives them.
    fn lengthen(&mut self, chars: usize, least: u64) -> Vec<(&'a str, u64)> {
        let mut numbers = FxHashMap::<u64, u32>::default();
        let mut found = Found::default();
        for (word, bounds) in self.bounds.windows(2).enumerate() {
            let (start, end) = (bounds[0] as usize, bounds[1] as usize);
            for at in start..end {
                let left = self.substrings[at];
                let right = if at + chars <= end { self.substrings[at + 1] } else { NONE };
                self.substrings[at] = NONE;
                if left != NONE && right != NONE {
                    let key = u64::from(left) << 32 | u64::from(right);
                    let number = *numbers.entry(key).or_insert_with(|| found.push(at as u32));
                    found.counts[number as usize] += self.words[word].1;
                    self.substrings[at] = number;
                }
            }
        }
        drop(numbers);
        let mut frequent = Vec::new();
        let renumbered: Vec<u32> = (found.firsts.iter().zip(&found.counts))
            .map(|(&at, &count)| {
                if count < least {
                    return NONE;
                }
                frequent.push((self.text(at, chars), count));
                frequent.len() as u32 - 1
            })
            .collect();
        for number in &mut self.substrings {
            if *number != NONE {
                *number = renumbered[*number as usize];
            }
        }
        frequent
    }

    /// The `chars` characters that begin at `at`.
    fn text(&self, at: u32, chars: usize) -> &'a str {
        let word = self.bounds.partition_point(|&bound| bound <= at) - 1;
        let text = self.words[word].0;
        let mut starts = text.char_indices().map(|(start, _)| start).skip((at - self.bounds[word]) as usize);
        let start = starts.next().unwrap_or(text.len());
        &text[start..starts.nth(chars - 1).unwrap_or(text.len())]
    }
}

/// Substrings by number.
#[derive(Default)]
struct Found {
    counts: Vec<u64>,
    /// Where each was seen first.
    firsts: Vec<u32>,
}

impl Found {
    fn push(&mut self, at: u32) -> u32 {
        self.counts.push(0);
        self.firsts.push(at);
        self.counts.len() as u32 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_substrings_are_found_with_their_weights() {
        let words = [("日本日本", 3), ("本日", 1), ("ab", 1)];
        let seeds = seeds(&words, 2, &["日本日"]);
        assert_eq!(seeds.singles, [("a", 1), ("b", 1), ("日", 7), ("本", 7)]);
        assert_eq!(seeds.longer, [("日本", 12), ("日本日本", 12), ("本日本", 9), ("本日", 8)]);
    }
}
