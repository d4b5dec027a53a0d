//! What could not be read, by file: a file that is cut short is one malformed record, whatever else was in it.

use std::collections::BTreeMap;

use polars::prelude::{col, len, lit};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::run::Run;
use crate::tables::{Kind, scan_in_pieces};
use crate::trace::{number, text};

/// Files that are named, those with most first.
const NAMED: usize = 5;

/// Records that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Malformed {
    /// How many: each is a gap that the reader jumped, and may have been more.
    pub records: u64,
    /// In how many files.
    pub files: u64,
    /// Of how many that were read.
    pub of_files: u64,
    /// The files with most of them.
    pub most: Vec<MalformedFile>,
}

/// A file with malformed records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MalformedFile {
    /// The source, relative to its read step's root.
    pub source: String,
    /// How many.
    pub records: u64,
    /// Place and cause of the first.
    pub first: String,
}

/// Counts what the read stages could not read; `None` where that is nothing.
pub(super) fn malformed(run: &Run) -> Result<Option<Malformed>, Error> {
    // As many entries as the run had input files.
    let mut sources: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut of_files = 0;
    for stage in run.stages().iter().filter(|stage| stage.name == "read") {
        of_files += stage.manifest.inputs.len() as u64;
        if !stage.manifest.dropped.contains_key("malformed") {
            continue;
        }
        for rows in scan_in_pieces(run, stage, Kind::Dropped) {
            let rows = rows?.filter(col("rule").eq(lit("malformed")));
            let first = col("value").first().alias("first");
            let sums =
                rows.group_by_stable([col("source")]).agg([len().alias("records"), first]).collect()?;
            for row in 0..sums.height() {
                let first = text(&sums, "first", row)?;
                let sum = sources.entry(text(&sums, "source", row)?).or_insert((0, first));
                sum.0 += number(&sums, "records", row)?;
            }
        }
    }
    let (files, records) = (sources.len() as u64, sources.values().map(|(records, _)| records).sum());
    let mut most: Vec<_> = sources
        .into_iter()
        .map(|(source, (records, first))| MalformedFile { source, records, first })
        .collect();
    most.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.source.cmp(&b.source)));
    most.truncate(NAMED);
    Ok((files > 0).then_some(Malformed { records, files, of_files, most }))
}
