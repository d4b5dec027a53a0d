//! Who has room for what, and what is kept free for whom.
//!
//! A job whose task would fit on a worker, were it not for what the worker holds, gets a **reservation** there: until it
//! fits, nothing of a job behind it takes what it needs. So big tasks are not overtaken for ever by small ones, and a
//! worker never stands idle for a task that it could not hold anyway. A gang reserves all its seats at once.
//!
//! ```text
//!  worker: ████ held ████░░░ free ░░░      job 1 needs ▒▒▒▒▒▒ ─▶ reserved
//!                        └ job 2 may take of it what leaves room for job 1: nothing, if held + job 2 + job 1 > all
//! ```

use std::collections::BTreeMap;

use orchestrator_core::{JobId, WorkerId};

use crate::capacity::Capacity;
use crate::clocks::{Order, Turn, Worker};
use crate::options::Millis;
use crate::scheduler::Scheduler;
use crate::state::{Job, Phase};

/// Workers and how many ranks each has room for.
pub(crate) type Seats = Vec<(WorkerId, u32)>;

impl Scheduler {
    pub(crate) fn order(job: &Job) -> Order {
        Scheduler::turn(job, 0).order()
    }

    /// Whether a worker was heard of within a lease's term.
    pub(crate) fn is_fresh(&self, last_seen: Millis) -> bool {
        self.now.saturating_sub(last_seen) < self.options.lease_ms
    }

    /// Workers that take work.
    pub(crate) fn open_workers(&self) -> impl Iterator<Item = (&WorkerId, &Worker)> {
        let open = |worker: &Worker| !worker.draining && self.is_fresh(worker.last_seen);
        self.clocks.workers.iter().filter(move |(_, worker)| open(worker))
    }

    /// What a worker has left.
    pub(crate) fn free(&self, name: &WorkerId, worker: &Worker) -> Capacity {
        worker.capacity.offered().less(self.clocks.taken(name))
    }

    /// What is kept free on a worker for jobs before `order`.
    fn reserved_before(&self, order: Order, worker: &WorkerId) -> Capacity {
        let ahead = self.clocks.reservations.range(..order).filter_map(|(_, rooms)| rooms.get(worker));
        ahead.fold(Capacity::default(), |sum, room| sum.plus(*room))
    }

    /// How many of `part` a job may put into `free` on a worker without taking what is kept for jobs before it.
    pub(crate) fn fits_behind(&self, order: Order, worker: &WorkerId, free: Capacity, part: Capacity) -> u32 {
        free.less(self.reserved_before(order, worker)).fits(part)
    }

    /// Keeps room for one task of a job on a worker that could hold it, unless it is kept somewhere already.
    pub(crate) fn reserve(&mut self, order: Order, worker: &WorkerId, takes: Capacity) {
        let kept = self.clocks.reservations.get(&order);
        let open = kept.is_some_and(|rooms| {
            self.open_workers()
                .any(|(name, entry)| rooms.contains_key(name) && entry.capacity.offered().fits(takes) > 0)
        });
        if !open {
            self.clocks.reservations.insert(order, BTreeMap::from([(worker.clone(), takes)]));
        }
    }

    /// Forgets what was kept for a job on a worker: it has got something there.
    pub(crate) fn unreserve(&mut self, order: Order, worker: &WorkerId) {
        if self.clocks.reservations.get(&order).is_some_and(|rooms| rooms.contains_key(worker)) {
            self.clocks.reservations.remove(&order);
        }
    }

    /// Forgets reservations of jobs that have nothing ready any more.
    pub(crate) fn tidy_reservations(&mut self) {
        let orders: Vec<Order> = self.clocks.reservations.keys().copied().collect();
        for order in orders {
            let first = Turn { priority: order.priority, job: order.job, task: 0 };
            let last = Turn { task: u32::MAX, ..first };
            let queued = self.clocks.ready.range(first..=last).next().is_some();
            let seats = self.clocks.numbers.get(&order.job).is_some_and(|job| self.waits_for_seats(job));
            if !queued && !seats {
                self.clocks.reservations.remove(&order);
                self.effects.wake();
            }
        }
    }

    /// Where something ended, whoever is blocked looks again.
    pub(crate) fn wake_blocked(&mut self) {
        if !self.clocks.reservations.is_empty() {
            self.effects.wake();
        }
    }

    /// Seats for ranks by worker, of the group of workers with one build and one CPU level that has the most: a mixture
    /// would not give equal bits. `room` says what a worker has for the gang.
    pub(crate) fn seats(&self, takes: Capacity, room: impl Fn(&WorkerId, &Worker) -> Capacity) -> Seats {
        let mut groups: BTreeMap<(&str, &str), Seats> = BTreeMap::new();
        for (name, worker) in self.open_workers() {
            let seats = room(name, worker).fits(takes).min(worker.capacity.gang_slots);
            if seats > 0 {
                let group = groups.entry((&worker.version, &worker.cpu_level)).or_default();
                group.push((name.clone(), seats));
            }
        }
        // The last maximum is the group with the highest version: the newest build, where names rise.
        groups.into_values().max_by_key(|group| total(group)).unwrap_or_default()
    }

    /// Seats that are free now for a job's gang.
    pub(crate) fn free_seats(&self, order: Order, takes: Capacity) -> Seats {
        self.seats(takes, |name, worker| self.free(name, worker).less(self.reserved_before(order, name)))
    }

    /// Seats that there would be if nobody held anything.
    pub(crate) fn all_seats(&self, takes: Capacity) -> Seats {
        self.seats(takes, |_, worker| worker.capacity.offered())
    }

    /// What each rank of a gang may take, the best choice first. A choice that is not the last is taken by all ranks of
    /// the wanted world or by none, so that no gang mixes devices.
    pub(crate) fn seat_choices(phase: &Phase) -> Vec<Capacity> {
        let gpus = phase.demand.gpus;
        let without = phase.demand.gpus_optional && gpus > 0;
        let choices = [Some(gpus), without.then_some(0)];
        choices.into_iter().flatten().map(|gpus| Capacity::of_rank(phase, gpus)).collect()
    }

    pub(crate) fn waits_for_seats(&self, job: &JobId) -> bool {
        let active = self.state.jobs.get(job).and_then(Job::active_phase);
        active.is_some_and(|(_, phase)| {
            phase.gang.is_some()
                && phase.tasks.first().is_some_and(|task| task.status == crate::state::TaskStatus::Ready)
        })
    }
}

/// Seats in all.
pub(crate) fn total(seats: &[(WorkerId, u32)]) -> u64 {
    seats.iter().map(|(_, count)| u64::from(*count)).sum()
}

/// The first `count` seats as amounts by worker.
pub(crate) fn rooms(
    seats: &[(WorkerId, u32)],
    mut count: u32,
    takes: Capacity,
) -> BTreeMap<WorkerId, Capacity> {
    let mut rooms = BTreeMap::new();
    for (worker, free) in seats {
        let here = (*free).min(count);
        count -= here;
        if here > 0 {
            rooms.insert(worker.clone(), takes.times(here));
        }
    }
    rooms
}
