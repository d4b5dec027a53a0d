//! Counting: the corpus as word ids, and its n-grams of every order from one sort.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use super::{TrainConfig, TrainError};

/// Ids of the three words that every model has.
pub(super) const UNKNOWN: u32 = 0;
pub(super) const BEGIN: u32 = 1;
pub(super) const END: u32 = 2;

/// Sentences of word ids, each from `<s>` to `</s>`.
pub(super) struct Corpus {
    /// The words by id: the most frequent first, ties in the order of their bytes.
    pub(super) words: Vec<Box<str>>,
    ids: Vec<u32>,
}

impl Corpus {
    pub(super) fn new(texts: &[&str], config: &TrainConfig) -> Result<Self, TrainError> {
        let mut counts: FxHashMap<Box<str>, u64> = FxHashMap::default();
        let mut word = String::new();
        for line in texts.iter().flat_map(|text| text.lines()) {
            config.tokens.each(line, &mut word, |word| match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(word.into(), 1);
                }
            });
        }
        if counts.is_empty() {
            return Err(TrainError::NoWords);
        }
        let own = ["<unk>", "<s>", "</s>"];
        let mut known: Vec<(Box<str>, u64)> = counts
            .into_iter()
            .filter(|(word, count)| *count >= u64::from(config.min_word_count) && !own.contains(&&**word))
            .collect();
        known.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let words: Vec<Box<str>> =
            own.map(Box::from).into_iter().chain(known.into_iter().map(|(word, _)| word)).collect();
        let by_word: FxHashMap<&str, u32> =
            words.iter().zip(0..).skip(own.len()).map(|(word, id)| (&**word, id)).collect();
        let mut ids = Vec::new();
        for line in texts.iter().flat_map(|text| text.lines()) {
            let start = ids.len();
            ids.push(BEGIN);
            config.tokens.each(line, &mut word, |word| {
                ids.push(by_word.get(word).copied().unwrap_or(UNKNOWN));
            });
            if ids.len() == start + 1 {
                ids.pop();
            } else {
                ids.push(END);
            }
        }
        if u32::try_from(ids.len()).is_err() {
            return Err(TrainError::TooManyWords);
        }
        Ok(Self { words, ids })
    }
}

/// The distinct n-grams of one order, in the order of their ids.
pub(super) struct Grams {
    pub(super) order: usize,
    ids: Vec<u32>,
    pub(super) counts: Vec<u64>,
}

impl Grams {
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    pub(super) fn get(&self, index: usize) -> &[u32] {
        &self.ids[index * self.order..][..self.order]
    }

    /// The index of an n-gram.
    pub(super) fn find(&self, gram: &[u32]) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).cmp(gram) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Counts the n-grams of orders 1 to `config.order`; none goes over the end of a sentence.
    pub(super) fn count(corpus: &Corpus, config: &TrainConfig) -> Result<Vec<Self>, TrainError> {
        let ids = &corpus.ids;
        let longest = config.order as usize;
        let mut positions: Vec<u32> = (0..ids.len() as u32).collect();
        positions.sort_unstable_by(|&a, &b| {
            for place in 0..longest {
                // Both stand within sentences until one ends, and then the other ends too or differs.
                let (a, b) = (ids[a as usize + place], ids[b as usize + place]);
                match a.cmp(&b) {
                    Ordering::Equal if a == END => break,
                    Ordering::Equal => {}
                    unequal => return unequal,
                }
            }
            Ordering::Equal
        });
        let mut orders: Vec<Self> =
            (1..=longest).map(|order| Self { order, ids: Vec::new(), counts: Vec::new() }).collect();
        let mut distinct = 0;
        for position in positions {
            let rest = &ids[position as usize..];
            for grams in &mut orders {
                let Some(gram) = rest.get(..grams.order) else { break };
                if gram[..grams.order - 1].contains(&END) {
                    break;
                }
                match grams.len().checked_sub(1) {
                    Some(last) if grams.get(last) == gram => grams.counts[last] += 1,
                    _ => {
                        distinct += 1;
                        // `<unk>` is written too, whether it was seen or not.
                        if distinct >= config.max_ngrams {
                            return Err(TrainError::TooManyNgrams { most: config.max_ngrams });
                        }
                        grams.ids.extend_from_slice(gram);
                        grams.counts.push(1);
                    }
                }
            }
        }
        Ok(orders)
    }
}
