//! Counting of repeated lines and n-grams without building their strings.
//!
//! A line or an n-gram stands for itself by a 64-bit hash: at 10⁵ of them in a document two that differ meet once in
//! 10⁹ documents. The hash of an n-gram is that of its letters joined, so `can not` equals `cannot`, as published.

use crate::words::Span;

/// Modulus of the rolling hash: the Mersenne prime 2⁶¹−1.
const MODULUS: u64 = (1 << 61) - 1;
/// Its base, an arbitrary constant.
const BASE: u64 = 0x0aaf_3d1c_9e37_79b9;
/// Marks a free slot: no hash is as large.
const KEY_OF_EMPTY: u64 = u64::MAX;

fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    add((product as u64) & MODULUS, (product >> 61) as u64)
}

fn add(a: u64, b: u64) -> u64 {
    let sum = a + b;
    if sum >= MODULUS { sum - MODULUS } else { sum }
}

#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    count: u32,
    first: u32,
}

const EMPTY: Entry = Entry { key: KEY_OF_EMPTY, count: 0, first: 0 };

/// A word ready for n-grams: its hash, base to the power of its bytes, and its characters.
#[derive(Clone, Copy)]
struct Word {
    hash: u64,
    power: u64,
    characters: usize,
}

/// Scratch space that one document after the other uses.
#[derive(Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    mask: usize,
    words: Vec<Word>,
}

impl Table {
    /// Empties the table and makes it at least twice as large as what will be inserted.
    fn clear(&mut self, expected: usize) {
        let size = (expected * 2).next_power_of_two().max(64);
        self.entries.clear();
        self.entries.resize(size, EMPTY);
        self.mask = size - 1;
    }

    /// Counts a key; `index` is kept where it is new.
    #[inline]
    fn count(&mut self, key: u64, index: usize) -> &mut Entry {
        let mut slot = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask;
        while self.entries[slot].key != key && self.entries[slot].key != KEY_OF_EMPTY {
            slot = (slot + 1) & self.mask;
        }
        let entry = &mut self.entries[slot];
        if entry.key == KEY_OF_EMPTY {
            *entry = Entry { key, count: 0, first: index as u32 };
        }
        entry.count += 1;
        entry
    }

    /// Of `pieces`, how many are a further copy of one before, and the characters in those.
    pub(super) fn duplicates(&mut self, pieces: &[&str]) -> (usize, usize) {
        self.clear(pieces.len());
        let (mut copies, mut characters) = (0, 0);
        for piece in pieces {
            let key = xxhash_rust::xxh3::xxh3_64(piece.as_bytes()) >> 1;
            if self.count(key, 0).count > 1 {
                copies += 1;
                characters += super::character_count(piece);
            }
        }
        (copies, characters)
    }

    /// Takes the words that the n-gram questions are then asked of.
    pub(super) fn load(&mut self, text: &str, words: &[Span]) {
        self.words.clear();
        self.words.extend(words.iter().map(|word| {
            let (mut hash, mut power, mut characters) = (0, 1, 0);
            for byte in word.of(text).bytes() {
                hash = add(multiply(hash, BASE), u64::from(byte) + 1);
                power = multiply(power, BASE);
                characters += usize::from(byte & 0xc0 != 0x80);
            }
            Word { hash, power, characters }
        }));
    }

    /// Characters in all occurrences of the most frequent n-gram, the first of them on a tie, its words joined by
    /// blanks. `None` where there is no n-gram.
    pub(super) fn top(&mut self, n: usize) -> Option<usize> {
        let words = std::mem::take(&mut self.words);
        self.clear(words.len());
        let (mut best, mut best_first) = (0, 0);
        for (index, gram) in words.windows(n).enumerate() {
            let entry = self.count(hash_of(gram), index);
            if entry.count > best || (entry.count == best && entry.first < best_first) {
                (best, best_first) = (entry.count, entry.first);
            }
        }
        let length = words
            .get(best_first as usize..best_first as usize + n)
            .map(|gram| (characters_of(gram) + n - 1) * best as usize);
        self.words = words;
        length
    }

    /// Characters in n-grams that occurred before, from left to right, going on behind each that did.
    pub(super) fn repeated(&mut self, n: usize) -> usize {
        let words = std::mem::take(&mut self.words);
        self.clear(words.len());
        let (mut repeated, mut index) = (0, 0);
        while let Some(gram) = words.get(index..index + n) {
            if self.count(hash_of(gram), index).count > 1 {
                repeated += characters_of(gram);
                index += n;
            } else {
                index += 1;
            }
        }
        self.words = words;
        repeated
    }
}

#[inline]
fn hash_of(gram: &[Word]) -> u64 {
    gram.iter().fold(0, |hash, word| add(multiply(hash, word.power), word.hash))
}

fn characters_of(gram: &[Word]) -> usize {
    gram.iter().map(|word| word.characters).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Splitter;

    fn table(text: &str) -> Table {
        let mut table = Table::default();
        let mut words = Vec::new();
        Splitter::English.split_into(text, &mut words);
        table.load(text, &words);
        table
    }

    #[test]
    fn only_further_copies_are_duplicates() {
        assert_eq!(Table::default().duplicates(&["a", "bé", "a", "c", "bé", "d"]), (2, 3));
        assert_eq!(Table::default().duplicates(&[]), (0, 0));
    }

    #[test]
    fn the_top_gram_is_the_most_frequent_then_the_first() {
        assert_eq!(table("a b c a b").top(2), Some(6));
        assert_eq!(table("long words then a b").top(2), Some(10));
        assert_eq!(table("one").top(2), None);
    }

    #[test]
    fn repeated_grams_are_counted_without_overlap() {
        assert_eq!(table("a b a b a b a b").repeated(2), 6);
        assert_eq!(table("a b c d").repeated(2), 0);
        assert_eq!(table("a").repeated(5), 0);
    }
}
