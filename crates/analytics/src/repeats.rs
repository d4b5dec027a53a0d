//! What dedup stages that cut parts out of documents saw.

use std::collections::BTreeMap;

use orchestrator_storage::repeats::{SCHEMA_VERSION, SliceReport};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::run::Run;

/// What all slices of a stage saw together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepeatedStage {
    /// The stage's directory.
    pub stage: String,
    /// Slices of the hash space.
    pub slices: u64,
    /// Paragraphs, n-grams or windows that came.
    pub items: u64,
    /// How many of them occurred before.
    pub repeated: u64,
    /// Bytes of the largest slice's filter or table.
    pub bytes: u64,
    /// The rate of false positives that was asked for, and the highest that a slice's filter reached; absent where tables
    /// were kept.
    pub rates: Option<(f64, f64)>,
}

/// What the stages of a run saw, by stage directory.
pub(crate) fn repeated_stages(run: &Run) -> Result<Vec<RepeatedStage>, Error> {
    let files = run.files();
    let mut stages = BTreeMap::<String, RepeatedStage>::new();
    for path in files.below("stages")? {
        let Some((directory, name)) = path.split_once('/') else { continue };
        if !name.starts_with("seen-") {
            continue;
        }
        let relative = format!("stages/{path}");
        let Some(slice) = files.json::<SliceReport>(&relative)? else { continue };
        if slice.schema_version != SCHEMA_VERSION {
            return Err(Error::SchemaVersion {
                path: files.name(&relative),
                found: slice.schema_version,
                expected: SCHEMA_VERSION,
            });
        }
        let stage = stages.entry(directory.to_owned()).or_insert_with(|| RepeatedStage {
            stage: directory.to_owned(),
            slices: 0,
            items: 0,
            repeated: 0,
            bytes: 0,
            rates: None,
        });
        stage.slices += 1;
        stage.items = stage.items.saturating_add(slice.items);
        stage.repeated = stage.repeated.saturating_add(slice.repeated);
        stage.bytes = stage.bytes.max(slice.bytes);
        if let Some(filter) = slice.filter {
            let reached = stage.rates.map_or(0.0, |(_, reached)| reached);
            stage.rates = Some((filter.rate_asked, filter.rate_reached.max(reached)));
        }
    }
    Ok(stages.into_values().collect())
}
