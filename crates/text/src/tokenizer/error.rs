//! What goes wrong with a tokenizer.

/// A tokenizer cannot be trained, loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The file is no JSON.
    #[error("tokenizer is no JSON")]
    Json(#[from] serde_json::Error),
    /// The file has the right syntax and the wrong content.
    #[error("tokenizer is malformed: {0}")]
    Malformed(String),
    /// A file is larger than any tokenizer is.
    #[error("tokenizer file has `{bytes}` bytes: expected at most `{limit}`")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is accepted.
        limit: usize,
    },
    /// The `tokenizers` library refuses it.
    #[error("tokenizer was refused by the `tokenizers` library: {0}")]
    Library(String),
    /// The token that ends a document is not in the vocabulary.
    #[error(
        "tokenizer has no token `{name}` to end a document: set `end_of_text` to one of its special tokens: {known}"
    )]
    NoEndOfText {
        /// The configured name.
        name: String,
        /// The special tokens that it has.
        known: String,
    },
    /// A SentencePiece model of a kind that no `tokenizer.json` can express.
    #[error("SentencePiece model type `{0}` is not supported: expected unigram or bpe")]
    ModelType(u64),
    /// There was no text to learn from.
    #[error("no text to train a tokenizer on")]
    NoText,
    /// The wrong number of files came for a source.
    #[error("expected `{expected}` tokenizer files, got `{found}`")]
    FileCount {
        /// What the source names.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// The text cannot be encoded.
    #[error("text cannot be encoded: {0}")]
    Encode(String),
}

impl TokenizerError {
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed(message.into())
    }

    /// Takes an error of the library, whose type is a box without thread bounds that we could keep.
    #[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
    pub(super) fn library(error: tokenizers::Error) -> Self {
        Self::Library(error.to_string())
    }
}
