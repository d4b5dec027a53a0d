//! What suites of model families have in common.

use orchestrator_model::objectives::causal;
use orchestrator_model::{Device, DropoutSeed, ModelConfig, open};

/// Holds the gradient of every parameter to the slope of the loss, by central differences, for windows of 21 tokens of a
/// vocabulary of 37.
pub(crate) fn gradients_follow_finite_differences(config: &ModelConfig, weights: &[f32]) {
    let windows: Vec<u32> = (0..42).map(|i| (i * i % 37) as u32).collect();
    let batch = causal::batch(&windows, 20, 37).expect("two windows");
    let seed = DropoutSeed { seed: 1, step: 2, micro_batch: 3 };
    let mut engine = open(config, weights, Device::Cpu).expect("opens");
    let layout = engine.layout().clone();
    let mut gradient = vec![0.0; weights.len()];
    let mut unused = vec![0.0; weights.len()];
    engine.gradient(&batch, seed, &mut gradient).expect("runs");
    // One random direction per parameter: the slope along it is the gradient's product with it.
    for parameter in &layout {
        let key = orchestrator_model::random::key(&[parameter.offset as u64]);
        let direction: Vec<f64> =
            (0..parameter.len()).map(|i| orchestrator_model::random::normal(key, i as u64)).collect();
        let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
        let step = 3e-2;
        let mut loss = |sign: f64| {
            let mut moved = weights.to_vec();
            for (w, d) in moved[parameter.span()].iter_mut().zip(&direction) {
                *w += (sign * step * d / length) as f32;
            }
            engine.set_weights(&moved).expect("fits");
            f64::from(engine.gradient(&batch, seed, &mut unused).expect("runs"))
        };
        let slope = (loss(1.0) - loss(-1.0)) / (2.0 * step);
        let ours = gradient[parameter.span()]
            .iter()
            .zip(&direction)
            .map(|(g, d)| f64::from(*g) * d / length)
            .sum::<f64>();
        let allowed = 2e-2 * slope.abs().max(0.02);
        assert!((ours - slope).abs() < allowed, "{}: {ours}, expected {slope}", parameter.name);
    }
}
