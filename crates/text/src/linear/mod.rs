//! A linear classifier of two classes over TF-IDF weighted n-grams of words.
//!
//! ```text
//! text ─▶ n-grams of words, as 64-bit hashes ─▶ (1 + ln tf) · idf, of length 1 ─▶ w·x + b ─▶ logistic ─▶ 0 to 1
//! ```
//!
//! The weights are the minimum of a convex function, so training has nothing random: the same examples give the same bytes in
//! the same order, and the same model up to the last bits in any. Sums run in fixed orders, exponentials come from `libm`.
//! Reference: the recipe of scikit-learn's `TfidfVectorizer(sublinear_tf=True)` and `LogisticRegression`.

mod features;
mod file;
#[cfg(test)]
mod tests;
mod train;

pub use features::Scratch;
pub use file::Error;
pub use train::{TrainConfig, TrainError, train};

use features::Features;

/// What the model knows of one n-gram.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Term {
    hash: u64,
    /// Inverse document frequency: `ln((1 + documents) / (1 + documents with it)) + 1`.
    idf: f32,
    weight: f32,
}

/// A trained classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    features: Features,
    /// Rising by hash.
    terms: Vec<Term>,
    bias: f32,
}

impl Model {
    /// The probability that a text is of the positive class.
    pub fn score(&self, text: &str, scratch: &mut Scratch) -> f32 {
        self.features.count(text, scratch);
        let (mut dot, mut square) = (0.0_f64, 0.0_f64);
        for &(hash, count) in &scratch.counts {
            if let Ok(place) = self.terms.binary_search_by_key(&hash, |term| term.hash) {
                let term = self.terms[place];
                let value = features::frequency(count) * f64::from(term.idf);
                dot += value * f64::from(term.weight);
                square += value * value;
            }
        }
        let length = if square > 0.0 { libm::sqrt(square) } else { 1.0 };
        train::logistic(dot / length + f64::from(self.bias)) as f32
    }
}
