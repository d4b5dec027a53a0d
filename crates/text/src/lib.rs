//! Pure document algorithms: cleaning, rules, classifiers, MinHash, PII, tokenizers.
//!
//! Nothing here knows a clock, a file, a network or a runtime: a model comes in as bytes, a document as text.

pub mod charset;
pub mod clean;
pub mod decontaminate;
pub mod dedup;
pub mod fasttext;
pub mod files;
pub mod filters;
pub mod html;
mod kernels;
pub mod language;
pub mod linear;
pub mod minhash;
pub mod mix;
pub mod ngram;
pub mod perplexity;
pub mod pii;
pub mod quality;
mod scored;
pub mod step;
pub mod tokenizer;
pub mod words;

pub use step::{Better, ConfigError, Languages, Ranking, Scorer, Step};
