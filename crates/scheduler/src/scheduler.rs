//! The machine: dispatches events, records facts, and keeps the clocks in step with the state.

use std::cmp::Reverse;

use orchestrator_core::{AttemptId, JobId, WorkerId};

use crate::capacity::Capacity;
use crate::clocks::{Clocks, GangClock, LeaseClock, Turn, Worker};
use crate::command::{Answer, Command, Effects, Refusal, Step};
use crate::event::{AttemptRef, Caller, Event, Progress};
use crate::events;
use crate::fact::{Cost, Fact};
use crate::invariants;
use crate::options::{Millis, Options};
use crate::state::{Job, JobStatus, Lease, PhaseStatus, Place, State, TaskStatus};

/// States larger than this are not checked after each step even in debug builds: a check looks at every task.
const CHECKED_TASKS_MAX: usize = 256;

/// The pure scheduler of one coordinator.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) options: Options,
    pub(crate) state: State,
    pub(crate) clocks: Clocks,
    pub(crate) effects: Effects,
    pub(crate) now: Millis,
}

impl Scheduler {
    /// A scheduler that knows nothing yet.
    pub fn new(options: Options) -> Self {
        Self::recover(options, State::default(), 0).0
    }

    /// Goes on from a state folded from the journal. The step holds every command that may not have been carried out.
    pub fn recover(options: Options, state: State, now: Millis) -> (Self, Step) {
        let mut scheduler =
            Self { options, state, clocks: Clocks::default(), effects: Effects::default(), now };
        scheduler.reindex();
        if scheduler.options.void_leases_on_recovery {
            for attempt in scheduler.clocks.leases().keys().copied().collect::<Vec<_>>() {
                scheduler.end_attempt(attempt, Cost::Nothing, "the coordinator restarted with its workers");
            }
        }
        for job in scheduler.state.jobs.keys().cloned().collect::<Vec<_>>() {
            scheduler.resume(&job);
        }
        let step = scheduler.finish(Ok(Answer::Done));
        (scheduler, step)
    }

    /// Takes one event at the time `now` (which never goes back).
    pub fn step(&mut self, event: Event, now: Millis) -> Step {
        self.now = self.now.max(now);
        let answer = match event {
            Event::Register(registration) => Ok(events::register::apply(self, registration)),
            Event::Lease { caller, free_slots, draining } => {
                events::lease::apply(self, &caller, free_slots, draining)
            }
            Event::Heartbeat { caller, attempts, draining, stores } => {
                events::heartbeat::apply(self, &caller, attempts, draining, stores)
            }
            Event::Leave { caller } => events::leave::apply(self, &caller),
            Event::Stores(loads) => Ok(Answer::Paced(self.pace("", loads))),
            Event::Commit { attempt, outcome } => events::commit::apply(self, &attempt, outcome),
            Event::Save { attempt, savepoint } => events::save::apply(self, &attempt, savepoint),
            Event::Fail { attempt, kind, error } => events::fail::apply(self, &attempt, kind, &error),
            Event::JoinGang { attempt, address, nccl_id } => {
                events::join_gang::apply(self, &attempt, address, nccl_id)
            }
            Event::CommitCheckpoint { attempt, step, path, attempt_path, manifest } => {
                events::commit_checkpoint::apply(self, &attempt, step, path, attempt_path, manifest)
            }
            Event::Submit(request) => events::submit::apply(self, *request),
            Event::PhaseExpanded { job, phase, tasks, demand, bytes } => {
                events::phase_expanded::apply(self, &job, phase, tasks, demand, bytes);
                Ok(Answer::Done)
            }
            Event::TaskPublished { place } => {
                events::task_published::apply(self, place);
                Ok(Answer::Done)
            }
            Event::PhasePublished { job, phase } => {
                events::phase_published::apply(self, &job, phase);
                Ok(Answer::Done)
            }
            Event::CheckpointPublished { job, phase, step } => {
                events::checkpoint_published::apply(self, &job, phase, step);
                Ok(Answer::Done)
            }
            Event::EffectFailed { job, error } => {
                events::effect_failed::apply(self, &job, &error);
                Ok(Answer::Done)
            }
            Event::Cancel { job } => events::cancel::apply(self, &job),
            Event::Amend(amendment) => events::amend::apply(self, *amendment),
            Event::Retry { job } => events::retry::apply(self, &job),
            Event::Tick => {
                events::tick::apply(self);
                Ok(Answer::Done)
            }
        };
        self.finish(answer)
    }

    /// The durable state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The latest time the scheduler was told.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// Registered workers by name.
    pub fn workers(&self) -> impl Iterator<Item = (&WorkerId, &Worker)> {
        self.clocks.workers.iter()
    }

    /// Whether a worker was not heard of for a lease's term: what it held is others' by then.
    pub fn is_lost(&self, worker: &Worker) -> bool {
        !self.is_fresh(worker.last_seen)
    }

    /// How many tasks and how many ranks a worker holds.
    pub fn load(&self, worker: &WorkerId) -> (u32, u32) {
        self.clocks.load(worker)
    }

    /// What a worker's tasks and ranks take of it.
    pub fn taken(&self, worker: &WorkerId) -> Capacity {
        self.clocks.taken(worker)
    }

    /// Live leases by attempt.
    pub fn leases(&self) -> impl Iterator<Item = (AttemptId, &LeaseClock)> {
        self.clocks.leases().iter().map(|(attempt, clock)| (*attempt, clock))
    }

    /// The invariants that do not hold now; empty, or there is a bug.
    pub fn check(&self) -> Vec<invariants::Violation> {
        invariants::check(self)
    }

    fn finish(&mut self, answer: Result<Answer, Refusal>) -> Step {
        if cfg!(debug_assertions) && self.clocks.ready.len() + self.clocks.leases().len() < CHECKED_TASKS_MAX
        {
            let tasks: usize =
                self.state.jobs.values().flat_map(|job| &job.phases).map(|phase| phase.tasks.len()).sum();
            if tasks < CHECKED_TASKS_MAX {
                let violations = self.check();
                debug_assert!(violations.is_empty(), "{violations:?}");
            }
        }
        let Effects { facts, commands } = std::mem::take(&mut self.effects);
        Step { answer, facts, commands }
    }

    /// Applies a fact and keeps it for the journal.
    pub(crate) fn record(&mut self, fact: Fact) {
        self.state.apply(&fact).expect("facts are recorded only after the state was asked");
        self.effects.facts.push(fact);
    }

    /// Checks a caller's session and notes that it was heard.
    pub(crate) fn hear(&mut self, caller: &Caller) -> Result<(), Refusal> {
        let now = self.now;
        match self.clocks.workers.get_mut(&caller.worker) {
            Some(worker) if worker.session == caller.session => {
                worker.last_seen = now;
                Ok(())
            }
            Some(_) | None => Err(Refusal::UnknownSession(caller.session.clone())),
        }
    }

    /// Notes that a worker drains; gives whether it does. It does until it registers again, for a call of before may still
    /// wait for an answer.
    pub(crate) fn note_draining(&mut self, worker: &WorkerId, draining: bool) -> bool {
        let Some(entry) = self.clocks.workers.get_mut(worker) else { return draining };
        entry.draining |= draining;
        entry.draining
    }

    /// The live lease that an attempt holds, if all that it says of itself is so.
    pub(crate) fn holder(&self, attempt: &AttemptRef) -> Result<&LeaseClock, Refusal> {
        let stale = || Refusal::StaleLease(attempt.attempt);
        let clock = self.clocks.leases().get(&attempt.attempt).ok_or_else(stale)?;
        let own = clock.token == attempt.token
            && clock.worker == attempt.caller.worker
            && clock.place.job == attempt.job
            && clock.deadline > self.now;
        if own { Ok(clock) } else { Err(stale()) }
    }

    pub(crate) fn turn(job: &Job, task: u32) -> Turn {
        Turn { priority: Reverse(job.priority), job: job.number, task }
    }

    /// Puts a ready task of a running job in the queue, after its back-off. Gangs are not queued: they are seated.
    pub(crate) fn enqueue(&mut self, place: &Place, wait: Millis) {
        let Some(job) = self.state.jobs.get(&place.job) else { return };
        let turn = Self::turn(job, place.task);
        if job.phases[place.phase as usize].gang.is_some() {
            let clock = self.clocks.gangs.entry(place.job.clone()).or_default();
            *clock = GangClock { not_before: self.now + wait, idle_since: self.now, ..GangClock::default() };
        } else if wait > 0 {
            self.clocks.delayed.insert((self.now + wait, turn));
        } else {
            self.clocks.ready.insert(turn);
            self.effects.wake();
        }
    }

    /// Starts the term of a lease.
    pub(crate) fn start_lease(&mut self, place: &Place, lease: &Lease, rank: Option<u32>, takes: Capacity) {
        let saved = self.state.task(place).and_then(|task| task.saved.as_ref());
        let clock = LeaseClock {
            takes,
            resumed_at: saved.map_or(0, |saved| saved.savepoint.number),
            advanced: self.now,
            place: place.clone(),
            token: lease.token,
            worker: lease.worker.clone(),
            rank,
            granted: self.now,
            alone_since: self.now,
            recovered: false,
            renewed: self.now,
            deadline: self.now + self.options.lease_ms,
            progress: Progress::default(),
        };
        self.clocks.start(lease.attempt, clock);
    }

    /// Rebuilds the queues and leases from the state; every lease gets a whole new term.
    fn reindex(&mut self) {
        let mut leases = Vec::new();
        let mut ready = Vec::new();
        for (id, job) in &self.state.jobs {
            self.clocks.numbers.insert(job.number, id.clone());
            for (index, phase) in job.phases.iter().enumerate() {
                for (task_index, task) in phase.tasks.iter().enumerate() {
                    let place = Place { job: id.clone(), phase: index as u32, task: task_index as u32 };
                    for lease in task.leases() {
                        leases.push((place.clone(), lease.clone(), None, Capacity::of_task(phase)));
                    }
                    match &task.status {
                        TaskStatus::Ready => ready.push(place),
                        TaskStatus::Committed(lease) | TaskStatus::Published(lease)
                            if phase.gang.is_none() =>
                        {
                            self.clocks.committed.insert(lease.attempt, place);
                        }
                        TaskStatus::Leased(_)
                        | TaskStatus::Seated
                        | TaskStatus::Committed(_)
                        | TaskStatus::Published(_)
                        | TaskStatus::Quarantined => {}
                    }
                }
                let seats = phase.gang.iter().flat_map(|gang| &gang.seats).enumerate();
                for (rank, seat) in seats {
                    let place = Place { job: id.clone(), phase: index as u32, task: 0 };
                    if seat.committed {
                        self.clocks.committed.insert(seat.lease.attempt, place);
                    } else {
                        let takes = Capacity::of_rank(phase, seat.gpus);
                        leases.push((place, seat.lease.clone(), Some(rank as u32), takes));
                    }
                }
            }
        }
        for (place, lease, rank, takes) in leases {
            self.start_lease(&place, &lease, rank, takes);
            self.clocks.recover(lease.attempt);
            if rank.is_some() {
                self.clocks.gangs.entry(place.job).or_default().seated_at = self.now;
            }
        }
        for place in ready {
            if self.state.jobs[&place.job].status == JobStatus::Running {
                self.enqueue(&place, 0);
            }
        }
    }

    /// Asks again for every effect of a job that is not known to be done.
    pub(crate) fn resume(&mut self, id: &JobId) {
        let Some((index, phase)) = self.state.jobs.get(id).and_then(Job::active_phase) else { return };
        let mut commands = Vec::new();
        match phase.status {
            PhaseStatus::Waiting => commands.push(Command::Expand { job: id.clone(), phase: index }),
            PhaseStatus::Running => {
                for (task_index, task) in phase.tasks.iter().enumerate() {
                    if let TaskStatus::Committed(lease) = &task.status {
                        let place = Place { job: id.clone(), phase: index, task: task_index as u32 };
                        commands.push(Command::Publish { place, attempt: lease.attempt });
                    }
                }
                let checkpoint = phase.gang.as_ref().and_then(|gang| gang.checkpoint.as_ref());
                if let Some(checkpoint) = checkpoint.filter(|checkpoint| !checkpoint.published) {
                    commands.push(Command::PublishCheckpoint {
                        job: id.clone(),
                        phase: index,
                        step: checkpoint.step,
                        path: checkpoint.path.clone(),
                        attempt_path: checkpoint.attempt_path.clone(),
                        manifest: checkpoint.manifest.clone(),
                    });
                }
            }
            PhaseStatus::Published => {}
        }
        self.effects.commands.extend(commands);
        // Also emits `PublishPhase` where everything else is done, and fails a job whose last task is quarantined.
        self.settle(id);
    }
}
