//! One step of gradient descent on the output matrix, for each loss.

use crate::fasttext::dictionary::Entry;
use crate::fasttext::loss::huffman;
use crate::fasttext::matrix::{Dense, dot};

use super::{NEGATIVES, Random, TrainLoss};

/// The output layer while it is trained: what it must know of its loss, and scratch.
pub(super) enum Update {
    /// One distribution over all labels; holds a score a label.
    Softmax(Vec<f32>),
    /// For each label its way down the Huffman tree: (row of the inner node, whether it turns right).
    Hierarchical(Vec<Vec<(u32, bool)>>),
    /// For each label the sum of the weights up to it; and chance.
    NegativeSampling(Vec<f64>, Random),
    /// One binary decision a label.
    OneVsAll,
}

impl Update {
    pub(super) fn new(loss: TrainLoss, labels: &[Entry], random: Random) -> Self {
        match loss {
            TrainLoss::Softmax => Self::Softmax(vec![0.0; labels.len()]),
            TrainLoss::HierarchicalSoftmax => Self::Hierarchical(paths(labels)),
            TrainLoss::NegativeSampling => Self::NegativeSampling(weights(labels), random),
            TrainLoss::OneVsAll => Self::OneVsAll,
        }
    }

    /// Moves `output` towards `label` at `hidden` and adds to `gradient` what the hidden vector should move by.
    pub(super) fn step(
        &mut self,
        label: u32,
        rate: f32,
        output: &mut Dense,
        hidden: &[f32],
        gradient: &mut [f32],
    ) {
        match self {
            Self::Softmax(scores) => {
                softmax(output, hidden, scores);
                for (row, score) in scores.iter().enumerate() {
                    let target = if row as u32 == label { 1.0 } else { 0.0 };
                    shift(row, rate * (target - score), output, hidden, gradient);
                }
            }
            Self::Hierarchical(paths) => {
                for &(row, turns_right) in &paths[label as usize] {
                    decide(row as usize, turns_right, rate, output, hidden, gradient);
                }
            }
            Self::NegativeSampling(weights, random) => {
                decide(label as usize, true, rate, output, hidden, gradient);
                for _ in 0..NEGATIVES {
                    decide(other(label as usize, weights, random), false, rate, output, hidden, gradient);
                }
            }
            Self::OneVsAll => {
                for row in 0..output.rows {
                    decide(row, row as u32 == label, rate, output, hidden, gradient);
                }
            }
        }
    }
}

fn softmax(output: &Dense, hidden: &[f32], scores: &mut [f32]) {
    for (label, score) in scores.iter_mut().enumerate() {
        *score = dot(output.row(label), hidden);
    }
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = libm::expf(*score - highest);
        sum += *score;
    }
    for score in scores.iter_mut() {
        *score /= sum;
    }
}

/// One binary decision: logistic regression on row `row`.
fn decide(row: usize, is_true: bool, rate: f32, output: &mut Dense, hidden: &[f32], gradient: &mut [f32]) {
    let score = 1.0 / (1.0 + libm::expf(-dot(output.row(row), hidden)));
    let target = if is_true { 1.0 } else { 0.0 };
    shift(row, rate * (target - score), output, hidden, gradient);
}

fn shift(row: usize, step: f32, output: &mut Dense, hidden: &[f32], gradient: &mut [f32]) {
    add(gradient, step, output.row(row));
    add(output.row_mut(row), step, hidden);
}

/// Adds `scale` times `vector` to `sum`.
pub(super) fn add(sum: &mut [f32], scale: f32, vector: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(vector) {
        *sum += scale * value;
    }
}

/// Sums of the roots of the labels' counts.
fn weights(labels: &[Entry]) -> Vec<f64> {
    let mut sum = 0.0;
    let mut add = |label: &Entry| {
        sum += libm::sqrt(label.count as f64);
        sum
    };
    labels.iter().map(&mut add).collect()
}

/// Draws a label other than `label`; there is one, since there are two labels at least and none has weight 0.
fn other(label: usize, weights: &[f64], random: &mut Random) -> usize {
    let before = label.checked_sub(1).map_or(0.0, |before| weights[before]);
    let own = weights[label] - before;
    let drawn = f64::from(random.unit()) * (weights[weights.len() - 1] - own);
    // The label's own stretch is left out.
    let drawn = if drawn < before { drawn } else { drawn + own };
    let found = weights.partition_point(|&sum| sum <= drawn).min(weights.len() - 1);
    // Rounding may lead to the edge of the stretch.
    if found == label { if label == 0 { 1 } else { label - 1 } } else { found }
}

/// The way from the root to every label.
fn paths(labels: &[Entry]) -> Vec<Vec<(u32, bool)>> {
    let children = huffman(labels);
    let leaves = labels.len();
    let mut paths = vec![Vec::new(); leaves];
    let Some(root) = (leaves + children.len()).checked_sub(1) else { return paths };
    let mut open = vec![(root, Vec::new())];
    while let Some((node, path)) = open.pop() {
        let Some(row) = node.checked_sub(leaves) else {
            paths[node] = path;
            continue;
        };
        for (child, turns_right) in children[row].into_iter().zip([false, true]) {
            let mut longer = path.clone();
            longer.push((row as u32, turns_right));
            open.push((child as usize, longer));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_drawn_by_the_root_of_their_counts() {
        let entry = |count| Entry { text: Box::default(), count };
        let weights = weights(&[entry(100), entry(25), entry(9), entry(4)]);
        assert_eq!(weights, [10.0, 15.0, 18.0, 20.0]);
        let mut random = Random(1);
        for label in 0..4 {
            let mut drawn = [0_u32; 4];
            (0..30_000).for_each(|_| drawn[other(label, &weights, &mut random)] += 1);
            let shares = [10.0, 5.0, 3.0, 2.0];
            for (at, count) in drawn.into_iter().enumerate() {
                let expected = if at == label { 0.0 } else { shares[at] / (20.0 - shares[label]) };
                assert!((f64::from(count) / 30_000.0 - expected).abs() < 0.02, "{label}: {drawn:?}");
            }
        }
    }

    #[test]
    fn frequent_labels_have_short_ways() {
        let entry = |count| Entry { text: Box::default(), count };
        let paths = paths(&[entry(50), entry(20), entry(10), entry(5)]);
        assert_eq!(paths.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 3, 3]);
        // The last inner node is the root, and every way begins there.
        assert!(paths.iter().all(|path| path[0].0 == 2));
        assert!(paths.iter().enumerate().all(|(at, path)| !paths[..at].contains(path)));
    }
}
