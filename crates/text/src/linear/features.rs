//! The n-grams of a text and how often each stands in it.

use xxhash_rust::xxh3::xxh3_64;

use crate::words::is_unspaced;

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
    /// Counts the n-grams of `text`: words in lower case, joined by one blank. A word is a run of letters and digits, or
    /// one character of a script that writes no blanks between words.
    pub(super) fn count(self, text: &str, scratch: &mut Scratch) {
        let Scratch { lower, ends, hashes, counts } = scratch;
        lower.clear();
        ends.clear();
        hashes.clear();
        counts.clear();
        let mut is_within = false;
        for c in text.chars() {
            if !c.is_alphanumeric() {
                is_within = false;
                continue;
            }
            let stands_alone = is_unspaced(c);
            if !is_within || stands_alone {
                if !lower.is_empty() {
                    lower.push(' ');
                }
                ends.push((lower.len(), lower.len()));
            }
            lower.extend(c.to_lowercase());
            if let Some(last) = ends.last_mut() {
                last.1 = lower.len();
            }
            is_within = !stands_alone;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_or_single_characters() {
        let mut scratch = Scratch::default();
        let mut words = |text: &str| {
            Features { word_ngrams: 2 }.count(text, &mut scratch);
            (scratch.lower.clone(), scratch.counts.iter().map(|count| count.1).sum::<u32>())
        };
        assert_eq!(words("It's ÄRA 12, a_b"), ("it s ära 12 a b".to_owned(), 6 + 5));
        assert_eq!(words("我爱GPT模型。"), ("我 爱 gpt 模 型".to_owned(), 5 + 4));
        assert_eq!(words(" ... "), (String::new(), 0));
    }
}
