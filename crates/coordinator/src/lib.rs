//! The journal, the commit protocol and the gRPC service around the scheduler.
//!
//! ```text
//!  workers ─▶ rpc::workers ┐                ┌───────────── actor ─────────────┐      ┌─ effects ─────────────────┐
//!  people ──▶ rpc::jobs ───┼─▶ Desk ═chan═▶ │ step, step, … ─▶ one fsync ─▶   │─────▶│ expand, publish, manifest │
//!                          │                │ answers out, commands on        │      └─────────────┬─────────────┘
//!                          │                └─────────────────────────────────┘                    │
//!                          └◀──────────────────────── reports of effects ◀─────────────────────────┘
//! ```
//!
//! One actor owns the scheduler and the journal. It drains its bounded channel, steps every event, makes all facts
//! durable in one transaction, and only then answers. Effects are idempotent and are asked for again after a crash.

mod actor;
mod desk;
mod effects;
mod error;
mod found;
mod journal;
mod leftovers;
mod logs;
mod manifests;
mod options;
mod owner;
mod planner;
mod publish;
mod rpc;
mod service;
mod stores;
mod waits;

pub use error::CoordinatorError;
pub use journal::{Journal, JournalError, Recovered, Snapshot};
pub use options::{CoordinatorOptions, TlsOptions};
pub use orchestrator_scheduler::{PhaseKind, PhaseSpec};
pub use planner::{Expansion, PlanError, PlannedJob, PlannedStage, Planner};
pub use service::{Coordinator, Handle};
