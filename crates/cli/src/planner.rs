//! The job crate's planner as the coordinator sees it.

use orchestrator_coordinator::{Expansion, PlanError, PlannedJob, PlannedStage, Planner};
use orchestrator_core::{Digest, RowHasher, TaskOutcome};
use orchestrator_job::{
    Frozen, InputFile, Job, Phase, PhaseKind, Plan, Resolved, Stage, StageFile, demand, expand_frozen,
    fingerprints,
};
use orchestrator_scheduler::{PhaseKind as SchedulerPhase, PhaseSpec};
use orchestrator_storage::AllowedRoots;
use orchestrator_storage::manifest::InputEntry;

use crate::job_file;

/// Plans jobs for a coordinator.
pub(crate) struct JobPlanner {
    /// Where outputs may lie.
    roots: AllowedRoots,
}

impl JobPlanner {
    /// Plans jobs whose outputs lie below `roots`, and no others.
    pub(crate) fn for_outputs(roots: AllowedRoots) -> Self {
        Self { roots }
    }
}

fn wrong(error: &dyn std::fmt::Display) -> PlanError {
    PlanError(error.to_string())
}

fn read(resolved_job: &str) -> Result<Resolved, PlanError> {
    Resolved::from_json(resolved_job)
        .map_err(|error| wrong(&format!("the resolved job cannot be read: {error}")))
}

impl Planner for JobPlanner {
    fn plan(&self, resolved_job: &str) -> Result<PlannedJob, PlanError> {
        let resolved = read(resolved_job)?;
        let plan = Plan::new(&resolved.job);
        let prints = fingerprints(&resolved, orchestrator_worker::cpu_level());
        let job = &resolved.job;
        self.roots.check(&job.output).map_err(|error| wrong(&error))?;
        let yaml = job.to_yaml().map_err(|error| wrong(&error))?;
        job_file::check_size(yaml.len() as u64).map_err(|error| wrong(&error))?;
        Ok(PlannedJob {
            name: job.name.clone(),
            output: job.output.clone(),
            max_attempts: job.max_attempts,
            products: PRODUCTS.map(|(stage, path)| (stage.to_owned(), path.to_owned())).into(),
            yaml,
            frozen: serde_json::to_string_pretty(&resolved.files).map_err(|error| wrong(&error))?,
            phases: plan.phases.iter().map(|phase| phase_spec(&plan, phase, &prints)).collect(),
            stages: plan
                .stages
                .iter()
                .map(|stage| PlannedStage {
                    name: stage.name.clone(),
                    phase: plan.phase_of_stage(stage.index).map_or(0, |phase| phase.index),
                    manifests: manifests(job.pipeline.get(stage.index as usize), &stage.directory),
                    fingerprint: prints.get(stage.index as usize).copied().unwrap_or(Digest(0)),
                    inputs: if stage.index == 0 {
                        resolved.inputs.iter().map(input).collect()
                    } else {
                        Vec::new()
                    },
                })
                .collect(),
        })
    }

    fn expand(
        &self,
        resolved_job: &str,
        phase: u32,
        committed: &[Vec<TaskOutcome>],
    ) -> Result<Expansion, PlanError> {
        let resolved = read(resolved_job)?;
        let plan = Plan::new(&resolved.job);
        let frozen = Frozen { inputs: &resolved.inputs, files: &resolved.files };
        let specs =
            expand_frozen(&resolved.job, &plan, phase, frozen, committed).map_err(|error| wrong(&error))?;
        let demand = plan
            .phases
            .get(phase as usize)
            .map(|phase| demand(&resolved, &plan, phase, &specs, committed))
            .unwrap_or_default();
        let bytes = specs.iter().map(|spec| spec.bytes(resolved.job.target_bytes.0)).collect();
        let tasks: Result<_, _> = specs.iter().map(serde_json::to_string).collect();
        Ok(Expansion { tasks: tasks.map_err(|error| wrong(&error))?, demand, bytes })
    }

    fn differences(&self, before: &str, after: &str) -> Result<Vec<String>, PlanError> {
        let (before, after) = (read(before)?, read(after)?);
        let mut differences = orchestrator_job::difference(&before.job, &after.job);
        differences.extend(changed_inputs(&before.inputs, &after.inputs));
        differences.extend(changed_files(&before.files, &after.files));
        Ok(differences)
    }

    fn differences_from_yaml(&self, yaml: &str, after: &str) -> Result<Vec<String>, PlanError> {
        let Ok(before) = orchestrator_job::parse(yaml, "job.yaml") else {
            return Ok(vec!["its `job.yaml` is none that this build reads".to_owned()]);
        };
        let after = read(after)?.job;
        let before = Job { output: after.output.clone(), ..before.job };
        Ok(orchestrator_job::difference(&before, &after))
    }
}

/// What stages leave outside their directories, and how the paths of their files begin.
const PRODUCTS: [(&str, &str); 5] = [
    ("tokenize", "tokens/"),
    ("train", "checkpoints/step-"),
    ("train", "metrics.jsonl"),
    ("export", "model/"),
    ("export", "samples.jsonl"),
];

fn input(input: &InputFile) -> InputEntry {
    InputEntry { path: input.source.clone(), bytes: input.bytes, stamp: input.stamp.clone() }
}

/// Every stage has its manifest under `stages/`; tokens have theirs beside them too, for readers of tokens alone.
fn manifests(stage: Option<&Stage>, directory: &str) -> Vec<String> {
    let mut manifests = vec![format!("stages/{directory}/manifest.json")];
    if matches!(stage, Some(Stage::Tokenize(_))) {
        manifests.push("tokens/manifest.json".to_owned());
    }
    manifests
}

fn phase_spec(plan: &Plan, phase: &Phase, prints: &[Digest]) -> PhaseSpec {
    let stages = plan.stages.get(phase.stages.start as usize..phase.stages.end as usize).unwrap_or_default();
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    let name = match phase.kind {
        PhaseKind::Map { .. } => names.join("+"),
        PhaseKind::Index => "index".to_owned(),
        PhaseKind::Report => "report".to_owned(),
        PhaseKind::Train { .. } | PhaseKind::Export | PhaseKind::Tokenize => phase.kind.name().to_owned(),
        PhaseKind::Bands
        | PhaseKind::Verify
        | PhaseKind::Clusters
        | PhaseKind::Repeats
        | PhaseKind::Cutoff
        | PhaseKind::Classifier
        | PhaseKind::Mixture
        | PhaseKind::Prepare => format!("{}:{}", names.join("+"), phase.kind.name()),
    };
    // A phase depends on all that its last stage depends on, and the report on everything.
    let last = if phase.stages.is_empty() { prints.len() } else { phase.stages.end as usize };
    let mut print = RowHasher::default();
    print.text(phase.kind.name()).number(u64::from(phase.index));
    for of_stage in prints.get(..last).unwrap_or_default() {
        print.bytes(&of_stage.0.to_le_bytes());
    }
    PhaseSpec {
        name,
        kind: match phase.kind {
            PhaseKind::Train { world, min } => {
                SchedulerPhase::Gang { world_size: world, min_world_size: min }
            }
            PhaseKind::Index
            | PhaseKind::Map { .. }
            | PhaseKind::Bands
            | PhaseKind::Verify
            | PhaseKind::Clusters
            | PhaseKind::Repeats
            | PhaseKind::Cutoff
            | PhaseKind::Classifier
            | PhaseKind::Mixture
            | PhaseKind::Prepare
            | PhaseKind::Tokenize
            | PhaseKind::Export
            | PhaseKind::Report => SchedulerPhase::Tasks,
        },
        fingerprint: print.finish().to_string(),
    }
}

/// Models, lists and tokenizers that are not what they were.
fn changed_files(before: &[StageFile], after: &[StageFile]) -> Vec<String> {
    let mut lines = Vec::new();
    for file in after {
        let same = |other: &&StageFile| other.stage == file.stage && other.file.url == file.file.url;
        match before.iter().find(same) {
            Some(other) if other.file == file.file => {}
            Some(_) => {
                lines.push(format!("`{}` (`{}`) changed since the run began", file.file.url, file.key));
            }
            None => lines.push(format!("`{}` (`{}`) is new", file.file.url, file.key)),
        }
    }
    lines
}

/// The first input that differs, by name; a list of thousands helps nobody.
fn changed_inputs(before: &[InputFile], after: &[InputFile]) -> Option<String> {
    if before == after {
        return None;
    }
    let pair = before.iter().zip(after).find(|(before, after)| before != after);
    Some(match pair {
        Some((before, after)) if before.source == after.source => {
            format!("input `{}` changed since the run began", before.source)
        }
        Some((before, after)) => {
            format!("inputs differ from `{}` on (now `{}`)", before.source, after.source)
        }
        None => format!("{} input files then, {} now", before.len(), after.len()),
    })
}
