//! From stages to phases: neighbouring per-document stages are fused, a barrier ends the fusion.
//!
//! ```text
//! read clean filter │ dedup pii │ tokenize │ train │ export
//! └───── map ───────┘
//!          └ signatures ▶ bands ▶ clusters ▶ └─ map ─┘ ▶ prepare ▶ tokenize ▶ train ▶ export ▶ report
//!          └ items ▶ repeats ▶ (where the stage cuts parts out of documents)
//! ```

mod render;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::spec::{Job, Stage};
use crate::task::Side;

/// What a job does, in order; a pure function of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// One for each entry of the pipeline, at the same index.
    pub stages: Vec<PlannedStage>,
    /// What runs, one after another.
    pub phases: Vec<Phase>,
}

/// A stage and where it stands in the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStage {
    /// Index into the pipeline.
    pub index: u32,
    /// The stage's key in the job file: `filter`.
    pub name: String,
    /// Its directory under `stages/`: `03-filter`.
    pub directory: String,
    /// Whether its documents are written as parts, so that people and later runs can read them.
    pub writes_parts: bool,
}

/// One set of tasks that run at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Index into the plan's phases.
    pub index: u32,
    /// What people call it: `map`, `bands`. Not unique.
    pub name: String,
    /// What it does.
    pub kind: PhaseKind,
    /// The stages that it runs or works for, as a range of indices; empty for the report.
    pub stages: Range<u32>,
}

impl Phase {
    /// The directory of what only later phases read: `.orchestrator/phases/02-bands`.
    pub fn directory(&self) -> String {
        format!(".orchestrator/phases/{:02}-{}", self.index, self.name)
    }
}

/// Kinds of phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum PhaseKind {
    /// Finds where big inputs can be cut.
    Index,
    /// Runs fused per-document stages.
    Map {
        /// What is written beside the parts for the barrier that follows.
        side: Option<Side>,
    },
    /// Finds documents that share a bucket, in slices of the hash space.
    Bands,
    /// Compares the texts of such documents.
    Verify,
    /// Joins them to clusters and chooses survivors.
    Clusters,
    /// Finds parts of documents that occurred before, in slices of the hash space.
    Repeats,
    /// Finds the score that the wanted fraction lies above.
    Cutoff,
    /// Trains the model of a stage that scores documents.
    Classifier,
    /// Decides how often each group of documents is seen.
    Mixture,
    /// Trains or loads the tokenizer, holds validation documents out.
    Prepare,
    /// Encodes documents.
    Tokenize,
    /// Trains the model: all ranks or none.
    Train {
        /// Ranks.
        world: u32,
        /// The least number of ranks that may go on.
        min: u32,
    },
    /// Writes the model for others.
    Export,
    /// Writes the report.
    Report,
}

impl PhaseKind {
    /// The phase's name for people and for paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Map { .. } => "map",
            Self::Bands => "bands",
            Self::Verify => "verify",
            Self::Clusters => "clusters",
            Self::Repeats => "repeats",
            Self::Cutoff => "cutoff",
            Self::Classifier => "classifier",
            Self::Mixture => "mixture",
            Self::Prepare => "prepare",
            Self::Tokenize => "tokenize",
            Self::Train { .. } => "train",
            Self::Export => "export",
            Self::Report => "report",
        }
    }
}

/// What a stage asks of the planner.
enum Need {
    /// Fuses with its neighbours.
    Document,
    /// Must see something of all documents before it can judge one: the map before it leaves `side`.
    Barrier { side: Side, phases: Vec<PhaseKind> },
    /// Takes documents and gives none.
    Sink(Vec<PhaseKind>),
}

fn need(index: u32, stage: &Stage) -> Need {
    match stage {
        _ if stage.ranking().is_some() => {
            Need::Barrier { side: Side::Scores { stage: index }, phases: vec![PhaseKind::Cutoff] }
        }
        Stage::Read(_)
        | Stage::Clean(_)
        | Stage::Language(_)
        | Stage::Filter(_)
        | Stage::Quality(_)
        | Stage::Perplexity(_)
        | Stage::Decontaminate(_)
        | Stage::Pii(_) => Need::Document,
        Stage::Dedup(config) if config.method.cuts() => {
            Need::Barrier { side: Side::Items { stage: index }, phases: vec![PhaseKind::Repeats] }
        }
        Stage::Dedup(config) => {
            let verify = config.verify.map(|_| PhaseKind::Verify);
            let phases = [Some(PhaseKind::Bands), verify, Some(PhaseKind::Clusters)];
            Need::Barrier {
                side: Side::Signatures { stage: index },
                phases: phases.into_iter().flatten().collect(),
            }
        }
        Stage::Mix(_) => {
            Need::Barrier { side: Side::Sizes { stage: index }, phases: vec![PhaseKind::Mixture] }
        }
        Stage::Tokenize(_) => Need::Sink(vec![PhaseKind::Prepare, PhaseKind::Tokenize]),
        Stage::Train(config) => {
            Need::Sink(vec![PhaseKind::Train { world: config.world_size, min: config.min_world_size() }])
        }
        Stage::Export(_) => Need::Sink(vec![PhaseKind::Export]),
    }
}

impl Plan {
    /// Plans a validated job.
    pub fn new(job: &Job) -> Self {
        let mut builder = Builder::default();
        if job.read().is_some_and(|(_, read)| read.run.is_none()) {
            builder.push(PhaseKind::Index, 0..1);
        }
        for (index, stage) in (0..).zip(&job.pipeline) {
            if stage.trains_model() {
                builder.push(PhaseKind::Classifier, index..index + 1);
            }
        }
        // Stages from `start` on wait to be fused into the next map.
        let mut start = 0;
        let mut index = 0;
        for stage in &job.pipeline {
            match need(index, stage) {
                Need::Document => {}
                Need::Barrier { side, phases } => {
                    builder.map(start..index, Some(side));
                    for kind in phases {
                        builder.push(kind, index..index + 1);
                    }
                    start = index;
                }
                Need::Sink(phases) => {
                    builder.map(start..index, None);
                    for kind in phases {
                        builder.push(kind, index..index + 1);
                    }
                    start = index + 1;
                }
            }
            index += 1;
        }
        builder.map(start..index, None);
        builder.push(PhaseKind::Report, index..index);
        Self { stages: planned_stages(job, &builder.phases), phases: builder.phases }
    }

    /// The phase in which a stage's documents leave it.
    pub fn phase_of_stage(&self, stage: u32) -> Option<&Phase> {
        self.phases.iter().rev().find(|phase| phase.stages.contains(&stage))
    }

    /// The map phase that ends with the stage before `stage`: whose parts a barrier or sink at `stage` reads.
    pub fn map_before(&self, stage: u32) -> Option<&Phase> {
        self.phases
            .iter()
            .find(|phase| matches!(phase.kind, PhaseKind::Map { .. }) && phase.stages.end == stage)
    }
}

fn planned_stages(job: &Job, phases: &[Phase]) -> Vec<PlannedStage> {
    let is_last_of_map = |index: u32| {
        phases
            .iter()
            .any(|phase| matches!(phase.kind, PhaseKind::Map { .. }) && phase.stages.end == index + 1)
    };
    (0..)
        .zip(&job.pipeline)
        .map(|(index, stage)| PlannedStage {
            index,
            name: stage.name().to_owned(),
            directory: format!("{index:02}-{}", stage.name()),
            writes_parts: stage.is_document_stage() && (stage.keep() || is_last_of_map(index)),
        })
        .collect()
}

#[derive(Default)]
struct Builder {
    phases: Vec<Phase>,
}

impl Builder {
    fn push(&mut self, kind: PhaseKind, stages: Range<u32>) {
        let index = self.phases.len() as u32;
        self.phases.push(Phase { index, name: kind.name().to_owned(), kind, stages });
    }

    /// A map over `stages`, if there are any.
    fn map(&mut self, stages: Range<u32>, side: Option<Side>) {
        if !stages.is_empty() {
            self.push(PhaseKind::Map { side }, stages);
        }
    }
}

#[cfg(test)]
mod tests;
