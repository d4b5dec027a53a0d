//! The report of a run: figures for programs, and one HTML file for people.

mod build;
mod chart;
mod decontamination;
mod documents;
mod html;
mod job;
mod malformed;
mod numbers;
mod samples;

use serde::{Deserialize, Serialize};

pub use build::{report, stored_report};
pub use decontamination::{BenchmarkHits, ItemHits, Overlap};
pub use documents::{AuditedStage, Bin, ClusterSize, Duplicates, LanguageShare, Languages, Lengths};
pub use html::report_html;
pub use job::{Inputs, StageOptions};
pub use malformed::{Malformed, MalformedFile};
pub use samples::{DroppedSample, Generated, Sample};

use crate::repeats::RepeatedStage;
use crate::stats::StageFigures;
use crate::training::Point;

/// Why a run that trained has no validation loss.
pub const NOT_VALIDATED: &str = "the held-out tokens are fewer than one sequence, or none are held out";

/// A part of the report that not every run has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section<T> {
    /// What the run has.
    Data(T),
    /// Why the run has none, as a sentence.
    Absent(String),
}

impl<T> Section<T> {
    pub(crate) fn absent(reason: impl Into<String>) -> Self {
        Self::Absent(reason.into())
    }
}

/// All that a report tells. Equal outputs give equal reports: it has no clock and no path of this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Rises when a key changes its meaning.
    pub schema_version: u32,
    /// The job's name.
    pub name: Option<String>,
    /// The job's seed.
    pub seed: Option<u64>,
    /// The digest of the last stage.
    pub digest: Option<Digested>,
    /// What the read stages read.
    #[serde(default)]
    pub inputs: Vec<Inputs>,
    /// What the job asked for, defaults written out.
    #[serde(default)]
    pub options: Vec<StageOptions>,
    /// Numbers that the model holds; absent where there is none.
    #[serde(default)]
    pub parameters: Option<u64>,
    /// Entries of the tokenizer; absent where there is none.
    #[serde(default)]
    pub vocabulary: Option<u64>,
    /// The figures that stand at the top.
    pub headline: Headline,
    /// Figures of every stage.
    pub stages: Vec<StageFigures>,
    /// How long documents are.
    pub lengths: Section<Lengths>,
    /// Which languages the kept documents have.
    pub languages: Section<Languages>,
    /// How large clusters of duplicates are.
    pub duplicates: Section<Duplicates>,
    /// What dedup stages found before they dropped anything.
    #[serde(default)]
    pub audits: Vec<AuditedStage>,
    /// Which benchmarks documents had text of.
    #[serde(default = "not_looked")]
    pub decontamination: Section<Vec<BenchmarkHits>>,
    /// What dedup stages saw that cut parts out of documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeats: Vec<RepeatedStage>,
    /// How training went.
    pub training: Section<TrainingSummary>,
    /// What the model wrote.
    pub generated: Section<Vec<Generated>>,
    /// Some kept documents.
    pub kept_samples: Section<Vec<Sample>>,
    /// Some dropped documents.
    pub dropped_samples: Section<Vec<DroppedSample>>,
}

/// What a report says that an older version of this program wrote.
fn not_looked() -> Section<Vec<BenchmarkHits>> {
    Section::absent("The report is of a version that did not look for benchmarks.")
}

/// A stage's digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digested {
    /// The stage.
    pub stage: String,
    /// Its digest.
    pub digest: String,
}

/// The figures at the top of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Headline {
    /// Records that the pipeline read.
    pub records_in: u64,
    /// Documents that the last document stage kept.
    pub documents_kept: u64,
    /// UTF-8 bytes of their text.
    pub bytes_kept: u64,
    /// Tokens in all shards; absent where there are none.
    pub tokens: Option<u64>,
    /// The last step of training.
    pub steps: Option<u64>,
    /// The loss at the last step.
    pub loss: Option<f64>,
    /// The last validation loss.
    pub validation_loss: Option<f64>,
    /// Records that could not be read; absent where all could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed: Option<Malformed>,
}

/// How training went, thinned to what a chart can show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingSummary {
    /// Steps in `metrics.jsonl`.
    pub steps: u64,
    /// Tokens that training saw, where the metrics say so.
    pub tokens: Option<u64>,
    /// Loss by step.
    pub loss: Vec<Point>,
    /// Validation loss by step.
    pub validation_loss: Vec<Point>,
    /// Lowest validation loss.
    pub best_validation: Option<Point>,
    /// Tokens per second by step.
    pub tokens_per_second: Vec<Point>,
    /// Their median.
    pub median_tokens_per_second: Option<f64>,
}
