//! How the public library (Hugging Face's transformers) knows a family: its `config.json`, and the names in its files.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Family, ModelConfig, families};
use crate::error::ModelError;

/// Name of the configuration's file.
pub const CONFIG_FILE: &str = "config.json";

/// What a `config.json` tells: the model, and the id of the end-of-text token, where it has one.
pub type Told = (ModelConfig, Option<u32>);

/// A family as the public library has it.
pub struct HuggingFace {
    /// `model_type` in its `config.json`.
    pub model_type: &'static str,
    /// Writes `config.json`, with the id of the end-of-text token where the tokenizer has one.
    pub config_json: fn(&ModelConfig, Option<u32>) -> Value,
    /// Reads `config.json`.
    pub read_config: fn(&[u8]) -> Result<Told, ModelError>,
    /// How the names of tensors begin that belong to the model without its head. Files that were saved without the head
    /// leave it out.
    pub prefix: &'static str,
    /// Ends of the names of tensors that older versions saved and that are no parameters: masks, tables.
    pub buffers: &'static [&'static str],
    /// The output projection, and the embedding that it is where the two are tied. Files may hold it twice.
    pub head: (&'static str, &'static str),
}

/// `model_type`, whose value picks the family.
#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

/// Reads a `config.json` of any family.
pub fn read_config(bytes: &[u8]) -> Result<Told, ModelError> {
    let kind: Kind = parse(bytes)?;
    let table: Vec<Family<burn_flex::Flex>> = families().into();
    match table.iter().find(|family| family.huggingface.model_type == kind.model_type) {
        Some(family) => (family.huggingface.read_config)(bytes),
        None => Err(ModelError::Unknown {
            kind: "`model_type` in `config.json`",
            name: kind.model_type,
            known: table.iter().map(|family| family.huggingface.model_type).collect::<Vec<_>>().join(", "),
        }),
    }
}

/// What generation begins from in that library.
pub fn generation_config_json(end_of_text: Option<u32>) -> Value {
    json!({"_from_model_config": true, "bos_token_id": end_of_text, "eos_token_id": end_of_text})
}

/// Reads what a family wants of a `config.json`.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ModelError> {
    serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))
}

/// Says what is wrong with a `config.json`.
pub(super) fn problem(problem: String) -> ModelError {
    ModelError::File { file: CONFIG_FILE, problem }
}

/// Refuses a value that the family does not have, where the file gives one.
pub(super) fn expect<T: PartialEq + std::fmt::Debug>(
    key: &str,
    found: Option<T>,
    expected: &T,
) -> Result<(), ModelError> {
    match found {
        Some(found) if found != *expected => {
            Err(problem(format!("`{key}` is `{found:?}`: expected `{expected:?}`")))
        }
        _ => Ok(()),
    }
}

/// `eos_token_id`: one token, or several of which the first ends a text.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum TokenIds {
    /// One.
    One(u32),
    /// Several.
    Many(Vec<u32>),
}

impl TokenIds {
    /// The first.
    pub(super) fn first(&self) -> Option<u32> {
        match self {
            Self::One(id) => Some(*id),
            Self::Many(ids) => ids.first().copied(),
        }
    }
}
