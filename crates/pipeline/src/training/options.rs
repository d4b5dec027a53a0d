//! From the job file's `train` stage to the trainer's options.

use orchestrator_job::Job;
use orchestrator_job::spec::{
    DivergencePolicy, Family, ModelConfig as Described, Objective, OptimizerKind, Order, Portion,
    ScheduleShape, TrainConfig,
};
use orchestrator_model::ModelConfig;
use orchestrator_model::families::llama::{LlamaOptions, RopeScaling};
use orchestrator_train::TrainOptions;
use orchestrator_train::options::{CheckpointOptions, OptimizerOptions, ValidationOptions};
use orchestrator_train::order::OrderKind;
use orchestrator_train::policy::{Action, PolicyOptions};
use orchestrator_train::schedule::{ScheduleKind, ScheduleOptions};

use crate::error::TaskError;

/// The model that a job describes, where its tokenizer has so many `entries`.
pub fn model_config(model: &Described, entries: usize) -> ModelConfig {
    ModelConfig {
        family: match model.family {
            Family::Gpt => "gpt".to_owned(),
            Family::Llama => "llama".to_owned(),
        },
        vocabulary: model.vocabulary.map_or(entries, |vocabulary| vocabulary as usize),
        layers: model.layers as usize,
        heads: model.heads as usize,
        width: model.width as usize,
        context: model.context as usize,
        dropout: model.dropout as f32,
        llama: match model.family {
            Family::Gpt => None,
            Family::Llama => Some(LlamaOptions {
                kv_heads: model.kv_heads() as usize,
                inner: model.inner_width() as usize,
                tied: model.is_tied(),
                rope_theta: model.rope_theta(),
                rope_scaling: model.rope_scaling.map(|scaling| RopeScaling {
                    factor: scaling.factor,
                    low_freq_factor: scaling.low_freq_factor,
                    high_freq_factor: scaling.high_freq_factor,
                    original_context: scaling.original_context as usize,
                }),
                epsilon: model.norm_epsilon(),
            }),
        },
    }
}

/// The trainer's options for a job; `entries` is the tokenizer's number of entries.
pub fn train_options(job: &Job, config: &TrainConfig, entries: usize) -> Result<TrainOptions, TaskError> {
    let (Some(model), Some(steps)) = (&config.model, config.total_steps()) else {
        // A job that is handed in has the model of `from` written out.
        return Err(TaskError::configuration(
            "train",
            "the job does not say what the model is: expected `model`",
        ));
    };
    let model = model_config(model, entries);
    if model.vocabulary < entries {
        let found = model.vocabulary;
        let message =
            format!("`model.vocabulary` is {found}: expected at least the tokenizer's {entries} entries");
        return Err(TaskError::configuration("train", message));
    }
    let micro_batch = u64::from(config.micro_batch());
    Ok(TrainOptions {
        model,
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
    })
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
