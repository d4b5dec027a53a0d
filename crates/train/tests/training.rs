//! Promises of the loop: bits do not depend on ranks, a resumed run is the uninterrupted one, and models learn.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use orchestrator_model::{Device, ModelConfig};
use orchestrator_train::checkpoint::{CheckpointSink, CheckpointSource, MANIFEST_FILE, Manifest};
use orchestrator_train::collective::LocalCollective;
use orchestrator_train::metrics::{Observer, Phase, StepMetrics};
use orchestrator_train::options::{CheckpointOptions, OptimizerOptions, ValidationOptions};
use orchestrator_train::order::OrderKind;
use orchestrator_train::policy::{Action, PolicyOptions};
use orchestrator_train::schedule::ScheduleOptions;
use orchestrator_train::tokens::MemoryTokens;
use orchestrator_train::trainer::{Beginning, Data, Outcome, Trainer};
use orchestrator_train::{Collective, CollectiveError, TrainError, TrainOptions, export, import};

fn options() -> TrainOptions {
    TrainOptions {
        model: ModelConfig {
            family: "gpt".into(),
            vocabulary: 50,
            layers: 2,
            heads: 2,
            width: 32,
            context: 16,
            dropout: 0.1,
            llama: None,
        },
        objective: "causal_lm".into(),
        steps: 8,
        global_batch: 12,
        micro_batch: 2,
        order: OrderKind::Packed,
        optimizer: OptimizerOptions { learning_rate: 3e-3, ..OptimizerOptions::default() },
        schedule: ScheduleOptions { warmup_steps: 2, ..ScheduleOptions::default() },
        gradient_clip: 1.0,
        validation: ValidationOptions { every: 4, batches: 3 },
        checkpoint: CheckpointOptions { every: 4, keep_last: 1, keep_every: 0 },
        policy: PolicyOptions::default(),
        seed: 7,
    }
}

fn tokens(documents: u64) -> MemoryTokens {
    let documents: Vec<Vec<u32>> = (0..documents)
        .map(|d| (0..20 + d % 17).map(|t| ((d * 3 + t * (1 + d % 3)) % 50) as u32).collect())
        .collect();
    MemoryTokens::new(documents.iter().map(Vec::as_slice))
}

fn data() -> Data {
    Data { train: Arc::new(tokens(60)), validation: Some(Arc::new(tokens(9))) }
}

/// Checkpoints in memory, shared by the ranks of a run.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<BTreeMap<u64, Contents>>>);

/// Files by name.
type Contents = BTreeMap<String, Vec<u8>>;

impl Store {
    fn at(&self, step: u64) -> Files {
        Files(self.0.lock().expect("no panic")[&step].clone())
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Files(Contents);

impl CheckpointSource for Files {
    fn get(&self, name: &str) -> Result<Vec<u8>, TrainError> {
        self.0.get(name).cloned().ok_or_else(|| TrainError::Checkpoint(format!("`{name}` is absent")))
    }

    fn contains(&self, name: &str) -> Result<bool, TrainError> {
        Ok(self.0.contains_key(name))
    }
}

struct Sink(Store, u64);

impl CheckpointSink for Sink {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        let mut steps = self.0.0.lock().expect("no panic");
        steps.entry(self.1).or_default().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }
}

#[derive(Default)]
struct Log {
    store: Store,
    metrics: Vec<StepMetrics>,
    phases: Vec<Phase>,
    rollbacks: Vec<u64>,
    stop_at: Option<u64>,
    /// The step whose loss is made no number, and the switch of the collective that does it; once.
    poison: Option<(u64, Arc<AtomicBool>)>,
}

/// Lets everything through; switched on, it turns the last number of the next message into NaN.
struct Poisoned {
    inner: LocalCollective,
    switch: Arc<AtomicBool>,
}

impl Collective for Poisoned {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn world_size(&self) -> usize {
        self.inner.world_size()
    }

    fn exchange(&mut self, mut outgoing: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        if self.switch.swap(false, Ordering::Relaxed) {
            for message in &mut outgoing {
                let number = message.last_chunk_mut::<8>().expect("losses are f64");
                *number = f64::NAN.to_le_bytes();
            }
        }
        self.inner.exchange(outgoing)
    }
}

impl Observer for Log {
    fn on_phase(&mut self, step: u64, phase: Phase, _: u64) {
        // Losses are the first that a step exchanges.
        if phase == Phase::Collective
            && let Some((_, switch)) = self.poison.take_if(|(bad, _)| *bad == step)
        {
            switch.store(true, Ordering::Relaxed);
        }
        self.phases.push(phase);
    }

    fn on_metrics(&mut self, metrics: &StepMetrics) -> Result<(), TrainError> {
        self.metrics.push(metrics.clone());
        Ok(())
    }

    fn on_rollback(&mut self, step: u64) -> Result<(), TrainError> {
        self.rollbacks.push(step);
        self.metrics.retain(|line| line.step <= step);
        Ok(())
    }

    fn checkpoint_sink(&mut self, step: u64) -> Result<Box<dyn CheckpointSink>, TrainError> {
        Ok(Box::new(Sink(self.store.clone(), step)))
    }

    fn on_checkpoint(&mut self, step: u64, manifest: Option<&Manifest>) -> Result<(), TrainError> {
        match manifest {
            Some(manifest) => Sink(self.store.clone(), step).put(MANIFEST_FILE, &manifest.to_json()),
            None => Ok(()),
        }
    }

    fn should_stop(&mut self) -> bool {
        // Asked before the step's metrics: `stop_at` lines are out when the step after is asked for.
        self.stop_at.is_some_and(|step| self.metrics.len() as u64 + 1 >= step)
    }
}

/// A finished run: rank 0's log, the weights' bits and the outcome.
type Run = (Log, Vec<u32>, Result<Outcome, TrainError>);

/// Runs all ranks on the usual tokens.
fn run(options: &TrainOptions, world_size: usize, resume: Option<&Files>, stop_at: Option<u64>) -> Run {
    run_on(&data(), options, world_size, resume, stop_at)
}

/// Runs all ranks.
fn run_on(
    data: &Data,
    options: &TrainOptions,
    world_size: usize,
    resume: Option<&Files>,
    stop_at: Option<u64>,
) -> Run {
    run_poisoned(data, options, world_size, (resume, stop_at), None)
}

/// Runs all ranks; the last one's loss at step `poison` is no number.
fn run_poisoned(
    data: &Data,
    options: &TrainOptions,
    world_size: usize,
    (resume, stop_at): (Option<&Files>, Option<u64>),
    poison: Option<u64>,
) -> Run {
    let store = Store::default();
    let mut results = thread::scope(|scope| {
        let ranks: Vec<_> = LocalCollective::group(world_size)
            .into_iter()
            .map(|collective| {
                let store = store.clone();
                scope.spawn(move || {
                    let beginning = resume.map_or(Beginning::Seed, |files| Beginning::Checkpoint(files));
                    let switch = Arc::default();
                    let poison = poison
                        .filter(|_| collective.rank() + 1 == world_size)
                        .map(|step| (step, Arc::clone(&switch)));
                    let collective = Poisoned { inner: collective, switch };
                    let mut trainer =
                        Trainer::new(options, data.clone(), Box::new(collective), Device::Cpu, beginning)
                            .expect("valid options");
                    let mut log = Log { store, stop_at, poison, ..Log::default() };
                    let mut ticks = 0;
                    let outcome = trainer.run(&mut log, &mut || {
                        ticks += 1;
                        Duration::from_millis(ticks)
                    });
                    (log, trainer.weights().iter().map(|w| w.to_bits()).collect(), outcome)
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().expect("no panic")).collect::<Vec<_>>()
    });
    let bits: &Vec<u32> = &results[0].1;
    assert!(results.iter().all(|result| result.1 == *bits), "ranks end with the same weights");
    results.swap_remove(0)
}

#[test]
fn the_number_of_ranks_and_threads_changes_no_bit() {
    let options = options();
    let (one, weights, outcome) = run(&options, 1, None, None);
    assert_eq!(outcome.expect("runs"), Outcome::Finished);
    assert_eq!(one.metrics.len(), 8);
    assert!(one.metrics[3].validation_loss.is_some() && one.metrics[4].validation_loss.is_none());
    assert_eq!(one.metrics[7].tokens, 8 * 12 * 16);
    for world_size in [2, 3, 4, 6] {
        let (log, bits, _) = run(&options, world_size, None, None);
        assert!(bits == weights, "{world_size} ranks");
        assert_eq!(log.metrics, one.metrics, "{world_size} ranks");
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("a pool");
    let threaded = pool.install(|| {
        let group = LocalCollective::group(1).remove(0);
        let mut trainer =
            Trainer::new(&options, data(), Box::new(group), Device::Cpu, Beginning::Seed).expect("valid");
        trainer.run(&mut Log::default(), &mut || Duration::ZERO).expect("runs");
        trainer.weights().iter().map(|w| w.to_bits()).collect::<Vec<u32>>()
    });
    assert!(threaded == weights);
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_with_any_number_of_ranks() {
    let options = options();
    let (whole, weights, _) = run(&options, 2, None, None);
    let (stopped, _, outcome) = run(&options, 3, None, Some(3));
    assert_eq!(outcome.expect("runs"), Outcome::Stopped(3));
    let checkpoint = stopped.store.at(3);
    for world_size in [1, 2, 4] {
        let (log, bits, _) = run(&options, world_size, Some(&checkpoint), None);
        assert!(bits == weights, "{world_size} ranks");
        assert_eq!(log.metrics, whole.metrics[3..], "{world_size} ranks");
    }
    let shards = |step: u64, store: &Store| store.at(step).0.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        shards(8, &whole.store),
        [
            "manifest.json",
            "model.safetensors",
            "optimizer-00000-of-00002.safetensors",
            "optimizer-00001-of-00002.safetensors",
            "state.json"
        ]
    );
}

#[test]
fn a_broken_or_foreign_checkpoint_is_refused() {
    let (log, _, _) = run(&options(), 2, None, None);
    let good = log.store.at(4);
    let refuse = |files: &Files, options: &TrainOptions, data: Data, word: &str| {
        let group = Box::new(LocalCollective::group(1).remove(0));
        let beginning = Beginning::Checkpoint(files);
        let error = Trainer::new(options, data, group, Device::Cpu, beginning).err().expect("refused");
        assert!(error.to_string().contains(word), "{error}: expected `{word}`");
    };
    for name in good.0.keys().filter(|name| *name != MANIFEST_FILE) {
        let mut bad = good.clone();
        let bytes = bad.0.get_mut(name).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        refuse(&bad, &options(), data(), "hash");
        bad.0.remove(name);
        refuse(&bad, &options(), data(), "absent");
    }
    let other = Data { train: Arc::new(tokens(61)), validation: None };
    refuse(&good, &options(), other, "fingerprint");
    refuse(&good, &TrainOptions { seed: 8, ..options() }, data(), "computation");
    refuse(&good, &TrainOptions { steps: 3, ..options() }, data(), "step");
}

#[test]
fn a_single_window_is_learned_by_heart_and_survives_export() {
    // As many tokens as one window holds: every sequence of every batch is this one.
    let window: Vec<u32> = (0..17).map(|i| i * i * 7 % 50).collect();
    let data = Data { train: Arc::new(MemoryTokens::new([window.as_slice()])), validation: None };
    let options = TrainOptions {
        steps: 150,
        model: ModelConfig { dropout: 0.0, ..options().model },
        checkpoint: CheckpointOptions::default(),
        validation: ValidationOptions::default(),
        ..options()
    };
    let (log, weights, _) = run_on(&data, &options, 2, None, None);
    let loss = |place: usize| log.metrics[place].loss.expect("a number");
    assert!(loss(0) > 3.5 && loss(149) < 0.05, "{} to {}", loss(0), loss(149));
    let (state, trained) =
        export::load_checkpoint_model(&log.store.at(150)).expect("the last step leaves a checkpoint");
    assert_eq!(state.step, 150);
    let facts = export::ModelFacts { name: "tiny".into(), steps: 150, ..export::ModelFacts::default() };
    let files = export::huggingface(&options.model, &trained, &facts).expect("exports");
    let files = Files(files.into_iter().map(|file| (file.name.to_owned(), file.bytes)).collect());
    let loaded = import::load_model(&files).expect("loads");
    assert_eq!(loaded.config, options.model);
    assert!(loaded.weights.iter().map(|w| w.to_bits()).eq(weights));
}

#[test]
fn a_jump_of_the_loss_is_skipped_rolled_back_or_fatal_as_told() {
    // A learning rate that throws the model off after the running mean has settled.
    let wild = |spike: Action| TrainOptions {
        steps: 40,
        optimizer: OptimizerOptions { learning_rate: 3.0, ..OptimizerOptions::default() },
        schedule: ScheduleOptions { warmup_steps: 40, ..ScheduleOptions::default() },
        policy: PolicyOptions { spike, spike_factor: 1.3, patience: 1_000, ..PolicyOptions::default() },
        gradient_clip: 0.0,
        ..options()
    };
    let (skipped, _, outcome) = run(&wild(Action::Skip), 2, None, None);
    assert_eq!(outcome.expect("goes on"), Outcome::Finished);
    assert!(skipped.metrics.iter().any(|line| line.policy.is_some()), "the metrics say so");
    let (_, _, outcome) = run(&wild(Action::Stop), 2, None, None);
    let error = outcome.expect_err("fails");
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
    let (log, _, outcome) = run(&wild(Action::Rollback), 2, None, None);
    assert_eq!(outcome.expect("goes on"), Outcome::Finished);
    assert!(!log.rollbacks.is_empty());
    let steps: Vec<u64> = log.metrics.iter().map(|line| line.step).collect();
    assert_eq!(steps, (1..=40).collect::<Vec<u64>>(), "each step once");
}

#[test]
fn a_loss_that_is_no_number_is_skipped_rolled_back_or_fatal_as_told() {
    let told = |not_a_number: Action| TrainOptions {
        policy: PolicyOptions { not_a_number, ..PolicyOptions::default() },
        ..options()
    };
    let run = |options: &TrainOptions, poison| run_poisoned(&data(), options, 2, (None, None), poison);
    let (good, undisturbed, _) = run(&told(Action::Skip), None);
    let steps: Vec<u64> = (1..=8).collect();

    let (skipped, without, outcome) = run(&told(Action::Skip), Some(6));
    assert_eq!(outcome.expect("goes on"), Outcome::Finished);
    assert_eq!(skipped.metrics.iter().map(|line| line.step).collect::<Vec<_>>(), steps);
    assert_eq!(skipped.metrics[..5], good.metrics[..5], "nothing is wrong before");
    let bad = &skipped.metrics[5];
    assert_eq!(bad.loss, None);
    assert!(bad.policy.as_deref().is_some_and(|policy| policy.contains("NaN")), "{bad:?}");
    assert_ne!(without, undisturbed, "the step's update is left out");
    assert!(without.iter().all(|bits| f32::from_bits(*bits).is_finite()));
    assert!(skipped.metrics[6].loss.is_some() && skipped.metrics[6].policy.is_none(), "and then all is well");

    let (_, _, outcome) = run(&told(Action::Stop), Some(6));
    let error = outcome.expect_err("fails");
    assert!(matches!(error, TrainError::Diverged { step: 6, .. }), "{error}");

    let (log, weights, outcome) = run(&told(Action::Rollback), Some(6));
    assert_eq!(outcome.expect("goes on"), Outcome::Finished);
    assert_eq!(log.rollbacks, [4], "to the last checkpoint, once");
    assert_eq!(log.metrics.iter().map(|line| line.step).collect::<Vec<_>>(), steps, "each step once");
    assert!(log.metrics[5].policy.as_deref().is_some_and(|policy| policy.contains("rollback")));
    assert!(weights == without, "steps done again are the same; only the bad one is left out");
}

#[test]
fn impossible_options_are_refused() {
    let refuse = |options: TrainOptions, world_size: usize, word: &str| {
        let error = options.validate(world_size).expect_err("refused").to_string();
        assert!(error.contains(word), "{error}: expected `{word}`");
    };
    refuse(TrainOptions { micro_batch: 5, ..options() }, 1, "micro_batch");
    refuse(options(), 7, "world_size");
    refuse(TrainOptions { objective: "clairvoyance".into(), ..options() }, 1, "objective");
    refuse(TrainOptions { gradient_clip: f64::NAN, ..options() }, 1, "gradient_clip");
}
