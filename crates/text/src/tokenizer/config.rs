//! The tokenize stage as the job file writes it.

use orchestrator_core::units::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MAX_VOCABULARY;
use crate::step::{ConfigError, Languages};

/// Turns the documents into token files, with a tokenizer that is trained on them or loaded.
///
/// Exactly one of `train` and `tokenizer` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizeConfig {
    /// Train a tokenizer on a sample of the training documents.
    pub train: Option<TrainTokenizer>,
    /// Load one: a `tokenizer.json`, a SentencePiece `.model`, a `vocab.json` with `merges.txt` beside it, or a
    /// directory that holds one of these.
    pub tokenizer: Option<String>,
    /// The token that ends every document.
    pub end_of_text: String,
    /// Make tokens only of documents in these languages; all where not given. The others end here, dropped by the rule
    /// `language` with their own as the value, and neither the tokenizer nor the model learns from them. A document whose
    /// language nobody has determined is taken.
    pub languages: Languages,
}

impl Default for TokenizeConfig {
    fn default() -> Self {
        Self { train: None, tokenizer: None, end_of_text: "<|endoftext|>".to_owned(), languages: None }
    }
}

/// How a tokenizer is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainTokenizer {
    /// The kind of vocabulary.
    pub model: TokenizerModel,
    /// Entries of the vocabulary, special tokens included. A small corpus may not fill it.
    pub vocab_size: usize,
    /// How often a pair, a word or a character must occur to get an entry of its own.
    pub min_frequency: u64,
    /// How much text is looked at.
    pub sample: ByteSize,
    /// Special tokens beside the end of text. They are entries of the vocabulary that no text is ever encoded to.
    pub special_tokens: Vec<String>,
}

impl Default for TrainTokenizer {
    fn default() -> Self {
        Self {
            model: TokenizerModel::Bpe,
            vocab_size: 32_000,
            min_frequency: 2,
            sample: ByteSize::mib(256),
            special_tokens: Vec::new(),
        }
    }
}

/// The kind of a vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerModel {
    /// Byte-level BPE with GPT-2's word splitting: any text is encoded and decoded without loss.
    #[default]
    Bpe,
    /// WordPiece with BERT's word splitting (cased).
    Wordpiece,
    /// A unigram language model over pieces, as SentencePiece's, with a fallback to bytes.
    Unigram,
    /// Whole words and runs of punctuation.
    Word,
    /// Single characters.
    Character,
}

impl TokenizerModel {
    /// Entries that the model has before it has learnt anything.
    const fn base(self) -> usize {
        match self {
            Self::Bpe => 256,
            Self::Unigram => 257,
            Self::Wordpiece | Self::Word | Self::Character => 1,
        }
    }
}

impl TokenizeConfig {
    /// Checks what the types cannot say.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.end_of_text.is_empty() {
            return Err(ConfigError::new("end_of_text", "is empty: expected the name of a token"));
        }
        match (&self.train, &self.tokenizer) {
            (Some(_), Some(_)) => {
                Err(ConfigError::new("tokenizer", "stands beside `train`: expected one of the two"))
            }
            (None, None) => {
                Err(ConfigError::new("train", "is missing: expected either `train` or `tokenizer`"))
            }
            (None, Some(path)) if path.is_empty() => {
                Err(ConfigError::new("tokenizer", "is empty: expected a path"))
            }
            (None, Some(_)) => Ok(()),
            (Some(train), None) => train.validate(&self.end_of_text),
        }
    }
}

impl TrainTokenizer {
    /// All special tokens, the end of text first, each once.
    pub(super) fn specials(&self, end_of_text: &str) -> Vec<String> {
        let mut all = vec![end_of_text.to_owned()];
        for token in &self.special_tokens {
            if !all.contains(token) {
                all.push(token.clone());
            }
        }
        all
    }

    fn validate(&self, end_of_text: &str) -> Result<(), ConfigError> {
        let specials = self.specials(end_of_text);
        if let Some(short) = specials.iter().find(|token| token.chars().nth(1).is_none()) {
            let message =
                format!("`{short}` is too short: expected special tokens of two characters or more");
            return Err(ConfigError::new("train.special_tokens", message));
        }
        let least = self.model.base() + specials.len() + 1;
        if !(least..=MAX_VOCABULARY).contains(&self.vocab_size) {
            let message =
                format!("`{}` is out of range: expected {least} to {MAX_VOCABULARY}", self.vocab_size);
            return Err(ConfigError::new("train.vocab_size", message));
        }
        if self.min_frequency == 0 {
            return Err(ConfigError::new("train.min_frequency", "`0` is out of range: expected 1 or more"));
        }
        if self.sample.0 == 0 {
            return Err(ConfigError::new("train.sample", "`0` is out of range: expected a size above 0"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained(train: TrainTokenizer) -> TokenizeConfig {
        TokenizeConfig { train: Some(train), ..TokenizeConfig::default() }
    }

    #[test]
    fn exactly_one_source_is_given() {
        assert_eq!(TokenizeConfig::default().validate().expect_err("neither").key, "train");
        let loaded = TokenizeConfig { tokenizer: Some("a.json".into()), ..TokenizeConfig::default() };
        assert!(loaded.validate().is_ok());
        let both = TokenizeConfig { train: Some(TrainTokenizer::default()), ..loaded };
        assert_eq!(both.validate().expect_err("both").key, "tokenizer");
    }

    #[test]
    fn a_vocabulary_has_room_for_what_it_must_hold() {
        let config =
            |model, vocab_size| trained(TrainTokenizer { model, vocab_size, ..TrainTokenizer::default() });
        assert!(config(TokenizerModel::Bpe, 258).validate().is_ok());
        assert_eq!(config(TokenizerModel::Bpe, 257).validate().expect_err("small").key, "train.vocab_size");
        assert!(config(TokenizerModel::Word, 3).validate().is_ok());
        assert!(config(TokenizerModel::Word, 1 << 40).validate().is_err());
    }
}
