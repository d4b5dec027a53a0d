//! The n-grams of all items, and which items they are of.

use std::sync::Arc;

use super::DecontaminateConfig;
use super::benchmark::{self, Item};
use super::scores::RULE;
use super::words::{self, Word};
use crate::files::{FileError, Files};
use crate::filters::FilterError;

/// Hashes of n-grams in all benchmarks together: 1.5 GiB.
const MOST_NGRAMS: usize = 1 << 26;
/// Multiplier of the rolling hash over the words' hashes.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Bits of the first test for each n-gram; most n-grams of a text end there.
const BITS_PER_NGRAM: usize = 16;

/// An n-gram of a document that an item has too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) item: u32,
    /// Its first word, and how many it has.
    pub(super) first: u32,
    pub(super) length: u32,
    hash: u64,
}

/// What a document has in common with an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Overlap {
    pub(super) item: u32,
    pub(super) benchmark: u32,
    /// Different n-grams of the item that were found, and which share of its n-grams that is.
    pub(super) ngrams: u32,
    pub(super) share: f64,
}

/// A drop: its rule, and the value that tells the item.
pub(super) struct Found {
    pub(super) rule: String,
    pub(super) value: String,
}

/// The benchmarks of a configuration, read: shared by all tasks of a process.
pub struct Index {
    config: DecontaminateConfig,
    /// Rules by benchmark.
    rules: Vec<String>,
    items: Vec<Item>,
    /// Sorted by hash, then item.
    grams: Vec<(u64, u32)>,
    bits: Vec<u64>,
    /// Lengths of n-grams that there are, longest first.
    lengths: Vec<u32>,
}

impl Index {
    /// Checks a configuration and reads its benchmarks.
    pub fn load(config: &DecontaminateConfig, files: &dyn Files) -> Result<Self, FilterError> {
        config.validate()?;
        let mut index = Self {
            config: config.clone(),
            rules: Vec::new(),
            items: Vec::new(),
            grams: Vec::new(),
            bits: Vec::new(),
            lengths: Vec::new(),
        };
        for benchmark in &config.benchmarks {
            files.each(&benchmark.path, &mut |name, content| {
                let rule = format!("{RULE}{}", benchmark::name_of(benchmark, name)?);
                let of = index.rules.iter().position(|known| *known == rule).unwrap_or_else(|| {
                    index.rules.push(rule);
                    index.rules.len() - 1
                });
                let (mut rows, before) = (0, index.items.len());
                // A benchmark that is named here may have several files; then a row alone would say too little.
                let label = benchmark.name.as_ref().map(|_| Arc::from(benchmark::stem(name)));
                benchmark::each_item(benchmark, name, content, |row, text| {
                    rows += 1;
                    index.add(of, name, label.as_ref(), row, text)
                })?;
                if index.items.len() == before {
                    let least = config.short_items.unwrap_or(config.ngram);
                    let message = format!(
                        "has {rows} items, none of them of {least} words or more: it protects nothing"
                    );
                    return Err(FileError::new(name, message));
                }
                Ok(())
            })?;
        }
        index.finish();
        Ok(index)
    }

    fn add(
        &mut self,
        benchmark: usize,
        file: &str,
        label: Option<&Arc<str>>,
        row: u64,
        text: &str,
    ) -> Result<(), FileError> {
        let mut words = Vec::new();
        words::split_into(text, &mut words);
        let ngram = self.config.ngram as usize;
        let length = if words.len() >= ngram { ngram } else { words.len() };
        let least = self.config.short_items.unwrap_or(self.config.ngram) as usize;
        if length < ngram && length < least {
            return Ok(());
        }
        let item = self.items.len() as u32;
        let mut grams: Vec<u64> = Vec::new();
        each_gram(&words, length, |_, hash| grams.push(hash));
        grams.sort_unstable();
        grams.dedup();
        if self.grams.len() + grams.len() > MOST_NGRAMS {
            let message =
                format!("brings the benchmarks above the {MOST_NGRAMS} n-grams that are expected at most");
            return Err(FileError::at(file, row + 1, message));
        }
        self.items.push(Item::new(benchmark as u32, label.cloned(), row, grams.len() as u32));
        self.grams.extend(grams.into_iter().map(|hash| (hash, item)));
        if !self.lengths.contains(&(length as u32)) {
            self.lengths.push(length as u32);
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.grams.sort_unstable();
        self.grams.shrink_to_fit();
        self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        let words = (self.grams.len() * BITS_PER_NGRAM / 64).next_power_of_two().max(1);
        self.bits = vec![0; words];
        for &(hash, _) in &self.grams {
            let (word, bit) = place(hash, words);
            self.bits[word] |= 1 << bit;
        }
    }

    /// What the index was made from.
    pub(super) fn config(&self) -> &DecontaminateConfig {
        &self.config
    }

    pub(super) fn benchmark_of(&self, item: u32) -> usize {
        self.items[item as usize].benchmark as usize
    }

    pub(super) fn rule(&self, benchmark: usize) -> &str {
        &self.rules[benchmark]
    }

    /// The rules of all benchmarks.
    pub(super) fn rules(&self) -> &[String] {
        &self.rules
    }

    /// Appends every n-gram that an item has too, once for each such item.
    pub(super) fn find(&self, words: &[Word], hits: &mut Vec<Hit>) {
        for &length in &self.lengths {
            each_gram(words, length as usize, |first, hash| {
                let (word, bit) = place(hash, self.bits.len());
                if self.bits[word] >> bit & 1 == 0 {
                    return;
                }
                let from = self.grams.partition_point(|&(known, _)| known < hash);
                let same = self.grams[from..].iter().take_while(|&&(known, _)| known == hash);
                hits.extend(same.map(|&(_, item)| Hit { item, first: first as u32, length, hash }));
            });
        }
    }

    /// Appends what was found of each item, in the order of the items. An n-gram that a document repeats counts once.
    pub(super) fn overlaps(&self, hits: &mut [Hit], overlaps: &mut Vec<Overlap>) {
        hits.sort_unstable_by_key(|hit| (hit.item, hit.hash));
        overlaps.extend(hits.chunk_by(|a, b| a.item == b.item).map(|of_item| {
            let ngrams = of_item.chunk_by(|a, b| a.hash == b.hash).count() as u32;
            let item = &self.items[of_item[0].item as usize];
            let share = f64::from(ngrams) / f64::from(item.ngrams);
            Overlap { item: of_item[0].item, benchmark: item.benchmark, ngrams, share }
        }));
    }

    /// The item of which most n-grams were found, where that is enough: the first on a tie.
    pub(super) fn worst(&self, overlaps: &[Overlap]) -> Option<Found> {
        let (mut worst, mut items): (Option<&Overlap>, u32) = (None, 0);
        for overlap in overlaps {
            if !self.config.is_enough(f64::from(overlap.ngrams), overlap.share) {
                continue;
            }
            items += 1;
            if worst.is_none_or(|worst| overlap.ngrams > worst.ngrams) {
                worst = Some(overlap);
            }
        }
        let found = worst?;
        let item = &self.items[found.item as usize];
        let also = if items > 1 { format!("; {items} items") } else { String::new() };
        Some(Found {
            rule: self.rules[item.benchmark as usize].clone(),
            value: format!("item {}: {} of {} n-grams{also}", item.label(), found.ngrams, item.ngrams),
        })
    }

    /// Items that are looked for.
    pub fn items(&self) -> usize {
        self.items.len()
    }
}

/// Where the first test of a hash lies.
#[inline]
fn place(hash: u64, words: usize) -> (usize, u32) {
    let mixed = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((mixed >> 32) as usize & (words - 1), (mixed & 63) as u32)
}

/// Calls `visit` with the first word and the hash of every n-gram of `length` words.
fn each_gram(words: &[Word], length: usize, mut visit: impl FnMut(usize, u64)) {
    if length == 0 || words.len() < length {
        return;
    }
    // What the first word of an n-gram is multiplied with when its last one has come.
    let leaving = (1..length).fold(1u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = 0u64;
    for (index, word) in words.iter().enumerate() {
        hash = hash.wrapping_mul(BASE).wrapping_add(word.hash);
        if index + 1 >= length {
            visit(index + 1 - length, hash ^ length as u64);
            let first = words[index + 1 - length].hash;
            hash = hash.wrapping_sub(first.wrapping_mul(leaving));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_grams_have_equal_hashes_wherever_they_stand() {
        let mut words = Vec::new();
        words::split_into("x one two three y z one two three", &mut words);
        let mut hashes = Vec::new();
        each_gram(&words, 3, |first, hash| hashes.push((first, hash)));
        assert_eq!(hashes.len(), 7);
        assert_eq!(hashes[1].1, hashes[6].1);
        let different: std::collections::BTreeSet<u64> = hashes.iter().map(|&(_, hash)| hash).collect();
        assert_eq!(different.len(), 6);
    }
}
