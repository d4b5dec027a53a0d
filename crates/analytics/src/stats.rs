//! Figures per stage, from the manifests alone.

use serde::{Deserialize, Serialize};

use crate::run::{Run, Stage};

/// The figures of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// The job's name.
    pub name: Option<String>,
    /// One entry for each published stage, in order.
    pub stages: Vec<StageFigures>,
}

/// The figures of one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageFigures {
    /// Its place in the pipeline.
    pub number: u32,
    /// Its name.
    pub stage: String,
    /// Records that came in.
    pub records_in: u64,
    /// Records that went on.
    pub kept: u64,
    /// Records that ended here.
    pub dropped: u64,
    /// `kept / records_in`; absent for a stage that no record entered.
    pub rate: Option<f64>,
    /// Records that ended here by rule, most first; equal counts by name.
    pub rules: Vec<RuleCount>,
    /// Edits and spans by rule, most first; equal counts by name.
    pub notes: Vec<RuleCount>,
    /// UTF-8 bytes of text that came in.
    pub bytes_in: u64,
    /// UTF-8 bytes of text that went on.
    pub bytes_kept: u64,
    /// How many files the stage left.
    pub files: usize,
    /// Their size in bytes.
    pub file_bytes: u64,
    /// The stage's digest.
    pub digest: String,
    /// Whether the stage wrote its documents.
    pub materialised: bool,
}

/// How often a rule fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// The rule.
    pub rule: String,
    /// How often.
    pub count: u64,
}

/// Figures of every published stage: in, kept, dropped by rule, bytes, rate.
pub fn stats(run: &Run) -> Stats {
    Stats { name: run.name().map(str::to_owned), stages: run.stages().iter().map(figures).collect() }
}

fn figures(stage: &Stage) -> StageFigures {
    let manifest = &stage.manifest;
    StageFigures {
        number: stage.number,
        stage: stage.name.clone(),
        records_in: manifest.records_in,
        kept: manifest.kept,
        dropped: stage.dropped(),
        rate: (manifest.records_in > 0).then(|| manifest.kept as f64 / manifest.records_in as f64),
        rules: ranked(&manifest.dropped),
        notes: ranked(&manifest.noted),
        bytes_in: manifest.bytes_in,
        bytes_kept: manifest.bytes_kept,
        files: manifest.files.len(),
        file_bytes: manifest.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes)),
        digest: manifest.digest.to_string(),
        materialised: stage.is_materialised(),
    }
}

fn ranked(counts: &std::collections::BTreeMap<String, u64>) -> Vec<RuleCount> {
    let mut ranked: Vec<_> =
        counts.iter().map(|(rule, &count)| RuleCount { rule: rule.clone(), count }).collect();
    ranked.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.rule.cmp(&b.rule)));
    ranked
}
