//! Pure document algorithms: cleaning, rules, classifiers, MinHash, PII, tokenizers.
//!
//! Nothing here knows a clock, a file, a network or a runtime: a model comes in as bytes, a document as text.

pub mod step;

pub use step::Step;
