//! Rotary positions, in the pass that puts queries, keys and values side by side for attention.
//!
//! Shapes: `query [rows, heads · size]`, `key` and `value [rows, kv_heads · size]`, cosines and sines `[time, size / 2]`,
//! packed `[rows, (heads + 2 · kv_heads) · size]`. A head's channel `i` is turned together with channel `i + size / 2`.

use rayon::prelude::*;

use super::vectorised;
use crate::ops::RotaryTable;

/// Rows that are worth a task.
const ROWS_PER_TASK: usize = 64;

vectorised! {
    /// Turns every head of a row by the angles of its position.
    fn turn_row(x: &[f32], cosines: &[f32], sines: &[f32], y: &mut [f32]) {
        let half = cosines.len();
        let sines = &sines[..half];
        for (x, y) in x.chunks_exact(2 * half).zip(y.chunks_exact_mut(2 * half)) {
            let (first, second) = x.split_at(half);
            let (turned_first, turned_second) = y.split_at_mut(half);
            for i in 0..half {
                turned_first[i] = first[i] * cosines[i] - second[i] * sines[i];
                turned_second[i] = second[i] * cosines[i] + first[i] * sines[i];
            }
        }
    }

    /// Turns every head of a row back: the transpose of [`turn_row`], which is its gradient.
    fn turn_row_back(x: &[f32], cosines: &[f32], sines: &[f32], y: &mut [f32]) {
        let half = cosines.len();
        let sines = &sines[..half];
        for (x, y) in x.chunks_exact(2 * half).zip(y.chunks_exact_mut(2 * half)) {
            let (first, second) = x.split_at(half);
            let (turned_first, turned_second) = y.split_at_mut(half);
            for i in 0..half {
                turned_first[i] = first[i] * cosines[i] + second[i] * sines[i];
                turned_second[i] = second[i] * cosines[i] - first[i] * sines[i];
            }
        }
    }
}

/// Turns queries and keys and packs them with the values. `widths` are those of a query's row and of a key's.
pub fn forward(
    query: &[f32],
    key: &[f32],
    value: &[f32],
    widths: (usize, usize),
    table: &RotaryTable,
) -> Vec<f32> {
    let (wide, narrow) = widths;
    let packed = wide + 2 * narrow;
    let rows = query.len() / wide;
    let mut y = vec![0.0; rows * packed];
    y.par_chunks_exact_mut(packed).with_min_len(ROWS_PER_TASK).enumerate().for_each(|(row, y)| {
        let (cosines, sines) = table.angles(row);
        let (queries, rest) = y.split_at_mut(wide);
        let (keys, values) = rest.split_at_mut(narrow);
        turn_row(&query[row * wide..(row + 1) * wide], cosines, sines, queries);
        let span = row * narrow..(row + 1) * narrow;
        turn_row(&key[span.clone()], cosines, sines, keys);
        values.copy_from_slice(&value[span]);
    });
    y
}

/// Gradients of queries, keys and values.
pub fn backward(
    gradient: &[f32],
    widths: (usize, usize),
    table: &RotaryTable,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (wide, narrow) = widths;
    let packed = wide + 2 * narrow;
    let rows = gradient.len() / packed;
    let (mut query, mut key, mut value) =
        (vec![0.0; rows * wide], vec![0.0; rows * narrow], vec![0.0; rows * narrow]);
    query
        .par_chunks_exact_mut(wide)
        .with_min_len(ROWS_PER_TASK)
        .zip(key.par_chunks_exact_mut(narrow))
        .zip(value.par_chunks_exact_mut(narrow))
        .zip(gradient.par_chunks_exact(packed))
        .enumerate()
        .for_each(|(row, (((query, key), value), gradient))| {
            let (cosines, sines) = table.angles(row);
            let (queries, rest) = gradient.split_at(wide);
            let (keys, values) = rest.split_at(narrow);
            turn_row_back(queries, cosines, sines, query);
            turn_row_back(keys, cosines, sines, key);
            value.copy_from_slice(values);
        });
    (query, key, value)
}
