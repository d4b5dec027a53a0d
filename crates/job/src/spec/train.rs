//! Options of `train`. What may stand in them is checked in `train_check`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::ModelConfig;
use super::portion::Portion;

/// Trains a model on the tokens, with as many ranks as the job says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["model"] }, { "required": ["from"] }]))]
pub struct TrainConfig {
    /// The model's family and size. This or `from` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelConfig>,
    /// A directory with a GPT-2 or a Llama as Hugging Face lays them out (`config.json`, `model.safetensors` or its
    /// shards; 32- or 16-bit), such as an earlier run's `model`: training goes on from its weights, and `model` is what
    /// its `config.json` says. A `model` beside it must agree with that but for `dropout`, and for a shorter `context`.
    /// The tokenizer should be the model's own: `tokenize: {tokenizer: DIR}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What the model learns to predict.
    #[serde(default)]
    pub objective: Objective,
    /// How many optimizer steps to take. This or `tokens` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// How many tokens to see; rounded up to whole steps. This or `steps` is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Sequences in one step, over all ranks.
    #[serde(default = "default_global_batch")]
    pub global_batch: u32,
    /// Sequences that go through the model at once; divides `global_batch`. By default at most 8, and at most a
    /// quarter of `global_batch`: it never depends on how many ranks there are, or another world size would train
    /// another model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
    /// How many ranks train together. On the CPU it changes no bit of the weights: gradients are summed in an order of their
    /// own.
    #[serde(default = "default_world_size")]
    pub world_size: u32,
    /// With how many ranks training may go on when some are lost for good. By default `world_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_world_size: Option<u32>,
    /// How gradients change weights.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// How the learning rate goes over the steps.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// In what order documents are seen.
    #[serde(default)]
    pub order: Order,
    /// Gradients with a greater norm over all weights are scaled down to it; 0 turns this off.
    #[serde(default = "default_gradient_clip")]
    pub gradient_clip: f64,
    /// How the model is judged on documents it does not learn from.
    #[serde(default)]
    pub validation: ValidationConfig,
    /// When the state of training is written, and what of it is kept.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// The numbers that the model computes in. Only `f32` is there yet.
    #[serde(default)]
    pub precision: Precision,
    /// What computes.
    #[serde(default)]
    pub device: Device,
    /// Equal jobs give equal bits on the same machine type. There is no other way yet: `false` is refused. On GPUs the sum
    /// over micro-batches has a fixed order; the order of sums inside the engine's kernels is the engine's own.
    #[serde(default = "default_deterministic")]
    pub deterministic: bool,
    /// What happens when the loss is not a number or leaps up.
    #[serde(default)]
    pub divergence: DivergenceConfig,
}

fn default_global_batch() -> u32 {
    32
}

fn default_world_size() -> u32 {
    1
}

fn default_gradient_clip() -> f64 {
    1.0
}

fn default_deterministic() -> bool {
    true
}

/// Objectives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The next token from those before it.
    #[default]
    CausalLm,
}

/// How gradients change weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The algorithm.
    pub kind: OptimizerKind,
    /// The highest learning rate; `schedule` scales it.
    pub learning_rate: f64,
    /// Decay of the running means of gradients and of their squares.
    pub betas: [f64; 2],
    /// Keeps the division by the second mean finite.
    pub epsilon: f64,
    /// How much weights shrink at each step, times the learning rate. Biases, norms and one-dimensional weights are
    /// left alone.
    pub weight_decay: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adamw,
            learning_rate: 6e-4,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            weight_decay: 0.1,
        }
    }
}

/// Optimizers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// Adam with weight decay apart from the gradient.
    #[default]
    Adamw,
}

/// How the learning rate goes over the steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// The curve after the warm-up.
    pub shape: ScheduleShape,
    /// Steps in which the rate rises from 0, as a fraction of all (`0.02`) or a count (`100`).
    pub warmup: Portion,
    /// For `wsd`: the last steps, in which the rate falls, as a fraction or a count.
    pub decay: Portion,
    /// Where the rate ends, as a fraction of the highest.
    pub final_fraction: f64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            shape: ScheduleShape::Cosine,
            warmup: Portion::Fraction(0.02),
            decay: Portion::Fraction(0.2),
            final_fraction: 0.1,
        }
    }
}

/// Curves of the learning rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleShape {
    /// Half a cosine from the highest rate to the last.
    #[default]
    Cosine,
    /// Warm-up, stable, decay: level, then falling over the last steps.
    Wsd,
    /// Level to the end.
    Constant,
}

/// In what order sequences are seen. Either is a function of the seed and the step, whatever the world size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Documents shuffled as a whole, anew in each epoch, then packed.
    #[default]
    Shuffled,
    /// Each sequence begins at a random token.
    Random,
    /// The corpus from beginning to end, in its own order; each epoch begins some tokens further on, so that it is cut
    /// elsewhere.
    Sequential,
}

/// How the model is judged on documents it does not learn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationConfig {
    /// Steps between two judgements; the last step is always judged.
    pub every: u64,
    /// How much of the documents is held out; of the tokens, where there are fewer than 100 documents. 0 holds out
    /// none.
    pub fraction: f64,
    /// At most so many sequences are judged, always the same.
    pub sequences: u64,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self { every: 100, fraction: 0.02, sequences: 256 }
    }
}

/// When the state of training is written, and what of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Steps between two checkpoints; the last step always leaves one.
    pub every: u64,
    /// How many of the newest are kept.
    pub keep_last: u32,
    /// Checkpoints at multiples of so many steps are kept for good; 0 keeps none beside the newest.
    pub keep_every: u64,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 200, keep_last: 2, keep_every: 0 }
    }
}

/// The numbers that a model computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    F32,
    /// 16-bit brain floats in the model, 32-bit floats in weights, sums and optimizer. Refused until it is there.
    Bf16,
}

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// A GPU for each rank where every worker of the gang has one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU for each rank.
    Cuda,
}

/// What happens when training goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DivergenceConfig {
    /// When a loss or a gradient is not a finite number.
    pub not_finite: DivergencePolicy,
    /// When a loss is a spike.
    pub spike: DivergencePolicy,
    /// A loss greater than so many times the running mean is a spike; 0 turns this off.
    pub spike_factor: f64,
    /// More bad steps than so many among the last 1,000 fail the job, with the step's batch named, whatever the policy.
    pub max_events: u32,
}

impl Default for DivergenceConfig {
    fn default() -> Self {
        Self {
            not_finite: DivergencePolicy::Skip,
            spike: DivergencePolicy::Skip,
            spike_factor: 0.0,
            max_events: 10,
        }
    }
}

/// What to do about one bad step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DivergencePolicy {
    /// Leaves the weights as they were and goes on with the next batch.
    Skip,
    /// Goes back to the last checkpoint and takes the steps since then again; when the bad one comes, its update is left
    /// out.
    Rollback,
    /// Fails the job.
    Fail,
}

impl TrainConfig {
    /// Sequences that go through the model at once: what the job says, or the default.
    pub fn micro_batch(&self) -> u32 {
        self.micro_batch.unwrap_or_else(|| {
            let most = (self.global_batch / 4).clamp(1, 8);
            (1..=most).rev().find(|size| self.global_batch.is_multiple_of(*size)).unwrap_or(1)
        })
    }

    /// Micro-batches in a step.
    pub fn micro_batches(&self) -> u32 {
        self.global_batch / self.micro_batch().max(1)
    }

    /// The least number of ranks that may go on.
    pub fn min_world_size(&self) -> u32 {
        self.min_world_size.unwrap_or(self.world_size)
    }

    /// Optimizer steps in all; none where `tokens` says how long and the context is that of `from`, not looked at yet.
    pub fn total_steps(&self) -> Option<u64> {
        let of_tokens = || {
            let context = self.model.as_ref()?.context;
            let tokens_per_step = u64::from(self.global_batch) * u64::from(context);
            Some(self.tokens.unwrap_or(0).div_ceil(tokens_per_step.max(1)))
        };
        self.steps.or_else(of_tokens)
    }

    /// Writes out the defaults that depend on other options.
    pub fn resolve(&mut self) {
        if let Some(model) = &mut self.model {
            model.resolve();
        }
        self.micro_batch = Some(self.micro_batch());
        self.min_world_size = Some(self.min_world_size());
    }
}
