//! Root mean square normalisation over the last dimension.

use rayon::prelude::*;

use super::linear::sum_parts;
use super::math::sum;
use super::vectorised;

/// Rows per task. Fixed: it is part of the order of summation of the weight's gradient.
const ROWS_PER_TASK: usize = 128;

vectorised! {
    /// Normalises one row; returns the reciprocal of its root mean square.
    fn normalise_row(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32]) -> f32 {
        let n = x.len();
        let (weight, y) = (&weight[..n], &mut y[..n]);
        let square = sum(n, |i| x[i] * x[i]) / n as f32;
        let scale = 1.0 / (square + epsilon).sqrt();
        for i in 0..n {
            y[i] = x[i] * scale * weight[i];
        }
        scale
    }

    /// Gradient of one row; adds to that of the weight.
    fn backward_row(
        x: &[f32],
        weight: &[f32],
        gradient: &[f32],
        scale: f32,
        dx: &mut [f32],
        dweight: &mut [f32],
    ) {
        let n = x.len();
        let (weight, gradient) = (&weight[..n], &gradient[..n]);
        let (dx, dweight) = (&mut dx[..n], &mut dweight[..n]);
        let correlation = sum(n, |i| gradient[i] * weight[i] * (x[i] * scale)) / n as f32;
        for i in 0..n {
            let normal = x[i] * scale;
            dx[i] = scale * (gradient[i] * weight[i] - normal * correlation);
            dweight[i] += gradient[i] * normal;
        }
    }
}

/// Normalises rows of `x [rows, width]`. Returns the result and, per row, the reciprocal root mean square.
pub fn forward(x: &[f32], weight: &[f32], epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let chunk = ROWS_PER_TASK * width;
    let mut y = vec![0.0; x.len()];
    let mut scales = vec![0.0; x.len() / width];
    y.par_chunks_mut(chunk).zip(scales.par_chunks_mut(ROWS_PER_TASK)).zip(x.par_chunks(chunk)).for_each(
        |((y, scales), x)| {
            for ((y, scale), x) in y.chunks_exact_mut(width).zip(scales).zip(x.chunks_exact(width)) {
                *scale = normalise_row(x, weight, epsilon, y);
            }
        },
    );
    (y, scales)
}

/// Gradients for the input and the weight.
pub fn backward(x: &[f32], weight: &[f32], scales: &[f32], gradient: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let chunk = ROWS_PER_TASK * width;
    let mut dx = vec![0.0; x.len()];
    let parts: Vec<Vec<f32>> = dx
        .par_chunks_mut(chunk)
        .zip(x.par_chunks(chunk))
        .zip(gradient.par_chunks(chunk))
        .zip(scales.par_chunks(ROWS_PER_TASK))
        .map(|(((dx, x), gradient), scales)| {
            let mut dweight = vec![0.0; width];
            for ((row, dx), scale) in dx.chunks_exact_mut(width).enumerate().zip(scales) {
                let span = row * width..(row + 1) * width;
                backward_row(&x[span.clone()], weight, &gradient[span], *scale, dx, &mut dweight);
            }
            dweight
        })
        .collect();
    (dx, sum_parts(parts, width))
}
