//! What can be wrong with a model, its weights or its input.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A configuration that no model can have.
    #[error("`{field}` is `{value}`: expected {expected}")]
    Config {
        /// The key of the configuration.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: String,
    },
    /// A name that is in no table.
    #[error("unknown {kind} `{name}`: expected one of {known}")]
    Unknown {
        /// What the name is of.
        kind: &'static str,
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A token that the vocabulary does not have.
    #[error("token `{token}` is outside the vocabulary of `{vocabulary}` tokens")]
    TokenOutOfVocabulary {
        /// The token.
        token: u32,
        /// The size of the vocabulary.
        vocabulary: usize,
    },
    /// A length that does not fit.
    #[error("{what} has length `{found}`: expected a positive multiple of `{expected}`")]
    Shape {
        /// What has the length.
        what: &'static str,
        /// What it should be a multiple of.
        expected: usize,
        /// The length.
        found: usize,
    },
    /// A sequence longer than the model's context.
    #[error("a sequence has `{found}` tokens: expected at most `{context}`")]
    TooLong {
        /// The context.
        context: usize,
        /// The sequence's length.
        found: usize,
    },
    /// A tensor file that does not fit the model.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A file that could not be read as what it should be.
    #[error("`{file}` could not be read: {problem}")]
    File {
        /// The file.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A device that this machine or this build does not have.
    #[error("device `{0}` is not available: {1}")]
    Device(&'static str, &'static str),
    /// The engine failed.
    #[error("the tensor engine failed: {0}")]
    Engine(String),
}
