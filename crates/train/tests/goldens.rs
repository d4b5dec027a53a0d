//! Our own numbers, kept: losses of ten steps, gradients and logits of a tiny model of each family. They were stored when
//! `tests/parity/run` had found the same code to agree with PyTorch, and hold it there where there is no Python.
//!
//! After a change that is meant to change them, and a run of the parity suite:
//! `ORCHESTRATOR_WRITE_GOLDENS=1 cargo nextest run -E 'binary(goldens)'`.

mod steps;

use orchestrator_model::ModelConfig;
use orchestrator_model::families::llama::{LlamaOptions, RopeScaling};
use orchestrator_model::random;
use serde_json::{Value, json};
use steps::{Observed, moved, observe};

/// Processors differ in the last bits of matrix products, and ten steps make more of them.
const TOLERANCE: f64 = 2e-4;

fn gpt() -> ModelConfig {
    ModelConfig {
        family: "gpt".into(),
        vocabulary: 97,
        layers: 2,
        heads: 4,
        width: 32,
        context: 24,
        dropout: 0.0,
        llama: None,
    }
}

fn llama() -> ModelConfig {
    let options = LlamaOptions {
        kv_heads: 2,
        inner: 80,
        tied: false,
        rope_theta: 1e4,
        rope_scaling: Some(RopeScaling {
            factor: 4.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 64,
        }),
        epsilon: 1e-5,
    };
    ModelConfig { family: "llama".into(), llama: Some(options), ..gpt() }
}

/// Ten batches of four windows: a walk with noise, so that there is something to learn.
fn batches(config: &ModelConfig) -> Vec<Vec<u32>> {
    let key = random::key(&[11]);
    let size = 4 * (config.context as u64 + 1);
    let token = |i: u64| ((i * 5 + random::below(key, i, 3)) % config.vocabulary as u64) as u32;
    (0..10).map(|step| (step * size..(step + 1) * size).map(token).collect()).collect()
}

/// The numbers that are kept: all of them where they are few, sums and a few single ones of the many.
fn kept(observed: &Observed) -> Value {
    let of = |values: &[f32]| {
        let squares: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
        let every = values.len().div_ceil(5);
        let some: Vec<f64> = values.iter().step_by(every).map(|value| f64::from(*value)).collect();
        json!({ "norm": squares.sqrt(), "some": some })
    };
    let by_parameter = |values: &[f32]| -> serde_json::Map<String, Value> {
        observed.layout.iter().map(|p| (p.name.clone(), of(&moved(&p.name, &values[p.span()])))).collect()
    };
    json!({ "losses": observed.losses, "logits": of(&observed.logits),
        "gradients": by_parameter(&observed.gradient), "weights": by_parameter(&observed.weights) })
}

/// Every number of `found` beside that of `expected`; numbers of one list are held against the largest of them.
fn compare(place: &str, found: &Value, expected: &Value, scale: f64, wrong: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            assert!(found.keys().eq(expected.keys()), "{place}: {:?}", found.keys());
            // A tensor's numbers are held against its norm.
            let scale = expected.get("norm").and_then(Value::as_f64).unwrap_or(scale);
            for (key, found) in found {
                compare(&format!("{place}.{key}"), found, &expected[key], scale, wrong);
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{place}");
            for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                compare(&format!("{place}[{i}]"), found, expected, scale, wrong);
            }
        }
        _ => {
            let (a, b) = (found.as_f64().expect("a number"), expected.as_f64().expect("a number"));
            let is_close = (a - b).abs() <= TOLERANCE * b.abs().max(scale);
            if !is_close {
                wrong.push(format!("{place}: {a}, expected {b}"));
            }
        }
    }
}

fn hold(name: &str, config: &ModelConfig) {
    let noise = random::key(&[3]);
    let weights: Vec<f32> = config
        .layout()
        .expect("valid")
        .initial(1)
        .iter()
        .zip(0..)
        .map(|(weight, i)| weight + 0.1 * random::normal(noise, i) as f32)
        .collect();
    let observed = observe(config, &weights, &batches(config));
    assert!(observed.losses[9] < observed.losses[0] - 0.01, "it learns: {:?}", observed.losses);
    let found = kept(&observed);
    let path = format!("{}/tests/goldens/{name}.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("ORCHESTRATOR_WRITE_GOLDENS").is_some() {
        std::fs::write(&path, format!("{found:#}\n")).expect("the file of goldens");
    }
    let expected = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let expected = serde_json::from_slice(&expected).expect("JSON");
    let mut wrong = Vec::new();
    compare(name, &found, &expected, 0.0, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn gpt_is_what_it_was() {
    hold("gpt", &gpt());
}

#[test]
fn llama_is_what_it_was() {
    hold("llama", &llama());
}
