//! What a run was told to do and what came of it as a whole: its inputs, its options, the size of its model. Nothing of it
//! depends on where the run lies: of paths only the last name is shown.

use std::io::Read;

use orchestrator_storage::RelativePath;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::run::{Run, Stage};

/// Names of inputs that are shown of one read stage.
const INPUTS_SHOWN: usize = 5;
/// Longest value of an option that is shown, in characters.
const VALUE_CHARACTERS: usize = 200;
/// The largest header of a safetensors file; the format's own library allows as much.
const HEADER_BYTES: u64 = 100 << 20;
/// Keys of a job that change nothing of what a run makes.
const OUTSIDE: [&str; 5] = ["name", "output", "priority", "max_attempts", "pipeline"];

/// What a read stage read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// How many files.
    pub files: u64,
    /// Their bytes, as they lie in the source.
    pub bytes: u64,
    /// The first of their names, relative to the root of the stage.
    pub first: Vec<String>,
}

/// The options of one stage, defaults written out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageOptions {
    /// The stage's name; `job` for those that are of no stage.
    pub stage: String,
    /// `key: value`, in the order of the keys.
    pub options: String,
}

pub(super) fn inputs(run: &Run) -> Vec<Inputs> {
    let reads = run.stages().iter().filter(|stage| stage.name == "read");
    let told = |stage: &Stage| {
        let inputs = &stage.manifest.inputs;
        Inputs {
            files: inputs.len() as u64,
            bytes: inputs.iter().fold(0, |sum, input| sum.saturating_add(input.bytes)),
            first: inputs.iter().take(INPUTS_SHOWN).map(|input| input.path.clone()).collect(),
        }
    };
    reads.map(told).collect()
}

/// The options of `job.yaml`; none where it cannot be read, which costs the table and not the report.
pub(super) fn options(run: &Run) -> Result<Vec<StageOptions>, Error> {
    let text = run.files().small("job.yaml")?.and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(Value::Object(job)) = text.and_then(|text| serde_saphyr::from_str::<Value>(&text).ok()) else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    let of_job = by_name(&job).into_iter().filter(|(key, _)| !OUTSIDE.contains(&key.as_str()));
    let of_job: Vec<String> = of_job.flat_map(|(key, value)| flat(key, value)).collect();
    all.push(StageOptions { stage: "job".to_owned(), options: of_job.join(", ") });
    let stages = job.get("pipeline").and_then(Value::as_array).into_iter().flatten();
    for (stage, options) in stages.filter_map(Value::as_object).flatten() {
        let options: Vec<String> = match options {
            Value::Object(options) => {
                by_name(options).into_iter().flat_map(|(key, value)| flat(key, value)).collect()
            }
            _ => Vec::new(),
        };
        all.push(StageOptions { stage: stage.clone(), options: options.join(", ") });
    }
    Ok(all)
}

/// Keys and values, by key: in which order the map has them depends on what other crates ask of the JSON library.
fn by_name(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// An option and those below it as `key.key: value`; what is not set is left out.
fn flat(key: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(below) => {
            let below = by_name(below).into_iter();
            below.flat_map(|(name, value)| flat(&format!("{key}.{name}"), value)).collect()
        }
        Value::Array(items) if items.is_empty() => Vec::new(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            vec![format!("{key}: [{}]", shortened(&items.join(", ")))]
        }
        value => vec![format!("{key}: {}", shortened(&plain(value)))],
    }
}

/// A value without the directory that it lies in.
fn plain(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    match text.rsplit_once('/') {
        Some((_, name)) if text.starts_with(['/', '@', '~']) || text.contains("://") => format!("…/{name}"),
        _ => text.clone(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How many numbers the model holds, from the header of its file: of the exported one, else of the last checkpoint's.
pub(super) fn parameters(run: &Run) -> Result<Option<u64>, Error> {
    let last = run.checkpoints()?.pop();
    let places = [Some("model".to_owned()), last.map(|name| format!("checkpoints/{name}"))];
    for place in places.into_iter().flatten() {
        let path = RelativePath::new(format!("{place}/model.safetensors"))?;
        if let Some(header) = header(run, &path)? {
            return Ok(Some(count_of(&header)));
        }
    }
    Ok(None)
}

fn count_of(header: &Value) -> u64 {
    let tensors = header.as_object().into_iter().flatten().filter(|(name, _)| *name != "__metadata__");
    let numbers = |tensor: &Value| {
        let shape = tensor["shape"].as_array().into_iter().flatten().filter_map(Value::as_u64);
        shape.fold(1, u64::saturating_mul)
    };
    tensors.fold(0, |sum, (_, tensor)| sum.saturating_add(numbers(tensor)))
}

/// The header of a safetensors file: its length in eight bytes, then JSON. `None` where there is no such file, or one that
/// is none: a report that says less is better than none.
fn header(run: &Run, path: &RelativePath) -> Result<Option<Value>, Error> {
    let store = run.files().store();
    let Some(entry) = store.try_stat(path)? else { return Ok(None) };
    let read = |range: std::ops::Range<u64>| -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        let read = store.open_reader(path, Some(range))?.read_to_end(&mut bytes);
        Ok(read.is_ok().then_some(bytes))
    };
    let Some(length) = read(0..8)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes) else {
        return Ok(None);
    };
    if length > HEADER_BYTES.min(entry.bytes.saturating_sub(8)) {
        return Ok(None);
    }
    Ok(read(8..8 + length)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Entries of the run's tokenizer: one more than the highest id.
pub(super) fn vocabulary(run: &Run) -> Option<u64> {
    // One that cannot be read costs its size and not the report.
    let tokenizer = run.files().json::<Value>("tokens/tokenizer.json").ok()??;
    let own = match &tokenizer["model"]["vocab"] {
        Value::Object(tokens) => tokens.values().filter_map(Value::as_u64).max().map_or(0, |id| id + 1),
        Value::Array(pieces) => pieces.len() as u64,
        _ => 0,
    };
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let added = added.filter_map(|token| token["id"].as_u64()).max().map_or(0, |id| id.saturating_add(1));
    Some(own.max(added)).filter(|&entries| entries > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_flat_and_name_no_directory() {
        let options = json!({"paths": ["/home/a/b/*.md", "s3://c/d.warc.gz"], "model": "~/lid.bin",
            "format": null, "exclude": [], "train": {"steps": 5, "rate": 0.5}, "field": "text/plain"});
        let options = options.as_object().expect("an object");
        let all: Vec<String> =
            by_name(options).into_iter().flat_map(|(key, value)| flat(key, value)).collect();
        assert_eq!(
            all.join(", "),
            "field: text/plain, model: …/lid.bin, paths: […/*.md, …/d.warc.gz], train.rate: 0.5, train.steps: 5"
        );
    }

    #[test]
    fn parameters_are_what_the_shapes_say() {
        let header = json!({"__metadata__": {"a": "b"}, "w": {"shape": [3, 4]}, "b": {"shape": [4]}, "s": {"shape": []}});
        assert_eq!(count_of(&header), 17);
    }
}
