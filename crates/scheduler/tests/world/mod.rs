//! A small world around the scheduler: it delays, drops, repeats and reorders what is said, and kills what speaks.

mod random;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use orchestrator_core::{
    AttemptId, FencingToken, JobId, Savepoint, StageTally, StoreLoad, TaskOutcome, WorkerId,
};
use orchestrator_scheduler::{
    Answer, Assignment, AttemptRef, Caller, Command, Cost, Event, Fact, FailureKind, JobRequest, JobStatus,
    PhaseKind, PhaseSpec, Place, Progress, RankProgress, Registration, Scheduler, State, Step, TaskStatus,
};

use self::random::Random;
use self::settings::{begins_anew, capacity, demand, options, savepoint};

/// Steps of 100 ms after which a world must have come to an end.
const ROUNDS_MAX: u64 = 60_000;
/// Rounds after which nothing goes wrong any more.
const TROUBLE_ROUNDS: u64 = 3_000;

#[derive(Default)]
struct SimWorker {
    session: String,
    alive: bool,
    held: BTreeMap<AttemptId, (Assignment, u64, u64)>,
    joined: BTreeSet<AttemptId>,
}

pub(crate) struct World {
    random: Random,
    scheduler: Scheduler,
    journal: Vec<Fact>,
    now: u64,
    round: u64,
    workers: BTreeMap<WorkerId, SimWorker>,
    effects: Vec<Command>,
    /// Ranks that hang, since when, and whether their process is silent too.
    hung: BTreeMap<AttemptId, (u64, bool)>,
    committed: BTreeMap<Place, AttemptId>,
    /// The furthest savepoint of every task that was taken, since it was last forgotten.
    saved: BTreeMap<Place, Savepoint>,
    trace: String,
}

impl World {
    pub(crate) fn run(seed: u64) -> Self {
        let mut world = Self {
            random: Random(seed),
            scheduler: Scheduler::new(options(0)),
            journal: Vec::new(),
            now: 0,
            round: 0,
            workers: BTreeMap::new(),
            effects: Vec::new(),
            hung: BTreeMap::new(),
            committed: BTreeMap::new(),
            saved: BTreeMap::new(),
            trace: String::new(),
        };
        for number in 0..2 + world.random.below(3) {
            world
                .workers
                .insert(WorkerId(format!("w{number}")), SimWorker { alive: true, ..Default::default() });
        }
        for number in 0..=world.random.below(2) {
            world.submit(number);
        }
        while world.round < ROUNDS_MAX && (!world.ended() || world.retry()) {
            world.round += 1;
            world.now += 100;
            world.one_round();
        }
        world
    }

    pub(crate) fn ended(&self) -> bool {
        self.scheduler.state().jobs.values().all(|job| job.status != JobStatus::Running)
    }

    pub(crate) fn summary(&self) -> String {
        let jobs = &self.scheduler.state().jobs;
        let mut text = String::new();
        for (id, job) in jobs {
            write!(text, "{id} {:?} at {:?}; ", job.status, job.current_phase()).expect("strings take all");
        }
        text
    }

    pub(crate) fn trace(&self) -> &str {
        &self.trace
    }

    fn troubled(&self) -> bool {
        self.round < TROUBLE_ROUNDS
    }

    fn submit(&mut self, number: u64) {
        let phases = (0..=self.random.below(3))
            .map(|phase| {
                let gang = self.random.chance(30);
                let kind = if gang {
                    PhaseKind::Gang { world_size: 2, min_world_size: 1 }
                } else {
                    PhaseKind::Tasks
                };
                PhaseSpec { name: format!("p{phase}"), kind, fingerprint: format!("{number}-{phase}") }
            })
            .collect();
        let request = JobRequest {
            name: "job".into(),
            output: format!("out{number}"),
            definition: number.to_string(),
            priority: self.random.below(2) as i32,
            max_attempts: 4,
            phases,
            reuse: false,
            afresh: false,
        };
        self.step(Event::Submit(Box::new(request)));
    }

    /// Takes one step, keeps its facts, checks everything.
    fn step(&mut self, event: Event) -> Step {
        let step = self.scheduler.step(event, self.now);
        self.absorb(&step);
        step
    }

    fn absorb(&mut self, step: &Step) {
        let violations = self.scheduler.check();
        assert!(violations.is_empty(), "{violations:?}\n{}", self.trace);
        for fact in &step.facts {
            writeln!(self.trace, "{} {fact:?}", self.now).expect("strings take all");
            match fact {
                Fact::Committed { place, attempt, .. } if self.is_plain(place) => {
                    let before = self.committed.insert(place.clone(), *attempt);
                    assert_eq!(before, None, "{place:?} was committed twice");
                }
                Fact::Saved { place, attempt, savepoint } => {
                    let before = self.saved.insert(place.clone(), savepoint.clone());
                    let went_back = before.is_some_and(|before| before.number >= savepoint.number);
                    assert!(!went_back || begins_anew(*attempt), "{place:?} went back");
                }
                // It got no further than where it began, and no other attempt goes on.
                Fact::AttemptEnded { place, attempt, cost: Cost::Failure, .. } if !self.is_held(place) => {
                    let own = format!("/{attempt}/");
                    if self.saved.get(place).is_some_and(|savepoint| !savepoint.path.contains(&own)) {
                        self.saved.remove(place);
                    }
                }
                _ => {}
            }
        }
        self.journal.extend(step.facts.iter().cloned());
        let wanted =
            step.commands.iter().filter(|command| !matches!(command, Command::Wake | Command::Log { .. }));
        self.effects.extend(wanted.cloned());
    }

    /// Whether an attempt at a task is under way.
    fn is_held(&self, place: &Place) -> bool {
        let task = self.scheduler.state().task(place);
        task.is_some_and(|task| matches!(task.status, TaskStatus::Leased(_)))
    }

    fn is_plain(&self, place: &Place) -> bool {
        self.scheduler.state().phase(&place.job, place.phase).is_some_and(|phase| phase.gang.is_none())
    }

    fn one_round(&mut self) {
        self.step(Event::Tick);
        if self.troubled() && self.random.chance(1) {
            self.crash();
        }
        for name in self.workers.keys().cloned().collect::<Vec<_>>() {
            if self.troubled() && self.random.below(400) == 0 {
                let worker = self.workers.get_mut(&name).expect("it is there");
                worker.alive = !worker.alive;
                worker.held.clear();
                worker.joined.clear();
                worker.session.clear();
            } else if !self.troubled() {
                self.workers.get_mut(&name).expect("it is there").alive = true;
            }
            if self.workers[&name].alive {
                self.act(&name);
            }
        }
        self.carry_out_effects();
        if self.troubled() && self.random.below(3_000) == 0 {
            let job = JobId::from("job-0001");
            self.step(Event::Cancel { job });
        }
    }

    /// Somebody gives a job that failed or was cancelled another go, at times.
    fn retry(&mut self) -> bool {
        let jobs = &self.scheduler.state().jobs;
        let ended = jobs.iter().find(|(_, job)| job.status != JobStatus::Succeeded).map(|(id, _)| id.clone());
        match ended.filter(|_| self.troubled() && self.random.chance(60)) {
            Some(job) => self.step(Event::Retry { job }).answer.is_ok(),
            None => false,
        }
    }

    /// The coordinator dies: the state must be the fold of the journal, and effects are asked for again.
    fn crash(&mut self) {
        let mut state = State::default();
        // A snapshot somewhere in the middle changes nothing.
        let cut = self.random.below(self.journal.len() as u64 + 1) as usize;
        for (index, fact) in self.journal.iter().enumerate() {
            if index == cut {
                let text = serde_json::to_string(&state).expect("a state is JSON");
                state = serde_json::from_str(&text).expect("its own text");
            }
            let text = serde_json::to_string(fact).expect("a fact is JSON");
            state.apply(&serde_json::from_str(&text).expect("its own text")).expect("the journal is whole");
        }
        assert_eq!(&state, self.scheduler.state(), "the state is not the fold of its facts");
        self.effects.clear();
        let (scheduler, step) = Scheduler::recover(options(self.round), state, self.now);
        self.scheduler = scheduler;
        self.absorb(&step);
    }

    /// The shell's effects, late, in any order, sometimes twice.
    fn carry_out_effects(&mut self) {
        for command in std::mem::take(&mut self.effects) {
            if self.troubled() && self.random.chance(40) {
                self.effects.push(command);
                continue;
            }
            let twice = self.troubled() && self.random.chance(10);
            for _ in 0..=u32::from(twice) {
                let event = match command.clone() {
                    Command::Expand { job, phase } => {
                        let gang = self
                            .scheduler
                            .state()
                            .phase(&job, phase)
                            .is_some_and(|phase| phase.gang.is_some());
                        let count = if gang { 1 } else { (u64::from(phase) * 7 + job.0.len() as u64) % 9 };
                        let tasks = (0..count).map(|task| format!("{job}/{phase}/{task}")).collect();
                        let demand = demand(&job, phase, gang);
                        let bytes = (0..count).map(|task| (task % 3) << 10).collect();
                        Event::PhaseExpanded { job, phase, tasks, demand, bytes }
                    }
                    Command::Publish { place, attempt } => {
                        let known = self.committed.get(&place);
                        assert!(
                            !self.is_plain(&place) || known == Some(&attempt),
                            "published what is not committed"
                        );
                        Event::TaskPublished { place }
                    }
                    Command::PublishPhase { job, phase } => Event::PhasePublished { job, phase },
                    Command::PublishCheckpoint { job, phase, step, .. } => {
                        Event::CheckpointPublished { job, phase, step }
                    }
                    Command::Wake | Command::Log { .. } => continue,
                };
                self.step(event);
            }
        }
    }

    fn act(&mut self, name: &WorkerId) {
        let caller = Caller { worker: name.clone(), session: self.workers[name].session.clone() };
        if self.random.chance(30) {
            let attempts = self.workers[name]
                .held
                .values()
                .map(|(assignment, _, _)| {
                    let rank = assignment.seat.as_ref().map(|_| self.standing(assignment));
                    (assignment.attempt, assignment.token, Progress { rank, ..Progress::default() })
                })
                .collect();
            let (requests, throttled) = (self.random.below(400), self.random.below(4) / 3 * 50);
            let load = StoreLoad { store: "s3://b".into(), requests, throttled, over_ms: 300 };
            let event =
                Event::Heartbeat { caller: caller.clone(), attempts, draining: false, stores: vec![load] };
            let step = self.step(event);
            match step.answer {
                Ok(Answer::Renewed { stop, paces }) => {
                    let stands_still = paces.iter().any(|pace| pace.interval_us > 2_000_000);
                    assert!(!stands_still, "a worker stands still: {paces:?}");
                    for attempt in stop {
                        self.complain(name, attempt);
                        self.forget(name, attempt);
                    }
                }
                Ok(other) => panic!("a heartbeat was answered with {other:?}"),
                Err(_) => return self.register(name),
            }
        }
        if self.random.chance(50) {
            let event = Event::Lease { caller: caller.clone(), free_slots: 2, draining: false };
            let step = self.step(event);
            let lost = self.troubled() && self.random.chance(3);
            match step.answer {
                Ok(Answer::Leased(assignments)) if !lost => {
                    for assignment in assignments {
                        let known = self.saved.get(&assignment.place);
                        assert_eq!(assignment.resume.as_ref(), known, "a savepoint was lost");
                        let until = self.round + 1 + self.random.below(40);
                        let held = &mut self.workers.get_mut(name).expect("it acts").held;
                        held.insert(assignment.attempt, (assignment, until, 0));
                    }
                }
                Ok(Answer::Leased(_)) => {}
                Ok(other) => panic!("a lease was answered with {other:?}"),
                Err(_) => return self.register(name),
            }
        }
        for (assignment, until, checkpoints) in self.workers[name].held.values().cloned().collect::<Vec<_>>()
        {
            self.work(name, &assignment, until, checkpoints);
        }
    }

    /// Whether a rank of the same generation hangs: then all of them wait.
    fn waits(&self, assignment: &Assignment) -> bool {
        let generation = |other: &Assignment| other.seat.as_ref().map(|seat| seat.generation);
        let held = self.workers.values().flat_map(|worker| worker.held.values());
        held.filter(|(other, _, _)| {
            other.place == assignment.place && generation(other) == generation(assignment)
        })
        .any(|(other, _, _)| self.hung.contains_key(&other.attempt))
    }

    /// Where a rank stands: ever further, unless somebody hangs. Who hangs is a step behind.
    fn standing(&self, assignment: &Assignment) -> RankProgress {
        let hung = self.hung.get(&assignment.attempt);
        let step = match (hung, self.waits(assignment)) {
            (Some(_), _) => 1,
            (None, true) => 2,
            (None, false) => 3 + self.round,
        };
        let silent_ms = hung.filter(|(_, silent)| *silent).map_or(0, |(since, _)| self.now - since);
        RankProgress { step, phase: "compute".into(), silent_ms, ..RankProgress::default() }
    }

    fn work(&mut self, name: &WorkerId, assignment: &Assignment, until: u64, checkpoints: u64) {
        let attempt = AttemptRef {
            caller: Caller { worker: name.clone(), session: self.workers[name].session.clone() },
            job: assignment.place.job.clone(),
            attempt: assignment.attempt,
            token: assignment.token,
        };
        if let Some(seat) = &assignment.seat
            && !self.workers[name].joined.contains(&assignment.attempt)
        {
            let address = format!("{name}:{}", seat.rank);
            let step = self.step(Event::JoinGang { attempt, address, nccl_id: Vec::new() });
            match step.answer {
                Ok(Answer::Formed { addresses, .. }) => {
                    assert_eq!(addresses.len() as u32, seat.world_size);
                    self.workers.get_mut(name).expect("it acts").joined.insert(assignment.attempt);
                }
                Ok(Answer::Waiting) => {}
                Ok(other) => panic!("a rank was answered with {other:?}"),
                Err(_) => self.forget(name, assignment.attempt),
            }
            return;
        }
        if assignment.seat.is_some() && self.troubled() && self.random.below(150) == 0 {
            let silent = self.random.chance(50);
            self.hung.entry(assignment.attempt).or_insert((self.now, silent));
        }
        if assignment.seat.is_some() && self.waits(assignment) {
            return;
        }
        if self.random.chance(5) && assignment.seat.as_ref().is_some_and(|seat| seat.rank == 0) {
            let step = self.round;
            let event = Event::CommitCheckpoint {
                attempt: attempt.clone(),
                step,
                path: format!("checkpoints/step-{step:08}"),
                attempt_path: format!(".orchestrator/attempts/0/0/{}/c", assignment.attempt),
                manifest: "{}".into(),
            };
            if self.step(event).answer.is_ok()
                && let Some(held) =
                    self.workers.get_mut(name).and_then(|worker| worker.held.get_mut(&assignment.attempt))
            {
                held.2 = checkpoints + 1;
            }
        }
        if assignment.seat.is_none() && self.random.chance(10) {
            self.save(name, assignment, &attempt, checkpoints as u32 + 1);
        }
        if self.round < until {
            return;
        }
        let trouble = if self.troubled() { 8 } else { 0 };
        if self.random.chance(trouble) {
            let kinds = if self.random.chance(10) { 4 } else { 3 };
            let kind =
                [FailureKind::Error, FailureKind::Released, FailureKind::PeerLost, FailureKind::Permanent]
                    [self.random.below(kinds) as usize];
            self.step(Event::Fail { attempt, kind, error: "it broke".into() });
            self.forget(name, assignment.attempt);
            return;
        }
        if self.random.chance(trouble) {
            let stale =
                AttemptRef { token: FencingToken(attempt.token.0.saturating_sub(1)), ..attempt.clone() };
            let before = self.journal.len();
            self.step(Event::Commit { attempt: stale.clone(), outcome: TaskOutcome::default() });
            let savepoint = savepoint(assignment, u32::MAX);
            self.step(Event::Save { attempt: stale, savepoint });
            assert_eq!(before, self.journal.len(), "a stale token changed something");
            let unbalanced = StageTally { records_in: 3, ..Default::default() };
            let outcome = TaskOutcome { tallies: vec![unbalanced], ..Default::default() };
            // Refused, or an attempt that has committed asks again; either way nothing changes.
            assert!(self.step(Event::Commit { attempt: attempt.clone(), outcome }).facts.is_empty());
        }
        let repeats = 1 + u64::from(self.random.chance(trouble));
        for repeat in 0..repeats {
            let first =
                self.step(Event::Commit { attempt: attempt.clone(), outcome: TaskOutcome::default() });
            if repeat > 0 && first.answer.is_ok() {
                assert!(first.facts.is_empty(), "a repeated commit changed something");
            }
        }
        if !self.random.chance(trouble) {
            self.forget(name, assignment.attempt);
        }
    }

    /// A task leaves its savepoint number `count` beyond the one that it began at.
    fn save(&mut self, name: &WorkerId, assignment: &Assignment, attempt: &AttemptRef, count: u32) {
        let from = assignment.resume.as_ref().filter(|_| !begins_anew(assignment.attempt));
        let begun = from.map_or(0, |savepoint| savepoint.number);
        let savepoint = savepoint(assignment, begun + count);
        if self.step(Event::Save { attempt: attempt.clone(), savepoint }).answer.is_ok()
            && let Some(held) =
                self.workers.get_mut(name).and_then(|worker| worker.held.get_mut(&assignment.attempt))
        {
            held.2 += 1;
        }
    }

    /// A rank that is told to stop was at times the one at fault, and only now says so.
    fn complain(&mut self, name: &WorkerId, attempt: AttemptId) {
        let held = self.workers[name].held.get(&attempt).map(|(assignment, _, _)| assignment.clone());
        let Some(assignment) = held.filter(|_| self.troubled() && self.random.chance(30)) else { return };
        let attempt = AttemptRef {
            caller: Caller { worker: name.clone(), session: self.workers[name].session.clone() },
            job: assignment.place.job,
            attempt,
            token: assignment.token,
        };
        self.step(Event::Fail { attempt, kind: FailureKind::Error, error: "it was me".into() });
    }

    fn register(&mut self, name: &WorkerId) {
        let held = self.workers[name].held.keys().copied().collect();
        let registration = Registration {
            worker: name.clone(),
            host: "h".into(),
            capacity: capacity(name),
            held,
            version: "1".into(),
            cpu_level: "v3".into(),
        };
        match self.step(Event::Register(registration)).answer {
            Ok(Answer::Registered { session, lost }) => {
                self.workers.get_mut(name).expect("it acts").session = session;
                for attempt in lost {
                    self.forget(name, attempt);
                }
            }
            other => panic!("a registration was answered with {other:?}"),
        }
    }

    fn forget(&mut self, name: &WorkerId, attempt: AttemptId) {
        let worker = self.workers.get_mut(name).expect("it acts");
        worker.held.remove(&attempt);
        worker.joined.remove(&attempt);
    }
}
