//! A scheduler and short words for what happens to it.

#![allow(dead_code, reason = "each suite uses its part")]

use std::collections::BTreeMap;

use orchestrator_core::{
    AttemptId, Demand, Digest, FencingToken, JobId, Savepoint, StoreLoad, StorePace, TaskOutcome, WorkerId,
};
use orchestrator_scheduler::{
    Answer, Assignment, AttemptRef, Caller, Capacity, Command, Event, FailureKind, JobRequest, Options,
    PhaseKind, PhaseSpec, Progress, RankProgress, Registration, Scheduler, Step,
};

pub(crate) const GIB: u64 = 1 << 30;

pub(crate) struct Desk {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: u64,
    pub(crate) logs: Vec<String>,
    sessions: BTreeMap<String, String>,
}

/// A worker's capacity: slots, gang slots, GiB, GPUs.
pub(crate) fn offers(slots: u32, gang_slots: u32, gib: u64, gpus: u32) -> Capacity {
    Capacity { slots, gang_slots, memory_bytes: gib * GIB, gpus }
}

/// A task's demand: GiB, GPUs.
pub(crate) fn takes(gib: u64, gpus: u32) -> Demand {
    Demand { slots: 1, memory_bytes: gib * GIB, gpus, gpus_optional: false }
}

impl Desk {
    pub(crate) fn new(options: Options) -> Self {
        Self { scheduler: Scheduler::new(options), now: 0, logs: Vec::new(), sessions: BTreeMap::new() }
    }

    /// The coordinator starts again from what is durable. Workers have to register.
    pub(crate) fn restart(&mut self, options: &Options) {
        let options = Options { incarnation: options.incarnation + 1, ..options.clone() };
        self.scheduler = Scheduler::recover(options, self.scheduler.state().clone(), self.now).0;
        self.sessions.clear();
    }

    pub(crate) fn step(&mut self, event: Event) -> Step {
        let step = self.scheduler.step(event, self.now);
        assert_eq!(self.scheduler.check(), []);
        for command in &step.commands {
            if let Command::Log { text, .. } = command {
                self.logs.push(text.clone());
            }
        }
        step
    }

    /// Time goes by, a tick every 100 ms; workers say that they live, but nothing of what they hold.
    pub(crate) fn wait(&mut self, millis: u64) {
        for _ in 0..millis / 100 {
            self.now += 100;
            self.step(Event::Tick);
        }
    }

    pub(crate) fn worker(&mut self, name: &str, capacity: Capacity) {
        let registration = Registration {
            worker: WorkerId(name.into()),
            host: "h".into(),
            capacity,
            held: Vec::new(),
            version: "1".into(),
            cpu_level: "v3".into(),
        };
        let Ok(Answer::Registered { session, .. }) = self.step(Event::Register(registration)).answer else {
            panic!("not registered");
        };
        self.sessions.insert(name.into(), session);
    }

    /// Submits a job of one phase and makes its tasks known.
    pub(crate) fn job(
        &mut self,
        name: &str,
        priority: i32,
        kind: PhaseKind,
        tasks: usize,
        demand: Demand,
    ) -> JobId {
        let job = self.submit(name, priority, kind);
        let bytes = vec![1 << 20; tasks];
        let tasks = (0..tasks).map(|task| task.to_string()).collect();
        self.step(Event::PhaseExpanded { job: job.clone(), phase: 0, tasks, demand, bytes });
        job
    }

    fn submit(&mut self, name: &str, priority: i32, kind: PhaseKind) -> JobId {
        let phases = vec![PhaseSpec { name: "p".into(), kind, fingerprint: name.into() }];
        let request = JobRequest {
            name: name.into(),
            output: name.into(),
            definition: name.into(),
            priority,
            max_attempts: 3,
            phases,
            reuse: false,
            afresh: false,
        };
        let Ok(Answer::Submitted { job, .. }) = self.step(Event::Submit(Box::new(request))).answer else {
            panic!("not taken in");
        };
        job
    }

    pub(crate) fn tasks(&mut self, name: &str, tasks: usize, demand: Demand) -> JobId {
        self.job(name, 0, PhaseKind::Tasks, tasks, demand)
    }

    /// A job of one phase with tasks of these sizes.
    pub(crate) fn job_of_sizes(&mut self, name: &str, sizes: &[u64]) -> JobId {
        let job = self.submit(name, 0, PhaseKind::Tasks);
        let tasks = (0..sizes.len()).map(|task| task.to_string()).collect();
        let (demand, bytes) = (takes(1, 0), sizes.to_vec());
        self.step(Event::PhaseExpanded { job: job.clone(), phase: 0, tasks, demand, bytes });
        job
    }

    pub(crate) fn gang(&mut self, name: &str, world_size: u32, demand: Demand) -> JobId {
        let kind = PhaseKind::Gang { world_size, min_world_size: world_size };
        self.job(name, 0, kind, 1, demand)
    }

    fn caller(&self, worker: &str) -> Caller {
        Caller { worker: WorkerId(worker.into()), session: self.sessions[worker].clone() }
    }

    /// A worker asks for as much as it can get.
    pub(crate) fn lease(&mut self, worker: &str) -> Vec<Assignment> {
        let event = Event::Lease { caller: self.caller(worker), free_slots: 64, draining: false };
        match self.step(event).answer {
            Ok(Answer::Leased(assignments)) => assignments,
            other => panic!("a lease was answered with {other:?}"),
        }
    }

    pub(crate) fn attempt(&self, worker: &str, assignment: &Assignment) -> AttemptRef {
        AttemptRef {
            caller: self.caller(worker),
            job: assignment.place.job.clone(),
            attempt: assignment.attempt,
            token: assignment.token,
        }
    }

    pub(crate) fn commit(&mut self, worker: &str, assignment: &Assignment) {
        let attempt = self.attempt(worker, assignment);
        self.step(Event::Commit { attempt, outcome: TaskOutcome::default() })
            .answer
            .expect("it holds the task");
    }

    pub(crate) fn fail(&mut self, worker: &str, assignment: &Assignment) {
        let attempt = self.attempt(worker, assignment);
        self.step(Event::Fail { attempt, kind: FailureKind::Error, error: "it broke".into() })
            .answer
            .expect("told");
    }

    /// An attempt leaves its savepoint of a number; whether that was taken.
    pub(crate) fn save(&mut self, worker: &str, assignment: &Assignment, number: u32) -> bool {
        let attempt = self.attempt(worker, assignment);
        let savepoint = Savepoint {
            number,
            path: format!(".orchestrator/attempts/0/0/{}/segments/{number}", assignment.attempt),
            bytes: 1,
            xxh3: Digest(1),
            records: u64::from(number),
            bytes_read: 1,
        };
        self.step(Event::Save { attempt, savepoint }).answer.is_ok()
    }

    pub(crate) fn join(&mut self, worker: &str, assignment: &Assignment) {
        let attempt = self.attempt(worker, assignment);
        let event = Event::JoinGang { attempt, address: "a:1".into(), nccl_id: Vec::new() };
        self.step(event).answer.expect("it has a seat");
    }

    /// A worker tells that it still holds some tasks; which of them it should stop.
    pub(crate) fn hold(&mut self, worker: &str, tasks: &[&Assignment]) -> Vec<AttemptId> {
        let attempts = tasks.iter().map(|task| (task.attempt, task.token, Progress::default())).collect();
        self.heartbeat(worker, attempts, Vec::new()).0
    }

    /// A worker tells what it asked of object stores, and hears how fast it may go on.
    pub(crate) fn ask_stores(&mut self, worker: &str, stores: Vec<StoreLoad>) -> Vec<StorePace> {
        self.heartbeat(worker, Vec::new(), stores).1
    }

    fn heartbeat(
        &mut self,
        worker: &str,
        attempts: Vec<(AttemptId, FencingToken, Progress)>,
        stores: Vec<StoreLoad>,
    ) -> (Vec<AttemptId>, Vec<StorePace>) {
        let event = Event::Heartbeat { caller: self.caller(worker), attempts, draining: false, stores };
        match self.step(event).answer {
            Ok(Answer::Renewed { stop, paces }) => (stop, paces),
            other => panic!("a heartbeat was answered with {other:?}"),
        }
    }

    /// A worker tells of the ranks that it holds.
    pub(crate) fn beat(&mut self, worker: &str, ranks: &[(&Assignment, RankProgress)]) -> Vec<AttemptId> {
        let attempts: Vec<(AttemptId, FencingToken, Progress)> = ranks
            .iter()
            .map(|(assignment, rank)| {
                let progress = Progress { rank: Some(rank.clone()), ..Progress::default() };
                (assignment.attempt, assignment.token, progress)
            })
            .collect();
        self.heartbeat(worker, attempts, Vec::new()).0
    }

    /// A worker says that it drains.
    pub(crate) fn drain(&mut self, worker: &str) {
        let event = Event::Heartbeat {
            caller: self.caller(worker),
            attempts: Vec::new(),
            draining: true,
            stores: Vec::new(),
        };
        self.step(event).answer.expect("it is known");
    }

    /// A worker says good-bye.
    pub(crate) fn leave(&mut self, worker: &str) {
        self.step(Event::Leave { caller: self.caller(worker) }).answer.expect("it is known");
    }

    /// The workers that are known, and whether they are lost.
    pub(crate) fn known(&self) -> Vec<(&str, bool)> {
        let scheduler = &self.scheduler;
        scheduler.workers().map(|(name, worker)| (name.0.as_str(), scheduler.is_lost(worker))).collect()
    }

    pub(crate) fn logged(&self, text: &str) -> bool {
        self.logs.iter().any(|line| line.contains(text))
    }
}
