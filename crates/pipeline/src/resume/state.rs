//! What an attempt knows beside the rows that it has written.

use orchestrator_core::{StageSamples, StageTally};
use serde::{Deserialize, Serialize};

use super::Position;

/// The books of a chain at a savepoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The record that comes next.
    pub(crate) position: Position,
    /// Records and bytes read.
    pub(crate) read: (u64, u64),
    /// By link of the chain.
    pub(crate) tallies: Vec<StageTally>,
    /// By link of the chain.
    pub(crate) samples: Vec<StageSamples>,
    /// Documents and bytes by group, where a mix follows.
    pub(crate) sizes: Vec<(u64, u64)>,
    /// Places of the documents so far, where repeated ones are cut out.
    #[serde(default)]
    pub(crate) places: u64,
}
