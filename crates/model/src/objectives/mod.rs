//! Objectives: what a model is trained to predict, apart from what it is. A file each, and a line each in [`OBJECTIVES`].

pub mod causal;

use std::sync::Arc;

use crate::error::ModelError;
use crate::ops::Tokens;

/// What a model reads and what it should answer, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The input.
    pub inputs: Tokens,
    /// A target per row, or [`crate::ops::IGNORED`].
    pub targets: Arc<[i32]>,
}

/// A line of the table of objectives.
pub struct Objective {
    /// The name in configurations.
    pub name: &'static str,
    /// How many tokens of the stream a sequence of `context` inputs takes.
    pub window: fn(context: usize) -> usize,
    /// Makes a batch out of windows that follow each other.
    pub batch: fn(windows: &[u32], context: usize, vocabulary: usize) -> Result<Batch, ModelError>,
}

/// Every objective there is.
pub static OBJECTIVES: [Objective; 1] =
    [Objective { name: causal::NAME, window: causal::window, batch: causal::batch }];

/// The objective of this name.
pub fn objective(name: &str) -> Result<&'static Objective, ModelError> {
    OBJECTIVES.iter().find(|objective| objective.name == name).ok_or_else(|| ModelError::Unknown {
        kind: "objective",
        name: name.to_owned(),
        known: OBJECTIVES.iter().map(|objective| objective.name).collect::<Vec<_>>().join(", "),
    })
}
