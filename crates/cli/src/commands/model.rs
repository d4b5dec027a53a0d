//! A model's directory, opened: what `generate` and `evaluate` work with.

use anyhow::anyhow;
use orchestrator_pipeline::training::StoredCheckpoint;
use orchestrator_storage::{RelativePath, Store};
use orchestrator_text::tokenizer::Tokenizer;
use orchestrator_train::CheckpointSource;
use orchestrator_train::import::{LoadedModel, load_model};
use serde_json::Value;

use crate::failure::Failure;

/// What ends a text where the directory does not say.
const END_OF_TEXT: &str = "<|endoftext|>";

/// A model and its tokenizer.
pub(crate) struct Opened {
    pub(crate) model: LoadedModel,
    pub(crate) tokenizer: Tokenizer,
}

/// Opens a run's `model` directory, or any of Hugging Face's with a GPT-2 or a Llama and a `tokenizer.json`.
pub(crate) fn open(directory: &str) -> Result<Opened, Failure> {
    let store = Store::open(directory).map_err(Failure::reading)?;
    let has = |path: &str| -> Result<bool, Failure> {
        let path = RelativePath::new(path).map_err(Failure::reading)?;
        Ok(store.try_stat(&path).map_err(Failure::reading)?.is_some())
    };
    if !has("config.json")? && has("model/config.json")? {
        return Err(Failure::usage(anyhow!(
            "`{directory}` holds no model, it is a run: did you mean `{}/model`?",
            directory.trim_end_matches('/')
        )));
    }
    let source = StoredCheckpoint::new(store, "");
    let model = load_model(&source).map_err(|error| Failure::reading(anyhow!("`{directory}`: {error}")))?;
    let bytes = source.get("tokenizer.json").map_err(Failure::reading)?;
    let tokenizer = Tokenizer::from_json(&bytes, &end_of_text(&source)?).map_err(Failure::reading)?;
    let (entries, vocabulary) = (tokenizer.vocab_size(), model.config.vocabulary);
    if entries > vocabulary {
        return Err(Failure::usage(anyhow!(
            "`{directory}`: the tokenizer has {entries} entries: expected at most the {vocabulary} of the model"
        )));
    }
    Ok(Opened { model, tokenizer })
}

/// The end-of-text token that `tokenizer_config.json` names: by its text, or as an object that holds it.
fn end_of_text(source: &StoredCheckpoint) -> Result<String, Failure> {
    const FILE: &str = "tokenizer_config.json";
    if !source.contains(FILE).map_err(Failure::reading)? {
        return Ok(END_OF_TEXT.to_owned());
    }
    let bytes = source.get(FILE).map_err(Failure::reading)?;
    let config: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::usage(anyhow!("`{FILE}` is not the JSON that was expected: {error}")))?;
    let token = &config["eos_token"];
    let named = token.as_str().or_else(|| token["content"].as_str());
    Ok(named.unwrap_or(END_OF_TEXT).to_owned())
}
