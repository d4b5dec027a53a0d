//! A worker wants work: seats that wait for it, then ready tasks in order, as far as there is room.

use std::ops::Bound;

use orchestrator_core::{AttemptId, FencingToken, WorkerId};

use crate::capacity::Capacity;
use crate::clocks::Turn;
use crate::command::{Answer, Assignment, Level, Refusal, Seating};
use crate::event::Caller;
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::{Lease, Place};

/// How far down a job's queue is looked for a task that did not fail on this very worker.
const LOOKED_AT_MAX: usize = 32;

pub(crate) fn apply(
    scheduler: &mut Scheduler,
    caller: &Caller,
    free_slots: u32,
    draining: bool,
) -> Result<Answer, Refusal> {
    scheduler.hear(caller)?;
    let worker = &caller.worker;
    let draining = scheduler.note_draining(worker, draining);
    scheduler.seat_gangs();
    let mut assignments: Vec<Assignment> = scheduler
        .clocks
        .undelivered
        .remove(worker)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|attempt| seat(scheduler, attempt))
        .collect();
    if !draining {
        let mut slots = free_slots;
        while let Some((turn, takes)) = next(scheduler, worker, slots) {
            slots = slots.saturating_sub(takes.slots);
            assignments.extend(task(scheduler, turn, worker, takes));
        }
        if assignments.is_empty() {
            assignments.extend(second(scheduler, worker, slots));
        }
    }
    Ok(Answer::Leased(assignments))
}

/// The first ready task in order that this worker has room for, and what it takes. The tasks of a phase are alike, so
/// what has no room stands for all of its job: those behind it may go on, if they leave room for it.
fn next(scheduler: &mut Scheduler, worker: &WorkerId, slots: u32) -> Option<(Turn, Capacity)> {
    let entry = scheduler.clocks.workers.get(worker)?;
    let offered = entry.capacity.offered();
    let mut free = scheduler.free(worker, entry);
    free.slots = free.slots.min(slots);
    if free.slots == 0 {
        return None;
    }
    let mut from = scheduler.clocks.ready.first().copied()?;
    loop {
        let takes = takes(scheduler, from)?;
        let order = from.order();
        if scheduler.fits_behind(order, worker, free, takes) > 0 {
            if let Some(turn) = first_not_failed_here(scheduler, from, worker) {
                return Some((turn, takes));
            }
        } else if offered.fits(takes) > 0 {
            scheduler.reserve(order, worker, takes);
        }
        let last = Turn { task: u32::MAX, ..from };
        from = scheduler.clocks.ready.range((Bound::Excluded(last), Bound::Unbounded)).next().copied()?;
    }
}

/// What a task that waits for its turn takes.
fn takes(scheduler: &Scheduler, turn: Turn) -> Option<Capacity> {
    let place = place(scheduler, turn)?;
    scheduler.state.phase(&place.job, place.phase).map(Capacity::of_task)
}

/// The first task of a job from `turn` on that may go to this worker now.
fn first_not_failed_here(scheduler: &Scheduler, turn: Turn, worker: &WorkerId) -> Option<Turn> {
    let last = Turn { task: u32::MAX, ..turn };
    scheduler.clocks.ready.range(turn..=last).take(LOOKED_AT_MAX).copied().find(|turn| {
        let Some(since) = scheduler.clocks.ready_since.get(turn) else { return true };
        let failed_here = place(scheduler, *turn).is_some_and(|place| {
            scheduler.state.task(&place).is_some_and(|task| task.failed_on.as_ref() == Some(worker))
        });
        let elsewhere = || {
            let takes = takes(scheduler, *turn).unwrap_or_default();
            let mut others = scheduler.open_workers().filter(|(name, _)| *name != worker);
            others.any(|(_, entry)| entry.capacity.offered().fits(takes) > 0)
        };
        !(failed_here && scheduler.now < since + scheduler.options.elsewhere_ms && elsewhere())
    })
}

fn place(scheduler: &Scheduler, turn: Turn) -> Option<Place> {
    let job = scheduler.clocks.numbers.get(&turn.job)?;
    let phase = scheduler.state.jobs.get(job)?.current_phase()?;
    Some(Place { job: job.clone(), phase, task: turn.task })
}

fn task(scheduler: &mut Scheduler, turn: Turn, worker: &WorkerId, takes: Capacity) -> Option<Assignment> {
    let place = place(scheduler, turn)?;
    scheduler.clocks.unqueue(turn);
    let attempt = AttemptId(scheduler.state.last_attempt + 1);
    let token = FencingToken(scheduler.state.last_token + 1);
    let lease = Lease { attempt, token, worker: worker.clone() };
    scheduler.record(Fact::Leased { place: place.clone(), attempt, token, worker: worker.clone() });
    scheduler.start_lease(&place, &lease, None, takes);
    scheduler.unreserve(turn.order(), worker);
    assignment(scheduler, place, &lease)
}

/// A second attempt of a task that takes long, where this worker has nothing else to do.
fn second(scheduler: &mut Scheduler, worker: &WorkerId, slots: u32) -> Option<Assignment> {
    let entry = scheduler.clocks.workers.get(worker)?;
    let mut free = scheduler.free(worker, entry);
    free.slots = free.slots.min(slots);
    if free.slots == 0 {
        return None;
    }
    let (place, takes) = scheduler.straggler(worker, free)?;
    let attempt = AttemptId(scheduler.state.last_attempt + 1);
    let token = FencingToken(scheduler.state.last_token + 1);
    let lease = Lease { attempt, token, worker: worker.clone() };
    let text = format!("{} takes long: a second attempt runs on `{worker}`", scheduler.name(&place));
    scheduler.effects.log(&place.job, Level::Info, text);
    scheduler.record(Fact::Doubled { place: place.clone(), attempt, token, worker: worker.clone() });
    scheduler.start_lease(&place, &lease, None, takes);
    assignment(scheduler, place, &lease)
}

fn assignment(scheduler: &Scheduler, place: Place, lease: &Lease) -> Option<Assignment> {
    let job = scheduler.state.jobs.get(&place.job)?;
    let task = &job.phases[place.phase as usize].tasks[place.task as usize];
    Some(Assignment {
        output: job.output.clone(),
        spec: task.spec.clone(),
        resume: task.saved.as_ref().map(|saved| saved.savepoint.clone()),
        place,
        attempt: lease.attempt,
        token: lease.token,
        seat: None,
    })
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
        resume: None,
        seat: Some(Seating {
            rank: clock.rank?,
            world_size: gang.seats.len() as u32,
            gpus: clock.takes.gpus,
            generation: gang.generation,
            resume_from: gang
                .checkpoint
                .as_ref()
                .map(|checkpoint| checkpoint.path.clone())
                .unwrap_or_default(),
        }),
    })
}
