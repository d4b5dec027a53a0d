//! What can happen to the scheduler: requests of workers and people, reports of the caller's own effects, and time.

use orchestrator_core::{
    AttemptId, Demand, FencingToken, JobId, Savepoint, StoreLoad, TaskOutcome, WorkerId,
};

use crate::capacity::Capacity;
use crate::options::Millis;
use crate::state::{PhaseSpec, Place};

/// One thing that happened. None of these is journalled as it is: what a step decides becomes [`crate::Fact`]s.
#[derive(Clone, Debug)]
pub enum Event {
    /// A worker announces itself.
    Register(Registration),
    /// A worker wants work.
    Lease {
        /// Who asks.
        caller: Caller,
        /// Tasks it can take now.
        free_slots: u32,
        /// Whether it takes no more work.
        draining: bool,
    },
    /// A worker renews the leases of its attempts.
    Heartbeat {
        /// Who asks.
        caller: Caller,
        /// What it holds, and how far that is.
        attempts: Vec<(AttemptId, FencingToken, Progress)>,
        /// Whether it finishes what it holds and takes no more.
        draining: bool,
        /// What it asked of object stores.
        stores: Vec<StoreLoad>,
    },
    /// A worker says good-bye.
    Leave {
        /// Who goes.
        caller: Caller,
    },
    /// The caller tells what it asked of object stores itself.
    Stores(Vec<StoreLoad>),
    /// An attempt asks that its outcome be the task's.
    Commit {
        /// Which attempt.
        attempt: AttemptRef,
        /// What it did.
        outcome: TaskOutcome,
    },
    /// An attempt has left a savepoint.
    Save {
        /// Which attempt.
        attempt: AttemptRef,
        /// Where a later one can go on.
        savepoint: Savepoint,
    },
    /// An attempt is given back.
    Fail {
        /// Which attempt.
        attempt: AttemptRef,
        /// Why, in kind.
        kind: FailureKind,
        /// Why, in words.
        error: String,
    },
    /// A rank says where it listens.
    JoinGang {
        /// Which attempt.
        attempt: AttemptRef,
        /// `host:port` of the rank's listener.
        address: String,
        /// Rank 0's NCCL id, or empty.
        nccl_id: Vec<u8>,
    },
    /// A rank asks that a checkpoint exist.
    CommitCheckpoint {
        /// Which attempt.
        attempt: AttemptRef,
        /// Optimizer steps in the checkpoint.
        step: u64,
        /// Its final path, relative to the output.
        path: String,
        /// Where its files lie now, relative to the output.
        attempt_path: String,
        /// JSON of the manifest that publication writes last.
        manifest: String,
    },
    /// Somebody hands in a job.
    Submit(Box<JobRequest>),
    /// The caller expanded a phase.
    PhaseExpanded {
        /// The job.
        job: JobId,
        /// Its phase.
        phase: u32,
        /// One opaque spec per task, in order.
        tasks: Vec<String>,
        /// What each of them takes.
        demand: Demand,
        /// About how many bytes each of them reads; 0, or nothing at all, where that is not known.
        bytes: Vec<u64>,
    },
    /// The caller published a task's files.
    TaskPublished {
        /// Which task.
        place: Place,
    },
    /// The caller wrote a phase's manifests.
    PhasePublished {
        /// The job.
        job: JobId,
        /// Its phase.
        phase: u32,
    },
    /// The caller published a checkpoint.
    CheckpointPublished {
        /// The job.
        job: JobId,
        /// Its phase.
        phase: u32,
        /// The checkpoint's step.
        step: u64,
    },
    /// The caller could not carry out an expansion or a publication, and trying again does not help.
    EffectFailed {
        /// The job.
        job: JobId,
        /// What went wrong.
        error: String,
    },
    /// Somebody stops a job.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Somebody hands the newest job of its output in again, with other operational keys: the result is the same.
    Amend(Box<Amendment>),
    /// Somebody gives a failed or cancelled job another go.
    Retry {
        /// The job.
        job: JobId,
    },
    /// Time went by.
    Tick,
}

/// A worker and the session that it believes to have.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The worker.
    pub worker: WorkerId,
    /// Its session.
    pub session: String,
}

/// An attempt as its worker names it.
#[derive(Clone, Debug)]
pub struct AttemptRef {
    /// Who asks.
    pub caller: Caller,
    /// The job it belongs to.
    pub job: JobId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The token that came with the lease.
    pub token: FencingToken,
}

/// What a worker says of itself.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its name.
    pub worker: WorkerId,
    /// Its host, for people.
    pub host: String,
    /// What it can hold.
    pub capacity: Capacity,
    /// Attempts that it still runs.
    pub held: Vec<AttemptId>,
    /// Build of its binary.
    pub version: String,
    /// CPU feature level.
    pub cpu_level: String,
}

/// How far an attempt is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records read so far.
    pub records: u64,
    /// Bytes read so far.
    pub bytes: u64,
    /// For training ranks.
    pub rank: Option<RankProgress>,
}

/// How far a training rank is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RankProgress {
    /// Optimizer step.
    pub step: u64,
    /// What it does in the step.
    pub phase: String,
    /// Sequence number of the last collective it entered.
    pub collective: u64,
    /// JSON of the last finished step; rank 0 alone.
    pub metrics: String,
    /// Orders the phases of a step.
    pub phase_order: u32,
    /// Rises with every piece of work that the rank finishes.
    pub work: u64,
    /// For how long the rank's process has said nothing to its worker.
    pub silent_ms: Millis,
}

impl RankProgress {
    /// Whether a rank that was at `before` got on.
    pub(crate) fn is_past(&self, before: &Self) -> bool {
        let place = |at: &Self| (at.step, at.phase_order, at.collective, at.work);
        place(self) != place(before) || self.phase != before.phase
    }
}

/// Why an attempt was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Counts towards `max_attempts`.
    Error,
    /// Trying again cannot help: quarantined at once.
    Permanent,
    /// The worker drains or was told to stop: counts nothing.
    Released,
    /// A rank that stopped because another did: counts nothing.
    PeerLost,
}

/// A job as it is handed in, with its plan.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// The job's name: the stem of its id.
    pub name: String,
    /// Storage URL of its output.
    pub output: String,
    /// The resolved job file. Two requests are the same job when output and definition are equal.
    pub definition: String,
    /// Higher goes first.
    pub priority: i32,
    /// Failures after which a task is quarantined.
    pub max_attempts: u32,
    /// The plan.
    pub phases: Vec<PhaseSpec>,
    /// Whether published phases of another job on the same output are kept where their fingerprints are equal.
    pub reuse: bool,
    /// Whether an earlier job on the output is passed over because its output is gone.
    pub afresh: bool,
}

/// New operational keys of a job.
#[derive(Clone, Debug)]
pub struct Amendment {
    /// The job.
    pub job: JobId,
    /// The resolved job file with the new keys.
    pub definition: String,
    /// Higher goes first.
    pub priority: i32,
    /// Failures after which a task is quarantined.
    pub max_attempts: u32,
}

/// What a submission found on its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing, or another job whose place this one takes.
    New,
    /// The same job, not finished.
    Resumed,
    /// The same job, finished.
    Finished,
}
