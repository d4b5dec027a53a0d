//! What a task asks of the worker that holds it.

use serde::{Deserialize, Serialize};

/// What one task of a phase takes while it runs; for a gang, what one of its ranks takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Demand {
    /// Task slots, which stand for cores. A rank takes a gang slot instead.
    pub slots: u32,
    /// Memory at its highest, in bytes; an estimate.
    pub memory_bytes: u64,
    /// GPUs.
    pub gpus: u32,
    /// Whether a gang goes on without GPUs where not every rank can have its own.
    pub gpus_optional: bool,
}

impl Default for Demand {
    /// One slot, and nothing else that is counted.
    fn default() -> Self {
        Self { slots: 1, memory_bytes: 0, gpus: 0, gpus_optional: false }
    }
}
