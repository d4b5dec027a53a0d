//! Runs the phases of a job on a sample, one task after the other, as a coordinator and a worker would.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use orchestrator_core::TaskOutcome;
use orchestrator_job::{Frozen, MapInput, Phase, PhaseKind, Resolved, TaskSpec, Work, expand_frozen};

use super::SampleError;
use super::read::Seen;
use super::units::Unit;
use crate::context::{JobContext, Progress, TaskContext};
use crate::error::TaskError;
use crate::resume::Resume;

/// What the phases of a sample left.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Outcomes by phase, as far as it went.
    pub(super) outcomes: Vec<Vec<TaskOutcome>>,
    /// Seconds of CPU by phase.
    pub(super) cpu_seconds: Vec<f64>,
    /// The part of the first map's time in which the stages had records; the rest went into reading.
    pub(super) fed_share: f64,
    /// Whether the time is the process' CPU time; else it is a clock's.
    pub(super) measured_cpu: bool,
    /// Why it ended before the last phase that documents pass.
    pub(super) ended: Option<String>,
}

impl Trial {
    /// Runs all phases up to the training's, and says what was seen of each unit.
    pub(super) fn run(
        resolved: &Resolved,
        context: JobContext,
        directory: &Path,
        units: &[Unit],
    ) -> Result<(Self, Vec<Seen>), SampleError> {
        let context = Arc::new(context);
        let plan = context.plan.clone();
        let mut trial = Self { measured_cpu: cpu_seconds().is_some(), ..Self::default() };
        let mut seen = Vec::new();
        for phase in &plan.phases {
            let is_first_map = matches!(phase.kind, PhaseKind::Map { .. }) && phase.stages.start == 0;
            let specs = match phase.kind {
                PhaseKind::Train { .. } | PhaseKind::Export | PhaseKind::Report => break,
                PhaseKind::Index => Vec::new(),
                PhaseKind::Map { .. } if is_first_map => first_map(&context, phase, units)?,
                _ => {
                    let frozen = Frozen { inputs: &resolved.inputs, files: &resolved.files };
                    let expanded = expand_frozen(&context.job, &plan, phase.index, frozen, &trial.outcomes);
                    match expanded {
                        Ok(specs) => specs,
                        // A job that stops at what the sample holds may go on with all of it, and the other way round.
                        Err(error) => {
                            trial.ended = Some(format!("phase `{}` on the sample: {error}", phase.name));
                            break;
                        }
                    }
                }
            };
            let (begun, before) = (Instant::now(), cpu_seconds());
            let mut outcomes = Vec::with_capacity(specs.len());
            for spec in &specs {
                match one(&context, spec, directory) {
                    Ok(outcome) => outcomes.push(outcome),
                    // A trainer that finds too little in a sample is no fault of the job.
                    Err(TaskError::Configuration { message, .. }) if phase.kind == PhaseKind::Prepare => {
                        trial.ended = Some(format!("the tokenizer on the sample: {message}"));
                        return Ok((trial, seen));
                    }
                    Err(source) => return Err(SampleError::Task { phase: phase.name.clone(), source }),
                }
                if is_first_map && let Some(sample) = &context.sample {
                    seen.push(sample.since());
                }
            }
            let elapsed = begun.elapsed().as_secs_f64();
            let cpu = before.zip(cpu_seconds()).map_or(elapsed, |(before, after)| after - before);
            trial.cpu_seconds.push(cpu);
            trial.outcomes.push(outcomes);
            if is_first_map {
                let fed: u64 = seen.iter().map(|unit| unit.fed_ns).sum();
                trial.fed_share = (fed as f64 / 1e9 / elapsed.max(1e-9)).min(1.0);
            }
        }
        Ok((trial, seen))
    }
}

/// A task for each unit.
fn first_map(context: &JobContext, phase: &Phase, units: &[Unit]) -> Result<Vec<TaskSpec>, SampleError> {
    let PhaseKind::Map { side } = phase.kind else { return Ok(Vec::new()) };
    let stages: Vec<u32> = phase.stages.clone().collect();
    let writes = |stage: &u32| context.plan.stages.get(*stage as usize).is_some_and(|it| it.writes_parts);
    let parts: Vec<u32> = stages.iter().copied().filter(writes).collect();
    let task = |(number, unit): (u32, &Unit)| {
        let splits = unit.splits(context).map_err(SampleError::Inputs)?;
        let input = MapInput::Splits { splits };
        let work = Work::Map { stages: stages.clone(), input, parts: parts.clone(), side, verdicts: None };
        Ok(TaskSpec { phase: phase.index, number, work })
    };
    (0..).zip(units).map(task).collect()
}

/// Runs a task and moves its files to where the next phases look for them.
fn one(context: &Arc<JobContext>, spec: &TaskSpec, directory: &Path) -> Result<TaskOutcome, TaskError> {
    let attempt_path = format!(".orchestrator/attempts/{}/{}/1", spec.phase, spec.number);
    let task = TaskContext {
        job: Arc::clone(context),
        attempt_path: attempt_path.clone(),
        phase: spec.phase,
        progress: Arc::new(Progress::default()),
        resume: Resume::default(),
    };
    let outcome = crate::run(&task, spec)?;
    for file in &outcome.files {
        let to = directory.join(&file.path);
        let moved = to.parent().map_or(Ok(()), std::fs::create_dir_all);
        moved
            .and_then(|()| std::fs::rename(directory.join(&attempt_path).join(&file.path), &to))
            .map_err(TaskError::io(format!("moving `{}`", file.path)))?;
    }
    Ok(outcome)
}

/// What all threads of this process took of the CPU; `None` where the system does not tell. In hundredths of a second,
/// which is Linux' unit for it.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in brackets, may hold blanks.
    let (_, fields) = text.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / 100.0)
}
