//! The tokenizer itself.

use serde_json::{Value, json};
use tokenizers::Model as _;

use super::byte_level::ByteLevelBpe;
use super::json::{self, Entry};
use super::{Encoder, MAX_FILE_BYTES, TokenizerError, TokenizerSource, gpt2, sentencepiece};

/// A vocabulary and the rules that turn text into its ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    json: String,
    engine: Engine,
    size: usize,
    end_of_text: u32,
    end_of_text_name: String,
    unknown: Option<String>,
}

/// What encodes.
#[derive(Debug)]
pub(super) enum Engine {
    ByteLevel(Box<ByteLevelBpe>),
    Library(Box<Library>),
}

/// A tokenizer of the `tokenizers` crate.
#[derive(Debug)]
pub(super) struct Library {
    inner: tokenizers::Tokenizer,
    /// Special tokens, by id, that must not come out of text. The unknown token may.
    hidden: Vec<(u32, String)>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. `end_of_text` names the token that ends a document.
    pub fn from_json(bytes: &[u8], end_of_text: &str) -> Result<Self, TokenizerError> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(TokenizerError::TooLarge { bytes: bytes.len(), limit: MAX_FILE_BYTES });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TokenizerError::malformed("is no UTF-8"))?;
        let root: Value = serde_json::from_str(text)?;
        Self::build(&root, text.to_owned(), end_of_text)
    }

    /// Reads GPT-2's pair of files: `vocab.json` (or `encoder.json`) and `merges.txt` (or `vocab.bpe`).
    pub fn from_gpt2(vocabulary: &[u8], merges: &[u8], end_of_text: &str) -> Result<Self, TokenizerError> {
        Self::from_value(&gpt2::to_json(vocabulary, merges, end_of_text)?, end_of_text)
    }

    /// Reads a SentencePiece `.model` of type unigram or BPE.
    pub fn from_sentencepiece(bytes: &[u8], end_of_text: &str) -> Result<Self, TokenizerError> {
        Self::from_value(&sentencepiece::to_json(bytes)?, end_of_text)
    }

    /// Reads the files that `source` names, in its order.
    pub fn load(
        source: &TokenizerSource,
        files: &[Vec<u8>],
        end_of_text: &str,
    ) -> Result<Self, TokenizerError> {
        match (source, files) {
            (TokenizerSource::Json(_), [json]) => Self::from_json(json, end_of_text),
            (TokenizerSource::SentencePiece(_), [model]) => Self::from_sentencepiece(model, end_of_text),
            (TokenizerSource::Gpt2 { .. }, [vocabulary, merges]) => {
                Self::from_gpt2(vocabulary, merges, end_of_text)
            }
            _ => Err(TokenizerError::FileCount { expected: source.paths().len(), found: files.len() }),
        }
    }

    /// Takes a `tokenizer.json` as a value.
    pub(super) fn from_value(root: &Value, end_of_text: &str) -> Result<Self, TokenizerError> {
        let text = serde_json::to_string(root)?;
        Self::build(root, text, end_of_text)
    }

    fn build(root: &Value, json: String, end_of_text: &str) -> Result<Self, TokenizerError> {
        let entries = json::entries(root)?;
        let special = entries.iter().find(|entry| entry.special && entry.token == end_of_text);
        let end = special.or_else(|| entries.iter().find(|entry| entry.token == end_of_text));
        let end = end.map(|entry| entry.id).ok_or_else(|| no_end_of_text(end_of_text, &entries))?;
        let unknown = unknown_token(root);
        let engine = match ByteLevelBpe::from_json(root, &entries)? {
            Some(bpe) => Engine::ByteLevel(Box::new(bpe)),
            None => Engine::Library(Box::new(Library::new(&json, &entries, unknown.as_deref(), end)?)),
        };
        let size = entries.iter().map(|entry| entry.id as usize + 1).max().unwrap_or(0);
        Ok(Self { json, engine, size, end_of_text: end, end_of_text_name: end_of_text.to_owned(), unknown })
    }

    /// The `tokenizer.json` that this tokenizer is; the very text where it came from one.
    pub fn to_json(&self) -> String {
        self.json.clone()
    }

    /// A `tokenizer_config.json` for Hugging Face's `AutoTokenizer`. `context` is the model's longest sequence.
    pub fn tokenizer_config_json(&self, context: usize) -> String {
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": context,
            "bos_token": self.end_of_text_name,
            "eos_token": self.end_of_text_name,
            "pad_token": self.end_of_text_name,
            "clean_up_tokenization_spaces": false,
        });
        if let Some(unknown) = &self.unknown {
            config["unk_token"] = json!(unknown);
        }
        format!("{config:#}\n")
    }

    /// An encoder for one thread.
    pub fn encoder(&self) -> Encoder<'_> {
        Encoder::new(self)
    }

    /// Appends the ids of one text. For many texts an [`Encoder`] is faster.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        self.encoder().encode(text, ids)
    }

    /// The text of `ids`. Special tokens and numbers that are no id are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        match &self.engine {
            Engine::ByteLevel(bpe) => bpe.decode(ids),
            Engine::Library(library) => library.inner.decode(ids, true).unwrap_or_else(|_| {
                let bytes: Vec<u8> = ids.iter().flat_map(|id| self.token_bytes(*id)).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }),
        }
    }

    /// One more than the highest id: what an embedding table needs.
    pub fn vocab_size(&self) -> usize {
        self.size
    }

    /// The token that ends a document.
    pub fn end_of_text(&self) -> u32 {
        self.end_of_text
    }

    /// The bytes that a token stands for, for people and statistics; none for a number that is no id. A byte token
    /// gives its byte, and SentencePiece's mark of a space gives a space.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let library = match &self.engine {
            Engine::ByteLevel(bpe) => return bpe.token_bytes(id).to_vec(),
            Engine::Library(library) => library,
        };
        let token = library.inner.id_to_token(id).unwrap_or_default();
        let byte = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
        match byte.filter(|hex| hex.len() == 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => vec![byte],
            None => token.replace('▁', " ").into_bytes(),
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl Library {
    fn new(
        json: &str,
        entries: &[Entry],
        unknown: Option<&str>,
        end_of_text: u32,
    ) -> Result<Self, TokenizerError> {
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(TokenizerError::library)?;
        inner.with_truncation(None).map_err(TokenizerError::library)?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);
        let mut hidden: Vec<(u32, String)> = entries
            .iter()
            .filter(|entry| {
                (entry.special || entry.id == end_of_text) && Some(entry.token.as_str()) != unknown
            })
            .map(|entry| (entry.id, entry.token.clone()))
            .collect();
        hidden.sort_unstable();
        Ok(Self { inner, hidden })
    }

    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let error = |error: tokenizers::Error| TokenizerError::Encode(error.to_string());
        let encoding = self.inner.encode_fast(text, false).map_err(error)?;
        for id in encoding.get_ids() {
            let Ok(index) = self.hidden.binary_search_by_key(id, |(id, _)| *id) else {
                ids.push(*id);
                continue;
            };
            // The model's own vocabulary spells a special token, as in files converted from SentencePiece.
            for char in self.hidden[index].1.chars() {
                let tokens = self.inner.get_model().tokenize(char.encode_utf8(&mut [0; 4])).map_err(error)?;
                ids.extend(tokens.iter().map(|token| token.id));
            }
        }
        Ok(())
    }
}

/// The name of the token for what the vocabulary cannot spell.
fn unknown_token(root: &Value) -> Option<String> {
    let model = &root["model"];
    if let Some(name) = model["unk_token"].as_str() {
        return Some(name.to_owned());
    }
    let id = model["unk_id"].as_u64()? as usize;
    model["vocab"].get(id)?[0].as_str().map(str::to_owned)
}

fn no_end_of_text(name: &str, entries: &[Entry]) -> TokenizerError {
    let known: Vec<String> = entries
        .iter()
        .filter(|entry| entry.special)
        .take(20)
        .map(|entry| format!("`{}`", entry.token))
        .collect();
    let known = if known.is_empty() { "it has none".to_owned() } else { known.join(", ") };
    TokenizerError::NoEndOfText { name: name.to_owned(), known }
}
