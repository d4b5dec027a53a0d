//! Exported models, tensors and tokenizers.

use std::io::Read;

use anyhow::anyhow;
use orchestrator_core::units::ByteSize;
use orchestrator_storage::RelativePath;
use serde_json::{Value, json};

use super::Subject;
use crate::console::{count, table};
use crate::failure::Failure;

/// The largest header of a safetensors file; the format's own library allows as much.
const HEADER_LIMIT: u64 = 100 << 20;
/// The largest JSON file of a model.
const JSON_LIMIT: u64 = 1 << 30;
/// Tensors that are listed for a person.
const TENSORS_SHOWN: usize = 20;

/// A tensor, as its file's header tells.
struct Tensor {
    name: String,
    kind: String,
    shape: Vec<u64>,
}

impl Tensor {
    fn parameters(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, &length| product.saturating_mul(length))
    }
}

/// What `from_pretrained` loads.
pub(super) fn directory(subject: &Subject<'_>) -> Result<(), Failure> {
    let config = json_file(subject, &subject.beside("config.json")?)?;
    let path = subject.beside("model.safetensors")?;
    let tensors = header(subject, &path)?;
    let parameters: u64 = tensors.iter().map(Tensor::parameters).fold(0, u64::saturating_add);
    let tokenizer = subject.beside("tokenizer.json")?;
    let vocabulary = match subject.store.try_stat(&tokenizer).map_err(Failure::reading)? {
        Some(_) => Some(vocabulary(&json_file(subject, &tokenizer)?)),
        None => None,
    };
    let value = json!({ "config": config, "tensors": tensors.len(), "parameters": parameters,
        "tokenizer": vocabulary.as_ref().map(|(model, entries)| json!({ "model": model, "entries": entries })) });
    subject.console.result(&value, || {
        let mut rows: Vec<[String; 2]> = Vec::new();
        if let Value::Object(fields) = &config {
            let plain = fields.iter().filter(|(_, value)| !value.is_object() && !value.is_null());
            rows.extend(plain.map(|(key, value)| [key.clone(), value.to_string()]));
        }
        let tokenizer = vocabulary.map_or_else(
            || "no tokenizer.json".to_owned(),
            |(model, entries)| format!("a {model} tokenizer of {} entries", count(entries)),
        );
        format!(
            "a model of {} parameters in {} tensors; {tokenizer}\n{}",
            count(parameters),
            tensors.len(),
            table(["config.json", ""], &[], rows)
        )
    })
}

/// The tensors of a file.
pub(super) fn tensors(subject: &Subject<'_>) -> Result<(), Failure> {
    let tensors = header(subject, &subject.path)?;
    let parameters: u64 = tensors.iter().map(Tensor::parameters).fold(0, u64::saturating_add);
    let list: Vec<Value> = tensors
        .iter()
        .map(|tensor| json!({ "name": tensor.name, "type": tensor.kind, "shape": tensor.shape }))
        .collect();
    subject.console.result(&json!({ "parameters": parameters, "tensors": list }), || {
        let rows = tensors.iter().take(TENSORS_SHOWN);
        let rows =
            rows.map(|tensor| [tensor.name.clone(), tensor.kind.clone(), format!("{:?}", tensor.shape)]);
        let more = match tensors.len().saturating_sub(TENSORS_SHOWN) {
            0 => String::new(),
            more => format!("\nand {more} more"),
        };
        format!(
            "{} numbers in {} tensors\n{}{more}",
            count(parameters),
            tensors.len(),
            table(["tensor", "type", "shape"], &[], rows.collect())
        )
    })
}

/// A vocabulary.
pub(super) fn tokenizer(subject: &Subject<'_>) -> Result<(), Failure> {
    let json = json_file(subject, &subject.path)?;
    let (model, entries) = vocabulary(&json);
    let added = json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
    let special: Vec<&str> = added.iter().filter_map(|token| token["content"].as_str()).collect();
    subject.console.result(&json!({ "model": model, "entries": entries, "special": special }), || {
        let special: Vec<String> = special.iter().map(|token| format!("`{token}`")).collect();
        format!("a {model} tokenizer of {} entries; special tokens: {}", count(entries), special.join(", "))
    })
}

/// A tokenizer's model and the size of its vocabulary: one more than the highest id, as a model's embedding has it.
/// Special tokens stand beside the model's own entries.
fn vocabulary(tokenizer: &Value) -> (String, u64) {
    let model = &tokenizer["model"];
    let past = |id: u64| id.saturating_add(1);
    let own = match &model["vocab"] {
        Value::Object(tokens) => tokens.values().filter_map(Value::as_u64).max().map_or(0, past),
        Value::Array(pieces) => pieces.len() as u64,
        _ => 0,
    };
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let added = added.filter_map(|token| token["id"].as_u64()).max().map_or(0, past);
    (model["type"].as_str().unwrap_or("unknown").to_owned(), own.max(added))
}

fn json_file(subject: &Subject<'_>, path: &RelativePath) -> Result<Value, Failure> {
    serde_json::from_slice(&subject.read(path, JSON_LIMIT)?).map_err(|error| {
        Failure::usage(anyhow!("`{}` is not the JSON that was expected: {error}", path.as_str()))
    })
}

/// Reads the header of a safetensors file: its length in 8 bytes, then JSON.
fn header(subject: &Subject<'_>, path: &RelativePath) -> Result<Vec<Tensor>, Failure> {
    let wrong = |what: String| Failure::usage(anyhow!("`{}` is no safetensors file: {what}", path.as_str()));
    let read = |range: std::ops::Range<u64>| -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let mut reader = subject.store.open_reader(path, Some(range)).map_err(Failure::reading)?;
        reader.read_to_end(&mut bytes).map_err(Failure::reading)?;
        Ok(bytes)
    };
    let length =
        read(0..8)?.try_into().map(u64::from_le_bytes).map_err(|_| wrong("it is too short".to_owned()))?;
    if length > HEADER_LIMIT {
        return Err(wrong(format!("its header would have {}", ByteSize(length))));
    }
    let header: Value = serde_json::from_slice(&read(8..8 + length)?)
        .map_err(|error| wrong(format!("its header: {error}")))?;
    let Value::Object(fields) = header else { return Err(wrong("its header is no object".to_owned())) };
    let tensors = fields.into_iter().filter(|(name, _)| name != "__metadata__").map(|(name, tensor)| {
        let shape = tensor["shape"].as_array().map_or(&[][..], Vec::as_slice);
        let shape = shape.iter().filter_map(Value::as_u64).collect();
        Tensor { name, kind: tensor["dtype"].as_str().unwrap_or("?").to_owned(), shape }
    });
    Ok(tensors.collect())
}
