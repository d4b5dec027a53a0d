//! From the job file's `train` stage to the trainer's options.

use orchestrator_job::Job;
use orchestrator_job::spec::{
    DivergencePolicy, Family, Objective, OptimizerKind, Order, Portion, ScheduleShape, TrainConfig,
};
use orchestrator_model::ModelConfig;
use orchestrator_train::TrainOptions;
use orchestrator_train::options::{CheckpointOptions, OptimizerOptions, ValidationOptions};
use orchestrator_train::order::OrderKind;
use orchestrator_train::policy::{Action, PolicyOptions};
use orchestrator_train::schedule::{ScheduleKind, ScheduleOptions};

/// The trainer's options for a job; `vocabulary` is the tokenizer's number of entries.
pub fn train_options(job: &Job, config: &TrainConfig, vocabulary: usize) -> TrainOptions {
    let steps = config.total_steps();
    let micro_batch = u64::from(config.micro_batch());
    let model = &config.model;
    TrainOptions {
        model: ModelConfig {
            family: match model.family {
                Family::Gpt => "gpt".to_owned(),
            },
            vocabulary,
            layers: model.layers as usize,
            heads: model.heads as usize,
            width: model.width as usize,
            context: model.context as usize,
            dropout: model.dropout as f32,
        },
        objective: match config.objective {
            Objective::CausalLm => "causal_lm".to_owned(),
        },
        steps,
        global_batch: u64::from(config.global_batch),
        micro_batch,
        order: match config.order {
            Order::Shuffled => OrderKind::Packed,
            Order::Random => OrderKind::Random,
            Order::Sequential => OrderKind::Sequential,
        },
        optimizer: match config.optimizer.kind {
            OptimizerKind::Adamw => OptimizerOptions {
                learning_rate: config.optimizer.learning_rate,
                betas: config.optimizer.betas,
                epsilon: config.optimizer.epsilon,
                weight_decay: config.optimizer.weight_decay,
            },
        },
        schedule: ScheduleOptions {
            kind: match config.schedule.shape {
                ScheduleShape::Cosine => ScheduleKind::Cosine,
                ScheduleShape::Wsd => ScheduleKind::Wsd,
                ScheduleShape::Constant => ScheduleKind::Constant,
            },
            warmup_steps: portion(config.schedule.warmup, steps),
            min_ratio: config.schedule.final_fraction,
            decay_steps: portion(config.schedule.decay, steps),
        },
        gradient_clip: config.gradient_clip,
        validation: ValidationOptions {
            every: config.validation.every,
            batches: config.validation.sequences.div_ceil(micro_batch.max(1)),
        },
        checkpoint: CheckpointOptions {
            every: config.checkpoint.every,
            keep_last: u64::from(config.checkpoint.keep_last),
            keep_every: config.checkpoint.keep_every,
        },
        policy: PolicyOptions {
            not_a_number: action(config.divergence.not_finite),
            spike: action(config.divergence.spike),
            spike_factor: config.divergence.spike_factor,
            patience: u64::from(config.divergence.max_events),
        },
        seed: job.seed,
    }
}

fn portion(portion: Portion, steps: u64) -> u64 {
    portion.of(steps)
}

fn action(policy: DivergencePolicy) -> Action {
    match policy {
        DivergencePolicy::Skip => Action::Skip,
        DivergencePolicy::Rollback => Action::Rollback,
        DivergencePolicy::Fail => Action::Stop,
    }
}
