//! `inspect`: a data set, a part, a token shard or a checkpoint, for a person.

use std::path::Path;

use anyhow::anyhow;
use orchestrator_analytics::Run;
use orchestrator_storage::documents::{DocumentReader, DroppedReader, NotesReader, Projection};
use orchestrator_storage::tokens::TokenShard;
use orchestrator_storage::{RelativePath, Store};
use orchestrator_train::checkpoint::Manifest;
use serde_json::{Value, json};

use crate::args::InspectArgs;
use crate::commands::runs::stats_text;
use crate::console::{Console, count, table};
use crate::failure::Failure;

/// Characters of a text that are shown.
const SHOWN: usize = 200;
/// The largest manifest of a checkpoint.
const MANIFEST_LIMIT: u64 = 64 << 20;

/// Shows what lies at a path.
pub(crate) fn run(args: &InspectArgs, console: &Console) -> Result<(), Failure> {
    let path = &args.path;
    if path.is_dir() {
        return if path.join("state.json").exists() || path.join("model.safetensors").exists() {
            checkpoint(path, console)
        } else {
            let stats = orchestrator_analytics::stats(&Run::open(path).map_err(Failure::usage)?);
            console.result(&stats, || stats_text(&stats))
        };
    }
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let (store, relative) = locate(path)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("bin" | "idx") => shard(path, console),
        Some("parquet") if name.starts_with("dropped-") => dropped(&store, &relative, args.rows, console),
        Some("parquet") if name.starts_with("notes-") => notes(&store, &relative, args.rows, console),
        Some("parquet") if name.starts_with("part-") => documents(&store, &relative, args.rows, console),
        _ => Err(Failure::usage(anyhow!(
            "`{}` is nothing we know: expected a run, a checkpoint, `part-`, `dropped-` or `notes-NNNNN.parquet`, `.bin` or `.idx`",
            path.display()
        ))),
    }
}

fn locate(path: &Path) -> Result<(Store, RelativePath), Failure> {
    Store::locate(&path.to_string_lossy(), orchestrator_storage::OpenOptions::default())
        .map_err(Failure::usage)
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn documents(store: &Store, path: &RelativePath, rows: usize, console: &Console) -> Result<(), Failure> {
    let reader = DocumentReader::open(store, path, Projection::All).map_err(Failure::usage)?;
    let total = reader.rows();
    let shown = reader.take(rows).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
    let value: Vec<Value> = shown
        .iter()
        .map(|document| {
            json!({ "id": document.id, "source": document.source, "record": document.record, "url": document.url,
                "language": document.language, "characters": document.text.chars().count(), "text": document.text })
        })
        .collect();
    console.result(&json!({ "documents": total, "rows": value }), || {
        let rows = shown.iter().map(|document| {
            [
                document.id.to_string(),
                format!("{} {}", document.source, document.record),
                document.language.clone().unwrap_or_default(),
                shortened(&document.text),
            ]
        });
        format!(
            "{} documents\n{}",
            count(total),
            table(["id", "source", "language", "text"], &[], rows.collect())
        )
    })
}

fn dropped(store: &Store, path: &RelativePath, rows: usize, console: &Console) -> Result<(), Failure> {
    let reader = DroppedReader::open(store, path).map_err(Failure::usage)?;
    let total = reader.rows();
    let shown = reader.take(rows).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
    let value: Vec<Value> = shown
        .iter()
        .map(|row| {
            json!({ "id": row.id, "source": row.source, "record": row.record, "url": row.url,
                "rule": row.reason.rule, "value": row.reason.value })
        })
        .collect();
    console.result(&json!({ "dropped": total, "rows": value }), || {
        let rows = shown.iter().map(|row| {
            [
                row.id.to_string(),
                format!("{} {}", row.source, row.record),
                row.reason.rule.to_string(),
                shortened(&row.reason.value),
            ]
        });
        format!("{} dropped\n{}", count(total), table(["id", "source", "rule", "value"], &[], rows.collect()))
    })
}

fn notes(store: &Store, path: &RelativePath, rows: usize, console: &Console) -> Result<(), Failure> {
    let reader = NotesReader::open(store, path).map_err(Failure::usage)?;
    let total = reader.rows();
    let shown = reader.take(rows).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
    let value: Vec<Value> = shown
        .iter()
        .map(|(id, note)| {
            json!({ "id": id, "rule": note.rule, "what": note.kind.as_str(), "start": note.start, "end": note.end })
        })
        .collect();
    console.result(&json!({ "notes": total, "rows": value }), || {
        let rows = shown.iter().map(|(id, note)| {
            [
                id.to_string(),
                note.rule.to_string(),
                note.kind.as_str().to_owned(),
                format!("{}..{}", note.start, note.end),
            ]
        });
        format!("{} notes\n{}", count(total), table(["id", "rule", "what", "bytes"], &[], rows.collect()))
    })
}

fn shard(path: &Path, console: &Console) -> Result<(), Failure> {
    let (store, stem) = locate(&path.with_extension(""))?;
    let shard = TokenShard::open(&store, &stem).map_err(Failure::usage)?;
    let longest =
        (0..shard.sequences()).filter_map(|n| shard.sequence(n)).map(|span| span.end - span.start).max();
    let value = json!({ "shard": stem.as_str(), "sequences": shard.sequences(), "tokens": shard.tokens(),
        "type": format!("{:?}", shard.token_type()), "longest": longest });
    console.result(&value, || {
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

fn checkpoint(path: &Path, console: &Console) -> Result<(), Failure> {
    let store = Store::open(&path.to_string_lossy()).map_err(Failure::usage)?;
    let manifest = RelativePath::new("manifest.json").map_err(Failure::usage)?;
    let bytes = store.read_all(&manifest, MANIFEST_LIMIT).map_err(|_| {
        Failure::usage(anyhow!("`{}` has no manifest.json: it is no committed checkpoint", path.display()))
    })?;
    let manifest = Manifest::parse(&bytes).map_err(Failure::usage)?;
    console.result(&manifest, || {
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
