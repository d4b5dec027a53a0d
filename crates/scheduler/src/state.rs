//! The durable state: jobs, their phases, their tasks. It changes only by [`crate::Fact`]s (see `fold.rs`).
//!
//! ```text
//!  Job ── phases in order ──▶ Phase: waiting ─▶ running ─▶ published
//!                               └─ tasks ──▶ Task: ready ⇄ leased ─▶ committed ─▶ published
//!                                                   ▲        └─▶ quarantined
//!                                     (slow tasks) a second lease beside the first: who commits first wins
//!                                     (gangs) ready ⇄ seated (one lease a rank) ─▶ committed …
//! ```

use std::collections::BTreeMap;

use orchestrator_core::{AttemptId, Demand, FencingToken, JobId, Savepoint, WorkerId};
use serde::{Deserialize, Serialize};

/// Everything that survives a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// All jobs ever taken in.
    pub jobs: BTreeMap<JobId, Job>,
    /// Jobs taken in so far: the next job's number is one more.
    pub jobs_total: u64,
    /// The newest attempt's id; ids rise and are never used twice.
    pub last_attempt: u64,
    /// The newest fencing token; tokens rise and are never used twice.
    pub last_token: u64,
}

/// Which task of which phase of which job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The job.
    pub job: JobId,
    /// Its phase.
    pub phase: u32,
    /// The phase's task; 0 for a gang.
    pub task: u32,
}

/// A job and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its number in order of submission, from 1.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// Storage URL of its output.
    pub output: String,
    /// The resolved job file.
    pub definition: String,
    /// Higher goes first.
    pub priority: i32,
    /// Failures after which a task is quarantined.
    pub max_attempts: u32,
    /// Its phases, in order.
    pub phases: Vec<Phase>,
    /// How it is.
    pub status: JobStatus,
}

/// How a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// It runs, or waits for workers.
    Running,
    /// All its phases are published.
    Succeeded,
    /// It ended for this reason; a retry may help.
    Failed(String),
    /// Somebody stopped it.
    Cancelled,
}

impl JobStatus {
    /// The state in a word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A phase as the plan gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseSpec {
    /// Its name, for people: `read+clean+language`.
    pub name: String,
    /// How its tasks run.
    pub kind: PhaseKind,
    /// Covers all that its results depend on: inputs, configuration, code version. Equal prints, equal results.
    pub fingerprint: String,
}

/// How a phase's tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseKind {
    /// Each on its own, on any worker.
    Tasks,
    /// One task, run by all ranks at once or not at all.
    Gang {
        /// Ranks wanted.
        world_size: u32,
        /// The fewest ranks with which a gang that lost some may go on.
        min_world_size: u32,
    },
}

/// A phase and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The plan's part.
    pub spec: PhaseSpec,
    /// How it is.
    pub status: PhaseStatus,
    /// Its tasks; empty until it is expanded. Specs are emptied once the phase is published.
    pub tasks: Vec<Task>,
    /// What each of its tasks takes of a worker, or each rank of its gang.
    #[serde(default)]
    pub demand: Demand,
    /// Tasks that are published: kept as a count, so that no commit has to look at all the others.
    pub published: u32,
    /// Tasks that are quarantined.
    pub quarantined: u32,
    /// Tasks that are leased, seated, or committed and not yet published.
    pub under_way: u32,
    /// Records that committed attempts read.
    pub records: u64,
    /// Bytes that committed attempts read.
    pub bytes: u64,
    /// For a gang.
    pub gang: Option<Gang>,
}

/// How a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseStatus {
    /// Its tasks are not known yet.
    Waiting,
    /// Its tasks are known.
    Running,
    /// Its manifests are written.
    Published,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What to do; opaque here.
    pub spec: String,
    /// How it is.
    pub status: TaskStatus,
    /// Failures since it was taken in or retried.
    pub failures: u32,
    /// Losses since it was taken in, retried, or (gangs) last committed a checkpoint.
    pub losses: u32,
    /// The last attempt's error.
    pub error: Option<String>,
    /// The worker of the last attempt that failed or was lost.
    pub failed_on: Option<WorkerId>,
    /// About how many bytes it reads; 0 where that is not known.
    #[serde(default)]
    pub bytes: u64,
    /// The second attempt of a leased task that takes long. It has the same rights as the first.
    #[serde(default)]
    pub second: Option<Lease>,
    /// Where its next attempt goes on; gone once it is published.
    #[serde(default)]
    pub saved: Option<Saved>,
    /// Number of the furthest savepoint that it ever had.
    #[serde(default)]
    pub furthest: u32,
}

/// A savepoint and who left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The attempt.
    pub attempt: AttemptId,
    /// What it left.
    pub savepoint: Savepoint,
}

/// How a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Nobody has it.
    Ready,
    /// A worker has it.
    Leased(Lease),
    /// A gang has it: the leases are in [`Gang::seats`].
    Seated,
    /// This attempt's outcome is the task's; its files are on their way to their final names.
    Committed(Lease),
    /// The files of this attempt lie at their final names.
    Published(Lease),
    /// Its attempts are used up.
    Quarantined,
}

/// Who has, or had, a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its token.
    pub token: FencingToken,
    /// The worker.
    pub worker: WorkerId,
}

/// The durable part of a gang.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gang {
    /// The newest generation; 0 before the first.
    pub generation: u64,
    /// Its seats by rank; empty between generations.
    pub seats: Vec<Seat>,
    /// Set once all ranks joined.
    pub formation: Option<Formation>,
    /// The newest checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Attempts of the generation that ended last, if nobody was blamed for its end yet: the rank at fault may report
    /// after its peers did.
    pub unblamed: Vec<AttemptId>,
}

/// One rank's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The lease.
    pub lease: Lease,
    /// Whether the rank has committed.
    pub committed: bool,
    /// GPUs that the rank was given.
    #[serde(default)]
    pub gpus: u32,
}

/// How the ranks of a generation find each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formation {
    /// By rank.
    pub addresses: Vec<String>,
    /// Rank 0's NCCL id, or empty.
    pub nccl_id: Vec<u8>,
}

/// A committed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Optimizer steps in it.
    pub step: u64,
    /// Its final path, relative to the output.
    pub path: String,
    /// Where its files lay when it was committed.
    pub attempt_path: String,
    /// JSON of its manifest.
    pub manifest: String,
    /// Whether it lies at its final path.
    pub published: bool,
}

impl Job {
    /// The phase that runs or comes next; `None` when all are published.
    pub fn current_phase(&self) -> Option<u32> {
        self.phases.iter().position(|phase| phase.status != PhaseStatus::Published).map(|index| index as u32)
    }

    /// The phase that a job which runs works on.
    pub(crate) fn active_phase(&self) -> Option<(u32, &Phase)> {
        match self.status {
            JobStatus::Running => self.current_phase().map(|index| (index, &self.phases[index as usize])),
            JobStatus::Succeeded | JobStatus::Failed(_) | JobStatus::Cancelled => None,
        }
    }
}

impl Phase {
    pub(crate) fn new(spec: PhaseSpec) -> Self {
        let gang = match spec.kind {
            PhaseKind::Tasks => None,
            PhaseKind::Gang { .. } => Some(Gang::default()),
        };
        Self {
            spec,
            status: PhaseStatus::Waiting,
            tasks: Vec::new(),
            demand: Demand::default(),
            published: 0,
            quarantined: 0,
            under_way: 0,
            records: 0,
            bytes: 0,
            gang,
        }
    }

    /// Tasks whose outcome stands, published or on their way.
    pub fn tasks_done(&self) -> u32 {
        if self.status == PhaseStatus::Published {
            return self.tasks.len() as u32;
        }
        self.tasks
            .iter()
            .filter(|task| matches!(task.status, TaskStatus::Committed(_) | TaskStatus::Published(_)))
            .count() as u32
    }

    /// Whether everything of a phase lies at its final name.
    pub(crate) fn all_published(&self) -> bool {
        let checkpoint = self.gang.as_ref().and_then(|gang| gang.checkpoint.as_ref());
        self.status == PhaseStatus::Running
            && self.published as usize == self.tasks.len()
            && checkpoint.is_none_or(|checkpoint| checkpoint.published)
    }
}

impl Task {
    pub(crate) fn new(spec: String, bytes: u64) -> Self {
        Self {
            spec,
            status: TaskStatus::Ready,
            failures: 0,
            losses: 0,
            error: None,
            failed_on: None,
            bytes,
            second: None,
            saved: None,
            furthest: 0,
        }
    }

    /// Who has it: nobody, one, or two. Ranks have seats instead.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        let first = match &self.status {
            TaskStatus::Leased(lease) => Some(lease),
            TaskStatus::Ready
            | TaskStatus::Seated
            | TaskStatus::Committed(_)
            | TaskStatus::Published(_)
            | TaskStatus::Quarantined => None,
        };
        first.into_iter().chain(&self.second)
    }

    /// Takes an attempt's lease away. What is left of two takes the first place; what is left of one is ready.
    pub(crate) fn take_lease(&mut self, attempt: AttemptId) -> Option<Lease> {
        if self.second.as_ref().is_some_and(|lease| lease.attempt == attempt) {
            return self.second.take();
        }
        let lease = self.leases().next().filter(|lease| lease.attempt == attempt).cloned()?;
        self.status = self.second.take().map_or(TaskStatus::Ready, TaskStatus::Leased);
        Some(lease)
    }
}

impl State {
    /// The task at a place.
    pub fn task(&self, place: &Place) -> Option<&Task> {
        self.phase(&place.job, place.phase)?.tasks.get(place.task as usize)
    }

    /// A job's phase.
    pub fn phase(&self, job: &JobId, phase: u32) -> Option<&Phase> {
        self.jobs.get(job)?.phases.get(phase as usize)
    }

    /// The newest job on an output.
    pub fn newest_on(&self, output: &str) -> Option<(&JobId, &Job)> {
        self.jobs.iter().filter(|(_, job)| job.output == output).max_by_key(|(_, job)| job.number)
    }
}
