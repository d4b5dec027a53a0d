//! The pure state machine of jobs, phases, tasks, attempts and gangs.
//!
//! ```text
//!              ┌─────────────────────────── Scheduler ───────────────────────────┐
//!  Event, now ─▶ events/* decide ──▶ Fact ──apply──▶ State (durable: the fold)    │──▶ Step { answer, facts, commands }
//!              │        └──────────────────────────▶ Clocks (volatile: leases,    │
//!              │                                     workers, queues, back-off)   │
//!              └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! No clock, no I/O, no randomness: `now` is passed in. The caller makes the facts of a step durable, then gives the
//! answer and obeys the commands. [`State`] is the fold of all facts, so that recovery is a replay; what is not in it
//! (heartbeats, progress, registrations, back-off) may be forgotten without harm.

mod capacity;
mod clocks;
mod command;
mod event;
mod events;
mod fact;
mod fold;
mod gang;
mod hang;
mod invariants;
mod options;
mod room;
mod scheduler;
mod settle;
mod state;
mod stores;
mod straggler;
mod waits;

pub use capacity::Capacity;
pub use clocks::{LeaseClock, Worker};
pub use command::{Answer, Assignment, Command, Level, Refusal, Seating, Step};
pub use event::{
    Amendment, AttemptRef, Caller, Disposition, Event, FailureKind, JobRequest, Progress, RankProgress,
    Registration,
};
pub use fact::{Cost, Fact};
pub use fold::FoldError;
pub use invariants::{Violation, check};
pub use options::{Millis, Options};
pub use scheduler::Scheduler;
pub use state::{
    Checkpoint, Formation, Gang, Job, JobStatus, Lease, Phase, PhaseKind, PhaseSpec, PhaseStatus, Place,
    Saved, Seat, State, Task, TaskStatus,
};
pub use waits::Waiting;
