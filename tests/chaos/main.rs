//! Processes are killed with SIGKILL at random moments, publication included; what is left at the end is, byte for byte,
//! what an undisturbed run leaves. Each test prints its seed; `ORCHESTRATOR_CHAOS_SEED` sets it.

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod embedded;
mod hang;
mod prey;
mod segments;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use support::corpus::{self, Dice};
use support::{Output, Scene};

/// How long a disturbed job may take at most.
const PATIENCE: Duration = Duration::from_secs(90);

/// Every data stage, two barriers, and a gang of two ranks that leaves a checkpoint every few steps.
const JOB: &str = "
max_attempts: 100
target_bytes: 16 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - dedup: {}
  - pii: {}
  - tokenize: {train: {model: bpe, vocab_size: 400}}
  - train:
      model: {family: gpt, layers: 2, heads: 2, width: 32, context: 32, dropout: 0.1}
      steps: 30
      global_batch: 4
      micro_batch: 1
      world_size: 2
      validation: {every: 10, fraction: 0.05, sequences: 16}
      checkpoint: {every: 5, keep_last: 2}
  - export: {}
";

/// A scene with the corpus, and `job.yaml`. Its name is in the model card: equal jobs have equal names.
fn scene() -> Scene {
    let scene = Scene::new();
    for (number, pages) in corpus::pages(51, 240).chunks(80).enumerate() {
        scene.write(&format!("corpus/{number}.jsonl.zst"), corpus::zstandard(&corpus::jsonl(pages)));
    }
    scene.job("job", JOB);
    scene
}

/// The dice of this test.
fn dice(test: &str) -> Dice {
    Dice::of_chaos(test)
}

/// What an undisturbed run leaves.
struct Reference {
    digests: BTreeMap<String, String>,
    losses: Vec<(u64, f64)>,
}

fn reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let scene = scene();
        let output = scene.complete("job", 2);
        let reference = Reference { digests: output.check().digests(), losses: output.losses() };
        let digests = &reference.digests;
        assert!(
            digests.contains_key("model/model.safetensors") && digests.contains_key("tokens/train-00000.bin")
        );
        assert_eq!(reference.losses.last().map(|last| last.0), Some(30), "every step has its line");
        reference
    })
}

/// Compares with the undisturbed run, and looks for what killed processes may have left.
#[track_caller]
fn compare(output: &Output) {
    let reference = reference();
    output.check();
    let digests = output.digests();
    for (name, digest) in &reference.digests {
        assert_eq!(digests.get(name), Some(digest), "{name}");
    }
    assert_eq!(digests.len(), reference.digests.len(), "nothing more: {digests:#?}");
    assert_eq!(output.losses(), reference.losses, "each step once, with the same loss");
}
