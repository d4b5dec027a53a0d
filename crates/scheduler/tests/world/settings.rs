//! What the world is made of: workers, tasks, savepoints and time-outs.

use orchestrator_core::{AttemptId, Demand, Digest, JobId, Savepoint, WorkerId};
use orchestrator_scheduler::{Assignment, Capacity, Options};

/// Some attempts cannot use the savepoint that they get.
pub(super) fn begins_anew(attempt: AttemptId) -> bool {
    attempt.0.is_multiple_of(5)
}

pub(super) fn savepoint(assignment: &Assignment, number: u32) -> Savepoint {
    Savepoint {
        number,
        path: format!(".orchestrator/attempts/0/0/{}/segments/{number}", assignment.attempt),
        bytes: 1,
        xxh3: Digest(1),
        records: 1,
        bytes_read: 1,
    }
}

/// The first worker has more memory than the others.
pub(super) fn capacity(name: &WorkerId) -> Capacity {
    let memory_bytes = if name.0 == "w0" { 8 << 30 } else { 4 << 30 };
    Capacity { slots: 2, gang_slots: 1, memory_bytes, gpus: 1 }
}

/// Some tasks fit on every worker, some on the first alone, and some are many to a worker.
pub(super) fn demand(job: &JobId, phase: u32, gang: bool) -> Demand {
    let kind = phase as usize + job.0.bytes().map(usize::from).sum::<usize>();
    let gib = if gang { [0, 1, 3, 4][kind % 4] } else { [0, 2, 3, 6][kind % 4] };
    let gpus = u32::from(kind.is_multiple_of(3));
    Demand { slots: 1, memory_bytes: gib << 30, gpus, gpus_optional: gang && kind.is_multiple_of(2) }
}

pub(super) fn options(incarnation: u64) -> Options {
    Options {
        incarnation,
        lease_ms: 3_000,
        gang_join_ms: 2_000,
        gang_regroup_ms: 1_000,
        hang_ms: 4_000,
        straggler_percent: 110,
        straggler_after_ms: 500,
        ..Options::default()
    }
}
