//! The loop. It reads from top to bottom: batch, forward and backward, collective, clip, optimizer, validation, metrics,
//! checkpoint.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_model::kernels::optimizer::{add_assign, sums_of_squares};
use orchestrator_model::objectives::{Batch, Objective, objective};
use orchestrator_model::{Device, DropoutSeed, Engine, ParameterLayout, open};

use crate::checkpoint::{self, CheckpointSource, RunState};
use crate::collective::{Collective, reduce};
use crate::error::TrainError;
use crate::metrics::{Observer, Phase, StepMetrics};
use crate::optimizer::{AdamW, shares};
use crate::options::TrainOptions;
use crate::order::{self, Order};
use crate::policy::{Action, Verdict};
use crate::tokens::TokenSource;
use crate::tree;

/// Time since any fixed moment. Only the durations in metrics come from it.
pub type Clock<'a> = &'a mut dyn FnMut() -> Duration;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// It was asked to stop after this step, and left a checkpoint.
    Stopped(u64),
}

/// Where a run begins.
pub enum Beginning<'a> {
    /// Weights that the seed draws.
    Seed,
    /// Another model's weights, in the order of the layout; the optimizer has seen nothing.
    Weights(Vec<f32>),
    /// A checkpoint of the same run.
    Checkpoint(&'a dyn CheckpointSource),
}

/// The data of a run.
#[derive(Clone)]
pub struct Data {
    /// What the model learns from.
    pub train: Arc<dyn TokenSource>,
    /// What it is measured on, if anything.
    pub validation: Option<Arc<dyn TokenSource>>,
}

/// One rank of a training run.
pub struct Trainer {
    options: TrainOptions,
    objective: &'static Objective,
    layout: ParameterLayout,
    data: Data,
    order: Box<dyn Order>,
    collective: Box<dyn Collective>,
    /// Collective operations so far.
    operations: u64,
    engine: Box<dyn Engine>,
    /// All weights, equal on all ranks.
    weights: Vec<f32>,
    optimizer: AdamW,
    state: RunState,
    /// The state at the last checkpoint, where the policy may want it back.
    snapshot: Option<Snapshot>,
}

/// What a rollback goes back to.
struct Snapshot {
    state: RunState,
    weights: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// A step's gradient: this rank's share of the sum over micro-batches, and each micro-batch's loss.
struct Gradient {
    share: Vec<f32>,
    losses: Vec<f64>,
}

impl Trainer {
    /// Prepares a rank, wherever the run begins.
    pub fn new(
        options: &TrainOptions,
        data: Data,
        collective: Box<dyn Collective>,
        device: Device,
        beginning: Beginning<'_>,
    ) -> Result<Self, TrainError> {
        options.validate(collective.world_size())?;
        let objective = objective(&options.objective)?;
        let layout = options.model.layout()?;
        let share = shares(layout.total(), collective.world_size()).swap_remove(collective.rank());
        let window = (objective.window)(options.model.context);
        let order = order::open(options.order, &*data.train, options.seed, window)?;
        let fingerprint = data.train.fingerprint();
        let fresh = |weights: Vec<f32>, fingerprint: String, share| {
            (RunState::new(options, fingerprint), weights, AdamW::new(&layout, share))
        };
        let (state, weights, optimizer) = match beginning {
            Beginning::Checkpoint(source) => {
                let restored = checkpoint::restore(source, options, &fingerprint, share)?;
                (restored.state, restored.weights, restored.optimizer)
            }
            // The engine refuses weights of another length.
            Beginning::Weights(weights) => fresh(weights, fingerprint, share),
            Beginning::Seed => fresh(layout.initial(options.seed), fingerprint, share),
        };
        let engine = open(&options.model, &weights, device)?;
        let options = options.clone();
        let mut trainer = Self {
            options,
            objective,
            layout,
            data,
            order,
            collective,
            operations: 0,
            engine,
            weights,
            optimizer,
            state,
            snapshot: None,
        };
        trainer.take_snapshot();
        Ok(trainer)
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// All weights.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Runs to the end, or until the observer says stop.
    pub fn run(&mut self, observer: &mut dyn Observer, clock: Clock<'_>) -> Result<Outcome, TrainError> {
        self.agree_on_step()?;
        while self.state.step < self.options.steps {
            let step = self.state.step + 1;
            let started = clock();

            observer.on_phase(step, Phase::Batch, self.operations);
            let batches = self.micro_batches(step)?;

            observer.on_phase(step, Phase::Compute, self.operations);
            let (parts, losses) = self.forward_backward(step, &batches, observer)?;

            observer.on_phase(step, Phase::Collective, self.operations);
            let gradient = self.reduce(parts, &losses)?;
            let (norm, stop) = self.gradient_norm(&gradient.share, observer)?;
            let loss = mean(&gradient.losses);

            observer.on_phase(step, Phase::Optimize, self.operations);
            let rate = self.learning_rate(step);
            let verdict = self.options.policy.judge(&mut self.state.policy, step, loss, norm);
            let policy = match verdict {
                Verdict::Apply => {
                    self.update(&gradient.share, rate, norm)?;
                    None
                }
                Verdict::Act(Action::Skip, what) => Some(format!("skipped: {what}")),
                Verdict::Act(Action::Rollback, _) => {
                    self.roll_back(step, observer)?;
                    continue;
                }
                Verdict::Act(Action::Stop, what) => {
                    let window = (step - 1) * self.options.global_batch;
                    return Err(TrainError::Diverged { step, what, window });
                }
            };
            self.state.step = step;

            let last = step == self.options.steps;
            let validation_loss = if due(step, self.options.validation.every, last) {
                observer.on_phase(step, Phase::Validate, self.operations);
                self.validation_loss(observer)?
            } else {
                None
            };

            if self.collective.rank() == 0 {
                let tokens = self.options.global_batch * self.options.model.context as u64;
                let elapsed = clock().saturating_sub(started).as_secs_f64();
                observer.on_metrics(&StepMetrics {
                    step,
                    loss: Some(loss).filter(|loss| loss.is_finite()),
                    lr: rate,
                    grad_norm: Some(norm).filter(|norm| norm.is_finite()),
                    tokens: tokens * step,
                    tokens_per_second: if elapsed > 0.0 { tokens as f64 / elapsed } else { 0.0 },
                    step_ms: elapsed * 1e3,
                    validation_loss,
                    policy,
                })?;
            }

            if last || stop || due(step, self.options.checkpoint.every, false) {
                observer.on_phase(step, Phase::Checkpoint, self.operations);
                self.save_checkpoint(observer)?;
            }
            if stop && !last {
                return Ok(Outcome::Stopped(step));
            }
        }
        Ok(Outcome::Finished)
    }

    /// All ranks must begin at the same step: they were given the same checkpoint.
    fn agree_on_step(&mut self) -> Result<(), TrainError> {
        self.operations += 1;
        let steps = reduce::gather_numbers(&mut *self.collective, &[self.state.step as f64])?;
        if steps.iter().any(|step| step.to_bits() != steps[0].to_bits()) {
            return Err(TrainError::Checkpoint(format!("the ranks begin at different steps: {steps:?}")));
        }
        Ok(())
    }

    /// This rank's micro-batches of a step, with their numbers.
    fn micro_batches(&mut self, step: u64) -> Result<Vec<(usize, Batch)>, TrainError> {
        let leaves = self.options.micro_batches() as usize;
        let model = &self.options.model;
        let size = (self.objective.window)(model.context);
        let rows = self.options.micro_batch;
        let mut batches = Vec::new();
        for number in tree::owned(leaves, self.collective.rank(), self.collective.world_size()) {
            let first = (step - 1) * self.options.global_batch + number as u64 * rows;
            let mut windows = vec![0; size * rows as usize];
            for (row, window) in windows.chunks_exact_mut(size).enumerate() {
                self.order.window(&*self.data.train, first + row as u64, window)?;
            }
            batches.push((number, (self.objective.batch)(&windows, model.context, model.vocabulary)?));
        }
        Ok(batches)
    }

    /// Gradients of this rank's subtrees of the summation tree, and its micro-batches' losses.
    #[expect(clippy::type_complexity, reason = "named where it is taken apart, one line below the call")]
    fn forward_backward(
        &mut self,
        step: u64,
        batches: &[(usize, Batch)],
        observer: &mut dyn Observer,
    ) -> Result<(Vec<(tree::Node, Vec<f32>)>, Vec<f64>), TrainError> {
        let leaves = self.options.micro_batches() as usize;
        let owned = tree::owned(leaves, self.collective.rank(), self.collective.world_size());
        let (engine, total, seed) = (&mut self.engine, self.layout.total(), self.options.seed);
        let mut losses = Vec::with_capacity(batches.len());
        let mut leaf = |number: usize| -> Result<Vec<f32>, TrainError> {
            let (_, batch) = &batches[number - owned.start];
            let mut gradient = vec![0.0; total];
            let place = DropoutSeed { seed, step, micro_batch: number as u64 };
            losses.push(f64::from(engine.gradient(batch, place, &mut gradient)?));
            observer.on_work();
            Ok(gradient)
        };
        let mut add = |sum: &mut Vec<f32>, part: Vec<f32>| add_assign(sum, &part);
        let mut parts = Vec::new();
        for node in tree::subtrees(leaves, &owned) {
            let gradient = tree::sum(node.clone(), &mut leaf, &mut add)?;
            parts.push((node, gradient));
        }
        Ok((parts, losses))
    }

    /// Sums gradients over ranks, and gathers losses.
    fn reduce(&mut self, parts: Vec<(tree::Node, Vec<f32>)>, losses: &[f64]) -> Result<Gradient, TrainError> {
        let leaves = self.options.micro_batches() as usize;
        let shares = shares(self.layout.total(), self.collective.world_size());
        self.operations += 2;
        let losses = reduce::gather_numbers(&mut *self.collective, losses)?;
        let share = reduce::reduce_scatter(&mut *self.collective, leaves, parts, &shares)?;
        Ok(Gradient { share, losses })
    }

    /// Global norm of the mean gradient. Each rank's word on stopping travels along; one that must leave takes all.
    fn gradient_norm(
        &mut self,
        share: &[f32],
        observer: &mut dyn Observer,
    ) -> Result<(f64, bool), TrainError> {
        let asked = observer.should_stop();
        let mut own = vec![f64::from(u8::from(asked))];
        own.extend(sums_of_squares(share));
        self.operations += 1;
        let all = reduce::gather_numbers(&mut *self.collective, &own)?;
        // Each rank's list begins with its word; the sums follow in the order of the flat vector.
        let mut squares = 0.0;
        let mut rest = all.as_slice();
        let mut stop = false;
        let world_size = self.collective.world_size();
        for share in shares(self.layout.total(), world_size) {
            let chunks = share.len().div_ceil(orchestrator_model::kernels::optimizer::CHUNK);
            let Some((own, after)) = rest.split_at_checked(chunks + 1) else {
                let problem = "fewer sums of squares than its share has".to_owned();
                return Err(crate::CollectiveError::Protocol { rank: world_size - 1, problem }.into());
            };
            stop |= own[0] > 0.0;
            for sum in &own[1..] {
                squares += sum;
            }
            rest = after;
        }
        Ok((squares.sqrt() / self.options.micro_batches() as f64, stop))
    }

    fn learning_rate(&self, step: u64) -> f64 {
        self.options.optimizer.learning_rate * self.options.schedule.factor(step, self.options.steps)
    }

    /// Clips, updates this rank's share, and completes the weights.
    fn update(&mut self, share: &[f32], rate: f64, norm: f64) -> Result<(), TrainError> {
        let limit = self.options.gradient_clip;
        let clip = if limit > 0.0 && norm > limit { limit / norm } else { 1.0 };
        let scale = clip / self.options.micro_batches() as f64;
        self.state.updates += 1;
        let numbers = (rate, self.state.updates, scale);
        self.optimizer.update(&self.options.optimizer, &mut self.weights, share, numbers);
        self.operations += 1;
        let shares = shares(self.layout.total(), self.collective.world_size());
        reduce::all_gather_shares(&mut *self.collective, &shares, &mut self.weights)?;
        Ok(self.engine.set_weights(&self.weights)?)
    }

    /// Mean loss on held-out windows; `None` where there are too few tokens.
    fn validation_loss(&mut self, observer: &mut dyn Observer) -> Result<Option<f64>, TrainError> {
        let model = &self.options.model;
        let size = (self.objective.window)(model.context);
        let (rows, count) = (self.options.micro_batch, self.options.validation.batches);
        let Some(source) = self.data.validation.clone() else { return Ok(None) };
        if source.len() < size as u64 || count == 0 {
            return Ok(None);
        }
        let mut losses = Vec::new();
        for number in tree::owned(count as usize, self.collective.rank(), self.collective.world_size()) {
            let mut windows = vec![0; size * rows as usize];
            for (row, window) in windows.chunks_exact_mut(size).enumerate() {
                let place = number as u64 * rows + row as u64;
                let start = order::validation_start(source.len(), size as u64, place, rows * count);
                source.read(start, window)?;
            }
            let batch = (self.objective.batch)(&windows, model.context, model.vocabulary)?;
            losses.push(f64::from(self.engine.loss(&batch)?));
            observer.on_work();
        }
        self.operations += 1;
        let losses = reduce::gather_numbers(&mut *self.collective, &losses)?;
        Ok(Some(mean(&losses)).filter(|loss| loss.is_finite()))
    }

    fn save_checkpoint(&mut self, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let mut sink = observer.checkpoint_sink(self.state.step)?;
        self.operations += 1;
        let manifest = checkpoint::save(
            &self.state,
            &self.layout,
            &self.weights,
            &self.optimizer,
            &mut *self.collective,
            &mut *sink,
        )?;
        drop(sink);
        observer.on_checkpoint(self.state.step, manifest.as_ref())?;
        self.take_snapshot();
        Ok(())
    }

    fn take_snapshot(&mut self) {
        let policy = &self.options.policy;
        if policy.not_a_number == Action::Rollback || policy.spike == Action::Rollback {
            let (first, second) = self.optimizer.moments();
            self.snapshot = Some(Snapshot {
                state: self.state.clone(),
                weights: self.weights.clone(),
                first: first.to_vec(),
                second: second.to_vec(),
            });
        }
    }

    /// Goes back to the last checkpoint, and remembers to leave out the step that led here.
    fn roll_back(&mut self, bad_step: u64, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let Some(snapshot) = &self.snapshot else {
            return Err(TrainError::Checkpoint("there is none to roll back to".to_owned()));
        };
        let mut skipped = self.state.policy.skipped.clone();
        skipped.push(bad_step);
        let bad_steps = self.state.policy.bad_steps.clone();
        self.state = snapshot.state.clone();
        self.state.policy.skipped = skipped;
        self.state.policy.bad_steps = bad_steps;
        self.weights.clone_from(&snapshot.weights);
        let (first, second) = (snapshot.first.clone(), snapshot.second.clone());
        self.optimizer = AdamW::with_moments(&self.layout, self.optimizer.share(), first, second);
        self.engine.set_weights(&self.weights)?;
        if self.collective.rank() == 0 {
            observer.on_rollback(self.state.step)?;
        }
        Ok(())
    }
}

/// Whether something that happens every so many steps happens at this one.
fn due(step: u64, every: u64, last: bool) -> bool {
    every > 0 && (last || step.is_multiple_of(every))
}

/// Mean in f64, summed in order.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
