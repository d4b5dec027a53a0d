//! GELU (tanh form), SwiGLU and dropout.

use rayon::prelude::*;

use super::math::{exp, tanh};
use super::vectorised;
use crate::random::bits32;

/// Elements per task.
const CHUNK: usize = 1 << 15;
/// √(2/π).
const SLOPE: f32 = 0.797_884_6;
/// The cubic term of the tanh form.
const CUBIC: f32 = 0.044_715;

vectorised! {
    fn gelu_chunk(x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            let u = SLOPE * (x + CUBIC * x * x * x);
            *y = 0.5 * x * (1.0 + tanh(u));
        }
    }

    fn gelu_backward_chunk(x: &[f32], gradient: &[f32], dx: &mut [f32]) {
        for ((x, gradient), dx) in x.iter().zip(gradient).zip(dx) {
            let t = tanh(SLOPE * (x + CUBIC * x * x * x));
            let du = SLOPE * (1.0 + 3.0 * CUBIC * x * x);
            *dx = gradient * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * du);
        }
    }

    fn swiglu_chunk(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((gate, up), y) in gate.iter().zip(up).zip(y) {
            *y = gate / (1.0 + exp(-gate)) * up;
        }
    }

    fn swiglu_backward_chunk(gate: &[f32], up: &[f32], gradient: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
        let inputs = gate.iter().zip(up).zip(gradient);
        for (((gate, up), gradient), (dgate, dup)) in inputs.zip(dgate.iter_mut().zip(dup)) {
            let sigmoid = 1.0 / (1.0 + exp(-gate));
            *dgate = gradient * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
            *dup = gradient * gate * sigmoid;
        }
    }

    /// Zeroes elements by their counter and scales the others. `first` is the counter of `x[0]`.
    pub(crate) fn drop_chunk(x: &mut [f32], rate: f32, key: u64, first: u64) {
        let threshold = drop_threshold(rate);
        let scale = 1.0 / (1.0 - rate);
        for (i, x) in x.iter_mut().enumerate() {
            let kept = bits32(key, first + i as u64) >= threshold;
            *x *= if kept { scale } else { 0.0 };
        }
    }
}

/// Draws below it drop an element.
fn drop_threshold(rate: f32) -> u32 {
    (f64::from(rate) * 4_294_967_296.0) as u32
}

/// What dropout multiplies the element with: 0, or the reciprocal of the kept share.
pub fn drop_factor(rate: f32, key: u64, counter: u64) -> f32 {
    if bits32(key, counter) >= drop_threshold(rate) { 1.0 / (1.0 - rate) } else { 0.0 }
}

/// `x Φ(x)` in its tanh form.
pub fn gelu(x: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| gelu_chunk(x, y));
    y
}

/// Gradient of [`gelu`].
pub fn gelu_backward(x: &[f32], gradient: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    dx.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .zip(gradient.par_chunks(CHUNK))
        .for_each(|((dx, x), gradient)| gelu_backward_chunk(x, gradient, dx));
    dx
}

/// `gate σ(gate) · up`, element by element.
pub fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; gate.len()];
    y.par_chunks_mut(CHUNK)
        .zip(gate.par_chunks(CHUNK))
        .zip(up.par_chunks(CHUNK))
        .for_each(|((y, gate), up)| swiglu_chunk(gate, up, y));
    y
}

/// Gradients of [`swiglu`] for the gate and what it lets through.
pub fn swiglu_backward(gate: &[f32], up: &[f32], gradient: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut dgate, mut dup) = (vec![0.0; gate.len()], vec![0.0; gate.len()]);
    dgate
        .par_chunks_mut(CHUNK)
        .zip(dup.par_chunks_mut(CHUNK))
        .zip(gate.par_chunks(CHUNK))
        .zip(up.par_chunks(CHUNK))
        .zip(gradient.par_chunks(CHUNK))
        .for_each(|((((dgate, dup), gate), up), gradient)| {
            swiglu_backward_chunk(gate, up, gradient, dgate, dup);
        });
    (dgate, dup)
}

/// Dropout of a whole tensor; the element's index is its counter. Its gradient is the same function of the gradient.
pub fn dropout(x: &[f32], rate: f32, key: u64) -> Vec<f32> {
    let mut y = x.to_vec();
    y.par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(chunk, y)| drop_chunk(y, rate, key, (chunk * CHUNK) as u64));
    y
}
