//! Passes over flat buckets of parameters and gradients.

use rayon::prelude::*;

use super::vectorised;

/// Elements per task, and the span of one partial sum of squares. Fixed: it is part of the order of summation.
pub const CHUNK: usize = 1 << 14;

/// One step's numbers for AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Keeps the denominator from zero.
    pub epsilon: f32,
    /// Decoupled weight decay; 0 for parameters that do not decay.
    pub weight_decay: f32,
    /// `1 / (1 − β₁ᵗ)`.
    pub correction1: f32,
    /// `1 / (1 − β₂ᵗ)`.
    pub correction2: f32,
    /// Multiplies the gradient: its average and its clipping.
    pub gradient_scale: f32,
}

vectorised! {
    fn adam_chunk(weights: &mut [f32], gradients: &[f32], first: &mut [f32], second: &mut [f32], step: &AdamStep) {
        let decay = 1.0 - step.learning_rate * step.weight_decay;
        let moments = first.iter_mut().zip(second);
        for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradients).zip(moments) {
            let gradient = gradient * step.gradient_scale;
            *first = step.beta1 * *first + (1.0 - step.beta1) * gradient;
            *second = step.beta2 * *second + (1.0 - step.beta2) * gradient * gradient;
            let denominator = (*second * step.correction2).sqrt() + step.epsilon;
            *weight = *weight * decay - step.learning_rate * (*first * step.correction1) / denominator;
        }
    }

    /// Sum of squares in f64, eight partial sums added in order.
    fn squares_chunk(x: &[f32]) -> f64 {
        let mut lanes = [0.0_f64; 8];
        let blocks = x.chunks_exact(8);
        let rest = blocks.remainder();
        for block in blocks {
            for (lane, value) in lanes.iter_mut().zip(block) {
                *lane += f64::from(*value) * f64::from(*value);
            }
        }
        lanes.iter().sum::<f64>() + rest.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>()
    }
}

/// One AdamW step in place over equal spans of weights, gradients and moments.
pub fn adamw(weights: &mut [f32], gradients: &[f32], first: &mut [f32], second: &mut [f32], step: &AdamStep) {
    weights
        .par_chunks_mut(CHUNK)
        .zip(gradients.par_chunks(CHUNK))
        .zip(first.par_chunks_mut(CHUNK))
        .zip(second.par_chunks_mut(CHUNK))
        .for_each(|(((weights, gradients), first), second)| {
            adam_chunk(weights, gradients, first, second, step);
        });
}

/// Sums of squares of consecutive chunks of [`CHUNK`] elements, in order.
pub fn sums_of_squares(x: &[f32]) -> Vec<f64> {
    x.par_chunks(CHUNK).map(squares_chunk).collect()
}

/// `target += source`, on all threads.
pub fn add_assign(target: &mut [f32], source: &[f32]) {
    target
        .par_chunks_mut(CHUNK)
        .zip(source.par_chunks(CHUNK))
        .for_each(|(target, source)| super::linear::add_assign(target, source));
}
