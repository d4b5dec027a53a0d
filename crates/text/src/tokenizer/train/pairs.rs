//! Learning merges: the most frequent pair of neighbours becomes a symbol, again and again.
//!
//! ```text
//! words, counted ─▶ pairs: count, and the words that have them
//!                     │ heap: highest count, ties to the lower ids
//!                     ▼
//!                   merge it in its words ─▶ counts of the neighbouring pairs change ─▶ new pairs enter the heap
//! ```
//!
//! A pair that gains enters the heap again; one that loses is noticed when its entry is taken out, and put back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::{FxHashMap, FxHashSet};

/// Counted words as symbols, in one buffer.
#[derive(Debug, Default)]
pub(super) struct Words {
    symbols: Vec<u32>,
    words: Vec<Word>,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    start: usize,
    length: u32,
    count: u64,
}

impl Words {
    /// Adds a word.
    pub(super) fn push(&mut self, symbols: impl Iterator<Item = u32>, count: u64) {
        let start = self.symbols.len();
        self.symbols.extend(symbols);
        self.words.push(Word { start, length: (self.symbols.len() - start) as u32, count });
    }
}

/// What bounds the learning.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    /// Entries of the vocabulary to reach.
    pub(super) size: usize,
    /// The least count of a pair that is merged.
    pub(super) min_frequency: u64,
    /// What a symbol inside a word begins with; it goes when the symbol is joined to its left neighbour.
    pub(super) prefix: &'a str,
    /// What no token may be called.
    pub(super) reserved: &'a [String],
}

/// A pair of neighbours: how often, and in which words (some of them no longer).
#[derive(Debug, Default)]
struct Pair {
    count: u64,
    words: Vec<u32>,
    /// It waits to enter the heap.
    gained: bool,
}

/// Adds tokens to `tokens`, which names the symbols of `words`, and returns the merges in order.
pub(super) fn learn(tokens: &mut Vec<String>, mut words: Words, rules: &Rules<'_>) -> Vec<(u32, u32)> {
    let reserved: FxHashSet<&str> = rules.reserved.iter().map(String::as_str).collect();
    let mut ids: FxHashMap<String, u32> =
        tokens.iter().zip(0..).map(|(token, id)| (token.clone(), id)).collect();
    let mut pairs = Pairs::default();
    for index in 0..words.words.len() {
        let word = words.words[index];
        for pair in words.symbols[word.start..word.start + word.length as usize].windows(2) {
            pairs.add((pair[0], pair[1]), word.count, index as u32);
        }
    }
    let mut heap = BinaryHeap::new();
    pairs.drain_new(&mut heap);
    let mut merges = Vec::new();
    while tokens.len() < rules.size {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        let now = pairs.count(pair);
        if now != count {
            heap.push((now, Reverse(pair)));
            continue;
        }
        if count < rules.min_frequency.max(1) {
            break;
        }
        let right = &tokens[pair.1 as usize];
        let joined =
            format!("{}{}", tokens[pair.0 as usize], right.strip_prefix(rules.prefix).unwrap_or(right));
        if reserved.contains(joined.as_str()) {
            continue;
        }
        // Two pairs may spell the same token.
        let merged = *ids.entry(joined).or_insert_with_key(|joined| {
            tokens.push(joined.clone());
            tokens.len() as u32 - 1
        });
        merges.push(pair);
        for index in pairs.take_words(pair) {
            words.merge(index, pair, merged, &mut pairs);
        }
        pairs.drain_new(&mut heap);
    }
    merges
}

impl Words {
    /// Merges `pair` in one word, left to right, and keeps the counts of the pairs around it.
    fn merge(&mut self, index: u32, pair: (u32, u32), merged: u32, pairs: &mut Pairs) {
        let word = &mut self.words[index as usize];
        let symbols = &mut self.symbols[word.start..word.start + word.length as usize];
        let (mut read, mut write) = (0, 0);
        while read < symbols.len() {
            if read + 1 < symbols.len() && (symbols[read], symbols[read + 1]) == pair {
                if write > 0 {
                    pairs.remove((symbols[write - 1], pair.0), word.count);
                    pairs.add((symbols[write - 1], merged), word.count, index);
                }
                if let Some(next) = symbols.get(read + 2).copied() {
                    pairs.remove((pair.1, next), word.count);
                    pairs.add((merged, next), word.count, index);
                }
                symbols[write] = merged;
                read += 2;
            } else {
                symbols[write] = symbols[read];
                read += 1;
            }
            write += 1;
        }
        word.length = write as u32;
    }
}

/// All pairs, numbered as they are first seen; nothing iterates over the map.
#[derive(Debug, Default)]
struct Pairs {
    index: FxHashMap<(u32, u32), u32>,
    entries: Vec<Pair>,
    /// Pairs that gained since they last entered the heap.
    new: Vec<(u32, u32)>,
}

impl Pairs {
    fn add(&mut self, pair: (u32, u32), count: u64, word: u32) {
        let index = *self.index.entry(pair).or_insert_with(|| {
            self.entries.push(Pair::default());
            self.entries.len() as u32 - 1
        });
        let entry = &mut self.entries[index as usize];
        entry.count += count;
        if entry.words.last() != Some(&word) {
            entry.words.push(word);
        }
        if !entry.gained {
            entry.gained = true;
            self.new.push(pair);
        }
    }

    fn remove(&mut self, pair: (u32, u32), count: u64) {
        if let Some(index) = self.index.get(&pair) {
            let entry = &mut self.entries[*index as usize];
            entry.count = entry.count.saturating_sub(count);
        }
    }

    fn count(&self, pair: (u32, u32)) -> u64 {
        self.index.get(&pair).map_or(0, |index| self.entries[*index as usize].count)
    }

    /// The words of a pair that is about to be merged away.
    fn take_words(&mut self, pair: (u32, u32)) -> Vec<u32> {
        let Some(index) = self.index.get(&pair) else { return Vec::new() };
        let entry = &mut self.entries[*index as usize];
        entry.count = 0;
        std::mem::take(&mut entry.words)
    }

    fn drain_new(&mut self, heap: &mut BinaryHeap<(u64, Reverse<(u32, u32)>)>) {
        for pair in std::mem::take(&mut self.new) {
            let entry = &mut self.entries[self.index[&pair] as usize];
            entry.gained = false;
            heap.push((entry.count, Reverse(pair)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(words: &[(&str, u64)], size: usize) -> Vec<String> {
        let mut tokens: Vec<String> = ('a'..='z').map(String::from).collect();
        let mut all = Words::default();
        for (word, count) in words {
            all.push(word.bytes().map(|byte| u32::from(byte - b'a')), *count);
        }
        let rules = Rules { size: 26 + size, min_frequency: 2, prefix: "", reserved: &[] };
        learn(&mut tokens, all, &rules);
        tokens.split_off(26)
    }

    #[test]
    fn the_most_frequent_pair_merges_first_and_ties_go_to_the_lower_ids() {
        assert_eq!(
            learnt(&[("hug", 10), ("pug", 5), ("pun", 12), ("bun", 4), ("hugs", 5)], 3),
            ["ug", "un", "hug"]
        );
        assert_eq!(learnt(&[("zy", 3), ("ab", 3)], 2), ["ab", "zy"]);
    }

    #[test]
    fn a_run_of_one_letter_merges_from_the_left() {
        assert_eq!(learnt(&[("aaaaa", 4)], 9), ["aa", "aaa", "aaaaa"]);
    }

    #[test]
    fn rare_pairs_are_not_merged() {
        assert!(learnt(&[("abc", 1)], 9).is_empty());
    }
}
