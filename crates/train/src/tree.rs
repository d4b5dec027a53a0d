//! The canonical order of summation: a binary tree over a step's micro-batches.
//!
//! ```text
//!             [0,6)                a node of n leaves splits at the largest power of two below n
//!          ┌────┴─────┐
//!        [0,4)      [4,6)          rank 0 owns 0–2, rank 1 owns 3–5:
//!       ┌──┴──┐     ┌─┴─┐          rank 0 sends [0,2) and [2,3), rank 1 sends [3,4) and [4,6);
//!     [0,2) [2,4)   4   5          whoever adds them adds along the same tree
//!      0 1   2 3
//! ```
//!
//! So the bits of the sum depend on the number of micro-batches, and not on how many ranks computed them.

use std::ops::Range;

/// The leaves of a node.
pub type Node = Range<usize>;

/// The two children of a node with at least two leaves.
fn children(node: &Node) -> (Node, Node) {
    let half = node.len().next_power_of_two() / 2;
    (node.start..node.start + half, node.start + half..node.end)
}

/// The contiguous leaves of a rank: sizes differ by at most one.
pub fn owned(leaves: usize, rank: usize, world_size: usize) -> Range<usize> {
    leaves * rank / world_size..leaves * (rank + 1) / world_size
}

/// The maximal complete subtrees inside a span of leaves, from left to right.
pub fn subtrees(leaves: usize, span: &Range<usize>) -> Vec<Node> {
    fn visit(node: Node, span: &Range<usize>, found: &mut Vec<Node>) {
        if node.start >= span.start && node.end <= span.end {
            found.push(node);
        } else if node.start < span.end && node.end > span.start {
            let (left, right) = children(&node);
            visit(left, span, found);
            visit(right, span, found);
        }
    }
    let mut found = Vec::new();
    if leaves > 0 && !span.is_empty() {
        visit(0..leaves, span, &mut found);
    }
    found
}

/// Sums the leaves of a node along the tree. `leaf` makes a leaf's value; `add` adds its second argument to its first.
pub fn sum<T, E>(
    node: Node,
    leaf: &mut impl FnMut(usize) -> Result<T, E>,
    add: &mut impl FnMut(&mut T, T),
) -> Result<T, E> {
    if node.len() == 1 {
        return leaf(node.start);
    }
    let (left, right) = children(&node);
    let mut total = sum(left, leaf, add)?;
    let right = sum(right, leaf, add)?;
    add(&mut total, right);
    Ok(total)
}

/// Sums subtrees that together cover all leaves, along the tree. They come as [`subtrees`] of consecutive spans gave them.
pub fn join<T>(leaves: usize, parts: Vec<(Node, T)>, add: &mut impl FnMut(&mut T, T)) -> Option<T> {
    fn visit<T>(
        node: &Node,
        parts: &mut std::iter::Peekable<std::vec::IntoIter<(Node, T)>>,
        add: &mut impl FnMut(&mut T, T),
    ) -> Option<T> {
        if parts.peek().is_some_and(|(part, _)| part == node) {
            return parts.next().map(|(_, value)| value);
        }
        if node.len() < 2 {
            return None;
        }
        let (left, right) = children(node);
        let mut total = visit(&left, parts, add)?;
        let right = visit(&right, parts, add)?;
        add(&mut total, right);
        Some(total)
    }
    visit(&(0..leaves), &mut parts.into_iter().peekable(), add)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum that shows its own order.
    fn text(leaves: usize, world_size: usize) -> String {
        let mut add = |a: &mut String, b: String| *a = format!("({a}+{b})");
        let mut parts = Vec::new();
        for rank in 0..world_size {
            for node in subtrees(leaves, &owned(leaves, rank, world_size)) {
                let mut leaf = |i: usize| Ok::<_, ()>(i.to_string());
                let value = sum(node.clone(), &mut leaf, &mut add).expect("leaves do not fail");
                parts.push((node, value));
            }
        }
        join(leaves, parts, &mut add).expect("every leaf is owned")
    }

    #[test]
    fn the_order_of_summation_does_not_know_the_ranks() {
        assert_eq!(text(6, 1), "(((0+1)+(2+3))+(4+5))");
        for leaves in 1..40 {
            for world_size in 1..=leaves {
                assert_eq!(text(leaves, world_size), text(leaves, 1), "{leaves} leaves, {world_size} ranks");
            }
        }
    }

    #[test]
    fn missing_parts_are_noticed() {
        let mut add = |a: &mut u32, b: u32| *a += b;
        assert_eq!(join(4, vec![(0..2, 1), (2..3, 1)], &mut add), None);
    }
}
