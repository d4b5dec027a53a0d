//! What a worker is started with.

use orchestrator_core::WorkerId;
use orchestrator_pipeline::Host;

/// How a worker reaches its coordinator and what it offers.
#[derive(Clone)]
pub struct WorkerOptions {
    /// `http://host:port` or `https://host:port`.
    pub coordinator: String,
    /// Sent with every call as a bearer token.
    pub token: Option<String>,
    /// Certificate authority to trust, PEM; only with `https`.
    pub authority: Option<Vec<u8>>,
    /// The worker's name; kept over reconnects.
    pub name: WorkerId,
    /// The address under which other hosts' ranks reach this worker's ranks.
    pub host: String,
    /// Tasks held at a time.
    pub slots: u32,
    /// Training ranks held at a time.
    pub gang_slots: u32,
    /// Memory it offers, in bytes.
    pub memory_bytes: u64,
    /// GPUs it offers.
    pub gpus: u32,
    /// What tasks may use of this machine.
    pub lends: Host,
    /// Whether it tells what this process asks of object stores, and obeys for all of it. One in a process does: not the
    /// workers of a run, whose coordinator lives with them.
    pub keeps_pace: bool,
    /// Program and leading arguments that start a rank process: this binary with its hidden verb.
    pub rank_command: Vec<String>,
}

impl std::fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        f.debug_struct("WorkerOptions")
            .field("coordinator", &self.coordinator)
            .field("name", &self.name)
            .field("slots", &self.slots)
            .field("gang_slots", &self.gang_slots)
            .finish_non_exhaustive()
    }
}
