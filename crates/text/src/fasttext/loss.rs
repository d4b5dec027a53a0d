//! From the hidden vector to labels and scores, for each of fastText's losses.

use super::dictionary::Entry;
use super::matrix::Matrix;

/// How the output layer was trained, and so how it is read.
#[derive(Clone, Debug)]
pub(super) enum Loss {
    /// A Huffman tree of binary decisions; inner node `labels + i` is row `i` of the output matrix.
    Hierarchical(Vec<[u32; 2]>),
    /// One distribution over all labels.
    Softmax,
    /// One binary decision a label (one-vs-all, negative sampling).
    Binary,
}

/// fastText's guarded logarithm: scores are exp(log(p + 1e-5)), as the library gives them.
fn guarded_log(probability: f32) -> f32 {
    libm::log(f64::from(probability) + 1e-5) as f32
}

/// Weight of a node not yet built, above every label's.
const UNBUILT: i64 = super::dictionary::MAX_LABEL_COUNT;

/// Builds the children of the inner nodes from the labels' counts.
pub(super) fn huffman(labels: &[Entry]) -> Vec<[u32; 2]> {
    let leaves = labels.len();
    let mut counts: Vec<i64> = labels.iter().map(|label| label.count).collect();
    let mut children = Vec::with_capacity(leaves.saturating_sub(1));
    let (mut leaf, mut node) = (leaves, leaves);
    for _ in 1..leaves {
        let mut pair = [0; 2];
        for child in &mut pair {
            let next = counts.get(node).copied().unwrap_or(UNBUILT);
            if leaf > 0 && counts[leaf - 1] < next {
                leaf -= 1;
                *child = leaf as u32;
            } else {
                *child = node as u32;
                node += 1;
            }
        }
        counts.push(counts[pair[0] as usize].saturating_add(counts[pair[1] as usize]));
        children.push(pair);
    }
    children
}

impl Loss {
    /// Appends (logarithm of the score, label) of every label whose score is not vanishing.
    pub(super) fn score(&self, output: &Matrix, hidden: &[f32], labels: usize, found: &mut Vec<(f32, u32)>) {
        found.clear();
        match self {
            Self::Hierarchical(children) => descend(children, output, hidden, labels, found),
            Self::Softmax => {
                found.extend((0..labels).map(|label| (output.dot_row(label, hidden), label as u32)));
                softmax(found);
                for (score, _) in found.iter_mut() {
                    *score = guarded_log(*score);
                }
            }
            Self::Binary => found.extend((0..labels).map(|label| {
                let score = table_sigmoid(output.dot_row(label, hidden));
                (guarded_log(score), label as u32)
            })),
        }
    }
}

fn softmax(scores: &mut [(f32, u32)]) {
    let highest = scores.iter().map(|&(score, _)| score).fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (score, _) in scores.iter_mut() {
        *score = libm::expf(*score - highest);
        sum += *score;
    }
    for (score, _) in scores {
        *score /= sum;
    }
}

fn descend(
    children: &[[u32; 2]],
    output: &Matrix,
    hidden: &[f32],
    labels: usize,
    found: &mut Vec<(f32, u32)>,
) {
    let floor = guarded_log(0.0);
    let Some(root) = (labels + children.len()).checked_sub(1) else { return };
    // A stack of our own: a hostile file's tree may be as deep as it has labels.
    let mut open = vec![(root as u32, 0.0_f32)];
    while let Some((node, score)) = open.pop() {
        if score < floor {
            continue;
        }
        let Some(row) = (node as usize).checked_sub(labels) else {
            found.push((score, node));
            continue;
        };
        let right = (1.0 / (1.0 + f64::from(libm::expf(-output.dot_row(row, hidden))))) as f32;
        let left = (1.0 - f64::from(right)) as f32;
        let [left_child, right_child] = children[row];
        open.push((right_child, score + guarded_log(right)));
        open.push((left_child, score + guarded_log(left)));
    }
}

/// The sigmoid by table that C++ uses here: 512 steps over −8 to 8.
fn table_sigmoid(x: f32) -> f32 {
    const STEPS: f32 = 512.0;
    const BOUND: f32 = 8.0;
    if x < -BOUND {
        return 0.0;
    }
    if x > BOUND {
        return 1.0;
    }
    let step = ((x + BOUND) * STEPS / BOUND / 2.0).floor();
    let x = step * 2.0 * BOUND / STEPS - BOUND;
    (1.0 / (1.0 + f64::from(libm::expf(-x)))) as f32
}
