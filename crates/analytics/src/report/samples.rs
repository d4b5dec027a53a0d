//! Some documents, to look at. The choice is the lowest hash of the id: no preference, and the same every time.

use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::Digest;
use polars::prelude::{DataFrame, Expr, LazyFrame, col, lit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Section;
use crate::error::Error;
use crate::run::{Run, Stage, read_bounded};
use crate::tables::{Kind, scan, scan_each_part};
use crate::trace::{number, text};

/// Kept documents shown.
const KEPT_SAMPLES: usize = 6;
/// Dropped documents shown; one for each rule, those that dropped most first.
const DROPPED_SAMPLES: usize = 10;
/// Generated texts shown.
const GENERATED_SAMPLES: usize = 8;
/// Characters of a text shown.
const SAMPLE_CHARACTERS: usize = 600;

/// The beginning of a kept document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Its id.
    pub id: String,
    /// Its source file.
    pub source: String,
    /// Its record in that file.
    pub record: u64,
    /// Its URL, where known.
    pub url: Option<String>,
    /// Its language, where known.
    pub language: Option<String>,
    /// Bytes of the whole text.
    pub bytes: u64,
    /// The text's beginning.
    pub text: String,
}

/// A dropped document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DroppedSample {
    /// The stage that dropped it.
    pub stage: String,
    /// The rule.
    pub rule: String,
    /// The value that broke the rule.
    pub value: String,
    /// Its id.
    pub id: String,
    /// Its source file.
    pub source: String,
    /// Its record in that file.
    pub record: u64,
    /// The text's beginning; absent where no stage before wrote it.
    pub text: Option<String>,
}

/// What the model wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Generated {
    /// The step of the checkpoint, where known.
    pub step: Option<u64>,
    /// What it was given.
    pub prompt: String,
    /// What it wrote.
    pub text: String,
}

pub(super) fn kept(run: &Run) -> Result<Section<Vec<Sample>>, Error> {
    let Some(stage) = run.last_materialised() else {
        return Ok(Section::absent("No stage has written documents."));
    };
    // (hash, id) of the lowest so far; one part's ids are in memory at a time.
    let mut lowest = BTreeSet::<(Digest, String)>::new();
    for part in scan_each_part(run, stage)? {
        let ids = part.select([col("id")]).collect()?;
        for row in 0..ids.height() {
            let id = text(&ids, "id", row)?;
            lowest.insert((Digest::of(id.as_bytes()), id));
            if lowest.len() > KEPT_SAMPLES {
                lowest.pop_last();
            }
        }
    }
    if lowest.is_empty() {
        return Ok(Section::absent("No document was kept."));
    }
    let columns = ["id", "source", "record", "url", "language"];
    let mut samples = BTreeMap::new();
    for part in scan_each_part(run, stage)? {
        let rows = texts(part, lowest.iter().map(|(_, id)| id.as_str()), &columns)?;
        for row in 0..rows.height() {
            let id = text(&rows, "id", row)?;
            let optional = |column| text(&rows, column, row).map(|text| (!text.is_empty()).then_some(text));
            let sample = Sample {
                source: text(&rows, "source", row)?,
                record: number(&rows, "record", row)?,
                url: optional("url")?,
                language: optional("language")?,
                bytes: number(&rows, "bytes", row)?,
                text: beginning(&text(&rows, "text", row)?),
                id: id.clone(),
            };
            samples.insert(Digest::of(id.as_bytes()), sample);
        }
    }
    Ok(Section::Data(samples.into_values().collect()))
}

pub(super) fn dropped(run: &Run) -> Result<Section<Vec<DroppedSample>>, Error> {
    let mut rules: Vec<(u64, &Stage, &str)> = Vec::new();
    for stage in run.document_stages() {
        rules.extend(stage.manifest.dropped.iter().map(|(rule, &count)| (count, stage, rule.as_str())));
    }
    rules.retain(|(count, ..)| *count > 0);
    rules.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.number.cmp(&b.1.number)).then(a.2.cmp(b.2)));
    rules.truncate(DROPPED_SAMPLES);
    let mut samples = Vec::new();
    for (_, stage, rule) in rules {
        let Some(frame) = scan(run, stage, Kind::Dropped)? else { continue };
        // The lowest id stands for the lowest hash here: ids are hashes themselves, and the engine can find their
        // minimum without holding them.
        let frame = frame.filter(col("rule").eq(lit(rule)));
        let lowest = text(&frame.clone().select([col("id").min()]).collect()?, "id", 0)?;
        let row = frame.filter(col("id").eq(lit(lowest.as_str()))).limit(1).collect()?;
        if row.height() == 0 {
            continue;
        }
        samples.push(DroppedSample {
            stage: stage.name.clone(),
            rule: rule.to_owned(),
            value: beginning(&text(&row, "value", 0)?),
            source: text(&row, "source", 0)?,
            record: number(&row, "record", 0)?,
            text: text_before(run, stage, &lowest)?,
            id: lowest,
        });
    }
    Ok(if samples.is_empty() { Section::absent("No document was dropped.") } else { Section::Data(samples) })
}

/// The beginning of a document's text as the last stage before `stage` that wrote documents has it.
fn text_before(run: &Run, stage: &Stage, id: &str) -> Result<Option<String>, Error> {
    let before =
        run.document_stages().filter(|other| other.number < stage.number && other.is_materialised()).last();
    let Some(before) = before else { return Ok(None) };
    for part in scan_each_part(run, before)? {
        let rows = texts(part, [id].into_iter(), &["id"])?;
        if rows.height() > 0 {
            return Ok(Some(beginning(&text(&rows, "text", 0)?)));
        }
    }
    Ok(None)
}

/// The rows of some documents, with the length of their text as `bytes`.
fn texts<'a>(
    parts: LazyFrame,
    ids: impl Iterator<Item = &'a str>,
    columns: &[&str],
) -> Result<DataFrame, Error> {
    let wanted = ids.map(|id| col("id").eq(lit(id))).reduce(Expr::or).unwrap_or_else(|| lit(false));
    let mut selected: Vec<_> = columns.iter().map(|&column| col(column)).collect();
    selected.extend([col("text"), col("text").str().len_bytes().alias("bytes")]);
    Ok(parts.filter(wanted).select(selected).collect()?)
}

/// The first characters of a text, with an ellipsis where it goes on.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(SAMPLE_CHARACTERS) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[derive(Deserialize)]
struct GeneratedLine {
    #[serde(default)]
    step: Option<u64>,
    #[serde(default)]
    prompt: String,
    #[serde(alias = "completion", alias = "output")]
    text: String,
}

/// Reads `samples.jsonl` of the output or of its model; lines that are something else are passed over.
pub(super) fn generated(run: &Run) -> Result<Section<Vec<Generated>>, Error> {
    let mut bytes = None;
    for path in ["samples.jsonl", "model/samples.jsonl"] {
        bytes = read_bounded(&run.root().join(path))?;
        if bytes.is_some() {
            break;
        }
    }
    let bytes = bytes.unwrap_or_default();
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let mut samples: Vec<_> = lines
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter_map(|value| serde_json::from_value::<GeneratedLine>(value).ok())
        .map(|line| Generated {
            step: line.step,
            prompt: beginning(&line.prompt),
            text: beginning(&line.text),
        })
        .collect();
    // A file that grew while training went on ends with the best model's.
    samples.drain(..samples.len().saturating_sub(GENERATED_SAMPLES));
    Ok(if samples.is_empty() {
        Section::absent("There are no samples of generated text: no samples.jsonl in the output.")
    } else {
        Section::Data(samples)
    })
}
