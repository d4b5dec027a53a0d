//! What documents are like: their lengths, languages and duplicates.

use std::collections::BTreeMap;

use polars::prelude::{IntoLazy, JoinArgs, JoinType, LazyFrame, col, len, lit};
use serde::Serialize;

use super::Section;
use crate::error::Error;
use crate::run::{Run, Stage};
use crate::tables::{Kind, scan, scan_each_part};
use crate::trace::{number, text};

/// Documents that one histogram looks at. Above it only ids below a bound are taken: ids are hashes, so those are an
/// even sample, the same in every run.
const SAMPLE_DOCUMENTS: u64 = 1_000_000;
/// Languages named one by one; the rest are summed.
const NAMED_LANGUAGES: usize = 12;

/// A histogram of text lengths in UTF-8 bytes. Bins widen by the square root of 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// One document in so many was looked at.
    pub one_in: u64,
    /// The stage whose documents are the kept ones.
    pub stage: String,
    /// Bins from the first to the last that holds a document.
    pub bins: Vec<Bin>,
    /// Why dropped documents are missing from the bins; absent where all are in.
    pub missing: Option<String>,
}

/// A bin of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// Least length.
    pub from: u64,
    /// One past the greatest length.
    pub to: u64,
    /// Kept documents.
    pub kept: u64,
    /// Dropped documents.
    pub dropped: u64,
}

/// Languages of the documents that were kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Languages {
    /// The stage whose documents they are.
    pub stage: String,
    /// Most first; `und` where no language is known.
    pub languages: Vec<LanguageShare>,
    /// Documents in languages that are not listed.
    pub others: u64,
}

/// How many documents have a language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LanguageShare {
    /// Its code.
    pub language: String,
    /// How many.
    pub documents: u64,
}

/// Clusters of duplicates by size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Clusters of two documents or more.
    pub clusters: u64,
    /// Documents that were dropped for a survivor.
    pub dropped: u64,
    /// The largest cluster, its survivor counted.
    pub largest: u64,
    /// Clusters by size: 2, 3, 4, then in ranges that double.
    pub sizes: Vec<ClusterSize>,
}

/// How many clusters have a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterSize {
    /// Least size.
    pub from: u64,
    /// Greatest size.
    pub to: u64,
    /// How many.
    pub clusters: u64,
}

pub(super) fn lengths(run: &Run) -> Result<Section<Lengths>, Error> {
    let Some(last) = run.last_materialised() else {
        return Ok(Section::absent("No stage has written documents."));
    };
    let largest = run
        .document_stages()
        .map(|stage| stage.manifest.kept.saturating_add(stage.dropped()))
        .max()
        .unwrap_or(0);
    let one_in = largest.div_ceil(SAMPLE_DOCUMENTS).max(1);
    let mut bins = BTreeMap::<u32, (u64, u64)>::new();
    // One part at a time: texts are what is large in a run.
    for part in scan_each_part(run, last)? {
        for length in text_lengths(sampled(part, one_in))? {
            bins.entry(bin_of(length)).or_default().0 += 1;
        }
    }
    let mut missing = Vec::new();
    let mut before: Option<&Stage> = None;
    for stage in run.document_stages() {
        if stage.dropped() > 0 {
            match (before, scan(run, stage, Kind::Dropped)?) {
                (Some(before), Some(dropped)) => {
                    let ids = sampled(dropped, one_in).select([col("id")]).collect()?.lazy();
                    for part in scan_each_part(run, before)? {
                        let inner = JoinArgs::new(JoinType::Inner);
                        let joined = sampled(part, one_in).join(ids.clone(), [col("id")], [col("id")], inner);
                        for length in text_lengths(joined)? {
                            bins.entry(bin_of(length)).or_default().1 += 1;
                        }
                    }
                }
                (None, _) | (_, None) => missing.push(stage.name.as_str()),
            }
        }
        if stage.is_materialised() {
            before = Some(stage);
        }
    }
    let (Some(first), Some(end)) = (bins.keys().next().copied(), bins.keys().next_back().copied()) else {
        return Ok(Section::absent("No document was kept."));
    };
    let bin = |index| {
        let (kept, dropped) = bins.get(&index).copied().unwrap_or_default();
        Bin { from: bin_start(index), to: bin_start(index + 1), kept, dropped }
    };
    let missing = (!missing.is_empty()).then(|| {
        format!(
            "Documents dropped by {} are not in the chart: no stage before wrote their text (with keep: true it does).",
            missing.join(", ")
        )
    });
    Ok(Section::Data(Lengths {
        one_in,
        stage: last.name.clone(),
        bins: (first..=end).map(bin).collect(),
        missing,
    }))
}

/// The documents whose ids are in the first `1 / one_in` of all ids.
fn sampled(frame: LazyFrame, one_in: u64) -> LazyFrame {
    if one_in <= 1 {
        return frame;
    }
    let bound = format!("{:032x}", u128::MAX / u128::from(one_in));
    frame.filter(col("id").lt(lit(bound)))
}

fn text_lengths(frame: LazyFrame) -> Result<Vec<u64>, Error> {
    let rows = frame.select([col("text").str().len_bytes().alias("length")]).collect()?;
    let lengths = rows.column("length")?.as_materialized_series().u32()?.iter();
    Ok(lengths.map(|length| length.unwrap_or(0).into()).collect())
}

/// The first length of bin `index`: 2^(index/2), rounded up.
fn bin_start(index: u32) -> u64 {
    let power = 1u64 << (index / 2).min(62);
    if index.is_multiple_of(2) { power } else { (power as f64 * std::f64::consts::SQRT_2).ceil() as u64 }
}

/// The bin of a length; an empty text is with those of one byte.
fn bin_of(length: u64) -> u32 {
    let even = length.max(1).ilog2() * 2;
    if length.max(1) >= bin_start(even + 1) { even + 1 } else { even }
}

pub(super) fn languages(run: &Run) -> Result<Section<Languages>, Error> {
    let Some(stage) = run.last_materialised() else {
        return Ok(Section::absent("No stage has written documents."));
    };
    let Some(parts) = scan(run, stage, Kind::Parts)? else {
        return Ok(Section::absent("No document was kept."));
    };
    let counts = parts.group_by([col("language")]).agg([len().alias("documents")]).collect()?;
    let mut languages = Vec::with_capacity(counts.height());
    for row in 0..counts.height() {
        let language = text(&counts, "language", row)?;
        let documents = number(&counts, "documents", row)?;
        languages.push(LanguageShare {
            language: if language.is_empty() { "und".to_owned() } else { language },
            documents,
        });
    }
    languages.sort_by(|a, b| b.documents.cmp(&a.documents).then_with(|| a.language.cmp(&b.language)));
    match languages.as_slice() {
        [] => return Ok(Section::absent("No document was kept.")),
        [only] if only.language == "und" => {
            return Ok(Section::absent("No stage named a language: the pipeline has no language step."));
        }
        _ => {}
    }
    let others = languages.iter().skip(NAMED_LANGUAGES).map(|share| share.documents).sum();
    languages.truncate(NAMED_LANGUAGES);
    Ok(Section::Data(Languages { stage: stage.name.clone(), languages, others }))
}

pub(super) fn duplicates(run: &Run) -> Result<Section<Duplicates>, Error> {
    let mut sizes = BTreeMap::<u64, u64>::new();
    let mut has_stage = false;
    for stage in run.document_stages().filter(|stage| stage.name.contains("dedup")) {
        has_stage = true;
        let Some(dropped) = scan(run, stage, Kind::Dropped)? else { continue };
        // An id has 32 characters; every other value of this stage is a number or a short word.
        let clusters = dropped
            .filter(col("value").str().len_bytes().eq(lit(32u32)))
            .group_by([col("value")])
            .agg([len().alias("size")])
            .group_by([col("size")])
            .agg([len().alias("clusters")])
            .collect()?;
        for row in 0..clusters.height() {
            *sizes.entry(number(&clusters, "size", row)? + 1).or_default() +=
                number(&clusters, "clusters", row)?;
        }
    }
    let Some(largest) = sizes.keys().next_back().copied() else {
        return Ok(Section::absent(if has_stage {
            "No document was dropped as a duplicate of another."
        } else {
            "The pipeline has no dedup step, or it has not finished."
        }));
    };
    let mut ranges = Vec::<ClusterSize>::new();
    for (&size, &clusters) in &sizes {
        let (from, to) = size_range(size);
        match ranges.last_mut() {
            Some(range) if range.from == from => range.clusters += clusters,
            _ => ranges.push(ClusterSize { from, to, clusters }),
        }
    }
    Ok(Section::Data(Duplicates {
        clusters: sizes.values().sum(),
        dropped: sizes.iter().map(|(size, clusters)| (size - 1) * clusters).sum(),
        largest,
        sizes: ranges,
    }))
}

/// The range that a cluster size is shown in: alone up to 4, then 5–8, 9–16 and so on.
fn size_range(size: u64) -> (u64, u64) {
    if size <= 4 {
        return (size, size);
    }
    let to = size.checked_next_power_of_two().unwrap_or(u64::MAX);
    (to / 2 + 1, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_inside_its_bin() {
        for length in (0..10_000).chain([1 << 20, (1 << 26) - 1, 1 << 40]) {
            let bin = bin_of(length);
            assert!(bin_start(bin) <= length.max(1) && length.max(1) < bin_start(bin + 1), "{length}");
        }
    }

    #[test]
    fn size_ranges_double() {
        let ranges: Vec<_> = [2, 4, 5, 8, 9, 17].map(size_range).into();
        assert_eq!(ranges, [(2, 2), (4, 4), (5, 8), (5, 8), (9, 16), (17, 32)]);
    }
}
