//! What a model does in a few steps, as numbers: held against PyTorch's (`parity.rs`) and against our own (`goldens.rs`).

use orchestrator_model::kernels::optimizer::{add_assign, sums_of_squares};
use orchestrator_model::objectives::causal;
use orchestrator_model::{Device, DropoutSeed, ModelConfig, ParameterLayout, open};
use orchestrator_train::optimizer::AdamW;
use orchestrator_train::options::OptimizerOptions;

/// The recipe that `tests/parity/reference.py` follows too.
pub(crate) const LEARNING_RATE: f64 = 1e-3;
const CLIP: f64 = 1.0;

/// What was seen.
pub(crate) struct Observed {
    pub(crate) layout: ParameterLayout,
    /// Logits of the first batch, `[batch · context, vocabulary]`.
    pub(crate) logits: Vec<f32>,
    /// Gradient of the first batch, in the order of the layout.
    pub(crate) gradient: Vec<f32>,
    /// The loss of each step, before its update.
    pub(crate) losses: Vec<f64>,
    /// The weights after the last.
    pub(crate) weights: Vec<f32>,
}

/// A parameter's values after some steps, without those that only rounding moves: a bias of GPT-2's keys shifts all scores
/// of a row alike, which softmax does not see. Its gradient is zero but for rounding, and AdamW divides that by itself.
pub(crate) fn moved(name: &str, values: &[f32]) -> Vec<f32> {
    let mut values = values.to_vec();
    if name.ends_with("attn.c_attn.bias") {
        let third = values.len() / 3;
        values.drain(third..2 * third);
    }
    values
}

/// Takes a step of AdamW with each batch: windows of `context + 1` tokens, an even number of them, which go through the
/// model in two micro-batches whose gradients are added.
pub(crate) fn observe(config: &ModelConfig, weights: &[f32], batches: &[Vec<u32>]) -> Observed {
    let mut engine = open(config, weights, Device::Cpu).expect("opens");
    let layout = engine.layout().clone();
    let batch =
        |windows: &[u32]| causal::batch(windows, config.context, config.vocabulary).expect("whole windows");
    let logits = engine.logits(&batch(&batches[0]).inputs).expect("runs");
    let mut weights = weights.to_vec();
    let mut optimizer = AdamW::new(&layout, 0..layout.total());
    let (mut losses, mut first) = (Vec::new(), Vec::new());
    for (time, windows) in (1..).zip(batches) {
        let mut total = vec![0.0; layout.total()];
        let mut loss = 0.0;
        for half in windows.chunks_exact(windows.len() / 2) {
            let mut gradient = vec![0.0; layout.total()];
            let seed = DropoutSeed { seed: 0, step: time, micro_batch: 0 };
            loss += f64::from(engine.gradient(&batch(half), seed, &mut gradient).expect("runs")) / 2.0;
            add_assign(&mut total, &gradient);
        }
        losses.push(loss);
        let norm = sums_of_squares(&total).iter().sum::<f64>().sqrt() / 2.0;
        let clip = if norm > CLIP { CLIP / norm } else { 1.0 };
        if time == 1 {
            first = total.iter().map(|gradient| gradient / 2.0).collect();
        }
        let options = OptimizerOptions { learning_rate: LEARNING_RATE, ..OptimizerOptions::default() };
        optimizer.update(&options, &mut weights, &total, (LEARNING_RATE, time, clip / 2.0));
        engine.set_weights(&weights).expect("fits");
    }
    Observed { layout, logits, gradient: first, losses, weights }
}
