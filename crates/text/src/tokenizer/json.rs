//! Reading and writing the parts of a `tokenizer.json`.

use serde_json::{Map, Value, json};

use super::{MAX_VOCABULARY, TokenizerError};

/// One token of a vocabulary.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) token: String,
    pub(super) id: u32,
    /// It stands in `added_tokens`.
    pub(super) added: bool,
    /// It is marked as special there.
    pub(super) special: bool,
}

/// The kind of the model; files of older versions tell only by the fields.
pub(super) fn model_type(root: &Value) -> Option<&str> {
    let model = &root["model"];
    match model["type"].as_str() {
        None if model.get("merges").is_some() => Some("BPE"),
        other => other,
    }
}

/// All tokens: the model's, then the added ones. A token that is both appears as the added one.
pub(super) fn entries(root: &Value) -> Result<Vec<Entry>, TokenizerError> {
    let mut entries = Vec::new();
    for added in root["added_tokens"].as_array().into_iter().flatten() {
        let token = added["content"]
            .as_str()
            .ok_or_else(|| TokenizerError::malformed("an added token has no `content`"))?;
        let id = checked_id(&added["id"], token)?;
        entries.push(Entry { token: token.to_owned(), id, added: true, special: added["special"] == true });
    }
    let taken: std::collections::BTreeSet<u32> = entries.iter().map(|entry| entry.id).collect();
    let mut push = |token: &str, id: u32| {
        if !taken.contains(&id) {
            entries.push(Entry { token: token.to_owned(), id, added: false, special: false });
        }
    };
    match &root["model"]["vocab"] {
        Value::Object(vocabulary) => {
            for (token, id) in vocabulary {
                push(token, checked_id(id, token)?);
            }
        }
        Value::Array(pieces) if pieces.len() <= MAX_VOCABULARY => {
            for (id, piece) in pieces.iter().enumerate() {
                let token =
                    piece[0].as_str().ok_or_else(|| TokenizerError::malformed("a piece has no text"))?;
                push(token, id as u32);
            }
        }
        _ => return Err(TokenizerError::malformed("`model.vocab` is neither a map nor a list of pieces")),
    }
    Ok(entries)
}

fn checked_id(value: &Value, token: &str) -> Result<u32, TokenizerError> {
    let id = value.as_u64().filter(|id| *id < MAX_VOCABULARY as u64);
    let message = || format!("id `{value}` of `{token}`: expected a number below {MAX_VOCABULARY}");
    id.map(|id| id as u32).ok_or_else(|| TokenizerError::malformed(message()))
}

/// The two sides of a merge: a list of two, or text with one space between them.
pub(super) fn merge(value: &Value) -> Result<(&str, &str), TokenizerError> {
    let sides = match value {
        Value::String(text) => text.split_once(' '),
        Value::Array(pair) if pair.len() == 2 => pair[0].as_str().zip(pair[1].as_str()),
        _ => None,
    };
    sides.ok_or_else(|| TokenizerError::malformed(format!("merge `{value}`: expected two tokens")))
}

/// The stages around a model.
#[derive(Debug, Default)]
pub(super) struct Stages {
    pub(super) normalizer: Value,
    pub(super) pre_tokenizer: Value,
    pub(super) post_processor: Value,
    pub(super) decoder: Value,
}

/// GPT-2's stages.
pub(super) fn byte_level() -> Stages {
    let stage =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    Stages {
        pre_tokenizer: stage.clone(),
        post_processor: stage.clone(),
        decoder: stage,
        ..Stages::default()
    }
}

/// A whole `tokenizer.json`. `added` are (token, id, special).
pub(super) fn assemble(
    stages: Stages,
    model: Value,
    added: impl Iterator<Item = (String, u32, bool)>,
) -> Value {
    let added: Vec<Value> = added
        .map(|(content, id, special)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special,
            })
        })
        .collect();
    let mut root = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": null,
    });
    root["normalizer"] = stages.normalizer;
    root["pre_tokenizer"] = stages.pre_tokenizer;
    root["post_processor"] = stages.post_processor;
    root["decoder"] = stages.decoder;
    root["model"] = model;
    root
}

/// A map from token to its place in `tokens`.
pub(super) fn vocabulary<'a>(tokens: impl IntoIterator<Item = &'a String>) -> Value {
    let map: Map<String, Value> =
        tokens.into_iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect();
    Value::Object(map)
}

/// A BPE model without options.
pub(super) fn bpe_model(vocabulary: Value, merges: Vec<Value>) -> Value {
    let mut model = json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
    });
    model["vocab"] = vocabulary;
    model["merges"] = Value::Array(merges);
    model
}
