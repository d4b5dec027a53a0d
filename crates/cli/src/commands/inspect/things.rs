//! Shards, manifests, checkpoints and metrics.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};

use anyhow::anyhow;
use orchestrator_core::units::ByteSize;
use orchestrator_storage::RelativePath;
use orchestrator_storage::manifest::StageManifest;
use orchestrator_storage::tokens::TokenShard;
use orchestrator_train::checkpoint::Manifest;
use serde_json::{Value, json};

use super::Subject;
use crate::console::{count, digits, table};
use crate::failure::Failure;

/// The largest manifest that is shown.
const MANIFEST_LIMIT: u64 = 256 << 20;
/// Files of a manifest that are listed for a person.
const FILES_SHOWN: usize = 20;
/// A longer line of metrics is none of ours.
const LINE_LIMIT: u64 = 1 << 16;

pub(super) fn shard(subject: &Subject<'_>) -> Result<(), Failure> {
    let path = subject.path.as_str();
    let stem = path.strip_suffix(".bin").or(path.strip_suffix(".idx")).unwrap_or(path);
    let index = RelativePath::new(format!("{stem}.idx")).map_err(Failure::reading)?;
    if subject.store.try_stat(&index).map_err(Failure::reading)?.is_none() {
        let index = index.file_name();
        return Err(Failure::usage(anyhow!(
            "`{}` is no token shard: expected `{index}` beside it",
            subject.url
        )));
    }
    let stem = RelativePath::new(stem).map_err(Failure::reading)?;
    let shard = TokenShard::open(&subject.store, &stem).map_err(Failure::reading)?;
    let longest =
        (0..shard.sequences()).filter_map(|n| shard.sequence(n)).map(|span| span.end - span.start).max();
    let value = json!({ "shard": stem.as_str(), "sequences": shard.sequences(), "tokens": shard.tokens(),
        "type": format!("{:?}", shard.token_type()), "longest": longest });
    subject.console.result(&value, || {
        format!(
            "{}: {} tokens in {} sequences ({:?}), the longest {}",
            stem.as_str(),
            count(shard.tokens()),
            count(shard.sequences() as u64),
            shard.token_type(),
            count(longest.unwrap_or(0))
        )
    })
}

/// A stage's manifest, or a checkpoint's.
pub(super) fn manifest(subject: &Subject<'_>) -> Result<(), Failure> {
    let bytes = subject.read(&subject.path, MANIFEST_LIMIT)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Failure::usage(anyhow!("`{}` is not the JSON that was expected: {error}", subject.url))
    })?;
    if value.get("world_size").is_some() {
        return checkpoint(subject);
    }
    let manifest: StageManifest = serde_json::from_value(value).map_err(|error| {
        Failure::usage(anyhow!("`{}` is neither a stage's nor a checkpoint's manifest: {error}", subject.url))
    })?;
    subject.console.result(&manifest, || {
        let mut text = format!(
            "stage {:02} {}: {} in, {} kept, {} dropped, {} of text kept\ndigest {}\n",
            manifest.stage,
            manifest.name,
            count(manifest.records_in),
            count(manifest.kept),
            count(manifest.dropped.values().sum()),
            ByteSize(manifest.bytes_kept),
            manifest.digest
        );
        for (rule, dropped) in &manifest.dropped {
            let _ = writeln!(text, "  dropped by {rule}: {}", count(*dropped));
        }
        for (rule, noted) in &manifest.noted {
            let _ = writeln!(text, "  noted by {rule}: {}", count(*noted));
        }
        let rows = manifest.files.iter().take(FILES_SHOWN);
        let rows = rows.map(|file| [file.path.to_string(), count(file.rows), count(file.bytes)]);
        text += &table(["file", "rows", "bytes"], &[1, 2], rows.collect());
        if manifest.files.len() > FILES_SHOWN {
            let _ = write!(text, "\nand {} more files", manifest.files.len() - FILES_SHOWN);
        }
        text
    })
}

pub(super) fn checkpoint(subject: &Subject<'_>) -> Result<(), Failure> {
    let path = subject.beside("manifest.json")?;
    let bytes = subject.read(&path, MANIFEST_LIMIT).map_err(|_| {
        Failure::usage(anyhow!("`{}` has no manifest.json: it is no committed checkpoint", subject.url))
    })?;
    let manifest = Manifest::parse(&bytes).map_err(Failure::reading)?;
    subject.console.result(&manifest, || {
        let rows =
            manifest.files.iter().map(|file| [file.path.clone(), count(file.bytes), file.xxh3.clone()]);
        format!(
            "checkpoint of step {} by {} ranks, trained on {}\n{}",
            count(manifest.step),
            manifest.world_size,
            manifest.shards.join(", "),
            table(["file", "bytes", "xxh3"], &[1], rows.collect())
        )
    })
}

/// All checkpoints of a run.
pub(super) fn checkpoints(subject: &Subject<'_>) -> Result<(), Failure> {
    let mut found = Vec::new();
    for entry in subject.store.list(&RelativePath::root()).map_err(Failure::reading)? {
        let Some(name) = entry.path.as_str().strip_suffix("/manifest.json") else { continue };
        let manifest =
            Manifest::parse(&subject.read(&entry.path, MANIFEST_LIMIT)?).map_err(Failure::reading)?;
        found.push((name.to_owned(), manifest));
    }
    if found.is_empty() {
        return Err(Failure::usage(anyhow!("`{}` holds no committed checkpoint", subject.url)));
    }
    found.sort_by_key(|(_, first)| first.step);
    let bytes =
        |manifest: &Manifest| manifest.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
    let value: Vec<Value> = found
        .iter()
        .map(|(name, manifest)| {
            json!({ "checkpoint": name, "step": manifest.step, "world_size": manifest.world_size,
                "files": manifest.files.len(), "bytes": bytes(manifest) })
        })
        .collect();
    subject.console.result(&value, || {
        let rows = found.iter().map(|(name, manifest)| {
            [
                name.clone(),
                count(manifest.step),
                manifest.world_size.to_string(),
                ByteSize(bytes(manifest)).to_string(),
            ]
        });
        table(["checkpoint", "step", "ranks", "size"], &[1, 2, 3], rows.collect())
    })
}

/// A file of JSON that is for programs, laid out. One that is no single value may be somebody's input of such a name.
pub(super) fn json_file(subject: &Subject<'_>) -> Result<(), Failure> {
    let bytes = subject.read(&subject.path, MANIFEST_LIMIT)?;
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) => subject.console.result(&value, || format!("{value:#}")),
        Err(_) => super::rows::input(subject),
    }
}

/// A resolved job.
pub(super) fn yaml(subject: &Subject<'_>) -> Result<(), Failure> {
    let bytes = subject.read(&subject.path, MANIFEST_LIMIT)?;
    let text = orchestrator_job::decode(bytes, subject.url)?;
    subject.console.result(&json!({ "yaml": text }), || text.clone())
}

/// The last steps of a training.
pub(super) fn metrics(subject: &Subject<'_>) -> Result<(), Failure> {
    let reader = subject.store.open_reader(&subject.path, None).map_err(Failure::reading)?;
    let mut reader = BufReader::new(reader);
    let (mut lines, mut steps) = (std::collections::VecDeque::new(), 0u64);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line);
        if read.map_err(Failure::reading)? == 0 {
            break;
        }
        if let Ok(value) = serde_json::from_slice::<Value>(&line) {
            steps += 1;
            lines.push_back(value);
            if lines.len() > subject.rows {
                lines.pop_front();
            }
        }
    }
    subject.console.result(&json!({ "steps": steps, "last": lines }), || {
        let number = |line: &Value, key: &str| match line.get(key) {
            Some(Value::Number(number)) => number.as_f64().map_or_else(|| number.to_string(), digits),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        let rows =
            lines.iter().map(|line| ["step", "loss", "validation_loss", "lr"].map(|key| number(line, key)));
        format!(
            "{} steps, the last of them:\n{}",
            count(steps),
            table(["step", "loss", "validation loss", "lr"], &[0, 1, 2, 3], rows.collect())
        )
    })
}
