//! A back-off model in memory, and what it thinks of a text.
//!
//! ```text
//! p(w | a b c) = p(abcw)                    where the model has `abcw`
//!              = backoff(abc) · p(w | b c)  elsewhere; an unknown context has back-off 1
//! ```
//!
//! An n-gram's key is a hash from its last word to its first, so that one walk to the left finds every order.

use rustc_hash::FxHashMap;

use super::tokens::Tokens;

/// Base-10 logarithms of one n-gram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weights {
    pub(super) probability: f32,
    pub(super) backoff: f32,
}

/// What unknown words get from a model that has no `<unk>`, as KenLM gives it.
const NO_UNKNOWN: f32 = -100.0;

/// An n-gram model.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) order: usize,
    pub(super) words: FxHashMap<Box<str>, u32>,
    /// Indexed by the word's id.
    pub(super) unigrams: Vec<Weights>,
    /// Of the orders from 2 on.
    pub(super) longer: Vec<FxHashMap<u64, Weights>>,
    /// Whether the last words of every n-gram are an n-gram too, so that a search may stop at the first gap.
    pub(super) is_closed: bool,
    pub(super) begin: Option<u32>,
    pub(super) end: Option<u32>,
    pub(super) unknown: Option<u32>,
}

/// The sum over the words of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Sum of the base-10 logarithms of the words' probabilities, ends of sentences included.
    pub log10: f64,
    /// How many words, ends of sentences included.
    pub words: u64,
    /// How many of them the model does not know.
    pub unknown: u64,
}

impl Score {
    /// The inverse of the words' geometric mean probability; none for a text without words.
    pub fn perplexity(&self) -> Option<f64> {
        (self.words > 0).then(|| libm::exp10(-self.log10 / self.words as f64))
    }
}

/// Buffers of [`Model::score`], kept between calls.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    word: String,
    context: Vec<u32>,
}

/// Extends a key by the word to the left.
pub(super) fn extend(key: u64, word: u32) -> u64 {
    let mut mixed = (key ^ u64::from(word)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The key of one word.
pub(super) fn key_of(word: u32) -> u64 {
    extend(0x6e67_7261_6d00_0000, word)
}

impl Model {
    /// The longest n-gram.
    pub fn order(&self) -> usize {
        self.order
    }

    /// How many n-grams of all orders the model has.
    pub fn ngrams(&self) -> u64 {
        (self.unigrams.len() + self.longer.iter().map(FxHashMap::len).sum::<usize>()) as u64
    }

    /// Scores every line that has words as a sentence of its own.
    pub fn score(&self, text: &str, tokens: Tokens, scratch: &mut Scratch) -> Score {
        let Scratch { word, context } = scratch;
        let mut score = Score::default();
        for line in text.lines() {
            context.clear();
            context.extend(self.begin.filter(|_| self.order > 1));
            let before = score.words;
            tokens.each(line, word, |word| {
                // A text cannot end its own sentences.
                let known = self.words.get(word).copied();
                let id = known.filter(|&id| Some(id) != self.begin && Some(id) != self.end);
                score.unknown += u64::from(id.is_none());
                score.log10 += f64::from(self.step(id.or(self.unknown), context));
                score.words += 1;
            });
            if score.words > before
                && let Some(end) = self.end
            {
                score.log10 += f64::from(self.step(Some(end), context));
                score.words += 1;
            }
        }
        score
    }

    /// The logarithm of the probability of `word` after `context` (its last word last), which takes the word in.
    pub(super) fn step(&self, word: Option<u32>, context: &mut Vec<u32>) -> f32 {
        let Some(word) = word else {
            context.clear();
            return NO_UNKNOWN;
        };
        let mut found = self.unigrams[word as usize].probability;
        let mut matched = 0;
        let mut key = key_of(word);
        for (length, &before) in (1..).zip(context.iter().rev()) {
            key = extend(key, before);
            match self.longer[length - 1].get(&key) {
                Some(weights) => (found, matched) = (weights.probability, length),
                None if self.is_closed => break,
                None => {}
            }
        }
        let sum = found + self.backoffs(context, matched);
        if self.order > 1 {
            if context.len() + 1 == self.order {
                context.remove(0);
            }
            context.push(word);
        }
        sum
    }

    /// The sum of the back-off weights of the contexts longer than `matched` words.
    fn backoffs(&self, context: &[u32], matched: usize) -> f32 {
        let Some((&last, rest)) = context.split_last() else { return 0.0 };
        let mut sum = if matched < 1 { self.unigrams[last as usize].backoff } else { 0.0 };
        let mut key = key_of(last);
        for (length, &before) in (2..).zip(rest.iter().rev()) {
            key = extend(key, before);
            let weights = self.longer[length - 2].get(&key);
            if weights.is_none() && self.is_closed {
                break;
            }
            if let Some(weights) = weights.filter(|_| length > matched) {
                sum += weights.backoff;
            }
        }
        sum
    }
}
