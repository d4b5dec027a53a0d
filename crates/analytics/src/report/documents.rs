//! What documents are like: their lengths, languages and duplicates.

use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::Lengths as Counts;
use orchestrator_storage::clusters::{ClusterAudit, SizeRange};
use polars::prelude::{col, len, lit};
use serde::{Deserialize, Serialize};

use super::Section;
use super::samples::Seen;
use crate::clusters::cluster_audits;
use crate::error::Error;
use crate::run::{Run, Stage};
use crate::tables::{Kind, scan};
use crate::trace::number;

/// Languages named one by one; the rest are summed.
const NAMED_LANGUAGES: usize = 12;

/// A histogram of text lengths in UTF-8 bytes. Bins widen by the square root of 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lengths {
    /// The stage whose documents are the kept ones.
    pub stage: String,
    /// Bins from the first to the last that holds a document.
    pub bins: Vec<Bin>,
    /// Which dropped records are missing from the bins and why; absent where all are in.
    pub missing: Option<String>,
}

/// A bin of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Languages {
    /// The stage whose documents they are.
    pub stage: String,
    /// Most first; `und` where no language is known.
    pub languages: Vec<LanguageShare>,
    /// Documents in languages that are not listed.
    pub others: u64,
    /// Bytes of their text.
    #[serde(default)]
    pub others_bytes: u64,
}

/// How many documents have a language, and how much text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanguageShare {
    /// Its code.
    pub language: String,
    /// How many.
    pub documents: u64,
    /// UTF-8 bytes of their text.
    #[serde(default)]
    pub bytes: u64,
}

/// Clusters of duplicates by size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A dedup stage and its audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditedStage {
    /// The stage's directory.
    pub stage: String,
    /// What it found.
    pub audit: ClusterAudit,
}

/// How many clusters have a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSize {
    /// Least size.
    pub from: u64,
    /// Greatest size.
    pub to: u64,
    /// How many.
    pub clusters: u64,
}

pub(super) fn lengths(run: &Run, seen: &Seen) -> Section<Lengths> {
    let Some(last) = run.last_materialised() else {
        return Section::absent("No stage has written documents.");
    };
    let kept = seen.get(last).map(|stage| stage.kept.clone()).unwrap_or_default();
    let mut dropped = Counts::default();
    let (mut without_text, mut uncounted) = (0u64, Vec::new());
    for stage in run.document_stages().filter(|stage| stage.dropped() > 0) {
        let counted = seen.get(stage).map_or(0, |seen| {
            dropped.append(&seen.dropped);
            without_text = without_text.saturating_add(seen.without_text);
            seen.dropped.total().saturating_add(seen.without_text)
        });
        if counted != stage.dropped() {
            uncounted.push(stage.name.as_str());
        }
    }
    if kept.total() != last.manifest.kept {
        return Section::absent(format!(
            "The lengths of the documents of {} were not counted: another version of the program wrote them.",
            last.name
        ));
    }
    let bins = bins(&kept, &dropped);
    if bins.is_empty() {
        return Section::absent("No document was kept.");
    }
    let mut missing = Vec::new();
    if without_text > 0 {
        missing.push(format!("Records that never became a text are not in the chart: {without_text}."));
    }
    if !uncounted.is_empty() {
        missing.push(format!("Not all documents dropped by {} were counted.", uncounted.join(", ")));
    }
    Section::Data(Lengths {
        stage: last.name.clone(),
        bins,
        missing: (!missing.is_empty()).then(|| missing.join(" ")),
    })
}

/// The bins from the first to the last that holds a document. One of them, between 1 and 2 bytes, has no whole number in it
/// and is left out; empty texts are counted with those of one byte.
fn bins(kept: &Counts, dropped: &Counts) -> Vec<Bin> {
    let filled: BTreeSet<u32> = kept.0.keys().chain(dropped.0.keys()).copied().collect();
    let (Some(&first), Some(&last)) = (filled.first(), filled.last()) else { return Vec::new() };
    let count = |counts: &Counts, bin| counts.0.get(&bin).copied().unwrap_or(0);
    let bin = |index| Bin {
        from: if index == 0 { 0 } else { Counts::bin_start(index) },
        to: Counts::bin_start(index + 1),
        kept: count(kept, index),
        dropped: count(dropped, index),
    };
    (first..=last).map(bin).filter(|bin| bin.from < bin.to).collect()
}

pub(super) fn languages(run: &Run, seen: &Seen) -> Section<Languages> {
    let Some(stage) = run.last_materialised() else {
        return Section::absent("No stage has written documents.");
    };
    let counts = seen.get(stage).map(|seen| seen.languages.clone()).unwrap_or_default();
    if counts.documents() != stage.manifest.kept {
        return Section::absent(format!(
            "The languages of the documents of {} were not counted: another version of the program wrote them.",
            stage.name
        ));
    }
    let named = counts.named.into_iter().map(|(language, amount)| LanguageShare {
        language: if language.is_empty() { "und".to_owned() } else { language },
        documents: amount.documents,
        bytes: amount.bytes,
    });
    let mut languages: Vec<LanguageShare> = named.collect();
    languages.sort_by(|a, b| b.documents.cmp(&a.documents).then_with(|| a.language.cmp(&b.language)));
    match languages.as_slice() {
        [] => return Section::absent("No document was kept."),
        [only] if only.language == "und" => {
            return Section::absent("No stage named a language: the pipeline has no language step.");
        }
        _ => {}
    }
    let rest = languages.iter().skip(NAMED_LANGUAGES);
    let (others, others_bytes) = rest.fold((counts.others.documents, counts.others.bytes), |sum, share| {
        (sum.0 + share.documents, sum.1 + share.bytes)
    });
    languages.truncate(NAMED_LANGUAGES);
    Section::Data(Languages { stage: stage.name.clone(), languages, others, others_bytes })
}

/// What the stages that published found before they dropped anything.
pub(super) fn audits(run: &Run) -> Result<Vec<AuditedStage>, Error> {
    let mut audits = cluster_audits(run)?;
    let directory = |stage: &Stage| format!("{:02}-{}", stage.number, stage.name);
    audits.retain(|(name, _)| run.document_stages().any(|stage| directory(stage) == *name));
    Ok(audits.into_iter().map(|(stage, audit)| AuditedStage { stage, audit }).collect())
}

pub(super) fn duplicates(run: &Run, audits: &[AuditedStage]) -> Result<Section<Duplicates>, Error> {
    if !audits.is_empty() {
        return Ok(of_audits(audits));
    }
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
        let (from, to) = SizeRange::of(size);
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

/// The clusters as the stages themselves counted them.
fn of_audits(audits: &[AuditedStage]) -> Section<Duplicates> {
    let mut ranges = BTreeMap::<(u64, u64), u64>::new();
    for range in audits.iter().flat_map(|stage| &stage.audit.sizes) {
        *ranges.entry((range.from, range.to)).or_default() += range.clusters;
    }
    if ranges.is_empty() {
        return Section::absent("No document was dropped as a duplicate of another.");
    }
    Section::Data(Duplicates {
        clusters: audits.iter().map(|stage| stage.audit.clusters).sum(),
        dropped: audits.iter().map(|stage| stage.audit.duplicates).sum(),
        largest: audits.iter().map(|stage| stage.audit.largest_size).max().unwrap_or(0),
        sizes: ranges.into_iter().map(|((from, to), clusters)| ClusterSize { from, to, clusters }).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bin_has_a_length_in_it() {
        let (mut kept, mut dropped) = (Counts::default(), Counts::default());
        for length in [1, 2, 5] {
            kept.push(length);
        }
        dropped.push(0);
        let found: Vec<_> =
            bins(&kept, &dropped).iter().map(|bin| (bin.from, bin.to, bin.kept, bin.dropped)).collect();
        assert_eq!(found, [(0, 2, 1, 1), (2, 3, 1, 0), (3, 4, 0, 0), (4, 6, 1, 0)]);
        assert!(bins(&Counts::default(), &Counts::default()).is_empty());
    }
}
