//! Drives 100,000 tasks through the state machine alone and prints events a second.
//!
//! `cargo run --release -p orchestrator-scheduler --example throughput`

use std::time::Instant;

use orchestrator_core::{Demand, TaskOutcome, WorkerId};
use orchestrator_scheduler::{
    Answer, AttemptRef, Caller, Capacity, Command, Event, JobRequest, Options, PhaseKind, PhaseSpec,
    Registration, Scheduler, State,
};

const TASKS: u32 = 100_000;
const WORKERS: u32 = 64;
const SLOTS: u32 = 8;

#[expect(clippy::print_stdout, reason = "printing the figures is what this example is for")]
fn main() {
    let mut scheduler = Scheduler::new(Options::default());
    let mut events = 0u64;
    let mut facts = Vec::new();
    let begin = Instant::now();
    let mut step = |scheduler: &mut Scheduler, event: Event| {
        events += 1;
        let step = scheduler.step(event, events / 100);
        facts.extend(step.facts);
        (step.answer.expect("nothing is refused here"), step.commands)
    };
    let request = JobRequest {
        name: "throughput".into(),
        output: "nowhere".into(),
        definition: String::new(),
        priority: 0,
        max_attempts: 4,
        phases: vec![PhaseSpec { name: "map".into(), kind: PhaseKind::Tasks, fingerprint: String::new() }],
        reuse: false,
        afresh: false,
    };
    let (answer, _) = step(&mut scheduler, Event::Submit(Box::new(request)));
    let Answer::Submitted { job, .. } = answer else { return };
    let tasks = (0..TASKS).map(|task| format!("{{\"phase\":0,\"number\":{task}}}")).collect();
    step(
        &mut scheduler,
        Event::PhaseExpanded {
            job: job.clone(),
            phase: 0,
            tasks,
            demand: Demand::default(),
            bytes: Vec::new(),
        },
    );
    let mut callers = Vec::new();
    for number in 0..WORKERS {
        let worker = WorkerId(format!("worker-{number:03}"));
        let registration = Registration {
            worker: worker.clone(),
            host: String::new(),
            capacity: Capacity { slots: SLOTS, ..Capacity::default() },
            held: Vec::new(),
            version: String::new(),
            cpu_level: String::new(),
        };
        if let (Answer::Registered { session, .. }, _) = step(&mut scheduler, Event::Register(registration)) {
            callers.push(Caller { worker, session });
        }
    }
    let mut left = TASKS;
    while left > 0 {
        for caller in &callers {
            let lease = Event::Lease { caller: caller.clone(), free_slots: SLOTS, draining: false };
            let (Answer::Leased(assignments), _) = step(&mut scheduler, lease) else { return };
            for assignment in assignments {
                let attempt = AttemptRef {
                    caller: caller.clone(),
                    job: job.clone(),
                    attempt: assignment.attempt,
                    token: assignment.token,
                };
                let (_, commands) =
                    step(&mut scheduler, Event::Commit { attempt, outcome: TaskOutcome::default() });
                for command in commands {
                    if let Command::Publish { place, .. } = command {
                        step(&mut scheduler, Event::TaskPublished { place });
                        left -= 1;
                    }
                }
            }
        }
        step(&mut scheduler, Event::Tick);
    }
    step(&mut scheduler, Event::PhasePublished { job, phase: 0 });
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{events} events, {} facts in {seconds:.2} s: {:.0} events/s",
        facts.len(),
        events as f64 / seconds
    );
    let begin = Instant::now();
    let mut state = State::default();
    for fact in &facts {
        state.apply(fact).expect("the facts are whole");
    }
    println!("fold of {} facts: {:.0} ms", facts.len(), begin.elapsed().as_secs_f64() * 1e3);
    assert_eq!(&state, scheduler.state());
}
