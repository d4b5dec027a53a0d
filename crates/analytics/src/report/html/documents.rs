//! What documents are like: lengths, languages, duplicates, benchmarks.

use std::ops::Range;

use orchestrator_core::units::ByteSize;
use orchestrator_storage::clusters::ClusterSample;

use super::{DroppedView, Piece, Row, dropped_sample, row};
use crate::repeats::RepeatedStage;
use crate::report::chart::{BarChart, Group};
use crate::report::numbers::{binary, count, percent};
use crate::report::{AuditedStage, BenchmarkHits, Bin, ClusterSize, Duplicates, Languages, Lengths};

pub(super) struct HistogramView<'a> {
    pub(super) chart: BarChart,
    pub(super) rows: Vec<[String; 3]>,
    pub(super) stage: &'a str,
    pub(super) missing: Option<&'a str>,
}

pub(super) struct LanguagesView<'a> {
    pub(super) stage: &'a str,
    pub(super) rows: Vec<LanguageRow>,
}

/// A language with its documents, and the bytes of their text and their share.
pub(super) struct LanguageRow {
    pub(super) of: Row,
    pub(super) bytes: String,
    pub(super) bytes_share: String,
}

/// What is shown of one benchmark.
pub(super) struct BenchmarkView<'a> {
    pub(super) name: &'a str,
    pub(super) about: String,
    pub(super) chart: Option<BarChart>,
    pub(super) items: Vec<[String; 2]>,
    pub(super) samples: Vec<DroppedView<'a>>,
}

pub(super) struct DuplicatesView {
    pub(super) clusters: String,
    pub(super) dropped: String,
    pub(super) largest: String,
    pub(super) chart: BarChart,
    pub(super) rows: Vec<[String; 2]>,
}

/// What is shown of one audit.
pub(super) struct AuditView<'a> {
    pub(super) stage: &'a str,
    pub(super) similarity: Option<String>,
    pub(super) sources: Vec<[String; 4]>,
    pub(super) vanished: String,
    pub(super) largest: Vec<ClusterView<'a>>,
}

pub(super) struct ClusterView<'a> {
    pub(super) documents: String,
    pub(super) samples: Vec<ClusterSampleView<'a>>,
}

pub(super) struct ClusterSampleView<'a> {
    pub(super) jaccard: Option<String>,
    pub(super) of: &'a ClusterSample,
}

pub(super) fn lengths(lengths: &Lengths) -> HistogramView<'_> {
    let groups: Vec<_> = lengths
        .bins
        .iter()
        .map(|bin| Group {
            // Every second bin starts at a power of 2; every fourth is named.
            label: if bin.from.is_power_of_two() && bin.from.ilog2().is_multiple_of(2) {
                binary(bin.from)
            } else {
                String::new()
            },
            hint: format!(
                "{} bytes: {} kept, {} dropped",
                extent(bin, " to "),
                count(bin.kept),
                count(bin.dropped)
            ),
            kept: bin.kept,
            dropped: bin.dropped,
        })
        .collect();
    let sum = |pick: fn(&Bin) -> u64| count(lengths.bins.iter().map(pick).sum());
    let description = format!(
        "Histogram of text lengths on a logarithmic axis: {} kept and {} dropped documents.",
        sum(|bin| bin.kept),
        sum(|bin| bin.dropped)
    );
    HistogramView {
        chart: BarChart::new(
            "Documents by length of text",
            description,
            "bytes of text, logarithmic",
            &groups,
        ),
        rows: lengths
            .bins
            .iter()
            .map(|bin| [extent(bin, " – "), count(bin.kept), count(bin.dropped)])
            .collect(),
        stage: &lengths.stage,
        missing: lengths.missing.as_deref(),
    }
}

/// The lengths of a bin; one where it holds but one.
fn extent(bin: &Bin, to: &str) -> String {
    let last = bin.to.saturating_sub(1);
    if last <= bin.from { count(bin.from) } else { format!("{}{to}{}", count(bin.from), count(last)) }
}

pub(super) fn languages(languages: &Languages) -> LanguagesView<'_> {
    let listed = languages.languages.iter().map(|share| share.documents);
    let all = listed.clone().sum::<u64>() + languages.others;
    let all_bytes = languages.languages.iter().map(|share| share.bytes).sum::<u64>() + languages.others_bytes;
    let largest = listed.max().unwrap_or(1).max(languages.others).max(1);
    let language = |name: &str, documents: u64, bytes: u64| LanguageRow {
        of: row(name.to_owned(), documents, all, largest),
        bytes: ByteSize(bytes).to_string(),
        bytes_share: percent(bytes, all_bytes),
    };
    let mut rows: Vec<_> = languages
        .languages
        .iter()
        .map(|share| {
            let name = if share.language == "und" { "unknown" } else { &share.language };
            language(name, share.documents, share.bytes)
        })
        .collect();
    if languages.others > 0 {
        rows.push(language("others", languages.others, languages.others_bytes));
    }
    LanguagesView { stage: &languages.stage, rows }
}

/// Cuts a text where marks begin and end; marks come in order.
pub(super) fn pieces<'a>(text: &'a str, marks: &[Range<usize>]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for mark in marks {
        let (start, end) = (mark.start.max(at), mark.end);
        // What is no span of this text marks nothing.
        let (Some(before), Some(marked)) = (text.get(at..start), text.get(start..end)) else { continue };
        pieces.push(Piece { text: before, marked: false });
        pieces.push(Piece { text: marked, marked: true });
        at = end;
    }
    pieces.push(Piece { text: &text[at..], marked: false });
    pieces.retain(|piece| !piece.text.is_empty());
    pieces
}

pub(super) fn benchmarks(hits: &[BenchmarkHits]) -> Vec<BenchmarkView<'_>> {
    hits.iter().map(benchmark).collect()
}

fn benchmark(hits: &BenchmarkHits) -> BenchmarkView<'_> {
    let mut about =
        format!("{} documents were dropped for {} of its items.", count(hits.dropped), count(hits.items));
    if hits.noted > 0 {
        let (noted, spans) = (count(hits.noted), count(hits.spans));
        about = format!("{about} {noted} went on with text of it, in {spans} spans.");
    }
    let range = |from: u64, to: u64| format!("{from}–{to}%");
    let groups: Vec<_> = hits
        .overlap
        .iter()
        .map(|bar| Group {
            label: range(bar.above, bar.to),
            hint: format!(
                "{} of the item's n-grams: {} documents",
                range(bar.above, bar.to),
                count(bar.documents)
            ),
            kept: 0,
            dropped: bar.documents,
        })
        .collect();
    let description = format!(
        "{} dropped documents by the share of the item's n-grams that was found in them.",
        count(hits.dropped)
    );
    let chart = || BarChart::new("Documents by overlap", description, "of the item's n-grams", &groups);
    BenchmarkView {
        name: &hits.benchmark,
        about,
        chart: (hits.dropped > 0).then(chart),
        items: hits.most.iter().map(|item| [item.item.clone(), count(item.documents)]).collect(),
        samples: hits.samples.iter().map(dropped_sample).collect(),
    }
}

pub(super) fn duplicates(duplicates: &Duplicates) -> DuplicatesView {
    let size = |size: &ClusterSize| match (size.from, size.to) {
        (from, to) if from == to => count(from),
        (from, to) => format!("{}–{}", count(from), count(to)),
    };
    let groups: Vec<_> = duplicates
        .sizes
        .iter()
        .map(|range| Group {
            label: size(range),
            hint: format!("{} documents: {} clusters", size(range), count(range.clusters)),
            kept: 0,
            dropped: range.clusters,
        })
        .collect();
    let description = format!(
        "{} clusters of duplicates by size; the largest has {} documents.",
        count(duplicates.clusters),
        count(duplicates.largest)
    );
    DuplicatesView {
        clusters: count(duplicates.clusters),
        dropped: count(duplicates.dropped),
        largest: count(duplicates.largest),
        chart: BarChart::new(
            "Clusters of duplicates by size",
            description,
            "documents in the cluster",
            &groups,
        ),
        rows: duplicates.sizes.iter().map(|range| [size(range), count(range.clusters)]).collect(),
    }
}

/// Clusters of an audit that the page shows; `clusters.json` has more.
const SHOWN_CLUSTERS: usize = 3;

pub(super) fn audit(stage: &AuditedStage) -> AuditView<'_> {
    let audit = &stage.audit;
    AuditView {
        stage: &stage.stage,
        similarity: audit.similarity.as_ref().map(|similarity| {
            format!(
                "{} sampled duplicates have a mean Jaccard similarity of {:.3} to their survivors; the least alike pair, {:.3}.",
                count(similarity.pairs),
                similarity.mean,
                similarity.lowest.first().map_or(0.0, |pair| pair.jaccard)
            )
        }),
        sources: audit
            .sources
            .most
            .iter()
            .map(|loss| {
                let part = percent(loss.dropped, loss.documents);
                [loss.source.clone(), count(loss.documents), count(loss.dropped), part]
            })
            .collect(),
        vanished: format!("{} of {}", count(audit.sources.vanished), count(audit.sources.sources)),
        largest: audit
            .largest
            .iter()
            .take(SHOWN_CLUSTERS)
            .map(|cluster| ClusterView {
                documents: count(cluster.documents),
                samples: cluster.samples.iter().map(cluster_sample).collect(),
            })
            .collect(),
    }
}

/// What a stage saw that cuts, in a sentence.
pub(super) fn repeats(stage: &RepeatedStage) -> String {
    let RepeatedStage { stage: name, slices, items, repeated, bytes, rates } = stage;
    let kept = match rates {
        Some((asked, reached)) => {
            format!(
                "a Bloom filter each, asked for a rate of false positives of {asked} and now at {reached:.1e}"
            )
        }
        None => "a table each, which is never wrong".to_owned(),
    };
    format!(
        "{name}: {} of {} parts of documents occurred before. It kept what it saw in slices, {} of them, of at most {}: {kept}.",
        count(*repeated),
        count(*items),
        count(*slices),
        ByteSize(*bytes)
    )
}

fn cluster_sample(sample: &ClusterSample) -> ClusterSampleView<'_> {
    ClusterSampleView { jaccard: sample.jaccard.map(|jaccard| format!("{jaccard:.3}")), of: sample }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_of_one_length_is_named_by_it() {
        let bin = |from, to| Bin { from, to, kept: 0, dropped: 0 };
        let bins = [bin(0, 2), bin(2, 3), bin(1_024, 1_449)];
        assert_eq!(bins.map(|bin| extent(&bin, " to ")), ["0 to 1", "2", "1,024 to 1,448"]);
    }

    #[test]
    fn marks_cut_a_text_and_lose_nothing_of_it() {
        let shown = |marks: &[Range<usize>]| {
            let pieces = pieces("aé<b>c", marks);
            assert_eq!(pieces.iter().map(|piece| piece.text).collect::<String>(), "aé<b>c");
            pieces.iter().filter(|piece| piece.marked).map(|piece| piece.text.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown(&[]), [""; 0]);
        assert_eq!(shown(&[1..3, 4..5]), ["é", "b"]);
        assert_eq!(shown(&[0..4, 3..7]), ["aé<", "b>c"], "what overlaps is marked once");
        assert_eq!(shown(&[2..4, 5..99, 0..1]), ["a"], "no spans of this text");
    }
}
