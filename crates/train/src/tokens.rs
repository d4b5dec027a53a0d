//! The token stream that training reads: committed shards, one after the other.

use std::ops::Range;

/// A failed read.
#[derive(Debug, thiserror::Error)]
#[error("tokens `{}..{}` could not be read: {problem}", span.start, span.end)]
pub struct TokenSourceError {
    /// What was asked for.
    pub span: Range<u64>,
    /// What is wrong.
    pub problem: String,
}

/// A stream of tokens made of documents.
pub trait TokenSource: Send + Sync {
    /// Number of tokens.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the tokens from `start` on; `into` ends before the stream does.
    fn read(&self, start: u64, into: &mut [u32]) -> Result<(), TokenSourceError>;

    /// Where each document ends, ascending; the last is [`Self::len`].
    fn document_ends(&self) -> &[u64];

    /// Names the content, so that a checkpoint never resumes on other data.
    fn fingerprint(&self) -> String;
}

/// Tokens in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTokens {
    tokens: Vec<u32>,
    ends: Vec<u64>,
}

impl MemoryTokens {
    /// Takes documents; empty ones are left out.
    pub fn new<'a>(documents: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut source = Self::default();
        for document in documents.into_iter().filter(|document| !document.is_empty()) {
            source.tokens.extend_from_slice(document);
            source.ends.push(source.tokens.len() as u64);
        }
        source
    }
}

impl TokenSource for MemoryTokens {
    fn len(&self) -> u64 {
        self.tokens.len() as u64
    }

    fn read(&self, start: u64, into: &mut [u32]) -> Result<(), TokenSourceError> {
        let span = start..start.saturating_add(into.len() as u64);
        let error = || TokenSourceError { span: span.clone(), problem: "beyond the end".to_owned() };
        let tokens = self.tokens.get(span.start as usize..span.end as usize).ok_or_else(error)?;
        into.copy_from_slice(tokens);
        Ok(())
    }

    fn document_ends(&self) -> &[u64] {
        &self.ends
    }

    fn fingerprint(&self) -> String {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for token in &self.tokens {
            hasher.update(&token.to_le_bytes());
        }
        for end in &self.ends {
            hasher.update(&end.to_le_bytes());
        }
        format!("{:032x}", hasher.digest128())
    }
}
