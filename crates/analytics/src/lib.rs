//! Figures, SQL and reports over the output directory of a run.
//!
//! ```text
//!  OUTPUT/ ──Run::open──▶ manifests, in memory      ──▶ stats     figures per stage
//!                    │                              └─▶ doctor    what lies there against what was published
//!                    └──▶ tables, scanned lazily    ──▶ query     SQL
//!                                                   ──▶ diff      two runs: stages, rules, documents
//!                                                   ──▶ compat    a run and a peer's output
//!                                                   ──▶ trace     one document, stage by stage
//!                                                   ──▶ lineage   a checkpoint's shards and documents
//!                                                   ──▶ report    all of it, as JSON and as one HTML file
//! ```
//!
//! Everything is read, nothing is written, and only what a manifest names is looked at: files of attempts that never
//! committed do not exist here. No function knows a clock, so equal outputs give equal figures. The functions block:
//! an asynchronous caller runs them on a blocking thread. Of a remote output, the files that an answer needs are fetched
//! to a temporary directory of bounded size.

mod clusters;
mod compat;
mod diff;
mod doctor;
mod error;
mod fates;
mod files;
mod lineage;
mod query;
mod repeats;
mod report;
mod run;
mod stats;
mod tables;
mod trace;
mod training;

pub use clusters::cluster_audits;
pub use compat::{
    By, Cell, CompatDifference, CompatOptions, Compatibility, DifferenceKind, Documents, Example, Peer,
    Selection, Stated, Texts, Verdicts, compat,
};
pub use diff::{Difference, RuleDifference, StageDifference, Transition, diff};
pub use doctor::{Depth, Diagnosis, Finding, Orphan, doctor};
pub use error::Error;
pub use lineage::{CheckpointDocuments, ShardDocuments, SourceDocuments, checkpoint_documents};
pub use query::{Column, Table, query};
pub use repeats::RepeatedStage;
pub use report::{
    AuditedStage, BenchmarkHits, Bin, ClusterSize, Digested, DroppedSample, Duplicates, Generated, Headline,
    Inputs, ItemHits, LanguageShare, Languages, Lengths, Malformed, MalformedFile, NOT_VALIDATED, Overlap,
    Report, Sample, Section, StageOptions, TrainingSummary, report, report_html, stored_report,
};
pub use run::{Run, Stage};
pub use stats::{RuleCount, StageFigures, Stats, stats};
pub use trace::{DocumentName, Earlier, Found, TokenPlace, Trace, TraceNote, TraceStep, Verdict, trace};
pub use training::Point;
