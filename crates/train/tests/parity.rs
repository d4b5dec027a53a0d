//! Parity with the reference: logits, loss, every gradient and ten steps of AdamW beside PyTorch and transformers, on the
//! same weights and batches.
//!
//! `tests/parity/run` makes the reference with Python and calls this with `ORCHESTRATOR_PARITY` set to its directory; in
//! CI there is none, and `goldens.rs` holds our own numbers. Logits, losses and gradients may differ by 1e-4 of the largest
//! value of their tensor, each of them. Weights after ten steps may differ by 1e-4 of their tensor's norm: AdamW divides a
//! gradient by its own size, so that where one is next to nothing its rounding is a step. PyTorch in f32 is there up to
//! 4e-4 of the largest value from itself in f64, and 1.4e-5 of the norm; `reference.py` prints both.

mod steps;

use std::path::{Path, PathBuf};

use orchestrator_train::export::{ModelFacts, huggingface};
use orchestrator_train::import::load_model;
use orchestrator_train::{CheckpointSource, TrainError};
use safetensors::tensor::{Dtype, SafeTensors};
use steps::{Observed, moved, observe};

/// Largest difference from the reference, relative to it by [`largest`] or [`norm`].
const TOLERANCE: f64 = 1e-4;

struct Directory(PathBuf);

impl CheckpointSource for Directory {
    fn get(&self, name: &str) -> Result<Vec<u8>, TrainError> {
        std::fs::read(self.0.join(name)).map_err(|error| TrainError::Checkpoint(error.to_string()))
    }

    fn contains(&self, name: &str) -> Result<bool, TrainError> {
        Ok(self.0.join(name).exists())
    }
}

/// What PyTorch found.
struct Reference<'a>(SafeTensors<'a>);

impl Reference<'_> {
    fn numbers(&self, name: &str) -> Vec<f32> {
        let tensor = self.0.tensor(name).unwrap_or_else(|error| panic!("`{name}`: {error}"));
        assert_eq!(tensor.dtype(), Dtype::F32);
        let number = |four: &[u8]| f32::from_le_bytes(four.try_into().expect("four bytes"));
        tensor.data().chunks_exact(4).map(number).collect()
    }

    /// The windows of each step.
    fn batches(&self) -> Vec<Vec<u32>> {
        let tensor = self.0.tensor("windows").expect("the windows");
        assert_eq!(tensor.dtype(), Dtype::I32);
        let steps = tensor.shape()[0];
        let number = |four: &[u8]| u32::from_le_bytes(four.try_into().expect("four bytes"));
        let all: Vec<u32> = tensor.data().chunks_exact(4).map(number).collect();
        all.chunks_exact(all.len() / steps).map(<[u32]>::to_vec).collect()
    }
}

/// The largest value.
fn largest(values: &[f64]) -> f64 {
    // A number that is none must not pass for a small one.
    values.iter().fold(0.0, |most, value| if value.is_nan() { f64::NAN } else { value.abs().max(most) })
}

/// The Euclidean norm.
fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The difference of two tensors, relative to the second, by a measure of the size of either.
fn difference(size: fn(&[f64]) -> f64, ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let exact = |value: &f32| f64::from(*value);
    let apart: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| exact(a) - exact(b)).collect();
    let theirs: Vec<f64> = theirs.iter().map(exact).collect();
    size(&apart) / size(&theirs).max(f64::MIN_POSITIVE)
}

/// The differences of one case, by what was compared.
fn compare(observed: &Observed, reference: &Reference<'_>) -> Vec<(String, f64)> {
    let logits = difference(largest, &observed.logits, &reference.numbers("logits"));
    let mut found = vec![("logits".to_owned(), logits)];
    let losses: Vec<f32> = observed.losses.iter().map(|loss| *loss as f32).collect();
    found.push(("losses".to_owned(), difference(largest, &losses, &reference.numbers("losses"))));
    for parameter in &observed.layout {
        let name = &parameter.name;
        let theirs = reference.numbers(&format!("gradient.{name}"));
        let ours = &observed.gradient[parameter.span()];
        found.push((format!("gradient.{name}"), difference(largest, ours, &theirs)));
        let ours = moved(name, &observed.weights[parameter.span()]);
        let theirs = moved(name, &reference.numbers(&format!("after.{name}")));
        found.push((format!("after.{name}"), difference(norm, &ours, &theirs)));
    }
    found
}

/// Writes what we export, and our logits, for `check.py` to load with the library.
fn export(case: &Path, model: &orchestrator_train::import::LoadedModel, logits: &[f32]) {
    let facts = ModelFacts { end_of_text: model.end_of_text, ..ModelFacts::default() };
    let directory = case.join("exported");
    std::fs::create_dir_all(&directory).expect("a directory");
    for file in huggingface(&model.config, &model.weights, &facts).expect("exports") {
        std::fs::write(directory.join(file.name), file.bytes).expect("a file");
    }
    let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    std::fs::write(case.join("logits.f32"), bytes).expect("a file");
}

#[test]
fn every_family_agrees_with_pytorch() {
    let Some(directory) = std::env::var_os("ORCHESTRATOR_PARITY") else {
        println!("skipped: `ORCHESTRATOR_PARITY` is not set; `tests/parity/run` makes the reference");
        return;
    };
    let mut cases: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the directory of the reference")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("reference.safetensors").exists())
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "`reference.py` has written something");
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let file = std::fs::read(case.join("reference.safetensors")).expect("the reference");
        let reference = Reference(SafeTensors::deserialize(&file).expect("tensors"));
        let model =
            load_model(&Directory(case.join("model"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        let observed = observe(&model.config, &model.weights, &reference.batches());
        export(case, &model, &observed.logits);
        let found = compare(&observed, &reference);
        for kind in ["logits", "losses", "gradient", "after"] {
            let worst = found.iter().filter(|(what, _)| what.starts_with(kind));
            let worst = worst.max_by(|a, b| a.1.total_cmp(&b.1)).expect("one of each kind");
            println!("{name}: {kind}: at most {:.1e} ({})", worst.1, worst.0);
        }
        wrong.extend(
            found
                .into_iter()
                .filter(|found| found.1.is_nan() || found.1 > TOLERANCE)
                .map(|found| (name.clone(), found)),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
