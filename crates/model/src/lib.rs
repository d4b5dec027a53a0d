//! Models as pure mathematics: a narrow vocabulary of operations, families written in it, objectives, generation.
//!
//! ```text
//! families (gpt, …)   objectives          generate
//!        │                 │                  │
//!        ▼                 ▼                  ▼
//!   ops: the vocabulary ─ engine: one model on one device, flat weights in, flat gradients out
//!        │
//!        ├─ CPU: kernels, fused, with their own backward passes
//!        └─ GPU: composed out of the tensor engine's operations
//! ```
//!
//! This crate knows one device: no ranks, no clock, no file, no network. Every result is a pure function of its
//! arguments, and on the CPU its bits do not depend on the number of threads.

pub mod engine;
pub mod error;
pub mod families;
pub mod generate;
pub mod kernels;
pub mod objectives;
pub mod ops;
pub mod parameters;
pub mod random;

pub use engine::{Device, Engine, open};
pub use error::ModelError;
pub use families::ModelConfig;
pub use objectives::Batch;
pub use ops::{DropoutSeed, Tokens};
pub use parameters::{Parameter, ParameterLayout};
