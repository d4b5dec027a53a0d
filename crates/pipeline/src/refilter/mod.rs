//! Moves thresholds and judges a run's documents again by what was measured of them, without their texts.
//!
//! ```text
//! job of the run ─┐                            ┌─ stages/NN-filter/scores-NNNNN.parquet
//! another job ────┴─▶ changes ─▶ can they be told from scores? ─▶ each row judged twice ─▶ ledger before and after
//! ```
//!
//! Stages are gone through in order, from the first that changed. A document that is dropped now is missing in the stages
//! behind; one that is kept now was never seen by them, and is counted as unmeasured. At a stage that compares documents
//! with each other (dedup, mix) the account ends.
//!
//! Before anything is said, the run's own thresholds are applied in the same way: unless that gives the run's own ledger,
//! to the document, the answer is an error.

mod judge;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::DocumentId;
use orchestrator_job::{Change, Job, Stage, changes};
use orchestrator_storage::documents::{DroppedReader, ScoresReader};
use orchestrator_storage::manifest::StageManifest;
use orchestrator_storage::{RelativePath, Store};
use serde::Serialize;

use self::judge::Judge;
use self::ledger::Ledger;
use crate::context::{Host, JobContext, LoadError};

/// The question cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum RefilterError {
    /// The run's job cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Storage said no.
    #[error(transparent)]
    Storage(#[from] orchestrator_storage::Error),
    /// Both jobs are the same, as far as documents are judged.
    #[error("nothing to judge again: {0}")]
    Unchanged(String),
    /// Changes whose outcome scores do not tell.
    #[error("the outcome cannot be told from scores; run the job with `--reuse` for it:\n{}", .0.join("\n"))]
    Fixed(Vec<String>),
    /// The run has no scores.
    #[error(
        "the stage `{0}` kept no scores: set `scores: true` in it and run the job (`--reuse` keeps the phases before it)"
    )]
    NoScores(String),
    /// The run did not get so far.
    #[error("the stage `{0}` is not published: let the run end first")]
    Unpublished(String),
    /// A stage's options cannot be used.
    #[error("stage `{stage}`: {message}")]
    Stage {
        /// The stage.
        stage: String,
        /// What is wrong.
        message: String,
    },
    /// The scores do not give the run's own ledger.
    #[error(
        "the scores of `{stage}` do not tell what the run itself did ({rule}: {told} by the scores, {found} in the ledger): they are damaged, or another version of this program made them"
    )]
    Unfaithful {
        /// The stage.
        stage: String,
        /// The rule, or `kept`.
        rule: String,
        /// By the scores.
        told: u64,
        /// In the manifest.
        found: u64,
    },
    /// What was measured of a document does not tell its fate.
    #[error("stage `{stage}`, document {id}: {message}; run the job with `--reuse` for it")]
    Untold {
        /// The stage.
        stage: String,
        /// The document.
        id: DocumentId,
        /// Why.
        message: String,
    },
    /// Whoever takes the list of changed documents cannot.
    #[error("the list of changed documents cannot be written")]
    List(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What would become of a run's documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refiltered {
    /// What was moved, as a difference of job files.
    pub changes: Vec<String>,
    /// The stages from the first that changed on, in order.
    pub stages: Vec<StageOutcome>,
    /// Why the account ends before the last stage, if it does.
    pub ends: Option<String>,
}

/// One stage, before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StageOutcome {
    /// The name of its table: `filter`, and `filter_2` for the second of one name.
    pub stage: String,
    /// Records that came in and are known here: `unmeasured` ones come on top of the second figure.
    pub records_in: [u64; 2],
    /// Those of them that go on.
    pub kept: [u64; 2],
    /// Dropped records by rule, by name.
    pub rules: Vec<RuleCounts>,
    /// Documents that were dropped and would be kept.
    pub now_kept: u64,
    /// Documents that were kept and would be dropped.
    pub now_dropped: u64,
    /// Documents that another rule would drop.
    pub other_rule: u64,
    /// Documents that would come in and that this stage has never seen: what it would do to them is not known.
    pub unmeasured: u64,
}

/// How often a rule dropped, and would drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleCounts {
    /// The rule.
    pub rule: String,
    /// How often, before and after.
    pub counts: [u64; 2],
}

/// A document with another fate in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move<'a> {
    /// The document.
    pub id: DocumentId,
    /// The stage's table.
    pub stage: &'a str,
    /// The rule that dropped it, or `kept`.
    pub before: &'a str,
    /// The rule that would, or `kept`.
    pub after: &'a str,
}

/// Takes the documents that change, in the order of stages and documents.
pub type TakeMove<'a> = dyn FnMut(Move<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a;

/// What a document that no rule drops is.
const KEPT: &str = "kept";

/// Judges the documents of the run in `output` by `after`, a job that differs from the run's in thresholds alone. Holds 24
/// bytes for each document that changes, and with `keep_fraction` 4 for each document.
pub fn refilter(
    output: &Store,
    host: Host,
    after: &Job,
    take: &mut TakeMove<'_>,
) -> Result<Refiltered, RefilterError> {
    let context = JobContext::load_finished(output.clone(), host)?;
    let changes = changes(&context.job, after);
    let first = first_changed(&context, after, &changes)?;
    let mut account =
        Account { context: &context, after, gone: BTreeSet::new(), came: BTreeSet::new(), take };
    let mut told = Refiltered {
        changes: changes.iter().map(Change::to_string).collect(),
        stages: Vec::new(),
        ends: None,
    };
    for (index, stage) in (0..).zip(&context.job.pipeline).skip(first) {
        if !stage.is_document_stage() {
            break;
        }
        if matches!(stage, Stage::Dedup(_) | Stage::Mix(_)) && account.has_changes() {
            told.ends = Some(format!(
                "`{}` compares documents with each other: what it makes of others than those that it saw is not known",
                stage.name()
            ));
            break;
        }
        if account.ends_at(stage) {
            told.ends = Some(format!(
                "`{}` keeps a fraction of the documents, and does not know the scores of those that it never saw",
                stage.name()
            ));
            break;
        }
        told.stages.push(account.stage(index, stage)?);
    }
    Ok(told)
}

/// The first stage that is judged otherwise; an error where scores do not tell the outcome of a change.
fn first_changed(context: &JobContext, after: &Job, changes: &[Change]) -> Result<usize, RefilterError> {
    let mut moved = BTreeSet::new();
    let mut fixed = Vec::new();
    let mut others = Vec::new();
    for change in changes.iter().flat_map(Change::leaves) {
        let Some((stage, key)) = change.stage_key() else {
            // Where and how the job runs, and how big its tasks are, decides of no document.
            if !matches!(change.path.as_str(), "name" | "output" | "target_bytes") {
                fixed.push(format!("{change} (it is no stage's)"));
            }
            continue;
        };
        let judge = match (context.job.pipeline.get(stage), after.pipeline.get(stage)) {
            (Some(before), Some(after)) if before.name() == after.name() => Judge::new(context, after)?,
            _ => {
                fixed.push(format!("{change} (the stages are others)"));
                continue;
            }
        };
        match judge.as_ref().map(|judge| judge.fixed(key)) {
            Some(None) => {
                moved.insert(stage);
            }
            Some(Some(reason)) => fixed.push(format!("{change} (it {reason})")),
            None => others.push((stage, change)),
        }
    }
    let last = moved.iter().next_back().copied();
    for (stage, change) in others {
        // What comes behind the last stage that is judged again changes nothing before it.
        if last.is_some_and(|last| stage < last) {
            fixed.push(format!("{change} (it measures nothing, and stands before what is judged again)"));
        }
    }
    if !fixed.is_empty() {
        return Err(RefilterError::Fixed(fixed));
    }
    moved.first().copied().ok_or_else(|| {
        RefilterError::Unchanged(
            "no option of a `filter`, `language`, `quality`, `perplexity` or `decontaminate` stage differs"
                .to_owned(),
        )
    })
}

/// What is known of documents that the stages so far treat otherwise.
struct Account<'a, 'b> {
    context: &'a JobContext,
    after: &'a Job,
    /// Documents that came into the next stage and would not.
    gone: BTreeSet<DocumentId>,
    /// Documents that did not and would.
    came: BTreeSet<DocumentId>,
    take: &'a mut TakeMove<'b>,
}

impl Account<'_, '_> {
    fn has_changes(&self) -> bool {
        !self.gone.is_empty() || !self.came.is_empty()
    }

    /// Whether the stage decides by what it does not know.
    fn ends_at(&self, stage: &Stage) -> bool {
        // A cut among scores that were kept can be made again without the documents that are gone.
        let knows = stage.scores() && self.came.is_empty();
        stage.ranking().is_some() && self.has_changes() && !knows
    }

    fn stage(&mut self, index: u32, stage: &Stage) -> Result<StageOutcome, RefilterError> {
        let name = table_name(&self.context.job, index);
        let path = StageManifest::path(index, stage.name())?;
        let output = &self.context.output;
        if output.try_stat(&path)?.is_none() {
            return Err(RefilterError::Unpublished(name));
        }
        let manifest = StageManifest::read(output, &path)?;
        let files = |prefix: &str| -> Vec<RelativePath> {
            let paths = manifest.files.iter().map(|file| &file.path);
            paths.filter(|path| path.file_name().starts_with(prefix)).cloned().collect()
        };
        let after = self.after.pipeline.get(index as usize).unwrap_or(stage);
        let scores = files("scores-");
        if scores.is_empty() {
            if after != stage {
                return Err(RefilterError::NoScores(name));
            }
            return self.unmeasured_stage(name, &manifest, &files("dropped-"));
        }
        let judges = [Judge::new(self.context, stage)?, Judge::new(self.context, after)?];
        let [Some(before), Some(after)] = judges else { return Err(RefilterError::NoScores(name)) };
        self.measured_stage(name, &manifest, &scores, [before, after])
    }

    /// A stage that judges each document by itself and kept no scores: what it did to those that still come in, it does.
    fn unmeasured_stage(
        &mut self,
        name: String,
        manifest: &StageManifest,
        dropped: &[RelativePath],
    ) -> Result<StageOutcome, RefilterError> {
        let mut rules: BTreeMap<String, [u64; 2]> =
            manifest.dropped.iter().map(|(rule, &count)| (rule.clone(), [count; 2])).collect();
        let mut gone = std::mem::take(&mut self.gone);
        let left = gone.len() as u64;
        if !gone.is_empty() {
            for path in dropped {
                for row in DroppedReader::open(&self.context.output, path)? {
                    let row = row?;
                    // Nobody behind misses what this stage dropped.
                    if gone.remove(&row.id)
                        && let Some([_, after]) = rules.get_mut(&*row.reason.rule)
                    {
                        *after = after.saturating_sub(1);
                    }
                }
            }
        }
        let kept = manifest.kept.saturating_sub(gone.len() as u64);
        self.gone = gone;
        Ok(StageOutcome {
            stage: name,
            records_in: [manifest.records_in, manifest.records_in.saturating_sub(left)],
            kept: [manifest.kept, kept],
            rules: rules.into_iter().map(|(rule, counts)| RuleCounts { rule, counts }).collect(),
            unmeasured: self.came.len() as u64,
            ..StageOutcome::default()
        })
    }

    fn measured_stage(
        &mut self,
        name: String,
        manifest: &StageManifest,
        files: &[RelativePath],
        [mut before, mut after]: [Judge; 2],
    ) -> Result<StageOutcome, RefilterError> {
        let columns = match files.first() {
            Some(first) => {
                let stored = ScoresReader::open(&self.context.output, first)?.names().to_vec();
                after.columns(&stored);
                before.columns(&stored)
            }
            None => Vec::new(),
        };
        for (judge, all) in [(&mut before, true), (&mut after, false)] {
            if judge.ranking().is_some() {
                let mut scores = Vec::new();
                self.each(files, &columns, |account, row| {
                    let counts = all || !account.gone.contains(&row.id);
                    scores.extend(
                        row.measures.first().copied().flatten().filter(|_| counts).map(|it| it as f32),
                    );
                    Ok(())
                })?;
                judge.set_cut(scores);
            }
        }
        let mut ledger = Ledger::default();
        let (mut gone, mut came) = (BTreeSet::new(), BTreeSet::new());
        let table = name.clone();
        let untold = |id: DocumentId| {
            let stage = name.clone();
            move |message| RefilterError::Untold { stage, id, message }
        };
        self.each(files, &columns, |account, row| {
            let was = before.judge(row).map_err(untold(row.id))?;
            if account.gone.contains(&row.id) {
                ledger.leave(was.as_ref());
                // Nobody behind misses what this stage dropped.
                if was.is_none() {
                    gone.insert(row.id);
                }
                return Ok(());
            }
            let is = after.judge(row).map_err(untold(row.id))?;
            ledger.enter(was.as_ref(), is.as_ref());
            if was != is {
                match (&was, &is) {
                    (None, Some(_)) => gone.insert(row.id),
                    (Some(_), None) => came.insert(row.id),
                    (None, None) | (Some(_), Some(_)) => false,
                };
                let (before, after) = (was.as_deref().unwrap_or(KEPT), is.as_deref().unwrap_or(KEPT));
                (account.take)(Move { id: row.id, stage: &table, before, after })
                    .map_err(RefilterError::List)?;
            }
            Ok(())
        })?;
        ledger.is_that_of(&name, manifest)?;
        let outcome = ledger.into_outcome(name, self.came.len() as u64);
        self.gone = gone;
        self.came.append(&mut came);
        Ok(outcome)
    }

    /// Calls `visit` with every row of the files, its measures in the order of `columns`.
    fn each(
        &mut self,
        files: &[RelativePath],
        columns: &[String],
        mut visit: impl FnMut(&mut Self, &orchestrator_storage::documents::Scores) -> Result<(), RefilterError>,
    ) -> Result<(), RefilterError> {
        for path in files {
            let output = self.context.output.clone();
            let reader = ScoresReader::open(&output, path)?;
            let place = |column: &String| {
                reader.names().iter().position(|name| name == column).ok_or_else(|| {
                    RefilterError::Storage(orchestrator_storage::Error::Corrupt {
                        path: output.name(path),
                        detail: format!("expected a column `{column}`"),
                    })
                })
            };
            let places = columns.iter().map(place).collect::<Result<Vec<_>, _>>()?;
            for row in reader {
                let mut row = row?;
                row.measures =
                    places.iter().map(|&place| row.measures.get(place).copied().flatten()).collect();
                visit(self, &row)?;
            }
        }
        Ok(())
    }
}

/// The name of a stage's table: `filter`, and `filter_2` for the second of one name.
fn table_name(job: &Job, index: u32) -> String {
    let index = index as usize;
    let Some(stage) = job.pipeline.get(index) else { return String::new() };
    match job.pipeline.iter().take(index).filter(|other| other.name() == stage.name()).count() {
        0 => stage.name().to_owned(),
        before => format!("{}_{}", stage.name(), before + 1),
    }
}
