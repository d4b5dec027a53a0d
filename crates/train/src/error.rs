//! What can go wrong in training.

use orchestrator_model::ModelError;

use crate::collective::CollectiveError;
use crate::tokens::TokenSourceError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// An option that no run can have.
    #[error("`{option}` is `{value}`: expected {expected}")]
    Option {
        /// The option's key.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: String,
    },
    /// A checkpoint that is broken or belongs to another run.
    #[error("the checkpoint is not usable: {0}")]
    Checkpoint(String),
    /// A model's files cannot be read, or are none.
    #[error("the model cannot be loaded: {0}")]
    Unloadable(String),
    /// The loss or the gradient left the numbers, or jumped, more often than the policy allows.
    #[error("training diverged at step `{step}`: {what}; its micro-batches began at window `{window}`")]
    Diverged {
        /// The step.
        step: u64,
        /// What was seen.
        what: String,
        /// Number of the step's first window in the data order.
        window: u64,
    },
    /// The observer refused: a checkpoint could not be kept, or metrics not be written.
    #[error("{0}")]
    Observer(String),
    /// There is no room where a checkpoint goes: once there is, the same step succeeds.
    #[error("{0}")]
    NoRoom(String),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A peer.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokenSourceError),
}
