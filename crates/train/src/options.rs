//! What a training run is told. Pure data; the job file's types are mapped onto these.

use orchestrator_model::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::order::OrderKind;
use crate::policy::PolicyOptions;
use crate::schedule::ScheduleOptions;

/// Options of a run. Equal options, tokens and seed give equal bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainOptions {
    /// The model.
    pub model: ModelConfig,
    /// Name in the table of objectives.
    pub objective: String,
    /// Number of steps.
    pub steps: u64,
    /// Sequences per step, over all ranks.
    pub global_batch: u64,
    /// Sequences that go through the model at once; divides `global_batch`.
    pub micro_batch: u64,
    /// How sequences are chosen.
    pub order: OrderKind,
    /// AdamW.
    pub optimizer: OptimizerOptions,
    /// The learning rate over steps.
    pub schedule: ScheduleOptions,
    /// Largest global norm of a gradient; longer ones are scaled down. 0 switches it off.
    pub gradient_clip: f64,
    /// Loss on held-out tokens.
    pub validation: ValidationOptions,
    /// When checkpoints are left.
    pub checkpoint: CheckpointOptions,
    /// What happens when the loss leaves the numbers or jumps.
    pub policy: PolicyOptions,
    /// Seed of weights, data order and dropout.
    pub seed: u64,
}

/// AdamW (Loshchilov and Hutter, 2019) with decoupled decay of matrices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerOptions {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decays of the two moments.
    pub betas: [f64; 2],
    /// Keeps the denominator from zero.
    pub epsilon: f64,
    /// Decoupled decay; never on biases and norms.
    pub weight_decay: f64,
}

impl Default for OptimizerOptions {
    fn default() -> Self {
        Self { learning_rate: 6e-4, betas: [0.9, 0.95], epsilon: 1e-8, weight_decay: 0.1 }
    }
}

/// When and on how much held-out data the loss is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationOptions {
    /// Every so many steps, and after the last; 0 is never.
    pub every: u64,
    /// Micro-batches at each measurement.
    pub batches: u64,
}

/// When checkpoints are left. Which old ones go is for whoever keeps them, by the same options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointOptions {
    /// Every so many steps, and after the last; 0 is after the last only.
    pub every: u64,
    /// How many of the newest stay; 0 keeps all.
    pub keep_last: u64,
    /// Those at multiples of this stay for ever; 0 keeps none.
    pub keep_every: u64,
}

impl CheckpointOptions {
    /// The steps among `existing` (ascending) whose checkpoints may go.
    pub fn expired(&self, existing: &[u64]) -> Vec<u64> {
        if self.keep_last == 0 {
            return Vec::new();
        }
        let old = existing.len().saturating_sub(self.keep_last as usize);
        let kept = |step: u64| self.keep_every > 0 && step.is_multiple_of(self.keep_every);
        existing[..old].iter().copied().filter(|step| !kept(*step)).collect()
    }
}

impl TrainOptions {
    /// Micro-batches per step: the leaves of the summation tree.
    pub fn micro_batches(&self) -> u64 {
        self.global_batch / self.micro_batch
    }

    /// Steps that see at least so many tokens.
    pub fn steps_for_tokens(tokens: u64, global_batch: u64, context: u64) -> u64 {
        tokens.div_ceil((global_batch * context).max(1))
    }

    /// Checks everything that needs no data and no peers; with the number of ranks.
    pub fn validate(&self, world_size: usize) -> Result<(), TrainError> {
        self.model.validate()?;
        orchestrator_model::objectives::objective(&self.objective)?;
        let check = |holds: bool, option: &'static str, value: &dyn ToString, expected: &str| {
            let error =
                || TrainError::Option { option, value: value.to_string(), expected: expected.to_owned() };
            if holds { Ok(()) } else { Err(error()) }
        };
        let bounded = |value: u64| (1..=1 << 32).contains(&value);
        check(bounded(self.steps), "steps", &self.steps, "a number from 1 to 2^32")?;
        check(bounded(self.global_batch), "global_batch", &self.global_batch, "a number from 1 to 2^32")?;
        let divides = self.micro_batch > 0 && self.global_batch.is_multiple_of(self.micro_batch);
        check(divides, "micro_batch", &self.micro_batch, "a divisor of `global_batch`")?;
        let enough = world_size > 0 && world_size as u64 <= self.micro_batches();
        check(
            enough,
            "world_size",
            &world_size,
            "at least 1 and at most global_batch / micro_batch: a rank without a micro-batch would idle",
        )?;
        let adam = &self.optimizer;
        let positive = |x: f64| x.is_finite() && x > 0.0;
        check(positive(adam.learning_rate), "learning_rate", &adam.learning_rate, "a positive number")?;
        check(positive(adam.epsilon), "epsilon", &adam.epsilon, "a positive number")?;
        for beta in adam.betas {
            check((0.0..1.0).contains(&beta), "betas", &beta, "two numbers from 0 to below 1")?;
        }
        let decay = adam.weight_decay;
        check(decay.is_finite() && decay >= 0.0, "weight_decay", &decay, "a number from 0")?;
        let clip = self.gradient_clip;
        check(clip.is_finite() && clip >= 0.0, "gradient_clip", &clip, "a number from 0")?;
        self.schedule.validate(self.steps)?;
        self.policy.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_checkpoints_expire_but_milestones_stay() {
        let options = CheckpointOptions { every: 10, keep_last: 2, keep_every: 100 };
        assert_eq!(options.expired(&[90, 100, 110, 120, 130]), [90, 110]);
        assert!(CheckpointOptions { keep_last: 0, ..options }.expired(&[1, 2, 3]).is_empty());
    }
}
