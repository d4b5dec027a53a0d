//! Tokenizers: train, load, encode.
//!
//! ```text
//! documents ─▶ WordCounts ─▶ train ─┐
//! tokenizer.json ───────────────────┤
//! vocab.json + merges.txt ─▶ JSON ──┼─▶ Tokenizer ─▶ Encoder (one per thread) ─▶ ids
//! SentencePiece .model ────▶ JSON ──┘        └─▶ tokenizer.json, tokenizer_config.json
//! ```
//!
//! Whatever its origin, a tokenizer is a `tokenizer.json`, so that what a run leaves always loads elsewhere. Byte-level
//! BPE has its own encoder; the other models run in the `tokenizers` crate. No special token ever comes out of text.

mod byte_level;
mod config;
mod counts;
mod encoder;
mod error;
mod gpt2;
mod json;
mod merges;
mod model;
mod pretokenize;
mod sentencepiece;
mod source;
#[cfg(test)]
mod tests;
mod train;

pub use config::{TokenizeConfig, TokenizerModel, TrainTokenizer};
pub use counts::WordCounts;
pub use encoder::Encoder;
pub use error::TokenizerError;
pub use model::Tokenizer;
pub use source::TokenizerSource;
pub use train::train;

/// More entries than any published vocabulary has; a file that claims more is refused.
const MAX_VOCABULARY: usize = 1 << 22;

/// The largest tokenizer file that is read.
const MAX_FILE_BYTES: usize = 256 << 20;
