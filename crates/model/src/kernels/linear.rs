//! Linear maps with bias and residual folded into the product.

use rayon::prelude::*;

use super::matrix::{Matrix, multiply_parallel};
use super::vectorised;

/// Rows per task in passes that are not products.
const ROWS_PER_TASK: usize = 128;

/// How a weight lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[in, out]`: the linear maps of a block.
    InOut,
    /// `[out, in]`: an embedding table used as output projection.
    OutIn,
}

/// Gradients of a linear map: for its input, its weight and its bias.
pub struct LinearGradients {
    /// `[rows, in]`.
    pub input: Vec<f32>,
    /// As the weight.
    pub weight: Vec<f32>,
    /// `[out]`; empty without bias.
    pub bias: Vec<f32>,
}

vectorised! {
    /// `target += source`.
    pub fn add_assign(target: &mut [f32], source: &[f32]) {
        for (target, source) in target.iter_mut().zip(source) {
            *target += source;
        }
    }

    /// `target = a + b`.
    pub(crate) fn add_into(target: &mut [f32], a: &[f32], b: &[f32]) {
        for ((target, a), b) in target.iter_mut().zip(a).zip(b) {
            *target = a + b;
        }
    }
}

/// `x w (+ bias) (+ residual)` for `x [rows, input]`; the result is `[rows, output]`.
pub fn forward(
    x: &[f32],
    weight: &[f32],
    layout: WeightLayout,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    (input, output): (usize, usize),
) -> Vec<f32> {
    let rows = x.len() / input;
    let chunk = ROWS_PER_TASK * output;
    let mut y = vec![0.0; rows * output];
    match (bias, residual) {
        (Some(bias), Some(residual)) => {
            y.par_chunks_mut(chunk).zip(residual.par_chunks(chunk)).for_each(|(y, residual)| {
                for (y, residual) in y.chunks_exact_mut(output).zip(residual.chunks_exact(output)) {
                    add_into(y, residual, bias);
                }
            });
        }
        (Some(bias), None) => {
            y.par_chunks_mut(chunk)
                .for_each(|y| y.chunks_exact_mut(output).for_each(|y| y.copy_from_slice(bias)));
        }
        (None, Some(residual)) => y.copy_from_slice(residual),
        (None, None) => {}
    }
    let add = bias.is_some() || residual.is_some();
    multiply_parallel(&mut y, Matrix::dense(x, rows, input), weight_view(weight, layout, input, output), add);
    y
}

/// Gradients from `gradient [rows, output]` of the result. The residual's is `gradient` itself.
pub fn backward(
    x: &[f32],
    weight: &[f32],
    layout: WeightLayout,
    gradient: &[f32],
    with_bias: bool,
    (input, output): (usize, usize),
) -> LinearGradients {
    let rows = x.len() / input;
    let mut dx = vec![0.0; rows * input];
    let dy = Matrix::dense(gradient, rows, output);
    let x = Matrix::dense(x, rows, input);
    multiply_parallel(&mut dx, dy, weight_view(weight, layout, input, output).transposed(), false);
    let mut dw = vec![0.0; input * output];
    match layout {
        WeightLayout::InOut => multiply_parallel(&mut dw, x.transposed(), dy, false),
        WeightLayout::OutIn => multiply_parallel(&mut dw, dy.transposed(), x, false),
    }
    let bias = if with_bias { column_sums(gradient, output) } else { Vec::new() };
    LinearGradients { input: dx, weight: dw, bias }
}

/// Sums over rows: chunks of rows, then the chunks in order.
fn column_sums(x: &[f32], columns: usize) -> Vec<f32> {
    let parts = x.par_chunks(ROWS_PER_TASK * columns).map(|rows| {
        let mut total = vec![0.0; columns];
        rows.chunks_exact(columns).for_each(|row| add_assign(&mut total, row));
        total
    });
    sum_parts(parts.collect(), columns)
}

/// Adds partial results in their order.
pub(crate) fn sum_parts(parts: Vec<Vec<f32>>, length: usize) -> Vec<f32> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(|| vec![0.0; length]);
    for part in parts {
        add_assign(&mut total, &part);
    }
    total
}

/// The weight as `[in, out]`.
fn weight_view(weight: &[f32], layout: WeightLayout, input: usize, output: usize) -> Matrix<'_> {
    match layout {
        WeightLayout::InOut => Matrix::dense(weight, input, output),
        WeightLayout::OutIn => Matrix::dense(weight, output, input).transposed(),
    }
}
