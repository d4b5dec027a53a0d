//! Attention by blocks of rows: the `time × time` scores never exist as a whole.
//!
//! Shapes: `qkv [batch, time, width + 2 · kv_heads · size]`, result `[batch, time, width]`, `lse [batch, heads, time]`
//! (the logarithm of each row's sum of exponentials, from which the backward pass rebuilds the probabilities); `size` is
//! `width / heads`. Heads of queries share those of keys and values in groups that follow each other. Tasks are
//! sequences.

use rayon::prelude::*;

use super::math::{LANES, exp, max, sum};
use super::matrix::{Matrix, multiply};
use super::pointwise::drop_chunk;
use super::vectorised;
use crate::ops::{AttentionShape, Dropout};

/// Rows of scores at once. Fixed: it is part of the order of summation of keys' and values' gradients.
const BLOCK: usize = 64;

vectorised! {
    /// Turns the visible scores of a row into probabilities and zeroes the others; returns the row's `lse`.
    fn softmax_row(row: &mut [f32], visible: usize) -> f32 {
        let (seen, hidden) = row.split_at_mut(visible);
        hidden.fill(0.0);
        let top = max(seen);
        let mut lanes = [0.0_f32; LANES];
        let mut blocks = seen.chunks_exact_mut(LANES);
        for block in &mut blocks {
            for (value, lane) in block.iter_mut().zip(&mut lanes) {
                *value = exp(*value - top);
                *lane += *value;
            }
        }
        let mut total = 0.0;
        for lane in lanes {
            total += lane;
        }
        for value in blocks.into_remainder() {
            *value = exp(*value - top);
            total += *value;
        }
        let scale = 1.0 / total;
        for value in seen {
            *value *= scale;
        }
        top + total.ln()
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let b = &b[..a.len()];
        sum(a.len(), |i| a[i] * b[i])
    }

    /// From scores and gradients of (dropped) probabilities to probabilities and gradients of scores, in place.
    fn scores_backward_row(scores: &mut [f32], gradient: &mut [f32], lse: f32, delta: f32, scale: f32) {
        let gradient = &mut gradient[..scores.len()];
        for (score, gradient) in scores.iter_mut().zip(gradient) {
            let probability = exp(*score - lse);
            *score = probability;
            *gradient = probability * (*gradient - delta) * scale;
        }
    }
}

/// Offsets of one head inside a sequence's `qkv`.
#[derive(Clone, Copy)]
struct Head {
    index: usize,
    size: usize,
    width: usize,
    time: usize,
    /// Columns of `qkv`.
    packed: usize,
    /// First columns of its queries, keys and values.
    columns: [usize; 3],
}

impl Head {
    fn new(index: usize, shape: &AttentionShape) -> Self {
        let (size, shared) = (shape.size(), index / shape.group());
        let columns = [0, shape.width, shape.width + shape.kv_heads * size];
        let columns = [index * size, columns[1] + shared * size, columns[2] + shared * size];
        Self { index, size, width: shape.width, time: shape.time, packed: shape.packed(), columns }
    }

    /// `count` rows from `row` on of queries (0), keys (1) or values (2).
    fn part(self, qkv: &[f32], which: usize, row: usize, count: usize) -> Matrix<'_> {
        Matrix::strided(&qkv[self.offset(which, row)..], count, self.size, self.packed)
    }

    fn offset(self, which: usize, row: usize) -> usize {
        row * self.packed + self.columns[which]
    }

    /// `count` rows of a result or its gradient.
    fn rows(self, output: &[f32], row: usize, count: usize) -> Matrix<'_> {
        Matrix::strided(&output[row * self.width + self.index * self.size..], count, self.size, self.width)
    }

    fn scale(self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }

    /// Counter of the first probability of a row, for dropout.
    fn counter(self, sequence: usize, heads: usize, row: usize) -> u64 {
        ((sequence * heads + self.index) * self.time + row) as u64 * self.time as u64
    }
}

/// Attends; returns the result and `lse`.
pub fn forward(qkv: &[f32], shape: &AttentionShape, dropout: Option<Dropout>) -> (Vec<f32>, Vec<f32>) {
    let &AttentionShape { time, heads, width, mask, .. } = shape;
    let packed = shape.packed();
    let rows = qkv.len() / packed;
    let mut output = vec![0.0; rows * width];
    let mut lse = vec![0.0; rows * heads];
    output
        .par_chunks_mut(time * width)
        .zip(lse.par_chunks_mut(heads * time))
        .zip(qkv.par_chunks(time * packed))
        .enumerate()
        .for_each(|(sequence, ((output, lse), qkv))| {
            let mut scores = vec![0.0; BLOCK * time];
            for (index, lse) in lse.chunks_exact_mut(time).enumerate() {
                let head = Head::new(index, shape);
                for first in (0..time).step_by(BLOCK) {
                    let rows = BLOCK.min(time - first);
                    let keys = mask.visible(first + rows - 1, time);
                    let (query, key) = (head.part(qkv, 0, first, rows), head.part(qkv, 1, 0, keys));
                    multiply(&mut scores, keys, query, key.transposed(), head.scale(), false);
                    for (row, scores) in scores.chunks_exact_mut(keys).take(rows).enumerate() {
                        let visible = mask.visible(first + row, time);
                        lse[first + row] = softmax_row(scores, visible);
                        if let Some(Dropout { rate, key }) = dropout {
                            let counter = head.counter(sequence, heads, first + row);
                            drop_chunk(&mut scores[..visible], rate, key, counter);
                        }
                    }
                    let start = first * width + index * head.size;
                    let probabilities = Matrix::dense(&scores, rows, keys);
                    multiply(
                        &mut output[start..],
                        width,
                        probabilities,
                        head.part(qkv, 2, 0, keys),
                        1.0,
                        false,
                    );
                }
            }
        });
    (output, lse)
}

/// Gradient of `qkv`.
pub fn backward(
    qkv: &[f32],
    output: &[f32],
    lse: &[f32],
    gradient: &[f32],
    shape: &AttentionShape,
    dropout: Option<Dropout>,
) -> Vec<f32> {
    let &AttentionShape { time, heads, width, .. } = shape;
    let mut dqkv = vec![0.0; qkv.len()];
    let packed = shape.packed();
    dqkv.par_chunks_mut(time * packed).enumerate().for_each(|(sequence, dqkv)| {
        let rows = sequence * time..(sequence + 1) * time;
        let values = rows.start * width..rows.end * width;
        let saved = Sequence {
            index: sequence,
            qkv: &qkv[rows.start * packed..rows.end * packed],
            output: &output[values.clone()],
            lse: &lse[rows.start * heads..rows.end * heads],
            gradient: &gradient[values],
        };
        saved.backward(dqkv, shape, dropout);
    });
    dqkv
}

/// What the forward pass left of one sequence, and the gradient of its result.
struct Sequence<'a> {
    index: usize,
    qkv: &'a [f32],
    output: &'a [f32],
    lse: &'a [f32],
    gradient: &'a [f32],
}

impl Sequence<'_> {
    fn backward(&self, dqkv: &mut [f32], shape: &AttentionShape, dropout: Option<Dropout>) {
        let &AttentionShape { time, heads, width, mask, .. } = shape;
        let mut scores = vec![0.0; BLOCK * time];
        let mut dscores = vec![0.0; BLOCK * time];
        let mut factors = vec![0.0; if dropout.is_some() { time } else { 0 }];
        for index in 0..heads {
            let head = Head::new(index, shape);
            // Last block first: it sees every key, so that of a group's first head writes all of the keys' and values'
            // gradients, and the others add to them.
            let is_first = index % shape.group() == 0;
            for (round, first) in (0..time).step_by(BLOCK).rev().enumerate() {
                let rows = BLOCK.min(time - first);
                let keys = mask.visible(first + rows - 1, time);
                let (query, key) = (head.part(self.qkv, 0, first, rows), head.part(self.qkv, 1, 0, keys));
                let gradient = head.rows(self.gradient, first, rows);
                multiply(&mut scores, keys, query, key.transposed(), head.scale(), false);
                let value = head.part(self.qkv, 2, 0, keys);
                multiply(&mut dscores, keys, gradient, value.transposed(), 1.0, false);
                for row in 0..rows {
                    let visible = mask.visible(first + row, time);
                    let (scores, hidden) = scores[row * keys..(row + 1) * keys].split_at_mut(visible);
                    hidden.fill(0.0);
                    let (dscores, hidden) = dscores[row * keys..(row + 1) * keys].split_at_mut(visible);
                    hidden.fill(0.0);
                    let at = (first + row) * width + index * head.size;
                    let span = at..at + head.size;
                    let delta = dot(&self.output[span.clone()], &self.gradient[span]);
                    if let Some(Dropout { rate, key }) = dropout {
                        let factors = &mut factors[..visible];
                        factors.fill(1.0);
                        drop_chunk(factors, rate, key, head.counter(self.index, heads, first + row));
                        dscores.iter_mut().zip(&*factors).for_each(|(d, factor)| *d *= factor);
                    }
                    let lse = self.lse[index * time + first + row];
                    scores_backward_row(scores, dscores, lse, delta, head.scale());
                    if dropout.is_some() {
                        scores.iter_mut().zip(&factors).for_each(|(p, factor)| *p *= factor);
                    }
                }
                let probabilities = Matrix::dense(&scores, rows, keys).transposed();
                let dscores = Matrix::dense(&dscores, rows, keys);
                let (stride, add) = (shape.packed(), round > 0 || !is_first);
                multiply(&mut dqkv[head.offset(2, 0)..], stride, probabilities, gradient, 1.0, add);
                multiply(&mut dqkv[head.offset(1, 0)..], stride, dscores.transposed(), query, 1.0, add);
                multiply(&mut dqkv[head.offset(0, first)..], stride, dscores, key, 1.0, false);
            }
        }
    }
}
