//! From a phase to its tasks, once the phases before it are committed.
//!
//! A pure function of its arguments: the coordinator may call it again after a crash and gets the same tasks, and the
//! number of workers is no argument.

mod splits;

use orchestrator_core::{FileKind, FileRecord, TaskOutcome};

use crate::plan::{Phase, PhaseKind, Plan};
use crate::resolve::StageFile;
use crate::spec::{DedupConfig, Job, Stage};
use crate::task::{ExactF32, InputFile, MapInput, PartRef, Side, TaskSpec, Verdicts, Work};

/// Bytes of one (hash, document) pair of the shuffle in memory: 128 bits, 32, and what alignment adds.
const PAIR_BYTES: u64 = 32;
/// Bytes of an edge: two places in the global order.
const EDGE_BYTES: u64 = 8;
/// Bytes of a row of an index on disk: an id and at least one key of 64 bits, neither of which can be compressed.
pub(crate) const LEAST_INDEX_ROW: u64 = 24;
/// What the pairs of one band in one slice may take; a task holds one band at a time.
const SLICE_BYTES: u64 = 256 << 20;
/// With fewer documents than this, one task encodes all, so that validation can be the tail of the tokens.
pub const FEW_DOCUMENTS: u64 = 100;

/// Why a phase has no tasks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// The plan has no such phase, or a phase before it is not committed.
    #[error("phase {phase} cannot be expanded: expected {expected}")]
    OutOfOrder {
        /// The phase.
        phase: u32,
        /// What was expected.
        expected: String,
    },
    /// The read stage found nothing.
    #[error("no input to read: no file matches the `paths` of the read stage")]
    NoInputs,
    /// The inputs are damaged.
    #[error(
        "{malformed} of {records} records are malformed, expected at most {allowed} (`max_malformed`): `stages/00-read/dropped-*` says where and why"
    )]
    TooManyMalformed {
        /// Malformed records.
        malformed: u64,
        /// All records.
        records: u64,
        /// The bound, as the job has it.
        allowed: String,
    },
    /// Every document was dropped before the stage that needs some.
    #[error("no documents are left for `{stage}`: all were dropped by the stages before it")]
    NoDocuments {
        /// The stage's key in the job file.
        stage: String,
    },
    /// Nothing came in.
    #[error("no documents for `{stage}`: the inputs hold no record")]
    NoRecords {
        /// The stage's key in the job file.
        stage: String,
    },
    /// A dedup stage found clusters beyond its limits. Nothing was dropped.
    #[error(
        "`{directory}` drops nothing and stops: {reason}. The evidence: `stages/{directory}/clusters.json`"
    )]
    Clusters {
        /// The stage's directory.
        directory: String,
        /// Which limit is exceeded, by what.
        reason: String,
    },
    /// What a dedup stage is to tell apart does not fit in its memory.
    #[error("`{directory}` cannot go on: {reason}")]
    Memory {
        /// The stage's directory.
        directory: String,
        /// What does not fit, and what would.
        reason: String,
    },
    /// A committed task did not leave what its kind of work leaves.
    #[error("task {task} of phase {phase} left no good result: {message}")]
    BadOutcome {
        /// The committed phase.
        phase: u32,
        /// The task's number.
        task: u32,
        /// What was expected and what is there.
        message: String,
    },
}

/// Makes the tasks of phase `phase`. `committed` holds the outcomes of all phases before it, each in order of its
/// tasks' numbers; `inputs` are arranged (see [`crate::inputs::arrange`]).
pub fn expand(
    job: &Job,
    plan: &Plan,
    phase: u32,
    inputs: &[InputFile],
    committed: &[Vec<TaskOutcome>],
) -> Result<Vec<TaskSpec>, ExpandError> {
    expand_frozen(job, plan, phase, Frozen { inputs, files: &[] }, committed)
}

/// What a job reads, as it was when the job was planned.
#[derive(Clone, Copy, Debug)]
pub struct Frozen<'a> {
    /// What the read stage reads, arranged.
    pub inputs: &'a [InputFile],
    /// What other stages read beside documents.
    pub files: &'a [StageFile],
}

/// [`expand`] for a job whose stages read files beside documents.
pub fn expand_frozen(
    job: &Job,
    plan: &Plan,
    phase: u32,
    Frozen { inputs, files }: Frozen<'_>,
    committed: &[Vec<TaskOutcome>],
) -> Result<Vec<TaskSpec>, ExpandError> {
    let out_of_order = |expected: String| ExpandError::OutOfOrder { phase, expected };
    let this = plan
        .phases
        .get(phase as usize)
        .ok_or_else(|| out_of_order(format!("one of the plan's {} phases", plan.phases.len())))?;
    if committed.len() < phase as usize {
        return Err(out_of_order(format!("{phase} committed phases before it, found {}", committed.len())));
    }
    malformed_records_are_few(job, committed)?;
    let work = Expansion { job, plan, inputs, files, committed }.work(this)?;
    Ok((0..).zip(work).map(|(number, work)| TaskSpec { phase, number, work }).collect())
}

/// The read stage's rule for records that cannot be read.
const MALFORMED: &str = "malformed";

/// Ends a job whose inputs are damaged beyond what it says it stands.
fn malformed_records_are_few(job: &Job, committed: &[Vec<TaskOutcome>]) -> Result<(), ExpandError> {
    let tallies = committed.iter().flatten().flat_map(|outcome| &outcome.tallies);
    let (mut malformed, mut records) = (0, 0);
    for tally in tallies.filter(|tally| tally.stage == 0) {
        malformed += tally.dropped.get(MALFORMED).copied().unwrap_or(0);
        records += tally.records_in;
    }
    if malformed > job.max_malformed.of(records) {
        return Err(ExpandError::TooManyMalformed {
            malformed,
            records,
            allowed: job.max_malformed.to_string(),
        });
    }
    Ok(())
}

/// The arguments of [`expand`], so that its steps need not hand them on.
struct Expansion<'a> {
    job: &'a Job,
    plan: &'a Plan,
    inputs: &'a [InputFile],
    files: &'a [StageFile],
    committed: &'a [Vec<TaskOutcome>],
}

impl Expansion<'_> {
    fn work(&self, phase: &Phase) -> Result<Vec<Work>, ExpandError> {
        let stage = phase.stages.start;
        Ok(match phase.kind {
            PhaseKind::Index => splits::big_inputs(self.job, self.inputs)
                .map(|input| Work::Index {
                    stage,
                    input: input.clone(),
                    target_bytes: self.job.target_bytes.0,
                })
                .collect(),
            PhaseKind::Map { side } => self.map(phase, side)?,
            PhaseKind::Bands => self.bands(stage)?,
            PhaseKind::Verify => {
                let edges = self.intermediates(self.phase(PhaseKind::Bands, stage)?, stage)?;
                let parts = self.parts_before(stage)?;
                let earlier = self.earlier(stage);
                let verify = |part| Work::DedupVerify {
                    stage,
                    part,
                    earlier: earlier.clone(),
                    edges: edges.clone(),
                    parts: parts.clone(),
                };
                (0..parts.len() as u32).map(verify).collect()
            }
            PhaseKind::Clusters => vec![Work::DedupClusters {
                stage,
                earlier: self.earlier(stage),
                edges: self.edges(stage)?,
                signatures: self.side_files(stage)?,
                parts: self.parts_before(stage)?,
            }],
            PhaseKind::Repeats => self.repeats(stage)?,
            PhaseKind::Cutoff => vec![Work::Cutoff { stage, scores: self.side_files(stage)? }],
            PhaseKind::Mixture => vec![Work::Mixture { stage, sizes: self.side_files(stage)? }],
            PhaseKind::Classifier => vec![Work::TrainScorer { stage }],
            PhaseKind::Prepare => {
                let parts = self.parts_before(stage)?;
                if parts.iter().all(|part| part.rows == 0) {
                    return Err(self.no_documents(stage));
                }
                vec![Work::PrepareTokenizer { stage, parts }]
            }
            PhaseKind::Tokenize => self.tokenize(stage)?,
            PhaseKind::Train { .. } => vec![Work::Train { stage }],
            PhaseKind::Export => vec![Work::Export { stage }],
            PhaseKind::Report => vec![Work::Report],
        })
    }

    fn map(&self, phase: &Phase, side: Option<Side>) -> Result<Vec<Work>, ExpandError> {
        let stages: Vec<u32> = phase.stages.clone().collect();
        let parts: Vec<u32> = stages
            .iter()
            .copied()
            .filter(|&stage| self.plan.stages.get(stage as usize).is_some_and(|stage| stage.writes_parts))
            .collect();
        let map = |input, verdicts| Work::Map {
            stages: stages.clone(),
            input,
            parts: parts.clone(),
            side,
            verdicts,
        };
        if phase.stages.start == 0 {
            if self.inputs.is_empty() {
                return Err(ExpandError::NoInputs);
            }
            let indexed = match self.plan.phases.iter().find(|phase| phase.kind == PhaseKind::Index) {
                Some(index) => (index.index, self.outcomes(index)),
                None => (0, &[][..]),
            };
            let groups = splits::group(self.job, self.inputs, indexed)?;
            return Ok(groups.into_iter().map(|splits| map(MapInput::Splits { splits }, None)).collect());
        }
        let parts_in = self.parts_before(phase.stages.start)?;
        let verdicts = self.verdicts(phase.stages.start, parts_in.len())?;
        Ok(parts_in
            .into_iter()
            .zip(verdicts)
            .map(|(part, verdicts)| map(MapInput::Part { part }, verdicts))
            .collect())
    }

    /// What the barrier at `stage` decided, for each of `parts` parts.
    fn verdicts(&self, stage: u32, parts: usize) -> Result<Vec<Option<Verdicts>>, ExpandError> {
        match self.job.pipeline.get(stage as usize) {
            Some(Stage::Dedup(config)) if config.method.cuts() => {
                let files = self.intermediates(self.phase(PhaseKind::Repeats, stage)?, stage)?;
                let verdict = |part| Some(Verdicts::Repeats { part, files: files.clone() });
                Ok((0..parts as u32).map(verdict).collect())
            }
            Some(Stage::Dedup(config)) => {
                let clusters = self.phase(PhaseKind::Clusters, stage)?;
                let stops =
                    self.outcomes(clusters).iter().find_map(|outcome| outcome.detail["stop"].as_str());
                if let Some(reason) = stops {
                    let directory = self.plan.stages[stage as usize].directory.clone();
                    return Err(ExpandError::Clusters { directory, reason: reason.to_owned() });
                }
                let files = self.numbered_intermediates(clusters, stage, parts)?;
                let signatures = if config.index {
                    self.side_files(stage)?.into_iter().map(Some).collect()
                } else {
                    vec![None; files.len()]
                };
                let verdicts = files.into_iter().zip(signatures);
                Ok(verdicts.map(|(file, index)| Some(Verdicts::Duplicates { file, index })).collect())
            }
            Some(stage_config) if stage_config.ranking().is_some() => {
                let cutoff = self.phase(PhaseKind::Cutoff, stage)?;
                let bad = |message: String| ExpandError::BadOutcome { phase: cutoff.index, task: 0, message };
                let outcome =
                    self.outcomes(cutoff).first().ok_or_else(|| bad("it is not committed".into()))?;
                let threshold: ExactF32 = serde_json::from_value(outcome.detail.clone())
                    .map_err(|error| bad(format!("expected a threshold as its detail: {error}")))?;
                if threshold.value().is_none() {
                    return Err(bad(format!("expected eight hexadecimal digits, found `{}`", threshold.0)));
                }
                let scores = self.side_files(stage)?;
                if scores.len() != parts {
                    return Err(bad(format!("expected scores of {parts} parts, found {}", scores.len())));
                }
                let verdict = |scores| Some(Verdicts::Cutoff { threshold: threshold.clone(), scores });
                Ok(scores.into_iter().map(verdict).collect())
            }
            Some(Stage::Mix(_)) => {
                let file = self.mixture(stage)?;
                Ok(vec![Some(Verdicts::Mixture { file }); parts])
            }
            _ => Ok(vec![None; parts]),
        }
    }

    fn bands(&self, stage: u32) -> Result<Vec<Work>, ExpandError> {
        let signatures = self.side_files(stage)?;
        let rows: u64 = signatures.iter().map(|file| file.rows).sum();
        let earlier = self.earlier(stage);
        // How many rows an index has is known only when it is opened; each takes more bytes than this on disk.
        let rows = rows + earlier.iter().map(|file| file.bytes / LEAST_INDEX_ROW).sum::<u64>();
        let partitions = partitions(rows, self.candidate_bytes(stage));
        Ok((0..partitions)
            .map(|partition| Work::DedupBands {
                stage,
                partition,
                partitions,
                earlier: earlier.clone(),
                signatures: signatures.clone(),
            })
            .collect())
    }

    /// A task for each slice of the hash space, as many as the number of items and the stage's memory ask for.
    fn repeats(&self, stage: u32) -> Result<Vec<Work>, ExpandError> {
        let items = self.side_files(stage)?;
        let total: u64 = items.iter().map(|file| file.rows).sum();
        let sizing = match self.job.pipeline.get(stage as usize) {
            Some(Stage::Dedup(config)) => config.sizing(total),
            _ => Err("it is no `dedup`".to_owned()),
        };
        let directory = || self.plan.stages[stage as usize].directory.clone();
        let partitions =
            sizing.map_err(|reason| ExpandError::Memory { directory: directory(), reason })?.slices;
        Ok((0..partitions)
            .map(|partition| Work::DedupRepeats { stage, partition, partitions, items: items.clone() })
            .collect())
    }

    /// [`candidate_bytes`] of a stage.
    fn candidate_bytes(&self, stage: u32) -> u64 {
        match self.job.pipeline.get(stage as usize) {
            Some(Stage::Dedup(config)) => candidate_bytes(config),
            _ => 0,
        }
    }

    /// The indexes of earlier runs that a dedup stage compares with, in the order in which the job names the runs.
    fn earlier(&self, stage: u32) -> Vec<InputFile> {
        let files = self.files.iter().filter(|file| file.stage == stage && file.key.starts_with("against"));
        files.map(|file| file.file.clone()).collect()
    }

    /// The edges of which clusters are made: all that were found, or those that were verified.
    fn edges(&self, stage: u32) -> Result<Vec<PartRef>, ExpandError> {
        let found = self.phase(PhaseKind::Verify, stage).or_else(|_| self.phase(PhaseKind::Bands, stage))?;
        self.intermediates(found, stage)
    }

    fn tokenize(&self, stage: u32) -> Result<Vec<Work>, ExpandError> {
        let parts = self.parts_before(stage)?;
        let prepare = self.phase(PhaseKind::Prepare, stage)?;
        let prepared: Vec<PartRef> =
            self.outcomes(prepare).iter().flat_map(|outcome| &outcome.files).map(reference).collect();
        let mixture = self.job.mix().map(|(stage, _)| self.mixture(stage)).transpose()?;
        // The phase before has counted those that become tokens: the stage may pass others by.
        let counted = self.outcomes(prepare).iter().find_map(|outcome| outcome.detail["documents"].as_u64());
        let documents = counted.unwrap_or_else(|| parts.iter().map(|part| part.rows).sum());
        let few = documents < FEW_DOCUMENTS;
        let groups = if few { vec![parts] } else { parts.into_iter().map(|part| vec![part]).collect() };
        Ok(groups
            .into_iter()
            .map(|parts| Work::Tokenize {
                stage,
                parts,
                prepared: prepared.clone(),
                mixture: mixture.clone(),
            })
            .collect())
    }

    /// What the mixture phase of the mix stage `stage` left.
    fn mixture(&self, stage: u32) -> Result<PartRef, ExpandError> {
        let files = self.one_of_each(self.phase(PhaseKind::Mixture, stage)?, FileKind::Product, stage)?;
        files.into_iter().next().ok_or_else(|| ExpandError::OutOfOrder {
            phase: 0,
            expected: format!("a committed `mixture` phase for stage {stage}"),
        })
    }

    fn outcomes(&self, phase: &Phase) -> &[TaskOutcome] {
        self.committed.get(phase.index as usize).map_or(&[], Vec::as_slice)
    }

    fn phase(&self, kind: PhaseKind, stage: u32) -> Result<&Phase, ExpandError> {
        let found = self.plan.phases.iter().find(|phase| phase.kind == kind && phase.stages.start == stage);
        found.ok_or_else(|| ExpandError::OutOfOrder {
            phase: 0,
            expected: format!("a `{}` phase for stage {stage} in the plan", kind.name()),
        })
    }

    fn map_before(&self, stage: u32) -> Result<&Phase, ExpandError> {
        self.plan.map_before(stage).ok_or_else(|| ExpandError::OutOfOrder {
            phase: 0,
            expected: format!("a `map` phase that ends before stage {stage} in the plan"),
        })
    }

    /// Why `stage` has nothing to do: nothing was read, or nothing is left of it.
    fn no_documents(&self, stage: u32) -> ExpandError {
        let reads = |stage: u32| self.plan.stages.get(stage as usize).is_some_and(|it| it.name == "read");
        let mut tallies = self.committed.iter().flatten().flat_map(|outcome| &outcome.tallies);
        let came_in = tallies.any(|tally| reads(tally.stage) && tally.records_in > 0);
        let stage = self.plan.stages[stage as usize].name.clone();
        if came_in { ExpandError::NoDocuments { stage } } else { ExpandError::NoRecords { stage } }
    }

    /// The parts of the last document stage before `stage`, in order.
    fn parts_before(&self, stage: u32) -> Result<Vec<PartRef>, ExpandError> {
        let phase = self.map_before(stage)?;
        self.one_of_each(phase, FileKind::Part, stage.saturating_sub(1))
    }

    /// What the map before the barrier at `stage` left for it, one file for each part.
    fn side_files(&self, stage: u32) -> Result<Vec<PartRef>, ExpandError> {
        self.intermediates(self.map_before(stage)?, stage)
    }

    fn intermediates(&self, phase: &Phase, stage: u32) -> Result<Vec<PartRef>, ExpandError> {
        self.one_of_each(phase, FileKind::Intermediate, stage)
    }

    /// The one file of a kind and a stage in each outcome of a phase.
    fn one_of_each(&self, phase: &Phase, kind: FileKind, stage: u32) -> Result<Vec<PartRef>, ExpandError> {
        let mut found = Vec::new();
        for (task, outcome) in (0..).zip(self.outcomes(phase)) {
            let mut files = outcome.files.iter().filter(|file| file.kind == kind && file.stage == stage);
            match (files.next(), files.next()) {
                (Some(file), None) => found.push(reference(file)),
                (first, _) => {
                    let count = if first.is_some() { "several" } else { "none" };
                    let message = format!("expected one {kind:?} file of stage {stage}, found {count}");
                    return Err(ExpandError::BadOutcome { phase: phase.index, task, message });
                }
            }
        }
        Ok(found)
    }

    /// One task's files by the numbers in their names, which must be 0 to `count`.
    fn numbered_intermediates(
        &self,
        phase: &Phase,
        stage: u32,
        count: usize,
    ) -> Result<Vec<PartRef>, ExpandError> {
        let mut files: Vec<PartRef> = vec![];
        for outcome in self.outcomes(phase) {
            let of_stage = |file: &&FileRecord| file.kind == FileKind::Intermediate && file.stage == stage;
            files.extend(outcome.files.iter().filter(of_stage).map(reference));
        }
        files.sort_by_key(|file| number_in_name(&file.path));
        let numbered = (0..).zip(&files).all(|(number, file)| number_in_name(&file.path) == Some(number));
        if files.len() == count && numbered {
            return Ok(files);
        }
        let message = format!("expected files numbered from 0 for {count} parts, found {}", files.len());
        Err(ExpandError::BadOutcome { phase: phase.index, task: 0, message })
    }
}

/// `12` of `…/verdicts-00012.parquet`.
fn number_in_name(path: &str) -> Option<u32> {
    let name = path.rsplit('/').next()?;
    let (_, after) = name.rsplit_once('-')?;
    after.split('.').next()?.parse().ok()
}

fn reference(file: &FileRecord) -> PartRef {
    PartRef { path: file.path.clone(), rows: file.rows, bytes: file.bytes, xxh3: file.xxh3 }
}

/// Bytes that the candidates of one document take in all slices together: with `verify` a slice's are held until they are
/// sorted, at most one edge a band.
pub(crate) fn candidate_bytes(config: &DedupConfig) -> u64 {
    if config.verify.is_some() { EDGE_BYTES * config.bands as u64 } else { 0 }
}

/// How many slices of the hash space, so that one slice's pairs, and what is held of its edges, fit in memory.
fn partitions(rows: u64, candidate_bytes: u64) -> u32 {
    let bytes = rows.saturating_mul(PAIR_BYTES.max(candidate_bytes));
    u32::try_from(bytes.div_ceil(SLICE_BYTES).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
