//! A training rank is a child process of its worker, so that a crash, a leak or a wedged driver in one rank takes
//! nothing else down, and so that stopping it is one `kill`.
//!
//! ```text
//!  worker (seat.rs)                                    rank process (child.rs)
//!     │── Start{spec, job, seat} ────────────────────────▶│ binds its listener
//!     │◀─────────────────────────────── Listening{port} ──│
//!     │  JoinGang at the coordinator, until all are there  │
//!     │── Peers{addresses} ──────────────────────────────▶│ connects; agrees on NCCL or TCP
//!     │◀───────────────────────────── Joined{over} ───────│ trains
//!     │◀──────── Progress{step, phase, collective} … ─────│  carried with every heartbeat, as is its silence
//!     │◀───────────────────────────── Checkpoint{…} ──────│  rank 0, when every rank's part is durable
//!     │── CheckpointCommitted{step} ─────────────────────▶│
//!     │◀──────────────────────────── Done / Failed ───────│
//! ```
//!
//! Messages are JSON, one a line, on the child's standard input and output. End of input means that the worker is
//! gone: the child exits at once.

mod child;
mod meet;
mod process;
mod pulse;
pub(crate) mod seat;

use serde::{Deserialize, Serialize};

pub use child::run as run_rank;

/// From the worker to its rank.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToRank {
    /// What to train, and which seat of the gang this is.
    Start(Box<Start>),
    /// Every rank's address, by rank, and what rank 0 posted.
    Peers { addresses: Vec<String>, nccl_id: Vec<u8> },
    /// The checkpoint of this step exists now.
    CheckpointCommitted { step: u64 },
    /// Finish the step, write a checkpoint if there is time, leave.
    Stop,
}

/// The first message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) output: String,
    pub(crate) attempt_path: String,
    /// Where rank 0's attempt lies: every rank writes its part of a checkpoint there.
    pub(crate) stage: u32,
    pub(crate) rank: u32,
    pub(crate) world_size: u32,
    pub(crate) generation: u64,
    /// Path of the checkpoint to resume from, relative to the output; empty for none.
    pub(crate) resume_from: String,
    /// Address on which the rank listens for its peers, without the port.
    pub(crate) host: String,
    pub(crate) scratch: String,
    /// The GPU of this host that is the rank's alone; none: it computes on the CPU.
    pub(crate) gpu: Option<u32>,
    /// Places that the job may name.
    pub(crate) roots: Vec<String>,
}

/// From a rank to its worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromRank {
    /// Where it listens. Rank 0 posts for the gang: a secret that opens the ranks' connections, and behind it the id of
    /// its group where it has a GPU.
    Listening {
        port: u16,
        nccl_id: Vec<u8>,
    },
    /// Where the rank stands: when that changed, and at least once a second, whatever its loop does.
    Progress(Place),
    /// JSON of the last finished step.
    Metrics(String),
    /// What the gang's gradients go over; where it is not the fabric of the build, why.
    Joined {
        over: String,
        because: Option<String>,
    },
    Checkpoint {
        step: u64,
        path: String,
        attempt_path: String,
        manifest: String,
    },
    Done {
        outcome: Box<orchestrator_core::TaskOutcome>,
    },
    Failed {
        kind: FailedKind,
        error: String,
    },
}

/// Where a rank stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The step it works on.
    pub(crate) step: u64,
    /// What it does; empty before the first step.
    pub(crate) phase: String,
    /// Orders the phases of a step.
    pub(crate) order: u32,
    /// Collectives that it had done when it entered the phase.
    pub(crate) collective: u64,
    /// Rises with every phase, micro-batch and file of a checkpoint.
    pub(crate) work: u64,
}

/// Why a rank gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailedKind {
    /// Its own fault, or its data's.
    Error,
    /// Trying again cannot help.
    Permanent,
    /// Another rank is gone.
    PeerLost,
    /// It was told to stop.
    Released,
    /// Storage is full: it can go on when there is room.
    NoRoom,
}
