//! What the coordinator must know of job files, as a trait: it runs plans and understands none.

use orchestrator_core::{Demand, Digest, TaskOutcome};
use orchestrator_scheduler::PhaseSpec;
use orchestrator_storage::manifest::InputEntry;

/// Turns a submitted job into phases, and phases into tasks. All of it is pure: equal arguments, equal results.
pub trait Planner: Send + Sync + 'static {
    /// Reads a resolved job as a client submitted it, and plans it.
    fn plan(&self, resolved_job: &str) -> Result<PlannedJob, PlanError>;

    /// Makes the specs of a phase's tasks; `committed` holds the outcomes of all phases before it, each in task order.
    fn expand(
        &self,
        resolved_job: &str,
        phase: u32,
        committed: &[Vec<TaskOutcome>],
    ) -> Result<Expansion, PlanError>;

    /// What differs between two resolved jobs, one line each. None: the later one goes on where the earlier one is.
    fn differences(&self, before: &str, after: &str) -> Result<Vec<String>, PlanError>;

    /// What differs between the `job.yaml` that lies in an output and a resolved job, one line each. Where the output lies
    /// is no difference: it may have been moved.
    fn differences_from_yaml(&self, yaml: &str, after: &str) -> Result<Vec<String>, PlanError>;
}

/// The tasks of a phase.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    /// One spec per task, in order.
    pub tasks: Vec<String>,
    /// What each of them takes of its worker, or each rank of a gang.
    pub demand: Demand,
    /// About how many bytes each of them reads, to tell which ones are slow; 0, or nothing at all, where that is not known.
    pub bytes: Vec<u64>,
}

/// A job that can be run.
#[derive(Clone, Debug)]
pub struct PlannedJob {
    /// Its name.
    pub name: String,
    /// Storage URL of its output.
    pub output: String,
    /// Failures after which a task is quarantined.
    pub max_attempts: u32,
    /// What the output's `job.yaml` will say.
    pub yaml: String,
    /// What the output's [`FROZEN_FILES`] will say: files that stages read beside documents, which must stay what they are.
    pub frozen: String,
    /// What runs, one after another.
    pub phases: Vec<PhaseSpec>,
    /// The stages, by the index that outcomes name them with.
    pub stages: Vec<PlannedStage>,
    /// What stages leave outside their directories: a stage's name, and how the paths of its files begin.
    pub products: Vec<(String, String)>,
}

/// A stage and its manifest.
#[derive(Clone, Debug)]
pub struct PlannedStage {
    /// Its key in the job file.
    pub name: String,
    /// The phase whose publication completes the stage: its manifest is written then.
    pub phase: u32,
    /// Where its manifest goes, relative to the output: `stages/03-filter/manifest.json`, and more where needed.
    pub manifests: Vec<String>,
    /// Over all that the stage's result depends on.
    pub fingerprint: Digest,
    /// Raw inputs that it reads; other stages read the parts of the nearest stage before them that has some.
    pub inputs: Vec<InputEntry>,
}

/// A job cannot be planned, or a phase not expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub String);
