//! Time went by: leases run out, back-offs end, gangs give up waiting, ranks that hang are found.

use orchestrator_core::JobId;

use crate::fact::Cost;
use crate::scheduler::Scheduler;
use crate::state::{Place, TaskStatus};

/// Terms of silence after which a worker that holds nothing is forgotten.
const FORGET_TERMS: u64 = 4;

pub(crate) fn apply(scheduler: &mut Scheduler) {
    let now = scheduler.now;
    while let Some(attempt) = scheduler.clocks.expired(now) {
        scheduler.end_attempt(attempt, Cost::Loss, "its lease ran out");
    }
    while let Some((ready_at, turn)) = scheduler.clocks.delayed.first().copied().filter(|(at, _)| *at <= now)
    {
        scheduler.clocks.delayed.remove(&(ready_at, turn));
        scheduler.clocks.ready.insert(turn);
        scheduler.clocks.ready_since.insert(turn, now);
        scheduler.effects.wake();
    }
    // Tasks kept from the worker where they failed may go there now; its long poll has to look again.
    let elsewhere = scheduler.options.elsewhere_ms;
    let before = scheduler.clocks.ready_since.len();
    scheduler.clocks.ready_since.retain(|_, since| now < *since + elsewhere);
    if scheduler.clocks.ready_since.len() < before {
        scheduler.effects.wake();
    }
    let late: Vec<JobId> = scheduler
        .clocks
        .gangs
        .iter()
        .filter(|(job, clock)| is_late(scheduler, job, clock.seated_at))
        .map(|(job, _)| job.clone())
        .collect();
    for job in late {
        if let Some((phase, _)) = scheduler.state.jobs.get(&job).and_then(crate::state::Job::active_phase) {
            let missing = missing_ranks(scheduler, &job, phase);
            let error = format!("ranks {missing} did not join in time");
            scheduler.end_generation(&Place { job, phase, task: 0 }, Cost::Loss, &error, false);
        }
    }
    scheduler.end_hung_generations();
    let forget = scheduler.options.lease_ms.saturating_mul(FORGET_TERMS);
    let clocks = &mut scheduler.clocks;
    let silent: Vec<_> = clocks
        .workers
        .iter()
        .filter(|(name, worker)| now.saturating_sub(worker.last_seen) > forget && clocks.load(name) == (0, 0))
        .map(|(name, _)| name.clone())
        .collect();
    for name in silent {
        clocks.workers.remove(&name);
    }
    scheduler.tend_stores();
    scheduler.tidy_reservations();
    scheduler.seat_gangs();
    scheduler.tell_waits();
}

fn is_late(scheduler: &Scheduler, job: &JobId, seated_at: u64) -> bool {
    let Some((_, phase)) = scheduler.state.jobs.get(job).and_then(crate::state::Job::active_phase) else {
        return false;
    };
    phase.tasks.first().is_some_and(|task| task.status == TaskStatus::Seated)
        && phase.gang.as_ref().is_some_and(|gang| gang.formation.is_none())
        && scheduler.now >= seated_at + scheduler.options.gang_join_ms
}

fn missing_ranks(scheduler: &Scheduler, job: &JobId, phase: u32) -> String {
    let world_size = scheduler
        .state
        .phase(job, phase)
        .and_then(|phase| phase.gang.as_ref())
        .map_or(0, |gang| gang.seats.len());
    let joined = scheduler.clocks.gangs.get(job).map(|clock| &clock.joined);
    let missing: Vec<String> = (0..world_size as u32)
        .filter(|rank| !joined.is_some_and(|joined| joined.contains_key(rank)))
        .map(|rank| rank.to_string())
        .collect();
    missing.join(", ")
}
