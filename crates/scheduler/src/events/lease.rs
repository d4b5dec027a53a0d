//! A worker wants work: seats that wait for it, then ready tasks in order.

use orchestrator_core::{AttemptId, FencingToken, WorkerId};

use crate::clocks::Turn;
use crate::command::{Answer, Assignment, Refusal, Seating};
use crate::event::Caller;
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::{Lease, Place};

/// How far down the queue is looked for a task that did not fail on this very worker.
const LOOKED_AT_MAX: usize = 32;

pub(crate) fn apply(
    scheduler: &mut Scheduler,
    caller: &Caller,
    free_slots: u32,
    draining: bool,
) -> Result<Answer, Refusal> {
    scheduler.hear(caller)?;
    let worker = &caller.worker;
    if let Some(entry) = scheduler.clocks.workers.get_mut(worker) {
        entry.draining = draining;
    }
    scheduler.seat_gangs();
    let mut assignments: Vec<Assignment> = scheduler
        .clocks
        .undelivered
        .remove(worker)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|attempt| seat(scheduler, attempt))
        .collect();
    let held = scheduler.clocks.load(worker).0;
    let capacity = scheduler.clocks.workers.get(worker).map_or(0, |entry| entry.capacity.slots);
    let free = if draining { 0 } else { free_slots.min(capacity.saturating_sub(held)) };
    for _ in 0..free {
        let Some(turn) = next(scheduler, worker) else { break };
        assignments.extend(task(scheduler, turn, worker));
    }
    Ok(Answer::Leased(assignments))
}

/// The first ready task in order that may go to this worker now.
fn next(scheduler: &Scheduler, worker: &WorkerId) -> Option<Turn> {
    let others = scheduler.clocks.workers.iter().any(|(name, entry)| {
        name != worker && !entry.draining && entry.capacity.slots > 0 && scheduler.is_fresh(entry.last_seen)
    });
    scheduler.clocks.ready.iter().take(LOOKED_AT_MAX).copied().find(|turn| {
        let Some(since) = scheduler.clocks.ready_since.get(turn) else { return true };
        let failed_here = place(scheduler, *turn).is_some_and(|place| {
            scheduler.state.task(&place).is_some_and(|task| task.failed_on.as_ref() == Some(worker))
        });
        !(failed_here && others && scheduler.now < since + scheduler.options.elsewhere_ms)
    })
}

fn place(scheduler: &Scheduler, turn: Turn) -> Option<Place> {
    let job = scheduler.clocks.numbers.get(&turn.job)?;
    let phase = scheduler.state.jobs.get(job)?.current_phase()?;
    Some(Place { job: job.clone(), phase, task: turn.task })
}

fn task(scheduler: &mut Scheduler, turn: Turn, worker: &WorkerId) -> Option<Assignment> {
    let place = place(scheduler, turn)?;
    scheduler.clocks.unqueue(turn);
    let attempt = AttemptId(scheduler.state.last_attempt + 1);
    let token = FencingToken(scheduler.state.last_token + 1);
    let lease = Lease { attempt, token, worker: worker.clone() };
    scheduler.record(Fact::Leased { place: place.clone(), attempt, token, worker: worker.clone() });
    scheduler.start_lease(&place, &lease, None);
    let job = scheduler.state.jobs.get(&place.job)?;
    let spec = job.phases[place.phase as usize].tasks[place.task as usize].spec.clone();
    Some(Assignment { output: job.output.clone(), place, attempt, token, spec, seat: None })
}

fn seat(scheduler: &Scheduler, attempt: AttemptId) -> Option<Assignment> {
    let clock = scheduler.clocks.leases().get(&attempt)?;
    let job = scheduler.state.jobs.get(&clock.place.job)?;
    let phase = &job.phases[clock.place.phase as usize];
    let gang = phase.gang.as_ref()?;
    Some(Assignment {
        output: job.output.clone(),
        place: clock.place.clone(),
        attempt,
        token: clock.token,
        spec: phase.tasks.first()?.spec.clone(),
        seat: Some(Seating {
            rank: clock.rank?,
            world_size: gang.seats.len() as u32,
            generation: gang.generation,
            resume_from: gang
                .checkpoint
                .as_ref()
                .map(|checkpoint| checkpoint.path.clone())
                .unwrap_or_default(),
        }),
    })
}
