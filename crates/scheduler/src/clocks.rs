//! The volatile state: who is there, which leases run until when, what waits. All of it may be forgotten: a recovery
//! gives every lease a whole new term, and workers register again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::{AttemptId, FencingToken, JobId, WorkerId};

use crate::capacity::Capacity;
use crate::event::Progress;
use crate::options::Millis;
use crate::state::Place;
use crate::stores::StoreClock;

/// A worker that has registered.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its session in this incarnation.
    pub session: String,
    /// Its host, for people.
    pub host: String,
    /// What it can hold.
    pub capacity: Capacity,
    /// Build of its binary.
    pub version: String,
    /// CPU feature level.
    pub cpu_level: String,
    /// Whether it takes no more work.
    pub draining: bool,
    /// When it last called.
    pub last_seen: Millis,
    /// What it held when it registered: it may come back with less room than it holds.
    pub(crate) held_before: Capacity,
}

/// A live lease's term and what its worker last said.
#[derive(Clone, Debug)]
pub struct LeaseClock {
    /// The task.
    pub place: Place,
    /// Its token.
    pub token: FencingToken,
    /// Who has it.
    pub worker: WorkerId,
    /// Whether it is a gang's rank, and which.
    pub rank: Option<u32>,
    /// What it takes of its worker.
    pub takes: Capacity,
    /// Number of the task's savepoint when the lease began, or was recovered; 0: there was none.
    pub resumed_at: u32,
    /// When it was given, or recovered.
    pub granted: Millis,
    /// Since when it runs the task without another: when it was given, or when the other attempt ended.
    pub alone_since: Millis,
    /// Whether it was recovered: when it began, and where, nobody knows any more.
    pub recovered: bool,
    /// When it was last renewed.
    pub renewed: Millis,
    /// When it is lost.
    pub deadline: Millis,
    /// How far it is.
    pub progress: Progress,
    /// When a rank last got on: began, met its peers, or said that it is further than before.
    pub advanced: Millis,
}

/// Orders ready tasks: high priority, then early submission, then low number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) priority: Reverse<i32>,
    pub(crate) job: u64,
    pub(crate) task: u32,
}

/// Orders jobs: high priority, then early submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    pub(crate) priority: Reverse<i32>,
    pub(crate) job: u64,
}

impl Turn {
    pub(crate) fn order(self) -> Order {
        Order { priority: self.priority, job: self.job }
    }
}

/// When a gang between two generations may be seated, and what it waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct GangClock {
    /// Not before this.
    pub(crate) not_before: Millis,
    /// Since when it has been without seats.
    pub(crate) idle_since: Millis,
    /// Since when its seats wait for all ranks to join.
    pub(crate) seated_at: Millis,
    /// Addresses of ranks that joined, by rank.
    pub(crate) joined: BTreeMap<u32, String>,
    /// Rank 0's NCCL id.
    pub(crate) nccl_id: Vec<u8>,
}

/// Something that no worker there now can give a job.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    pub(crate) since: Millis,
    pub(crate) text: String,
    pub(crate) told: bool,
}

/// All volatile state.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) sessions_total: u64,
    leases: BTreeMap<AttemptId, LeaseClock>,
    deadlines: BTreeSet<(Millis, AttemptId)>,
    held: BTreeMap<WorkerId, BTreeSet<AttemptId>>,
    /// Committed attempts, so that one that asks again is answered.
    pub(crate) committed: BTreeMap<AttemptId, Place>,
    /// Seats given to a worker that has not asked for work since.
    pub(crate) undelivered: BTreeMap<WorkerId, BTreeSet<AttemptId>>,
    pub(crate) ready: BTreeSet<Turn>,
    /// Tasks in back-off, by the end of it.
    pub(crate) delayed: BTreeSet<(Millis, Turn)>,
    /// When a task that failed somewhere became ready.
    pub(crate) ready_since: BTreeMap<Turn, Millis>,
    pub(crate) gangs: BTreeMap<JobId, GangClock>,
    /// What is kept free for jobs whose tasks or ranks fit on these workers, but not yet: see `room.rs`.
    pub(crate) reservations: BTreeMap<Order, BTreeMap<WorkerId, Capacity>>,
    /// What jobs wait for, and since when: told once it lasts.
    pub(crate) waits: BTreeMap<JobId, Wait>,
    /// When the jobs were last asked what they wait for.
    pub(crate) waits_asked: Millis,
    /// How long the committed tasks of a phase took, in microseconds a KiB, rising; by the job's number and the phase.
    pub(crate) paces: BTreeMap<(u64, u32), Vec<u64>>,
    /// Object stores that are asked, by scheme and host.
    pub(crate) stores: BTreeMap<String, StoreClock>,
    /// Jobs by number, for [`Turn`].
    pub(crate) numbers: BTreeMap<u64, JobId>,
}

impl Clocks {
    pub(crate) fn leases(&self) -> &BTreeMap<AttemptId, LeaseClock> {
        &self.leases
    }

    pub(crate) fn start(&mut self, attempt: AttemptId, clock: LeaseClock) {
        self.deadlines.insert((clock.deadline, attempt));
        self.held.entry(clock.worker.clone()).or_default().insert(attempt);
        self.leases.insert(attempt, clock);
    }

    /// The other attempt at the same task ended: for a while none comes beside this one.
    pub(crate) fn leave_alone(&mut self, attempt: AttemptId, now: Millis) {
        if let Some(clock) = self.leases.get_mut(&attempt) {
            clock.alone_since = now;
        }
    }

    pub(crate) fn stop(&mut self, attempt: AttemptId) -> Option<LeaseClock> {
        let clock = self.leases.remove(&attempt)?;
        self.deadlines.remove(&(clock.deadline, attempt));
        if let Some(held) = self.held.get_mut(&clock.worker) {
            held.remove(&attempt);
            if held.is_empty() {
                self.held.remove(&clock.worker);
            }
        }
        if let Some(waiting) = self.undelivered.get_mut(&clock.worker) {
            waiting.remove(&attempt);
        }
        Some(clock)
    }

    /// Renews a lease to `deadline`; a deadline never moves back.
    pub(crate) fn renew(&mut self, attempt: AttemptId, now: Millis, deadline: Millis) {
        if let Some(clock) = self.leases.get_mut(&attempt) {
            self.deadlines.remove(&(clock.deadline, attempt));
            clock.renewed = now;
            clock.deadline = clock.deadline.max(deadline);
            self.deadlines.insert((clock.deadline, attempt));
        }
    }

    pub(crate) fn set_progress(&mut self, attempt: AttemptId, progress: Progress, now: Millis) {
        if let Some(clock) = self.leases.get_mut(&attempt) {
            let got_on = match (&progress.rank, &clock.progress.rank) {
                (Some(after), Some(before)) => after.is_past(before),
                (after, before) => after.is_some() != before.is_some(),
            };
            if got_on {
                clock.advanced = now;
            }
            clock.progress = progress;
        }
    }

    /// Notes that a lease is of before a restart.
    pub(crate) fn recover(&mut self, attempt: AttemptId) {
        if let Some(clock) = self.leases.get_mut(&attempt) {
            clock.recovered = true;
        }
    }

    /// Counts a rank as having got on now.
    pub(crate) fn advance(&mut self, attempt: AttemptId, now: Millis) {
        if let Some(clock) = self.leases.get_mut(&attempt) {
            clock.advanced = now;
        }
    }

    /// The lease that runs out first, if it has by `now`.
    pub(crate) fn expired(&self, now: Millis) -> Option<AttemptId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, attempt)| *attempt)
    }

    /// How many tasks and how many ranks a worker holds.
    pub(crate) fn load(&self, worker: &WorkerId) -> (u32, u32) {
        let held = self.held.get(worker).into_iter().flatten();
        let ranks = held.clone().filter(|attempt| self.leases[*attempt].rank.is_some()).count();
        ((held.count() - ranks) as u32, ranks as u32)
    }

    /// What a worker's leases take of it.
    pub(crate) fn taken(&self, worker: &WorkerId) -> Capacity {
        let held = self.held.get(worker).into_iter().flatten();
        held.fold(Capacity::default(), |sum, attempt| sum.plus(self.leases[attempt].takes))
    }

    /// Forgets that a task waits for its turn.
    pub(crate) fn unqueue(&mut self, turn: Turn) {
        self.ready.remove(&turn);
        self.ready_since.remove(&turn);
    }

    /// Forgets all turns of a job.
    pub(crate) fn unqueue_job(&mut self, priority: i32, job: u64) {
        let first = Turn { priority: Reverse(priority), job, task: 0 };
        let last = Turn { task: u32::MAX, ..first };
        for turn in self.ready.range(first..=last).copied().collect::<Vec<_>>() {
            self.unqueue(turn);
        }
        self.delayed.retain(|(_, turn)| turn.job != job);
        self.paces.retain(|(number, _), _| *number != job);
        self.reservations.remove(&first.order());
    }
}
