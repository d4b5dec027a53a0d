//! Some documents, to look at. The choice is the lowest hash of the id: no preference, and the same every time. Dropped
//! documents no file holds: map tasks took samples of them as they passed (`samples-NNNNN.json`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use orchestrator_core::{Digest, DocumentId, StageSamples, TaskSamples};
use polars::prelude::{DataFrame, Expr, LazyFrame, col, lit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Section;
use crate::error::Error;
use crate::run::{Run, Stage};
use crate::tables::scan_each_part;
use crate::trace::{number, text};

/// Kept documents shown.
const KEPT_SAMPLES: usize = 6;
/// Rules of which dropped documents are shown, those that dropped most first.
const SAMPLED_RULES: usize = 12;
/// Generated texts shown.
const GENERATED_SAMPLES: usize = 8;
/// Characters of a text shown.
const SAMPLE_CHARACTERS: usize = 600;

/// The beginning of a kept document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Bytes of the whole text; absent where the record never became one.
    pub bytes: Option<u64>,
    /// The text's beginning, or what surrounds the first span that it was dropped for, as the stage had it that dropped it.
    pub text: Option<String>,
    /// Bytes of `text` that it was dropped for, where the rule tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Range<usize>>,
}

impl DroppedSample {
    /// How the value stands to the rule: a survivor's id is no threshold.
    pub(super) fn relation(&self) -> &'static str {
        if self.value.parse::<DocumentId>().is_ok() { "in favour of" } else { "at" }
    }
}

/// What the model wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// The step of the checkpoint, where known.
    pub step: Option<u64>,
    /// What it was given.
    pub prompt: String,
    /// What it wrote.
    pub text: String,
}

/// What map tasks saw of documents, summed by stage.
pub(super) struct Seen(BTreeMap<u32, StageSamples>);

impl Seen {
    /// Reads the samples of every published stage; one task's are in memory beside the sums.
    pub(super) fn read(run: &Run) -> Result<Self, Error> {
        let mut stages = BTreeMap::<u32, StageSamples>::new();
        for stage in run.document_stages() {
            for file in stage.samples() {
                let Some(task) = run.files().json::<TaskSamples>(file)? else {
                    let path = run.files().name(file);
                    return Err(Error::MissingFile { stage: stage.name.clone(), path });
                };
                for samples in task.stages {
                    let number = samples.stage;
                    let sum = StageSamples { stage: number, ..StageSamples::default() };
                    stages.entry(number).or_insert(sum).append(samples);
                }
            }
        }
        Ok(Self(stages))
    }

    /// What the tasks saw in a stage.
    pub(super) fn get(&self, stage: &Stage) -> Option<&StageSamples> {
        self.0.get(&stage.manifest.stage)
    }
}

pub(super) fn kept(run: &Run) -> Result<Section<Vec<Sample>>, Error> {
    let Some(stage) = run.last_materialised() else {
        return Ok(Section::absent("No stage has written documents."));
    };
    // (hash, id) of the lowest so far; one part's ids are in memory at a time.
    let mut lowest = BTreeSet::<(Digest, String)>::new();
    for part in scan_each_part(run, stage) {
        let ids = part?.select([col("id")]).collect()?;
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
    for part in scan_each_part(run, stage) {
        let rows = texts(part?, lowest.iter().map(|(_, id)| id.as_str()), &columns)?;
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

pub(super) fn dropped(run: &Run, seen: &Seen) -> Section<Vec<DroppedSample>> {
    let mut rules: Vec<(u64, &Stage, &str)> = Vec::new();
    for stage in run.document_stages() {
        rules.extend(stage.manifest.dropped.iter().map(|(rule, &count)| (count, stage, rule.as_str())));
    }
    rules.retain(|(count, ..)| *count > 0);
    if rules.is_empty() {
        return Section::absent("No document was dropped.");
    }
    rules.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.number.cmp(&b.1.number)).then(a.2.cmp(b.2)));
    rules.truncate(SAMPLED_RULES);
    let mut samples = Vec::new();
    for (_, stage, rule) in rules {
        samples.extend(of_rule(stage, seen, rule));
    }
    if samples.is_empty() {
        return Section::absent(
            "No samples were taken: another version of the program dropped the documents.",
        );
    }
    Section::Data(samples)
}

/// The samples of one rule of a stage.
pub(super) fn of_rule(stage: &Stage, seen: &Seen, rule: &str) -> Vec<DroppedSample> {
    let samples = seen.get(stage).and_then(|seen| seen.samples.get(rule));
    let samples = samples.into_iter().flatten().map(|sample| DroppedSample {
        stage: stage.name.clone(),
        rule: rule.to_owned(),
        value: sample.value.clone(),
        id: sample.id.to_string(),
        source: sample.source.clone(),
        record: sample.record,
        bytes: sample.bytes,
        text: sample.text.clone(),
        marks: sample.marks.clone(),
    });
    samples.collect()
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
        bytes = run.files().small(path)?;
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
