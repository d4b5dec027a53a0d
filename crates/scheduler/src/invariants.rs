//! What must hold after every step, numbered. Tests check all of it after each step, debug builds while states are
//! small.

use std::collections::BTreeSet;

use crate::scheduler::Scheduler;
use crate::state::{Job, JobStatus, Lease, Phase, PhaseKind, PhaseStatus, Task, TaskStatus};

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number in [`check`].
    pub number: u32,
    /// What was found.
    pub found: String,
}

/// Checks every invariant:
///
/// 1. Live attempts and tokens are unique and not above the newest ones handed out.
/// 2. Every live lease has a clock, and every clock a live lease of the same worker and token.
/// 3. A registered worker is given no more than it said it can hold: tasks, ranks, memory, GPUs.
/// 4. Phases are published in order; those after the active one are not expanded.
/// 5. A published phase has only published tasks; a job has succeeded exactly when all its phases are published.
/// 6. A job that ended has no live attempts and nothing in the queue.
/// 7. The queue holds exactly the ready tasks of running jobs' active phases.
/// 8. A gang is seated with all its ranks or not at all, between the least and the wanted number of them.
/// 9. A task that is not quarantined has failures left; a job's counters agree with its tasks.
/// 10. A committed task is committed by one attempt; a running job always waits for something that can happen.
/// 11. A second attempt runs beside a first one, on another worker, and never for a gang.
pub fn check(scheduler: &Scheduler) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut live: BTreeSet<u64> = BTreeSet::new();
    let mut tokens: BTreeSet<u64> = BTreeSet::new();
    let mut queued = BTreeSet::new();
    for (id, job) in &scheduler.state.jobs {
        for lease in job.phases.iter().flat_map(live_leases) {
            let fresh = live.insert(lease.attempt.0) && tokens.insert(lease.token.0);
            if !fresh
                || lease.attempt.0 > scheduler.state.last_attempt
                || lease.token.0 > scheduler.state.last_token
            {
                add(
                    &mut found,
                    1,
                    format!("attempt {} or token {} is not unique or too high", lease.attempt, lease.token),
                );
            }
            let clock = scheduler.clocks.leases().get(&lease.attempt);
            if !clock.is_some_and(|clock| clock.worker == lease.worker && clock.token == lease.token) {
                add(&mut found, 2, format!("attempt {} has no clock of its own", lease.attempt));
            }
            if job.status != JobStatus::Running {
                add(&mut found, 6, format!("`{id}` has ended and attempt {} lives", lease.attempt));
            }
        }
        check_phases(&mut found, id.as_ref(), job);
        if let Some((_, phase)) = job.active_phase().filter(|(_, phase)| phase.gang.is_none()) {
            let ready = phase.tasks.iter().enumerate().filter(|(_, task)| task.status == TaskStatus::Ready);
            queued.extend(ready.map(|(number, _)| Scheduler::turn(job, number as u32)));
        }
        if job.active_phase().is_some_and(|(_, phase)| {
            phase.status == PhaseStatus::Running
                && phase.quarantined > 0
                && (phase.published + phase.quarantined) as usize == phase.tasks.len()
        }) {
            add(&mut found, 10, format!("`{id}` runs and has nothing left to wait for"));
        }
    }
    for attempt in scheduler.clocks.leases().keys().filter(|attempt| !live.contains(&attempt.0)) {
        add(&mut found, 2, format!("the clock of attempt {attempt} belongs to no lease"));
    }
    for (name, worker) in &scheduler.clocks.workers {
        let taken = scheduler.clocks.taken(name);
        // It may have come back with less than it held then.
        let allowed = worker.capacity.offered().most(worker.held_before);
        if taken.most(allowed) != allowed {
            add(&mut found, 3, format!("`{name}` holds {taken} of {allowed}"));
        }
    }
    let waiting: BTreeSet<_> = scheduler
        .clocks
        .ready
        .iter()
        .chain(scheduler.clocks.delayed.iter().map(|(_, turn)| turn))
        .copied()
        .collect();
    if waiting != queued || waiting.len() != scheduler.clocks.ready.len() + scheduler.clocks.delayed.len() {
        add(&mut found, 7, format!("{} turns wait, {} tasks are ready", waiting.len(), queued.len()));
    }
    found
}

fn add(found: &mut Vec<Violation>, number: u32, text: String) {
    found.push(Violation { number, found: text });
}

fn live_leases(phase: &Phase) -> impl Iterator<Item = &Lease> {
    let tasks = phase.tasks.iter().flat_map(Task::leases);
    let seats = phase.gang.iter().flat_map(|gang| &gang.seats).filter(|seat| !seat.committed);
    tasks.chain(seats.map(|seat| &seat.lease))
}

fn check_phases(found: &mut Vec<Violation>, id: &str, job: &Job) {
    let active = job.current_phase().map_or(job.phases.len(), |index| index as usize);
    for (index, phase) in job.phases.iter().enumerate() {
        if index > active && (phase.status != PhaseStatus::Waiting || !phase.tasks.is_empty()) {
            add(found, 4, format!("phase {index} of `{id}` is ahead of phase {active}"));
        }
        let count = |wanted: fn(&TaskStatus) -> bool| {
            phase.tasks.iter().filter(|task| wanted(&task.status)).count() as u32
        };
        let published = count(|status| matches!(status, TaskStatus::Published(_)));
        if phase.status == PhaseStatus::Published && published as usize != phase.tasks.len() {
            add(found, 5, format!("phase {index} of `{id}` is published before its tasks"));
        }
        let quarantined = count(|status| matches!(status, TaskStatus::Quarantined));
        let under_way = count(|status| {
            matches!(status, TaskStatus::Leased(_) | TaskStatus::Seated | TaskStatus::Committed(_))
        });
        if (published, quarantined, under_way) != (phase.published, phase.quarantined, phase.under_way) {
            add(found, 9, format!("the counters of phase {index} of `{id}` are wrong"));
        }
        for (number, task) in phase.tasks.iter().enumerate() {
            if let Some(second) = &task.second {
                let first = task.leases().next().filter(|first| *first != second);
                if phase.gang.is_some() || first.is_none_or(|first| first.worker == second.worker) {
                    add(found, 11, format!("task {number} of phase {index} of `{id}` is doubled wrongly"));
                }
            }
            if task.failures >= job.max_attempts
                && matches!(task.status, TaskStatus::Ready | TaskStatus::Leased(_))
            {
                add(found, 9, format!("task {number} of phase {index} of `{id}` should be quarantined"));
            }
        }
        if let (PhaseKind::Gang { world_size, min_world_size }, Some(gang)) = (phase.spec.kind, &phase.gang) {
            let seats = gang.seats.len() as u32;
            let seated = phase.tasks.first().is_some_and(|task| task.status == TaskStatus::Seated);
            let allowed = min_world_size.min(world_size)..=world_size;
            if (seated && !allowed.contains(&seats)) || (seats > 0 && !allowed.contains(&seats)) {
                add(found, 8, format!("the gang of `{id}` has {seats} seats"));
            }
        }
    }
    if (active == job.phases.len()) != (job.status == JobStatus::Succeeded) {
        add(found, 5, format!("`{id}` is {} with {active} phases published", job.status.as_str()));
    }
}
