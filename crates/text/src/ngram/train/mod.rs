//! Trains a model: counts, smoothed probabilities, an ARPA file.
//!
//! ```text
//! texts ─▶ sentences of word ids ─▶ positions sorted by what follows ─▶ n-grams of every order, in order, with counts
//!       ─▶ u(hw) = what smoothing leaves of the count;  γ(h) = 1 − Σ u(hw)
//!       ─▶ p(hw) = u(hw) + γ(h) · p(w | h without its first word);  γ(h) is the back-off weight
//! ```
//!
//! Everything is counted by sorting and looked up by binary search, so equal texts give equal bytes.

mod grams;
mod smooth;
mod write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tokens::Tokens;
use grams::{Corpus, Grams};

/// How probability is moved from what was seen to what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Smoothing {
    /// Interpolated modified Kneser-Ney (Chen and Goodman 1998), as KenLM and SRILM train it: three discounts an order, and
    /// shorter n-grams counted by the contexts they were seen in.
    #[default]
    ModifiedKneserNey,
    /// Interpolated Laplace: `pseudo_count` occurrences are added to every context, shared out as the shorter context
    /// says (MacKay and Peto 1995).
    Laplace,
}

/// How an n-gram model is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainConfig {
    /// The longest n-gram.
    pub order: u32,
    /// How probability is moved to what was not seen.
    pub smoothing: Smoothing,
    /// What Laplace adds to a context.
    pub pseudo_count: f64,
    /// Words rarer than this count as `<unk>`.
    pub min_word_count: u32,
    /// n-grams of two words and more that are rarer than this are left out.
    pub min_count: u32,
    /// The most distinct n-grams that are counted.
    pub max_ngrams: u64,
    /// How lines are cut into words.
    pub tokens: Tokens,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            order: 5,
            smoothing: Smoothing::ModifiedKneserNey,
            pseudo_count: 1.0,
            min_word_count: 1,
            min_count: 1,
            max_ngrams: 50_000_000,
            tokens: Tokens::Normal,
        }
    }
}

/// Why no model can be trained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// There is not a word in the texts.
    #[error("the texts have no words: expected some to count")]
    NoWords,
    /// The texts are longer than positions can say.
    #[error("the texts have more than 4294967295 words: expected a sample")]
    TooManyWords,
    /// More n-grams than the bound.
    #[error(
        "the texts have more than {most} distinct n-grams: expected a smaller sample, a lower `order` or a higher \
         `max_ngrams`"
    )]
    TooManyNgrams {
        /// The bound.
        most: u64,
    },
    /// A number out of range.
    #[error("`{key}` is out of range: expected {expected}")]
    OutOfRange {
        /// The option.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
    },
}

impl TrainConfig {
    /// Holds every number against its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        let check =
            |holds, key, expected| if holds { Ok(()) } else { Err(TrainError::OutOfRange { key, expected }) };
        check((1..=8).contains(&self.order), "order", "1 to 8")?;
        check(self.min_word_count >= 1, "min_word_count", "at least 1")?;
        check(self.min_count >= 1, "min_count", "at least 1")?;
        check(self.pseudo_count.is_finite() && self.pseudo_count > 0.0, "pseudo_count", "a number above 0")?;
        check((1..=1_000_000_000).contains(&self.max_ngrams), "max_ngrams", "1 to 1000000000")
    }
}

/// Trains on texts, a sentence a line, and gives the ARPA file.
pub fn train(texts: &[&str], config: &TrainConfig) -> Result<Vec<u8>, TrainError> {
    config.validate()?;
    let corpus = Corpus::new(texts, config)?;
    let orders = Grams::count(&corpus, config)?;
    let models = smooth::smooth(&orders, corpus.words.len(), config);
    Ok(write::arpa(&corpus.words, &orders, &models, config))
}
