//! The report as one HTML file: no script, nothing fetched, light and dark.
//!
//! All words and numbers are made here; the template only places them, and escapes every one.

mod documents;
mod training;

use askama::Template;
use orchestrator_core::units::ByteSize;

use self::documents::{
    AuditView, BenchmarkView, DuplicatesView, HistogramView, LanguagesView, audit, benchmarks, duplicates,
    languages, lengths, pieces, repeats,
};
use self::training::{TrainingView, training};
use super::numbers::{count, percent, share, short, width};
use super::{DroppedSample, Generated, Report, Sample, Section};
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
    repeats: Vec<String>,
    decontamination: Section<Vec<BenchmarkView<'a>>>,
    training: Section<TrainingView>,
    generated: &'a Section<Vec<Generated>>,
    kept_samples: &'a Section<Vec<Sample>>,
    dropped_samples: Section<Vec<DroppedView<'a>>>,
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

/// A dropped document, its text cut where a mark begins or ends.
struct DroppedView<'a> {
    of: &'a DroppedSample,
    pieces: Vec<Piece<'a>>,
}

/// A piece of a text.
struct Piece<'a> {
    text: &'a str,
    /// Whether it is what the document was dropped for.
    marked: bool,
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
        repeats: report.repeats.iter().map(repeats).collect(),
        decontamination: view(&report.decontamination, |hits| benchmarks(hits)),
        training: view(&report.training, training),
        generated: &report.generated,
        kept_samples: &report.kept_samples,
        dropped_samples: view(&report.dropped_samples, |samples| {
            samples.iter().map(dropped_sample).collect()
        }),
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

fn dropped_sample(sample: &DroppedSample) -> DroppedView<'_> {
    DroppedView { of: sample, pieces: pieces(sample.text.as_deref().unwrap_or_default(), &sample.marks) }
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
