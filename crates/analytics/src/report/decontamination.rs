//! Which benchmarks documents had text of.

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, Expr, col, len, lit};
use serde::{Deserialize, Serialize};

use super::Section;
use super::samples::{DroppedSample, Seen, of_rule};
use crate::error::Error;
use crate::run::{Run, Stage};
use crate::tables::{Kind, scan_in_pieces};
use crate::trace::{number, text};

/// How the names of its rules begin; the benchmark's follows.
const RULE: &str = "contaminated_";
/// Items of one benchmark that are named.
const NAMED_ITEMS: usize = 10;
/// Bars of the histogram of overlap.
const TENTHS: u64 = 10;

/// What documents had in common with one benchmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchmarkHits {
    /// The stage that looked.
    pub stage: String,
    /// The benchmark's name.
    pub benchmark: String,
    /// Documents dropped for it.
    pub dropped: u64,
    /// Documents that went on though they have n-grams of it.
    pub noted: u64,
    /// Spans noted in those.
    pub spans: u64,
    /// Items that documents were dropped for.
    pub items: u64,
    /// Those that most documents were dropped for.
    pub most: Vec<ItemHits>,
    /// Dropped documents by the share of the item's n-grams that was found in them.
    pub overlap: Vec<Overlap>,
    /// Some dropped documents, with what they were dropped for.
    pub samples: Vec<DroppedSample>,
}

/// Documents that one item was found in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemHits {
    /// The item, as the rule's value names it: its place from 0, after its file where the benchmark has several.
    pub item: String,
    /// How many documents were dropped for it.
    pub documents: u64,
}

/// A bar of the histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// More than so many per cent of the item's n-grams were found.
    pub above: u64,
    /// At most so many.
    pub to: u64,
    /// How many documents.
    pub documents: u64,
}

/// What was found of an item: `item 17: 6 of 7 n-grams; 2 items`.
#[derive(Debug, PartialEq)]
struct Value<'a> {
    item: &'a str,
    found: u64,
    of: u64,
}

fn parse(value: &str) -> Option<Value<'_>> {
    let (item, rest) = value.strip_prefix("item ")?.rsplit_once(": ")?;
    let (found, rest) = rest.split_once(" of ")?;
    let (of, _) = rest.split_once(' ')?;
    Some(Value { item, found: found.parse().ok()?, of: of.parse().ok().filter(|&of| of > 0)? })
}

pub(super) fn hits(run: &Run, seen: &Seen) -> Result<Section<Vec<BenchmarkHits>>, Error> {
    let mut benchmarks = Vec::new();
    let mut has_stage = false;
    for stage in run.document_stages().filter(|stage| stage.name == "decontaminate") {
        has_stage = true;
        let mut found = BTreeMap::<String, Counts>::new();
        dropped(run, stage, &mut found)?;
        noted(run, stage, &mut found)?;
        benchmarks.extend(
            found
                .into_iter()
                .map(|(rule, counts)| counts.into_hits(stage, &rule, of_rule(stage, seen, &rule))),
        );
    }
    Ok(if !benchmarks.is_empty() {
        Section::Data(benchmarks)
    } else if has_stage {
        Section::absent("No document has text of a benchmark.")
    } else {
        Section::absent("The pipeline has no decontaminate step, or it has not finished.")
    })
}

/// What is counted of one rule.
#[derive(Default)]
struct Counts {
    dropped: u64,
    noted: u64,
    spans: u64,
    items: BTreeMap<String, u64>,
    tenths: [u64; TENTHS as usize],
}

impl Counts {
    fn into_hits(self, stage: &Stage, rule: &str, samples: Vec<DroppedSample>) -> BenchmarkHits {
        let items = self.items.len() as u64;
        let mut most: Vec<_> =
            self.items.into_iter().map(|(item, documents)| ItemHits { item, documents }).collect();
        most.sort_by(|a, b| b.documents.cmp(&a.documents).then_with(|| a.item.cmp(&b.item)));
        most.truncate(NAMED_ITEMS);
        let bars = (0..).zip(self.tenths);
        let step = 100 / TENTHS;
        BenchmarkHits {
            stage: stage.name.clone(),
            benchmark: rule.strip_prefix(RULE).unwrap_or(rule).to_owned(),
            dropped: self.dropped,
            noted: self.noted,
            spans: self.spans,
            items,
            most,
            overlap: bars
                .map(|(tenth, documents)| Overlap { above: tenth * step, to: (tenth + 1) * step, documents })
                .collect(),
            samples,
        }
    }
}

fn is_ours() -> Expr {
    col("rule").str().starts_with(lit(RULE))
}

fn each_row(
    run: &Run,
    stage: &Stage,
    kind: Kind,
    by: [&str; 2],
    mut take: impl FnMut(&DataFrame, usize, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    for piece in scan_in_pieces(run, stage, kind) {
        let groups = piece?.filter(is_ours()).group_by(by.map(col)).agg([len().alias("rows")]).collect()?;
        for row in 0..groups.height() {
            take(&groups, row, number(&groups, "rows", row)?)?;
        }
    }
    Ok(())
}

fn dropped(run: &Run, stage: &Stage, found: &mut BTreeMap<String, Counts>) -> Result<(), Error> {
    each_row(run, stage, Kind::Dropped, ["rule", "value"], |groups, row, rows| {
        let counts = found.entry(text(groups, "rule", row)?).or_default();
        counts.dropped += rows;
        if let Some(value) = parse(&text(groups, "value", row)?) {
            *counts.items.entry(value.item.to_owned()).or_default() += rows;
            // (0, 10] per cent is the first bar.
            let tenth = (value.found * TENTHS).div_ceil(value.of).clamp(1, TENTHS) - 1;
            counts.tenths[tenth as usize] += rows;
        }
        Ok(())
    })
}

fn noted(run: &Run, stage: &Stage, found: &mut BTreeMap<String, Counts>) -> Result<(), Error> {
    each_row(run, stage, Kind::Notes, ["rule", "id"], |groups, row, rows| {
        let counts = found.entry(text(groups, "rule", row)?).or_default();
        counts.noted += 1;
        counts.spans += rows;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_step_writes_them() {
        let value = |item, found, of| Some(Value { item, found, of });
        assert_eq!(parse("item 0: 6 of 7 n-grams"), value("0", 6, 7));
        assert_eq!(parse("item test: a:17: 1 of 40 n-grams; 3 items"), value("test: a:17", 1, 40));
        for text in ["", "6 of 7", "item 0", "item 0: six of 7 n-grams", "item 0: 1 of 0 n-grams"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
