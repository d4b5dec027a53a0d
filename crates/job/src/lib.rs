//! The job file: types, validation, schema; the planner.
//!
//! ```text
//! job.yaml ──parse──▶ Job ──resolve──▶ Job (every default written) ──plan──▶ Plan (stages, phases)
//!                                                                               │ once per phase, when the
//!                                                                               ▼ phase before is published
//!                                                                         expand ─▶ Vec<TaskSpec>
//! ```

pub mod demand;
pub mod expand;
pub mod inputs;
pub mod parse;
pub mod plan;
pub mod resolve;
pub mod schema;
pub mod spec;
pub mod task;

pub use demand::demand;
pub use expand::{ExpandError, Frozen, expand, expand_frozen};
pub use parse::{Findings, JobFile, JobFileError, decode, nearest, parse};
pub use plan::{Phase, PhaseKind, Plan, PlannedStage};
pub use resolve::{Change, Resolved, StageFile, Surroundings, changes, difference, fingerprints, takes_glob};
pub use schema::{reference, schema};
pub use spec::{Job, Stage};
pub use task::{ExactF32, Extent, InputFile, MapInput, PartRef, Side, Split, TaskSpec, Verdicts, Work};
