//! Connected components with the smallest member as the root, in four bytes a document.

/// A forest over documents `0..len`, by their place in the global order.
///
/// The root of a component is always its smallest member, so the survivor is the first document in global order
/// whatever order the edges came in.
pub(crate) struct UnionFind {
    parent: Vec<u32>,
}

impl UnionFind {
    /// Every document alone.
    pub(crate) fn new(len: u32) -> Self {
        Self { parent: (0..len).collect() }
    }

    /// The smallest member of the component of `document`.
    pub(crate) fn root(&mut self, mut document: u32) -> u32 {
        // Path halving: every other node on the way points to its grandparent afterwards.
        while self.parent[document as usize] != document {
            let grandparent = self.parent[self.parent[document as usize] as usize];
            self.parent[document as usize] = grandparent;
            document = grandparent;
        }
        document
    }

    /// Joins the components of two documents.
    pub(crate) fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        self.parent[high as usize] = low;
    }

    pub(crate) fn len(&self) -> u32 {
        self.parent.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the order of the edges, every document's root is the least document it is connected with.
        #[test]
        fn the_root_is_the_first_in_order(
            edges in prop::collection::vec((0u32..60, 0u32..60), 0..80),
            seed in any::<u64>(),
        ) {
            // Reference: repeated relaxation of labels until nothing changes.
            let mut label: Vec<u32> = (0..60).collect();
            loop {
                let before = label.clone();
                for &(a, b) in &edges {
                    let least = label[a as usize].min(label[b as usize]);
                    label[a as usize] = least;
                    label[b as usize] = least;
                }
                if label == before {
                    break;
                }
            }
            let mut shuffled = edges.clone();
            shuffled.sort_by_key(|edge| {
                xxhash_rust::xxh3::xxh3_64_with_seed(&[edge.0.to_le_bytes(), edge.1.to_le_bytes()].concat(), seed)
            });
            let mut forest = UnionFind::new(60);
            for (a, b) in shuffled {
                forest.join(a, b);
            }
            for document in 0..60 {
                prop_assert_eq!(forest.root(document), label[document as usize]);
            }
        }
    }
}
