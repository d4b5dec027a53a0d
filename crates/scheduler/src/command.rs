//! What a step answers and what it wants done, as data.

use orchestrator_core::{AttemptId, ErrorCode, FencingToken, JobId, Savepoint, StorePace};

use crate::event::Disposition;
use crate::fact::Fact;
use crate::state::Place;

/// What came of an event. First the facts are made durable, all in one; then the answer is given and the commands
/// are obeyed.
#[derive(Clone, Debug)]
pub struct Step {
    /// For whoever caused the event.
    pub answer: Result<Answer, Refusal>,
    /// To be journalled.
    pub facts: Vec<Fact>,
    /// To be done.
    pub commands: Vec<Command>,
}

/// Something for the caller to do. Effects may be repeated after a crash, so each must be idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Find the tasks of a phase; answer with `PhaseExpanded` or `EffectFailed`.
    Expand {
        /// The job.
        job: JobId,
        /// The phase.
        phase: u32,
    },
    /// Bring a committed task's files to their final names; answer with `TaskPublished` or `EffectFailed`.
    Publish {
        /// The task.
        place: Place,
        /// Whose files.
        attempt: AttemptId,
    },
    /// Write a phase's manifests; answer with `PhasePublished` or `EffectFailed`.
    PublishPhase {
        /// The job.
        job: JobId,
        /// The phase.
        phase: u32,
    },
    /// Bring a checkpoint to its final name, its manifest last; answer with `CheckpointPublished` or `EffectFailed`.
    PublishCheckpoint {
        /// The job.
        job: JobId,
        /// The phase.
        phase: u32,
        /// The checkpoint's step.
        step: u64,
        /// Where it goes.
        path: String,
        /// Where it lies.
        attempt_path: String,
        /// JSON of its manifest.
        manifest: String,
    },
    /// Long polls may have an answer now.
    Wake,
    /// Tell people.
    Log {
        /// About which job.
        job: JobId,
        /// How grave.
        level: Level,
        /// What.
        text: String,
    },
}

/// How grave a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Things go as they should.
    Info,
    /// Something went wrong and is dealt with.
    Warn,
    /// Something went wrong for good.
    Error,
}

impl Level {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The good answer to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done; nothing to tell.
    Done,
    /// To `Register`.
    Registered {
        /// The worker's new session.
        session: String,
        /// Attempts that it holds and should not.
        lost: Vec<AttemptId>,
    },
    /// To `Lease`.
    Leased(Vec<Assignment>),
    /// To `Heartbeat`.
    Renewed {
        /// Attempts to stop at once.
        stop: Vec<AttemptId>,
        /// How fast it may ask object stores that throttle.
        paces: Vec<StorePace>,
    },
    /// To `Stores`: how fast the caller may ask those that throttle.
    Paced(Vec<StorePace>),
    /// To `JoinGang`: not all are there yet.
    Waiting,
    /// To `JoinGang`: all are there.
    Formed {
        /// By rank.
        addresses: Vec<String>,
        /// Rank 0's NCCL id, or empty.
        nccl_id: Vec<u8>,
    },
    /// To `CommitCheckpoint`: it is committed; whether it is published too.
    Checkpoint {
        /// The checkpoint's phase.
        phase: u32,
        /// Whether it lies at its final name.
        published: bool,
    },
    /// To `Submit`.
    Submitted {
        /// The job.
        job: JobId,
        /// What was found.
        disposition: Disposition,
        /// Phases of the job before that stand as they are, from the first on.
        kept: u32,
    },
    /// To `Retry`.
    Retried {
        /// How many quarantined tasks start anew.
        tasks: u32,
    },
}

/// One attempt for one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The task.
    pub place: Place,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its token.
    pub token: FencingToken,
    /// Storage URL of the job's output.
    pub output: String,
    /// The task's spec.
    pub spec: String,
    /// For training ranks.
    pub seat: Option<Seating>,
    /// Where an earlier attempt, or one that still runs, has come to.
    pub resume: Option<Savepoint>,
}

/// A rank's place in its gang.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seating {
    /// Its rank.
    pub rank: u32,
    /// How many ranks there are.
    pub world_size: u32,
    /// GPUs that the rank may use; without one it computes on the CPU.
    pub gpus: u32,
    /// Which generation.
    pub generation: u64,
    /// The last published checkpoint's path, or empty.
    pub resume_from: String,
}

/// Why an event was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The coordinator restarted or forgot the worker.
    #[error("session `{0}` is not known: register again")]
    UnknownSession(String),
    /// No such job.
    #[error("there is no job `{0}`")]
    UnknownJob(JobId),
    /// The attempt is not the newest of its task, or its lease is over.
    #[error("attempt {0} no longer holds its task: stop it")]
    StaleLease(AttemptId),
    /// The books of an outcome do not add up.
    #[error(
        "the tally of stage {stage} does not balance: {records_in} in, {kept} kept, {dropped} dropped (digests: {rows_kept} and {rows_dropped} rows)"
    )]
    Unbalanced {
        /// The stage.
        stage: u32,
        /// Records in.
        records_in: u64,
        /// Records kept.
        kept: u64,
        /// Records dropped.
        dropped: u64,
        /// Rows in the digest of kept records.
        rows_kept: u64,
        /// Rows in the digest of dropped records.
        rows_dropped: u64,
    },
    /// A path that could leave the output, or name our own files.
    #[error(
        "`{0}` is no path for a result: expected one relative to the output, without `.` and `..`, outside the places of attempts"
    )]
    BadPath(String),
    /// A checkpoint's step is not above the last one's.
    #[error("checkpoint of step {step} comes after that of step {last}: steps must rise")]
    StepNotRising {
        /// The step asked for.
        step: u64,
        /// The last committed step.
        last: u64,
    },
    /// The call is for ranks of a gang.
    #[error("attempt {0} is no rank of a gang")]
    NoRank(AttemptId),
    /// The call is for tasks.
    #[error("attempt {0} is a rank of a gang, which leaves checkpoints and no savepoints")]
    IsRank(AttemptId),
    /// The output holds another job.
    #[error("the output holds another job, `{0}`")]
    OutputTaken(JobId),
    /// The job with the same output still runs.
    #[error("job `{0}` still runs on this output: cancel it first")]
    OutputBusy(JobId),
    /// The job's state does not allow it.
    #[error("job `{job}` is {status}: expected {expected}")]
    WrongState {
        /// The job.
        job: JobId,
        /// Its state in a word.
        status: &'static str,
        /// What would do.
        expected: &'static str,
    },
    /// A plan that cannot be run.
    #[error("the plan cannot be run: {0}")]
    BadPlan(String),
}

impl Refusal {
    /// What kind of trouble this is.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownSession(_)
            | Self::OutputTaken(_)
            | Self::OutputBusy(_)
            | Self::WrongState { .. } => ErrorCode::Conflict,
            Self::UnknownJob(_) => ErrorCode::NotFound,
            Self::StaleLease(_) => ErrorCode::StaleLease,
            Self::Unbalanced { .. }
            | Self::BadPath(_)
            | Self::StepNotRising { .. }
            | Self::NoRank(_)
            | Self::IsRank(_)
            | Self::BadPlan(_) => ErrorCode::InvalidInput,
        }
    }
}

/// Collects what a step wants, in order.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) facts: Vec<Fact>,
    pub(crate) commands: Vec<Command>,
}

impl Effects {
    pub(crate) fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// Wakes long polls, once a step.
    pub(crate) fn wake(&mut self) {
        if !self.commands.contains(&Command::Wake) {
            self.commands.push(Command::Wake);
        }
    }

    pub(crate) fn log(&mut self, job: &JobId, level: Level, text: String) {
        self.commands.push(Command::Log { job: job.clone(), level, text });
    }
}
