//! The report as one HTML file: no script, nothing fetched, light and dark.
//!
//! All words and numbers are made here; the template only places them, and escapes every one.

use askama::Template;
use orchestrator_core::units::ByteSize;
use orchestrator_storage::clusters::ClusterSample;

use super::chart::{BarChart, Group, LineChart, Series};
use super::numbers::{binary, count, percent, share, short, width};
use super::{
    AuditedStage, DroppedSample, Duplicates, Generated, Languages, Lengths, Report, Sample, Section,
    TrainingSummary,
};
use crate::error::Error;
use crate::stats::{RuleCount, StageFigures};

/// Rules of one stage that are listed; the rest are summed.
const LISTED_RULES: usize = 12;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: &'a str,
    seed: Option<u64>,
    digest: Option<&'a super::Digested>,
    inputs: Vec<String>,
    options: &'a [super::StageOptions],
    tiles: Vec<Tile>,
    funnel: Vec<FunnelStage>,
    lengths: Section<HistogramView<'a>>,
    languages: Section<LanguagesView<'a>>,
    duplicates: Section<DuplicatesView>,
    audits: Vec<AuditView<'a>>,
    training: Section<TrainingView>,
    generated: &'a Section<Vec<Generated>>,
    kept_samples: &'a Section<Vec<Sample>>,
    dropped_samples: &'a Section<Vec<DroppedSample>>,
    stages: Vec<StageRow<'a>>,
}

struct Tile {
    name: &'static str,
    value: String,
    note: String,
}

struct FunnelStage {
    number: u32,
    name: String,
    records_in: String,
    kept: String,
    dropped: String,
    kept_share: String,
    kept_width: String,
    dropped_width: String,
    rules: Vec<Row>,
    notes: Vec<Row>,
}

/// A name, a count, a share of something and the width of its bar in percent.
struct Row {
    name: String,
    count: String,
    share: String,
    width: String,
}

struct HistogramView<'a> {
    chart: BarChart,
    rows: Vec<[String; 3]>,
    stage: &'a str,
    missing: Option<&'a str>,
}

struct LanguagesView<'a> {
    stage: &'a str,
    rows: Vec<Row>,
}

struct DuplicatesView {
    clusters: String,
    dropped: String,
    largest: String,
    chart: BarChart,
    rows: Vec<[String; 2]>,
}

/// What is shown of one audit.
struct AuditView<'a> {
    stage: &'a str,
    similarity: Option<String>,
    sources: Vec<[String; 4]>,
    vanished: String,
    largest: Vec<ClusterView<'a>>,
}

struct ClusterView<'a> {
    documents: String,
    samples: Vec<ClusterSampleView<'a>>,
}

struct ClusterSampleView<'a> {
    jaccard: Option<String>,
    of: &'a ClusterSample,
}

struct TrainingView {
    figures: Vec<Tile>,
    loss: Option<LineChart>,
    speed: Option<LineChart>,
}

struct StageRow<'a> {
    number: u32,
    name: &'a str,
    records_in: String,
    kept: String,
    dropped: String,
    bytes_kept: String,
    files: String,
    file_bytes: String,
    digest: &'a str,
}

/// Renders a report as one self-contained HTML file.
pub fn report_html(report: &Report) -> Result<String, Error> {
    let page = Page {
        title: report.name.as_deref().unwrap_or("Unnamed run"),
        seed: report.seed,
        digest: report.digest.as_ref(),
        inputs: report.inputs.iter().map(inputs).collect(),
        options: &report.options,
        tiles: tiles(report),
        funnel: funnel(report),
        lengths: view(&report.lengths, lengths),
        languages: view(&report.languages, languages),
        duplicates: view(&report.duplicates, duplicates),
        audits: report.audits.iter().map(audit).collect(),
        training: view(&report.training, training),
        generated: &report.generated,
        kept_samples: &report.kept_samples,
        dropped_samples: &report.dropped_samples,
        stages: report.stages.iter().map(stage_row).collect(),
    };
    Ok(page.render()?)
}

fn view<'a, T, V>(section: &'a Section<T>, make: impl FnOnce(&'a T) -> V) -> Section<V> {
    match section {
        Section::Data(data) => Section::Data(make(data)),
        Section::Absent(reason) => Section::Absent(reason.clone()),
    }
}

fn tiles(report: &Report) -> Vec<Tile> {
    let head = &report.headline;
    let mut tiles = vec![
        tile("Records read", count(head.records_in), String::new()),
        tile(
            "Documents kept",
            count(head.documents_kept),
            share(head.documents_kept, head.records_in, "of records"),
        ),
        tile("Text kept", ByteSize(head.bytes_kept).to_string(), String::new()),
    ];
    if let Some(malformed) = &head.malformed {
        let note = format!("in {} of {} files", count(malformed.files), count(malformed.of_files));
        tiles.push(tile("Malformed records", count(malformed.records), note));
    }
    if let Some(tokens) = head.tokens {
        let per_document = tokens as f64 / head.documents_kept.max(1) as f64;
        tiles.push(tile("Tokens", short(tokens), format!("{per_document:.0} a document")));
    }
    if let Some(entries) = report.vocabulary {
        tiles.push(tile("Vocabulary", count(entries), String::new()));
    }
    if let Some(parameters) = report.parameters {
        tiles.push(tile("Parameters", short(parameters), String::new()));
    }
    if let Some(steps) = head.steps {
        tiles.push(tile("Training steps", count(steps), String::new()));
    }
    if let Some(loss) = head.loss {
        let note = head.validation_loss.map_or(String::new(), |loss| format!("validation {loss:.3}"));
        tiles.push(tile("Final loss", format!("{loss:.3}"), note));
    }
    tiles
}

/// `3 files (1.2 MB): a.jsonl, b.jsonl, c.jsonl`.
fn inputs(read: &super::Inputs) -> String {
    let more = if read.files > read.first.len() as u64 { ", …" } else { "" };
    let files = if read.files == 1 { "file" } else { "files" };
    format!("{} {files} ({}): {}{more}", count(read.files), ByteSize(read.bytes), read.first.join(", "))
}

fn tile(name: &'static str, value: String, note: String) -> Tile {
    Tile { name, value, note }
}

fn funnel(report: &Report) -> Vec<FunnelStage> {
    let documents = report.stages.iter().filter(|stage| stage.records_in > 0);
    let documents: Vec<_> =
        documents.filter(|s| !matches!(s.stage.as_str(), "train" | "export" | "report")).collect();
    let widest = documents.iter().map(|stage| stage.records_in).max().unwrap_or(1);
    // One scale for the rules of all stages, so that their bars can be compared down the page.
    let rules = documents.iter().flat_map(|stage| &stage.rules);
    let commonest = rules.map(|rule| rule.count).max().unwrap_or(1);
    documents.into_iter().map(|stage| funnel_stage(stage, widest, commonest)).collect()
}

fn funnel_stage(stage: &StageFigures, widest: u64, commonest: u64) -> FunnelStage {
    let rows = |rules: &[RuleCount], of: u64, largest: u64| {
        let mut rows: Vec<_> = rules
            .iter()
            .take(LISTED_RULES)
            .map(|rule| row(rule.rule.clone(), rule.count, of, largest))
            .collect();
        let rest = sum(&rules[rules.len().min(LISTED_RULES)..]);
        if rest > 0 {
            rows.push(row(format!("{} more rules", rules.len() - LISTED_RULES), rest, of, largest));
        }
        rows
    };
    FunnelStage {
        number: stage.number,
        name: stage.stage.clone(),
        records_in: count(stage.records_in),
        kept: count(stage.kept),
        dropped: count(stage.dropped),
        kept_share: percent(stage.kept, stage.records_in),
        kept_width: width(stage.kept, widest),
        dropped_width: width(stage.dropped, widest),
        rules: rows(&stage.rules, stage.records_in, commonest),
        notes: rows(&stage.notes, sum(&stage.notes), stage.notes.first().map_or(1, |note| note.count)),
    }
}

fn sum(rules: &[RuleCount]) -> u64 {
    rules.iter().fold(0, |sum, rule| sum.saturating_add(rule.count))
}

fn row(name: String, value: u64, of: u64, largest: u64) -> Row {
    Row { name, count: count(value), share: percent(value, of), width: width(value, largest) }
}

fn lengths(lengths: &Lengths) -> HistogramView<'_> {
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
    let sum = |pick: fn(&super::Bin) -> u64| count(lengths.bins.iter().map(pick).sum());
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
fn extent(bin: &super::Bin, to: &str) -> String {
    let last = bin.to.saturating_sub(1);
    if last <= bin.from { count(bin.from) } else { format!("{}{to}{}", count(bin.from), count(last)) }
}

fn languages(languages: &Languages) -> LanguagesView<'_> {
    let listed = languages.languages.iter().map(|share| share.documents);
    let all = listed.clone().sum::<u64>() + languages.others;
    let largest = listed.max().unwrap_or(1).max(languages.others).max(1);
    let mut rows: Vec<_> = languages
        .languages
        .iter()
        .map(|share| {
            let name = if share.language == "und" { "unknown".to_owned() } else { share.language.clone() };
            row(name, share.documents, all, largest)
        })
        .collect();
    if languages.others > 0 {
        rows.push(row("others".to_owned(), languages.others, all, largest));
    }
    LanguagesView { stage: &languages.stage, rows }
}

fn duplicates(duplicates: &Duplicates) -> DuplicatesView {
    let size = |size: &super::ClusterSize| match (size.from, size.to) {
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

fn audit(stage: &AuditedStage) -> AuditView<'_> {
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

fn cluster_sample(sample: &ClusterSample) -> ClusterSampleView<'_> {
    ClusterSampleView { jaccard: sample.jaccard.map(|jaccard| format!("{jaccard:.3}")), of: sample }
}

fn training(training: &TrainingSummary) -> TrainingView {
    let mut figures = vec![tile("Steps", count(training.steps), String::new())];
    if let (Some(first), Some(last)) = (training.loss.first(), training.loss.last()) {
        figures.push(tile("Loss", format!("{:.3}", last.value), format!("from {:.3}", first.value)));
    }
    if let Some(best) = training.best_validation {
        figures.push(tile(
            "Best validation",
            format!("{:.3}", best.value),
            format!("at step {}", count(best.step)),
        ));
    } else {
        figures.push(tile("Validation", "not measured".to_owned(), super::NOT_VALIDATED.to_owned()));
    }
    if let Some(tokens) = training.tokens {
        figures.push(tile("Tokens seen", short(tokens), String::new()));
    }
    if let Some(speed) = training.median_tokens_per_second {
        figures.push(tile("Tokens a second", short(speed as u64), "median".to_owned()));
    }
    let loss = [
        Series { name: "training", class: "a", points: &training.loss, dots: false },
        Series { name: "validation", class: "b", points: &training.validation_loss, dots: true },
    ];
    let description = match (training.loss.first(), training.loss.last()) {
        (Some(first), Some(last)) => format!(
            "The training loss goes from {:.3} at step {} to {:.3} at step {}.",
            first.value, first.step, last.value, last.step
        ),
        _ => "The validation loss by step.".to_owned(),
    };
    let has_loss = !(training.loss.is_empty() && training.validation_loss.is_empty());
    let speed =
        [Series { name: "tokens a second", class: "a", points: &training.tokens_per_second, dots: false }];
    let speed_words = training.median_tokens_per_second;
    let speed_words =
        speed_words.map_or(String::new(), |median| format!("The median is {median:.0} tokens a second."));
    TrainingView {
        figures,
        loss: has_loss.then(|| LineChart::new("Loss by step", description, &loss, false)),
        speed: (!training.tokens_per_second.is_empty())
            .then(|| LineChart::new("Tokens a second by step", speed_words, &speed, true)),
    }
}

fn stage_row(stage: &StageFigures) -> StageRow<'_> {
    StageRow {
        number: stage.number,
        name: &stage.stage,
        records_in: count(stage.records_in),
        kept: count(stage.kept),
        dropped: count(stage.dropped),
        bytes_kept: ByteSize(stage.bytes_kept).to_string(),
        files: count(stage.files as u64),
        file_bytes: ByteSize(stage.file_bytes).to_string(),
        digest: &stage.digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_of_one_length_is_named_by_it() {
        let bin = |from, to| super::super::Bin { from, to, kept: 0, dropped: 0 };
        let bins = [bin(0, 2), bin(2, 3), bin(1_024, 1_449)];
        assert_eq!(bins.map(|bin| extent(&bin, " to ")), ["0 to 1", "2", "1,024 to 1,448"]);
    }
}
