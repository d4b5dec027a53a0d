//! Layer normalisation over the last dimension.

use rayon::prelude::*;

use super::linear::sum_parts;
use super::math::sum;
use super::vectorised;

/// Rows per task. Fixed: it is part of the order of summation of the parameter gradients.
const ROWS_PER_TASK: usize = 128;

vectorised! {
    /// Normalises one row; returns its mean and the reciprocal of its deviation.
    fn normalise_row(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, y: &mut [f32]) -> (f32, f32) {
        let n = x.len();
        let (weight, bias, y) = (&weight[..n], &bias[..n], &mut y[..n]);
        let mean = sum(n, |i| x[i]) / n as f32;
        let variance = sum(n, |i| (x[i] - mean) * (x[i] - mean)) / n as f32;
        let scale = 1.0 / (variance + epsilon).sqrt();
        for i in 0..n {
            y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
        }
        (mean, scale)
    }

    /// Gradient of one row; adds to those of weight and bias.
    fn backward_row(
        x: &[f32],
        weight: &[f32],
        gradient: &[f32],
        statistics: (f32, f32),
        dx: &mut [f32],
        dweight: &mut [f32],
        dbias: &mut [f32],
    ) {
        let n = x.len();
        let (mean, scale) = statistics;
        let (weight, gradient, dx) = (&weight[..n], &gradient[..n], &mut dx[..n]);
        let (dweight, dbias) = (&mut dweight[..n], &mut dbias[..n]);
        let average = sum(n, |i| gradient[i] * weight[i]) / n as f32;
        let correlation = sum(n, |i| gradient[i] * weight[i] * ((x[i] - mean) * scale)) / n as f32;
        for i in 0..n {
            let normal = (x[i] - mean) * scale;
            dx[i] = scale * (gradient[i] * weight[i] - average - normal * correlation);
            dweight[i] += gradient[i] * normal;
            dbias[i] += gradient[i];
        }
    }
}

/// Normalises rows of `x [rows, width]`. Returns the result and, per row, mean and reciprocal deviation.
pub fn forward(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let chunk = ROWS_PER_TASK * width;
    let mut y = vec![0.0; x.len()];
    let mut statistics = vec![0.0; x.len() / width * 2];
    y.par_chunks_mut(chunk)
        .zip(statistics.par_chunks_mut(ROWS_PER_TASK * 2))
        .zip(x.par_chunks(chunk))
        .for_each(|((y, statistics), x)| {
            for ((y, statistics), x) in
                y.chunks_exact_mut(width).zip(statistics.chunks_exact_mut(2)).zip(x.chunks_exact(width))
            {
                let (mean, scale) = normalise_row(x, weight, bias, epsilon, y);
                statistics[0] = mean;
                statistics[1] = scale;
            }
        });
    (y, statistics)
}

/// Gradients for the input, the weight and the bias.
pub fn backward(
    x: &[f32],
    weight: &[f32],
    statistics: &[f32],
    gradient: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let chunk = ROWS_PER_TASK * width;
    let mut dx = vec![0.0; x.len()];
    let parts: Vec<Vec<f32>> = dx
        .par_chunks_mut(chunk)
        .zip(x.par_chunks(chunk))
        .zip(gradient.par_chunks(chunk))
        .zip(statistics.par_chunks(ROWS_PER_TASK * 2))
        .map(|(((dx, x), gradient), statistics)| {
            let mut part = vec![0.0; 2 * width];
            let (dweight, dbias) = part.split_at_mut(width);
            for (row, dx) in dx.chunks_exact_mut(width).enumerate() {
                let span = row * width..(row + 1) * width;
                let moments = (statistics[2 * row], statistics[2 * row + 1]);
                backward_row(&x[span.clone()], weight, &gradient[span], moments, dx, dweight, dbias);
            }
            part
        })
        .collect();
    let mut dweight = sum_parts(parts, 2 * width);
    let dbias = dweight.split_off(width);
    (dx, dweight, dbias)
}
