//! Gangs: all ranks are leased at once or none is, and they end together.
//!
//! ```text
//!  idle ──room for all ranks─────────▶ seated ──all joined──▶ formed ──all committed──▶ committed
//!   ▲  (or, after a loss and a wait,   │ not all in time      │ a rank failed or was lost
//!   │   at least `min_world_size`)     ▼                      ▼
//!   └───────────────────────── generation ended: every attempt void, resume from the last checkpoint
//! ```

use orchestrator_core::{AttemptId, FencingToken, JobId};

use crate::capacity::Capacity;
use crate::clocks::Order;
use crate::command::Level;
use crate::fact::{Cost, Fact};
use crate::room::{Seats, rooms, total};
use crate::scheduler::Scheduler;
use crate::state::{Job, Lease, PhaseKind, PhaseStatus, Place, Seat, TaskStatus};

impl Scheduler {
    /// Seats every gang that can be seated now.
    pub(crate) fn seat_gangs(&mut self) {
        let mut waiting: Vec<(i32, u64, JobId)> = self
            .clocks
            .gangs
            .keys()
            .filter_map(|id| self.state.jobs.get(id).map(|job| (-job.priority, job.number, id.clone())))
            .collect();
        waiting.sort();
        for (_, _, job) in waiting {
            self.seat(&job);
        }
    }

    fn seat(&mut self, id: &JobId) {
        let Some((index, phase)) = self.state.jobs.get(id).and_then(Job::active_phase) else { return };
        let (PhaseKind::Gang { world_size, min_world_size }, Some(gang)) = (phase.spec.kind, &phase.gang)
        else {
            return;
        };
        let idle = phase.status == PhaseStatus::Running
            && phase.tasks.first().is_some_and(|task| task.status == TaskStatus::Ready);
        // A checkpoint on its way to its final name would be missed by the ranks that resume from it.
        let resumable = gang.checkpoint.as_ref().is_none_or(|checkpoint| checkpoint.published);
        let generation = gang.generation + 1;
        let clock = self.clocks.gangs.entry(id.clone()).or_default();
        if !idle || !resumable || self.now < clock.not_before {
            return;
        }
        let regrouped = generation > 1 && self.now >= clock.idle_since + self.options.gang_regroup_ms;
        let least = if regrouped { min_world_size.min(world_size) } else { world_size };
        let choices = Self::seat_choices(phase);
        let order = Self::order(&self.state.jobs[id]);
        let Some((takes, free, count)) = self.choose_seats(order, &choices, world_size, least) else {
            return self.reserve_seats(order, &choices, world_size, least);
        };
        self.clocks.reservations.remove(&order);
        let place = Place { job: id.clone(), phase: index, task: 0 };
        let workers =
            free.iter().flat_map(|(worker, free)| (0..*free).map(move |_| worker)).take(count as usize);
        let (attempt, token) = (self.state.last_attempt, self.state.last_token);
        let seats: Vec<Seat> = (1..)
            .zip(workers)
            .map(|(offset, worker)| Seat {
                lease: Lease {
                    attempt: AttemptId(attempt + offset),
                    token: FencingToken(token + offset),
                    worker: worker.clone(),
                },
                committed: false,
                gpus: takes.gpus,
            })
            .collect();
        self.record(Fact::GangSeated { place: place.clone(), generation, seats: seats.clone() });
        let clock = self.clocks.gangs.entry(id.clone()).or_default();
        clock.seated_at = self.now;
        clock.joined.clear();
        clock.nccl_id.clear();
        for (rank, seat) in seats.iter().enumerate() {
            self.start_lease(&place, &seat.lease, Some(rank as u32), takes);
            let worker = seat.lease.worker.clone();
            self.clocks.undelivered.entry(worker).or_default().insert(seat.lease.attempt);
        }
        let text = format!("{}: generation {generation} takes its {count} seats", self.name(&place));
        self.effects.log(id, Level::Info, text);
        self.effects.wake();
    }

    /// The first of `choices` for which there are seats now, those seats, and how many of them to take.
    fn choose_seats(
        &self,
        order: Order,
        choices: &[Capacity],
        world_size: u32,
        least: u32,
    ) -> Option<(Capacity, Seats, u32)> {
        let last = choices.len() - 1;
        choices.iter().enumerate().find_map(|(index, takes)| {
            let free = self.free_seats(order, *takes);
            let count = total(&free).min(world_size.into()) as u32;
            let enough = if index == last { least } else { world_size };
            (count > 0 && count >= enough).then_some((*takes, free, count))
        })
    }

    /// Keeps the seats of a gang free as they come, if there would be enough of them.
    fn reserve_seats(&mut self, order: Order, choices: &[Capacity], world_size: u32, least: u32) {
        let Some(takes) = choices.last() else { return };
        let seats = self.all_seats(*takes);
        if total(&seats) < u64::from(least) {
            self.clocks.reservations.remove(&order);
        } else {
            self.clocks.reservations.insert(order, rooms(&seats, world_size, *takes));
        }
    }

    /// Ends the generation that holds a gang's task.
    pub(crate) fn end_generation(&mut self, place: &Place, cost: Cost, error: &str, permanent: bool) {
        let Some(gang) = self.state.phase(&place.job, place.phase).and_then(|phase| phase.gang.as_ref())
        else {
            return;
        };
        let generation = gang.generation;
        for attempt in gang.seats.iter().map(|seat| seat.lease.attempt).collect::<Vec<_>>() {
            self.clocks.stop(attempt);
            self.clocks.committed.remove(&attempt);
        }
        let quarantined = permanent || self.used_up(place, cost);
        let error = format!("generation {generation} ended: {error}");
        let fact = Fact::GenerationEnded { place: place.clone(), cost, error: error.clone(), quarantined };
        self.record(fact);
        self.tell_end(place, cost, quarantined, &error);
        self.effects.wake();
        if quarantined {
            self.clocks.gangs.remove(&place.job);
            self.settle(&place.job);
        } else {
            // Even where nobody is to blame yet: the rank at fault may be about to say so.
            let wait = self.wait_after(place, cost).max(self.options.backoff_initial_ms);
            self.enqueue(place, wait);
        }
    }

    /// Blames a rank of the generation that ended last, once.
    pub(crate) fn blame(&mut self, place: &Place, error: &str, permanent: bool) {
        let quarantined = permanent || self.used_up(place, Cost::Failure);
        let seated = self.state.task(place).is_some_and(|task| task.status == TaskStatus::Seated);
        if seated && quarantined {
            self.end_generation(place, Cost::Nothing, "the gang used up its attempts", false);
        }
        self.record(Fact::GangBlamed { place: place.clone(), error: error.to_owned(), quarantined });
        self.tell_end(place, Cost::Failure, quarantined, error);
        if quarantined {
            self.clocks.gangs.remove(&place.job);
            self.settle(&place.job);
        } else if let Some(clock) = self.clocks.gangs.get_mut(&place.job) {
            let wait = self.options.backoff(self.state.task(place).map_or(0, |task| task.failures));
            clock.not_before = clock.not_before.max(self.now + wait);
        }
    }
}
