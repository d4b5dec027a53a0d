//! Drives 100,000 tasks through the scheduler with its journal on disk, in batches as the actor makes them, and
//! replays it.
//!
//! `cargo run --release -p orchestrator-coordinator --example journal [EVENTS_PER_BATCH]`

use std::time::Instant;

use orchestrator_coordinator::{Journal, PhaseKind, PhaseSpec, Snapshot};
use orchestrator_core::{Demand, TaskOutcome, WorkerId};
use orchestrator_scheduler::{
    Answer, AttemptRef, Caller, Capacity, Command, Event, Fact, JobRequest, Options, Registration, Scheduler,
};

const TASKS: u32 = 100_000;

/// Collects facts, and makes them durable a batch at a time.
struct Shell {
    scheduler: Scheduler,
    journal: Journal,
    batch: usize,
    events: usize,
    fsyncs: usize,
    facts: Vec<Fact>,
}

impl Shell {
    async fn step(&mut self, event: Event) -> (Answer, Vec<Command>) {
        let step = self.scheduler.step(event, self.events as u64 / 1_000);
        self.facts.extend(step.facts);
        self.events += 1;
        if self.events.is_multiple_of(self.batch) {
            self.flush().await;
        }
        (step.answer.expect("nothing is refused here"), step.commands)
    }

    async fn flush(&mut self) {
        let facts = std::mem::take(&mut self.facts);
        if !facts.is_empty() {
            self.journal.append(&facts).await.expect("the disk takes it");
            self.fsyncs += 1;
        }
        if self.journal.wants_snapshot(self.scheduler.state()) {
            let snapshot = Snapshot::of(self.scheduler.state()).expect("a state is JSON");
            self.journal.write_snapshot(&snapshot).await.expect("the disk takes it");
        }
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "printing the figures is what this example is for")]
async fn main() {
    let batch = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(64);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("state.sqlite");
    let (journal, _) = Journal::open(&path).await.expect("a new journal");
    let scheduler = Scheduler::new(Options { lease_ms: 1 << 40, ..Options::default() });
    let mut shell = Shell { scheduler, journal, batch, events: 0, fsyncs: 0, facts: Vec::new() };
    let begin = Instant::now();
    let request = JobRequest {
        name: "bench".into(),
        output: "nowhere".into(),
        definition: String::new(),
        priority: 0,
        max_attempts: 4,
        phases: vec![PhaseSpec { name: "map".into(), kind: PhaseKind::Tasks, fingerprint: String::new() }],
        reuse: false,
        afresh: false,
    };
    let (Answer::Submitted { job, .. }, _) = shell.step(Event::Submit(Box::new(request))).await else {
        return;
    };
    let tasks = (0..TASKS).map(|task| format!("{{\"phase\":0,\"number\":{task}}}")).collect();
    let (demand, bytes) = (Demand::default(), Vec::new());
    shell.step(Event::PhaseExpanded { job: job.clone(), phase: 0, tasks, demand, bytes }).await;
    let worker = WorkerId::from("w");
    let registration = Registration {
        worker: worker.clone(),
        host: String::new(),
        capacity: Capacity { slots: 256, ..Capacity::default() },
        held: Vec::new(),
        version: String::new(),
        cpu_level: String::new(),
    };
    let (Answer::Registered { session, .. }, _) = shell.step(Event::Register(registration)).await else {
        return;
    };
    let caller = Caller { worker, session };
    loop {
        let lease = Event::Lease { caller: caller.clone(), free_slots: 256, draining: false };
        let (Answer::Leased(assignments), _) = shell.step(lease).await else { return };
        if assignments.is_empty() {
            break;
        }
        for assignment in assignments {
            let attempt = AttemptRef {
                caller: caller.clone(),
                job: job.clone(),
                attempt: assignment.attempt,
                token: assignment.token,
            };
            let (_, commands) = shell.step(Event::Commit { attempt, outcome: TaskOutcome::default() }).await;
            for command in commands {
                if let Command::Publish { place, .. } = command {
                    shell.step(Event::TaskPublished { place }).await;
                }
            }
        }
    }
    shell.step(Event::PhasePublished { job, phase: 0 }).await;
    shell.flush().await;
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{TASKS} tasks, {} events, {} fsyncs of {batch} events: {seconds:.1} s, {:.0} tasks/s",
        shell.events,
        shell.fsyncs,
        f64::from(TASKS) / seconds
    );
    let expected = shell.scheduler.state().clone();
    drop(shell);
    let begin = Instant::now();
    let (_, recovered) = Journal::open(&path).await.expect("the journal");
    println!("recovery: {} facts replayed in {:.2} s", recovered.replayed, begin.elapsed().as_secs_f64());
    assert_eq!(recovered.state, expected);
}
