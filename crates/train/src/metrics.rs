//! What a run tells while it goes.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// The step, from 1.
    pub step: u64,
    /// Mean loss over the step's tokens; absent where it is no number.
    pub loss: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// Global norm of the gradient before clipping; absent where it is no number.
    pub grad_norm: Option<f64>,
    /// Tokens seen since the run began.
    pub tokens: u64,
    /// Tokens per second of this step, over all ranks.
    pub tokens_per_second: f64,
    /// Duration of this step.
    pub step_ms: f64,
    /// Loss on held-out tokens, at the steps that measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_loss: Option<f64>,
    /// What the policy did with this step, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// What a rank is doing; carried with its heartbeats so that one that stops can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reads tokens.
    Batch,
    /// Runs the model over micro-batches.
    Compute,
    /// Waits for peers.
    Collective,
    /// Updates weights.
    Optimize,
    /// Measures the loss on held-out tokens.
    Validate,
    /// Writes a checkpoint.
    Checkpoint,
}

impl Phase {
    /// The name in heartbeats and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Compute => "compute",
            Self::Collective => "collective",
            Self::Optimize => "optimize",
            Self::Validate => "validate",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// Whoever runs the loop. Metrics and rollbacks are told on rank 0 only; checkpoints on every rank.
pub trait Observer {
    /// A rank enters a phase; `collective` counts collective operations since the loop began.
    fn on_phase(&mut self, step: u64, phase: Phase, collective: u64);

    /// A micro-batch is done, of training or of validation: the rank gets on.
    fn on_work(&mut self) {}

    /// A step is done.
    fn on_metrics(&mut self, metrics: &StepMetrics) -> Result<(), TrainError>;

    /// The run goes back: `step` is the last that counts, metrics after it are void.
    fn on_rollback(&mut self, _step: u64) -> Result<(), TrainError> {
        Ok(())
    }

    /// Opens the place where this rank writes its files of the checkpoint of `step`.
    fn checkpoint_sink(&mut self, step: u64) -> Result<Box<dyn crate::CheckpointSink>, TrainError>;

    /// Every rank's files of the checkpoint are written; rank 0 gets the manifest, which makes it exist.
    fn on_checkpoint(
        &mut self,
        step: u64,
        manifest: Option<&crate::checkpoint::Manifest>,
    ) -> Result<(), TrainError>;

    /// Whether to stop after this step, with a checkpoint. Every rank is asked; one that says so stops all.
    fn should_stop(&mut self) -> bool {
        false
    }
}
