//! Token embeddings, with learned positions or without.

use rayon::prelude::*;

use super::linear::{add_assign, add_into};

/// Rows that are worth a task.
const ROWS_PER_TASK: usize = 64;

/// `table[tokens[row]] (+ positions[row mod time])` for each row; tokens are below the table's length.
pub fn forward(
    tokens: &[i32],
    table: &[f32],
    positions: Option<&[f32]>,
    time: usize,
    width: usize,
) -> Vec<f32> {
    let mut y = vec![0.0; tokens.len() * width];
    y.par_chunks_exact_mut(width).with_min_len(ROWS_PER_TASK).zip(tokens).enumerate().for_each(
        |(row, (y, token))| {
            let token = &table[*token as usize * width..][..width];
            match positions {
                Some(positions) => add_into(y, token, &positions[row % time * width..][..width]),
                None => y.copy_from_slice(token),
            }
        },
    );
    y
}

/// Gradients of both tables, the second where there are learned positions, `context` of them. Rows are added in order on one
/// thread: tokens repeat.
pub fn backward(
    tokens: &[i32],
    gradient: &[f32],
    (vocabulary, context): (usize, Option<usize>),
    time: usize,
    width: usize,
) -> (Vec<f32>, Option<Vec<f32>>) {
    let mut dtable = vec![0.0; vocabulary * width];
    let mut dpositions = context.map(|context| vec![0.0; context * width]);
    for (row, (token, gradient)) in tokens.iter().zip(gradient.chunks_exact(width)).enumerate() {
        add_assign(&mut dtable[*token as usize * width..][..width], gradient);
        if let Some(dpositions) = &mut dpositions {
            add_assign(&mut dpositions[row % time * width..][..width], gradient);
        }
    }
    (dtable, dpositions)
}
