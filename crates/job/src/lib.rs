//! The job file: types, validation, schema; the planner.
//!
//! ```text
//! job.yaml ──parse──▶ Job ──resolve──▶ Job (every default written) ──plan──▶ Plan (stages, phases)
//!                                                                               │ once per phase, when the
//!                                                                               ▼ phase before is published
//!                                                                         expand ─▶ Vec<TaskSpec>
//! ```

pub mod task;

pub use task::{Extent, InputFile, MapInput, PartRef, Split, TaskSpec, Work};
