//! Tokens per second of a whole training step: forward, backward, sum, clip, AdamW. One iteration is one step.
//!
//! `cargo bench -p orchestrator-train --bench step`; the shapes are those of `benches/compare/train_step.py`.

use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use orchestrator_model::{Device, ModelConfig};
use orchestrator_train::checkpoint::{CheckpointSink, Manifest};
use orchestrator_train::collective::LocalCollective;
use orchestrator_train::metrics::{Observer, Phase, StepMetrics};
use orchestrator_train::options::{CheckpointOptions, OptimizerOptions, ValidationOptions};
use orchestrator_train::order::OrderKind;
use orchestrator_train::policy::PolicyOptions;
use orchestrator_train::schedule::ScheduleOptions;
use orchestrator_train::tokens::MemoryTokens;
use orchestrator_train::trainer::{Beginning, Data, Trainer};
use orchestrator_train::{TrainError, TrainOptions};

fn main() {
    divan::main();
}

/// (name, layers, heads, width, context, vocabulary, sequences)
type Shape = (&'static str, usize, usize, usize, usize, usize, u64);

/// The shape of the quickstart, and the one that `docs` compares engines on.
const SHAPES: [Shape; 2] = [("2m", 4, 4, 128, 128, 8192, 16), ("14m", 6, 6, 384, 256, 8192, 8)];

/// Sees nothing, keeps nothing.
struct Silent;

impl CheckpointSink for Silent {
    fn put(&mut self, _: &str, _: &[u8]) -> Result<(), TrainError> {
        Ok(())
    }
}

impl Observer for Silent {
    fn on_phase(&mut self, _: u64, _: Phase, _: u64) {}

    fn on_metrics(&mut self, _: &StepMetrics) -> Result<(), TrainError> {
        Ok(())
    }

    fn checkpoint_sink(&mut self, _: u64) -> Result<Box<dyn CheckpointSink>, TrainError> {
        Ok(Box::new(Silent))
    }

    fn on_checkpoint(&mut self, _: u64, _: Option<&Manifest>) -> Result<(), TrainError> {
        Ok(())
    }

    fn should_stop(&mut self) -> bool {
        true
    }
}

#[divan::bench(args = SHAPES.map(|shape| shape.0), consts = [1, 2], sample_count = 8, sample_size = 1)]
fn step<const THREADS: usize>(bencher: Bencher<'_, '_>, name: &str) {
    let shape = SHAPES.into_iter().find(|shape| shape.0 == name).expect("one of the shapes");
    let (_, layers, heads, width, context, vocabulary, sequences) = shape;
    let family = "gpt".to_owned();
    let options = TrainOptions {
        model: ModelConfig { family, vocabulary, layers, heads, width, context, dropout: 0.0, llama: None },
        objective: "causal_lm".into(),
        steps: 1 << 20,
        global_batch: sequences,
        micro_batch: sequences,
        order: OrderKind::Random,
        optimizer: OptimizerOptions::default(),
        schedule: ScheduleOptions::default(),
        gradient_clip: 1.0,
        validation: ValidationOptions::default(),
        checkpoint: CheckpointOptions::default(),
        policy: PolicyOptions::default(),
        seed: 1,
    };
    let tokens: Vec<u32> = (0..1_u64 << 16).map(|i| (i * i % 8191) as u32).collect();
    let data = Data { train: Arc::new(MemoryTokens::new([tokens.as_slice()])), validation: None };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().expect("a pool");
    let group = Box::new(LocalCollective::group(1).remove(0));
    let mut trainer =
        Trainer::new(&options, data, group, Device::Cpu, Beginning::Seed).expect("valid options");
    bencher.counter(ItemsCount::new(sequences * context as u64)).bench_local(|| {
        // The observer asks for a stop, so that each run is one step (with a checkpoint that goes nowhere).
        pool.install(|| trainer.run(&mut Silent, &mut || Duration::ZERO)).expect("runs")
    });
}
