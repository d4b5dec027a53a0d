//! The model's file: little-endian, every count held against the file's length.
//!
//! ```text
//! "orctfidf"  u32 version 1  u32 longest n-gram  f32 bias  u64 terms  terms × (u64 hash, f32 idf, f32 weight)
//! ```

use super::features::Features;
use super::{Model, Term};

const MAGIC: &[u8; 8] = b"orctfidf";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 28;
const TERM_BYTES: usize = 16;

/// The bytes are no model that we can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes are not ours.
    #[error("not a TF-IDF classifier: expected `orctfidf` and version 1")]
    NotAModel,
    /// The file is longer or shorter than its count of terms says.
    #[error("the model has {found} bytes: expected {expected} for its {terms} terms")]
    Length {
        /// Bytes of the file.
        found: usize,
        /// Bytes that the terms need.
        expected: u64,
        /// Terms by its head.
        terms: u64,
    },
    /// A value that cannot be.
    #[error("term {0}: expected finite numbers and hashes that rise")]
    Term(usize),
    /// A head that cannot be.
    #[error("the model's head: expected n-grams of 1 to 8 words and a finite bias")]
    Head,
}

impl Model {
    /// Whether a file begins as ours do.
    pub fn is_model(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads a model.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let head = bytes.get(..HEAD_BYTES).ok_or(Error::NotAModel)?;
        let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        if !Self::is_model(head) || u32::from_le_bytes(word(8)) != VERSION {
            return Err(Error::NotAModel);
        }
        let word_ngrams = u32::from_le_bytes(word(12));
        let bias = f32::from_le_bytes(word(16));
        let terms = u64::from(u32::from_le_bytes(word(20))) | u64::from(u32::from_le_bytes(word(24))) << 32;
        if !(1..=8).contains(&word_ngrams) || !bias.is_finite() {
            return Err(Error::Head);
        }
        let expected = terms.saturating_mul(TERM_BYTES as u64).saturating_add(HEAD_BYTES as u64);
        if expected != bytes.len() as u64 {
            return Err(Error::Length { found: bytes.len(), expected, terms });
        }
        let mut read: Vec<Term> = Vec::with_capacity(terms as usize);
        for (at, chunk) in bytes[HEAD_BYTES..].as_chunks::<TERM_BYTES>().0.iter().enumerate() {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *chunk;
            let term = Term {
                hash: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                idf: f32::from_le_bytes([i, j, k, l]),
                weight: f32::from_le_bytes([m, n, o, p]),
            };
            let rises = read.last().is_none_or(|last| last.hash < term.hash);
            if !rises || !term.idf.is_finite() || !term.weight.is_finite() {
                return Err(Error::Term(at));
            }
            read.push(term);
        }
        Ok(Self { features: Features { word_ngrams }, terms: read, bias })
    }

    /// Writes the model.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.terms.len() * TERM_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(self.features.word_ngrams.to_le_bytes());
        out.extend(self.bias.to_le_bytes());
        out.extend((self.terms.len() as u64).to_le_bytes());
        for term in &self.terms {
            out.extend(term.hash.to_le_bytes());
            out.extend(term.idf.to_le_bytes());
            out.extend(term.weight.to_le_bytes());
        }
        out
    }
}
