//! Cross-entropy over the vocabulary.

use rayon::prelude::*;

use super::math::{exp, max, sum};
use super::vectorised;
use crate::ops::IGNORED;

/// Rows that are worth a task.
const ROWS_PER_TASK: usize = 16;

vectorised! {
    /// Logarithm of the sum of exponentials.
    pub(crate) fn log_sum_exp(row: &[f32]) -> f32 {
        let top = max(row);
        top + sum(row.len(), |i| exp(row[i] - top)).ln()
    }

    fn probabilities(row: &mut [f32], lse: f32, scale: f32) {
        for value in row {
            *value = exp(*value - lse) * scale;
        }
    }
}

/// How many targets count.
fn counted(targets: &[i32]) -> usize {
    targets.iter().filter(|target| **target != IGNORED).count()
}

/// Mean over the counted rows of `−log p(target)`, for `logits [rows, vocabulary]`; and each row's `lse`.
pub fn forward(logits: &[f32], targets: &[i32], vocabulary: usize) -> (f32, Vec<f32>) {
    let mut lse = vec![0.0; targets.len()];
    lse.par_iter_mut()
        .with_min_len(ROWS_PER_TASK)
        .zip(logits.par_chunks_exact(vocabulary))
        .for_each(|(lse, row)| *lse = log_sum_exp(row));
    let mut total = 0.0_f64;
    for (row, target) in targets.iter().enumerate() {
        if *target != IGNORED {
            total += f64::from(lse[row]) - f64::from(logits[row * vocabulary + *target as usize]);
        }
    }
    ((total / counted(targets).max(1) as f64) as f32, lse)
}

/// Turns logits into their gradient, in place; `gradient` is the loss's own.
pub fn backward(logits: &mut [f32], targets: &[i32], lse: &[f32], gradient: f32, vocabulary: usize) {
    let scale = gradient / counted(targets).max(1) as f32;
    logits.par_chunks_exact_mut(vocabulary).with_min_len(ROWS_PER_TASK).zip(lse).zip(targets).for_each(
        |((row, lse), target)| {
            if *target == IGNORED {
                row.fill(0.0);
            } else {
                probabilities(row, *lse, scale);
                row[*target as usize] -= scale;
            }
        },
    );
}
