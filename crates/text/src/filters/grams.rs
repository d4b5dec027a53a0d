//! Counting of repeated lines and n-grams without building their strings.
//!
//! A line or an n-gram stands for itself by a 61-bit hash: at 10⁵ of them in a document two that differ meet once in
//! 10⁸ documents. Whether an n-gram is its letters or its words is up to the project: for datatrove `can not` equals
//! `cannot`, since it joins words without a blank; for the others it does not.
//!
//! Hashes of n-grams are made from those of the (n−1)-grams, so questions about rising n cost one product a word each.

use crate::words::Span;

/// Modulus of the rolling hash: the Mersenne prime 2⁶¹−1. Hashes are below it, which leaves three bits of a key.
const MODULUS: u64 = (1 << 61) - 1;
/// Its base, an arbitrary constant.
const BASE: u64 = 0x0aaf_3d1c_9e37_79b9;
/// Stands for the end of a word where words count, not letters alone. No byte plus one is as large.
const END_OF_WORD: u64 = 257;
/// The round of an entry stands above its hash. Slots of earlier rounds are free, so that a table need not be emptied
/// for every question.
const ROUND_SHIFT: u32 = 61;
const LAST_ROUND: u64 = 7;

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
    /// The hash, and above it the round.
    key: u64,
    count: u32,
    first: u32,
}

const EMPTY: Entry = Entry { key: 0, count: 0, first: 0 };

/// A word ready for n-grams: its hash, and base to the power of its length.
#[derive(Clone, Copy)]
struct Word {
    hash: u64,
    power: u64,
}

/// What makes two n-grams equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Same {
    /// The letters of their words, joined.
    Letters,
    /// Word by word.
    Words,
}

/// Which of the most frequent n-grams is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tie {
    /// The one that comes first.
    First,
    /// The one with the most letters.
    Longest,
}

/// Scratch space that one document after the other uses.
#[derive(Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    mask: usize,
    round: u64,
    words: Vec<Word>,
    /// Characters of the words before each, and of all.
    characters: Vec<u32>,
    /// Hashes of the n-grams at each word, for one n.
    hashes: Vec<u64>,
    n: usize,
    /// The slot of each n-gram.
    slots: Vec<u32>,
}

impl Table {
    /// Begins to count afresh in a table at least twice as large as what will be inserted.
    fn begin(&mut self, expected: usize) {
        let size = (expected * 2).next_power_of_two().max(64);
        if self.entries.len() < size {
            self.entries.resize(size, EMPTY);
        }
        self.mask = size - 1;
        self.round += 1;
        if self.round > LAST_ROUND {
            self.entries.fill(EMPTY);
            self.round = 1;
        }
    }

    /// Counts a hash; `index` is kept where it is new. Returns its slot.
    #[inline]
    fn count(&mut self, hash: u64, index: usize) -> usize {
        let key = hash | self.round << ROUND_SHIFT;
        let mut slot = (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask;
        loop {
            let entry = &mut self.entries[slot];
            if entry.key == key {
                entry.count += 1;
                return slot;
            }
            if entry.key >> ROUND_SHIFT != self.round {
                *entry = Entry { key, count: 1, first: index as u32 };
                return slot;
            }
            slot = (slot + 1) & self.mask;
        }
    }

    /// Calls `visit` with the index of every piece and how often it has occurred, itself included.
    pub(super) fn each_piece(&mut self, pieces: &[&str], mut visit: impl FnMut(usize, u32)) {
        self.begin(pieces.len());
        for (index, piece) in pieces.iter().enumerate() {
            let slot = self.count(xxhash_rust::xxh3::xxh3_64(piece.as_bytes()) & (MODULUS >> 1), index);
            visit(index, self.entries[slot].count);
        }
    }

    /// Of `pieces`, how many are a further copy of one before, and the characters in those.
    pub(super) fn duplicates(&mut self, pieces: &[&str]) -> (usize, usize) {
        let (mut copies, mut characters) = (0, 0);
        self.each_piece(pieces, |index, count| {
            if count > 1 {
                copies += 1;
                characters += super::character_count(pieces[index]);
            }
        });
        (copies, characters)
    }

    /// Of `pieces`, how many occur more than once, and the characters in them; first copies count too.
    pub(super) fn repeated_pieces(&mut self, pieces: &[&str]) -> (usize, usize) {
        self.begin(pieces.len());
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        slots.extend(pieces.iter().enumerate().map(|(index, piece)| {
            self.count(xxhash_rust::xxh3::xxh3_64(piece.as_bytes()) & (MODULUS >> 1), index) as u32
        }));
        let (mut repeated, mut characters) = (0, 0);
        for (piece, &slot) in pieces.iter().zip(&slots) {
            if self.entries[slot as usize].count > 1 {
                repeated += 1;
                characters += super::character_count(piece);
            }
        }
        self.slots = slots;
        (repeated, characters)
    }

    /// Takes the words that the n-gram questions are then asked of.
    pub(super) fn load(&mut self, text: &str, words: &[Span], same: Same) {
        self.words.clear();
        self.characters.clear();
        self.characters.push(0);
        self.n = 0;
        let mut before = 0;
        for word in words {
            let (mut hash, mut power) = (0, 1);
            for byte in word.of(text).bytes() {
                hash = add(multiply(hash, BASE), u64::from(byte) + 1);
                power = multiply(power, BASE);
                before += u32::from(byte & 0xc0 != 0x80);
            }
            if same == Same::Words {
                hash = add(multiply(hash, BASE), END_OF_WORD);
                power = multiply(power, BASE);
            }
            self.words.push(Word { hash, power });
            self.characters.push(before);
        }
    }

    /// Characters of all words.
    pub(super) fn all_characters(&self) -> usize {
        self.characters.last().map_or(0, |&all| all as usize)
    }

    /// Characters of the `n` words from `index` on.
    fn characters_of(&self, index: usize, n: usize) -> usize {
        (self.characters[index + n] - self.characters[index]) as usize
    }

    /// Makes the hashes of all n-grams. Asked with rising n, each call adds one word to every hash.
    fn hash_grams(&mut self, n: usize) {
        if self.n == 0 || self.n > n {
            self.hashes.clear();
            self.hashes.extend(self.words.iter().map(|word| word.hash));
            self.n = 1;
        }
        while self.n < n {
            let grams = self.words.len().saturating_sub(self.n);
            self.hashes.truncate(grams);
            for (hash, word) in self.hashes.iter_mut().zip(self.words.iter().skip(self.n)) {
                *hash = add(multiply(*hash, word.power), word.hash);
            }
            self.n += 1;
        }
    }

    /// Counts all n-grams; leaves each one's slot in `slots`.
    fn count_grams(&mut self, n: usize) {
        self.hash_grams(n);
        self.begin(self.hashes.len());
        let (hashes, mut slots) = (std::mem::take(&mut self.hashes), std::mem::take(&mut self.slots));
        slots.clear();
        slots.extend(hashes.iter().enumerate().map(|(index, &hash)| self.count(hash, index) as u32));
        (self.hashes, self.slots) = (hashes, slots);
    }

    /// The most frequent n-gram: how often it occurs, the first word of its first occurrence, and its letters. `None`
    /// where there is no n-gram.
    pub(super) fn most_frequent(&mut self, n: usize, tie: Tie) -> Option<(usize, usize, usize)> {
        self.hash_grams(n);
        self.begin(self.hashes.len());
        let hashes = std::mem::take(&mut self.hashes);
        let mut best = EMPTY;
        for (index, &hash) in hashes.iter().enumerate() {
            let slot = self.count(hash, index);
            let entry = self.entries[slot];
            let wins = entry.count == best.count
                && match tie {
                    Tie::First => entry.first < best.first,
                    Tie::Longest => {
                        self.characters_of(entry.first as usize, n)
                            > self.characters_of(best.first as usize, n)
                    }
                };
            if entry.count > best.count || wins {
                best = entry;
            }
        }
        self.hashes = hashes;
        let first = best.first as usize;
        (best.count > 0).then(|| (best.count as usize, first, self.characters_of(first, n)))
    }

    /// Characters in all occurrences of the most frequent n-gram, the first of them on a tie, its words joined by
    /// blanks. `None` where there is no n-gram.
    pub(super) fn top(&mut self, n: usize) -> Option<usize> {
        self.most_frequent(n, Tie::First).map(|(count, _, letters)| (letters + n - 1) * count)
    }

    /// Characters in n-grams that occurred before, from left to right, going on behind each that did.
    pub(super) fn repeated(&mut self, n: usize) -> usize {
        self.hash_grams(n);
        self.begin(self.hashes.len());
        let hashes = std::mem::take(&mut self.hashes);
        let (mut repeated, mut index) = (0, 0);
        while let Some(&hash) = hashes.get(index) {
            let slot = self.count(hash, index);
            if self.entries[slot].count > 1 {
                repeated += self.characters_of(index, n);
                index += n;
            } else {
                index += 1;
            }
        }
        self.hashes = hashes;
        repeated
    }

    /// Characters of all n-grams that occur more than once, each occurrence counted, and of all n-grams.
    pub(super) fn share_of_repeated(&mut self, n: usize) -> (usize, usize) {
        self.count_grams(n);
        let (mut repeated, mut all) = (0, 0);
        for (index, &slot) in self.slots.iter().enumerate() {
            let characters = self.characters_of(index, n);
            all += characters;
            if self.entries[slot as usize].count > 1 {
                repeated += characters;
            }
        }
        (repeated, all)
    }

    /// Characters of the words that lie in an n-gram which occurs more than once; each word counts once.
    pub(super) fn covered_by_repeated(&mut self, n: usize) -> usize {
        self.count_grams(n);
        let (mut covered, mut done) = (0, 0);
        for (index, &slot) in self.slots.iter().enumerate() {
            if self.entries[slot as usize].count > 1 {
                let from = done.max(index);
                covered += self.characters_of(from, index + n - from);
                done = index + n;
            }
        }
        covered
    }

    /// Calls `visit` with every n-gram's first word and whether the n-gram occurred before, from left to right.
    pub(super) fn each_gram(&mut self, n: usize, mut visit: impl FnMut(&Self, usize, bool)) {
        self.hash_grams(n);
        self.begin(self.hashes.len());
        let hashes = std::mem::take(&mut self.hashes);
        for (index, &hash) in hashes.iter().enumerate() {
            let slot = self.count(hash, index);
            let again = self.entries[slot].count > 1;
            visit(self, index, again);
        }
        self.hashes = hashes;
    }

    /// Characters of the words `from..to`.
    pub(super) fn characters_between(&self, from: usize, to: usize) -> usize {
        (self.characters[to] - self.characters[from]) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Splitter;

    fn table(text: &str) -> Table {
        let mut table = Table::default();
        let mut words = Vec::new();
        Splitter::English.split_into(text, &mut words);
        table.load(text, &words, Same::Letters);
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

    #[test]
    fn letters_or_words_make_grams_equal() {
        let mut table = Table::default();
        let words = [(0, 3), (4, 7), (8, 14)].map(|(start, end)| Span { start, end });
        for (same, grams) in [(Same::Letters, 1), (Same::Words, 0)] {
            table.load("can not cannot", &words, same);
            table.begin(4);
            let (one, two) = (table.words[2].hash, {
                table.hash_grams(2);
                table.hashes[0]
            });
            assert_eq!(usize::from(one == two), grams, "{same:?}");
        }
    }

    #[test]
    fn repeated_grams_are_measured_as_each_project_does() {
        let mut table = table("a b a b c dd ee");
        // Bigrams: ab ba ab bc c-dd dd-ee.
        assert_eq!(table.share_of_repeated(2), (4, 15));
        assert_eq!(table.covered_by_repeated(2), 4);
        assert_eq!(table.most_frequent(2, Tie::First), Some((2, 0, 2)));
        assert_eq!(table.most_frequent(3, Tie::Longest), Some((1, 4, 5)));
        assert_eq!((table.share_of_repeated(8), table.covered_by_repeated(8)), ((0, 0), 0));
        assert_eq!(Table::default().repeated_pieces(&["a", "bé", "a", "c", "bé", "d"]), (4, 6));
    }

    #[test]
    fn rounds_of_one_table_do_not_see_each_other() {
        let mut table = table("a b c a b c a b c");
        for _ in 0..40 {
            assert_eq!(
                (table.repeated(2), table.top(3), table.duplicates(&["x", "y"])),
                (6, Some(15), (0, 0))
            );
        }
    }
}
