//! The n-grams of a text and how often each stands in it.

use xxhash_rust::xxh3::xxh3_64;

/// How texts are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// Longest n-gram of words.
    pub(super) word_ngrams: u32,
}

/// Buffers of [`super::Model::score`], kept between calls.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    lower: String,
    ends: Vec<(usize, usize)>,
    hashes: Vec<u64>,
    /// n-grams with their counts, rising by hash.
    pub(super) counts: Vec<(u64, u32)>,
}

/// What a count of `count` weighs: `1 + ln count`.
pub(super) fn frequency(count: u32) -> f64 {
    1.0 + libm::log(f64::from(count))
}

impl Features {
    /// Counts the n-grams of `text`: runs of letters and digits in lower case, joined by one blank.
    pub(super) fn count(self, text: &str, scratch: &mut Scratch) {
        let Scratch { lower, ends, hashes, counts } = scratch;
        lower.clear();
        ends.clear();
        hashes.clear();
        counts.clear();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            if !lower.is_empty() {
                lower.push(' ');
            }
            let start = lower.len();
            lower.extend(word.chars().flat_map(char::to_lowercase));
            ends.push((start, lower.len()));
        }
        for first in 0..ends.len() {
            for &(_, end) in ends[first..].iter().take(self.word_ngrams as usize) {
                hashes.push(xxh3_64(&lower.as_bytes()[ends[first].0..end]));
            }
        }
        hashes.sort_unstable();
        for &hash in &*hashes {
            match counts.last_mut() {
                Some(last) if last.0 == hash => last.1 += 1,
                _ => counts.push((hash, 1)),
            }
        }
    }
}
