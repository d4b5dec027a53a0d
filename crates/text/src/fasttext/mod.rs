//! fastText models: reader, scorer and trainer of our own.
//!
//! ```text
//! text ─tokens─▶ dictionary ─▶ rows: word, its character n-grams, word n-grams
//!                               └─ mean of the input matrix's rows ─▶ loss ─▶ (label, score)
//! ```
//!
//! Reads Facebook's `.bin` and quantized `.ftz` and gives their scores; see `docs/decisions/fasttext-own-reader.md`.
//! Sums run in a fixed order in `f32` and exponentials come from `libm`, so equal bytes score equally everywhere.

mod dictionary;
mod loss;
mod matrix;
mod model;
mod reader;
#[cfg(test)]
mod tests;
mod train;

pub use model::{Model, Scratch};
pub use reader::Error;
pub use train::{TrainConfig, TrainError, TrainLoss, Trainer};
