//! What was decided and must survive: the lines of the journal.

use orchestrator_core::{AttemptId, Demand, FencingToken, JobId, Savepoint, TaskOutcome, WorkerId};
use serde::{Deserialize, Serialize};

use crate::state::{PhaseSpec, Place, Seat};

/// One durable decision. Facts carry the whole decision (also whether a failure led to quarantine), so that the fold
/// needs no options and no clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A job was taken in.
    JobSubmitted {
        /// Its id.
        job: JobId,
        /// Its name.
        name: String,
        /// Its output.
        output: String,
        /// The resolved job file.
        definition: String,
        /// Its priority.
        priority: i32,
        /// Failures after which a task is quarantined.
        max_attempts: u32,
        /// Its plan.
        phases: Vec<PhaseSpec>,
        /// An earlier job on the output, whose first `imported` phases are taken as they stand.
        replaces: Option<JobId>,
        /// How many leading phases are taken from `replaces`.
        imported: u32,
    },
    /// A phase's tasks are known.
    PhaseExpanded {
        /// The job.
        job: JobId,
        /// The phase.
        phase: u32,
        /// One spec per task.
        tasks: Vec<String>,
        /// What each of them takes.
        #[serde(default)]
        demand: Demand,
        /// About how many bytes each of them reads, as far as that is known.
        #[serde(default)]
        bytes: Vec<u64>,
    },
    /// A task was leased.
    Leased {
        /// The task.
        place: Place,
        /// The new attempt.
        attempt: AttemptId,
        /// Its token, higher than all before.
        token: FencingToken,
        /// Who got it.
        worker: WorkerId,
    },
    /// A task that is leased got a second attempt.
    Doubled {
        /// The task.
        place: Place,
        /// The new attempt.
        attempt: AttemptId,
        /// Its token, higher than all before.
        token: FencingToken,
        /// Who got it.
        worker: WorkerId,
    },
    /// An attempt left a savepoint: further than what is known, or in place of what is of no use.
    Saved {
        /// The task.
        place: Place,
        /// The attempt.
        attempt: AttemptId,
        /// Where the next one goes on.
        savepoint: Savepoint,
    },
    /// An attempt's outcome became the task's; for a gang, one rank committed.
    Committed {
        /// The task.
        place: Place,
        /// The attempt.
        attempt: AttemptId,
        /// Records that the attempt read, for people.
        records: u64,
        /// Bytes that it read, for people.
        bytes: u64,
        /// The outcome, to be stored in the same transaction, in a place of its own: the state does not hold it, so
        /// it must not weigh on the journal's replay. `None` for ranks above 0 and after a replay.
        #[serde(skip)]
        outcome: Option<Box<TaskOutcome>>,
    },
    /// A task's files lie at their final names.
    Published {
        /// The task.
        place: Place,
    },
    /// A phase's manifests are written. The job has succeeded when this is its last phase.
    PhasePublished {
        /// The job.
        job: JobId,
        /// The phase.
        phase: u32,
    },
    /// An attempt ended without a commit.
    AttemptEnded {
        /// The task.
        place: Place,
        /// The attempt.
        attempt: AttemptId,
        /// What it costs the task.
        cost: Cost,
        /// Why.
        error: String,
        /// Whether the task gets no more attempts.
        quarantined: bool,
    },
    /// All ranks of a generation are leased.
    GangSeated {
        /// The gang's task.
        place: Place,
        /// The generation's number, from 1.
        generation: u64,
        /// By rank.
        seats: Vec<Seat>,
    },
    /// All ranks of a generation have joined.
    GangFormed {
        /// The gang's task.
        place: Place,
        /// By rank.
        addresses: Vec<String>,
        /// Rank 0's NCCL id, or empty.
        nccl_id: Vec<u8>,
    },
    /// A generation is over without its commit; all its attempts are void.
    GenerationEnded {
        /// The gang's task.
        place: Place,
        /// What it costs the gang.
        cost: Cost,
        /// Which rank, and why.
        error: String,
        /// Whether the gang gets no more generations.
        quarantined: bool,
    },
    /// A rank of an ended generation turned out to be why it ended.
    GangBlamed {
        /// The gang's task.
        place: Place,
        /// Why.
        error: String,
        /// Whether the gang gets no more generations.
        quarantined: bool,
    },
    /// A checkpoint counts as existing.
    CheckpointCommitted {
        /// The gang's task.
        place: Place,
        /// Its step.
        step: u64,
        /// Final path.
        path: String,
        /// Where its files lie.
        attempt_path: String,
        /// JSON of its manifest.
        manifest: String,
    },
    /// A checkpoint lies at its final name.
    CheckpointPublished {
        /// The gang's task.
        place: Place,
        /// Its step.
        step: u64,
    },
    /// A job ended in failure; all its attempts are void.
    JobFailed {
        /// The job.
        job: JobId,
        /// Why.
        error: String,
    },
    /// A job was cancelled; all its attempts are void.
    JobCancelled {
        /// The job.
        job: JobId,
    },
    /// A failed or cancelled job runs again; its quarantined tasks start anew.
    JobRetried {
        /// The job.
        job: JobId,
    },
    /// A job goes on with other operational keys.
    JobAmended {
        /// The job.
        job: JobId,
        /// The resolved job file.
        definition: String,
        /// Its priority.
        priority: i32,
        /// Failures after which a task is quarantined.
        max_attempts: u32,
    },
}

/// What an attempt's end costs its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Nothing: it was given back.
    Nothing,
    /// One failure of `max_attempts`.
    Failure,
    /// One loss: the worker went silent, which may or may not be the task's fault.
    Loss,
}

impl Fact {
    /// The job that the fact is about.
    pub fn job(&self) -> &JobId {
        match self {
            Self::JobSubmitted { job, .. }
            | Self::PhaseExpanded { job, .. }
            | Self::PhasePublished { job, .. }
            | Self::JobFailed { job, .. }
            | Self::JobCancelled { job }
            | Self::JobRetried { job }
            | Self::JobAmended { job, .. } => job,
            Self::Leased { place, .. }
            | Self::Doubled { place, .. }
            | Self::Saved { place, .. }
            | Self::Committed { place, .. }
            | Self::Published { place }
            | Self::AttemptEnded { place, .. }
            | Self::GangSeated { place, .. }
            | Self::GangFormed { place, .. }
            | Self::GenerationEnded { place, .. }
            | Self::GangBlamed { place, .. }
            | Self::CheckpointCommitted { place, .. }
            | Self::CheckpointPublished { place, .. } => &place.job,
        }
    }
}
