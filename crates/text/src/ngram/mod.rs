//! n-gram language models: a reader of ARPA files, their scorer, and a trainer.
//!
//! ```text
//! text ─▶ lines ─▶ tokens ─▶ <s> w₁ w₂ … </s> ─▶ Σ log₁₀ p(wᵢ | the words before it) ─▶ perplexity
//! ```
//!
//! Sums run in a fixed order and powers come from `libm`, so equal bytes score equally everywhere. A text is read once and
//! nothing of it is held but the words that the next one depends on.

mod arpa;
mod model;
#[cfg(test)]
mod tests;
mod tokens;
mod train;

pub use arpa::ArpaError;
pub use model::{Model, Score, Scratch};
pub use tokens::Tokens;
pub use train::{Smoothing, TrainConfig, TrainError, train};
