//! Connected components with the smallest member as the root, in four bytes a document.

/// Stands for "in no cluster" where a document's cluster is asked for.
const ALONE: u32 = u32::MAX;

/// A forest over documents `0..len`, by their place in the global order.
///
/// The root of a component is always its smallest member, so that the result is the same whatever order the edges came
/// in, and however they were shared out among tasks.
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

    /// Every document that is no root, with its root, in order of documents.
    pub(crate) fn members(mut self) -> impl Iterator<Item = (u32, u32)> {
        self.flatten();
        (0..).zip(self.parent).filter(|(document, root)| document != root)
    }

    /// Points every document at its root. A parent is never greater than its child, so one pass in order suffices.
    fn flatten(&mut self) {
        for document in 0..self.parent.len() {
            self.parent[document] = self.parent[self.parent[document] as usize];
        }
    }

    /// Numbers the components of two documents and more in order of their roots.
    ///
    /// Parents are looked at where they are, roots or not: a parent comes before its child, so that in one pass in order it
    /// carries its cluster's number by then. What costs here is memory far apart, and that is one look a document.
    pub(crate) fn into_clusters(self) -> Clusters {
        // One bit a document: whether others point to it.
        let mut has_children = vec![0_u64; self.parent.len().div_ceil(64)];
        for (document, &parent) in (0..).zip(&self.parent) {
            has_children[parent as usize / 64] |= u64::from(parent != document) << (parent % 64);
        }
        let begins = |document: usize| has_children[document / 64] & (1 << (document % 64)) != 0;
        let roots = self.parent.iter().enumerate().filter(|&(document, &parent)| parent as usize == document);
        let mut sizes = Vec::with_capacity(roots.filter(|&(document, _)| begins(document)).count());
        let mut number_of = self.parent;
        for document in 0..number_of.len() {
            let parent = number_of[document] as usize;
            number_of[document] = if parent != document {
                let number = number_of[parent];
                sizes[number as usize] += 1;
                number
            } else if begins(document) {
                sizes.push(1);
                sizes.len() as u32 - 1
            } else {
                ALONE
            };
        }
        Clusters { number_of, sizes }
    }
}

/// Which documents belong together: clusters of two and more, numbered in order of their first documents.
pub(crate) struct Clusters {
    number_of: Vec<u32>,
    sizes: Vec<u32>,
}

impl Clusters {
    /// The cluster of a document, if it is not alone.
    pub(crate) fn of(&self, document: u32) -> Option<usize> {
        self.number_of
            .get(document as usize)
            .filter(|&&number| number != ALONE)
            .map(|&number| number as usize)
    }

    /// Documents of each cluster.
    pub(crate) fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Documents, alone or not.
    pub(crate) fn documents(&self) -> u32 {
        self.number_of.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reference: repeated relaxation of labels until nothing changes.
    fn labels(edges: &[(u32, u32)]) -> Vec<u32> {
        let mut label: Vec<u32> = (0..60).collect();
        loop {
            let before = label.clone();
            for &(a, b) in edges {
                let least = label[a as usize].min(label[b as usize]);
                label[a as usize] = least;
                label[b as usize] = least;
            }
            if label == before {
                return label;
            }
        }
    }

    fn joined(edges: impl IntoIterator<Item = (u32, u32)>) -> UnionFind {
        let mut forest = UnionFind::new(60);
        for (a, b) in edges {
            forest.join(a, b);
        }
        forest
    }

    proptest! {
        /// Whatever the order of the edges, every document's root is the least document it is connected with.
        #[test]
        fn the_root_is_the_first_in_order(
            edges in prop::collection::vec((0u32..60, 0u32..60), 0..80),
            seed in any::<u64>(),
        ) {
            let label = labels(&edges);
            let mut shuffled = edges.clone();
            shuffled.sort_by_key(|edge| {
                xxhash_rust::xxh3::xxh3_64_with_seed(&[edge.0.to_le_bytes(), edge.1.to_le_bytes()].concat(), seed)
            });
            let mut forest = joined(shuffled);
            for document in 0..60 {
                prop_assert_eq!(forest.root(document), label[document as usize]);
            }
        }

        /// Edges may be shared out among any number of tasks, each of which hands on its forest alone.
        #[test]
        fn forests_of_shares_join_to_the_forest_of_all(
            edges in prop::collection::vec((0u32..60, 0u32..60), 0..80),
            tasks in 1usize..7,
        ) {
            let label = labels(&edges);
            let shares = (0..tasks).map(|task| joined(edges.iter().copied().skip(task).step_by(tasks)));
            let mut forest = joined(shares.flat_map(UnionFind::members));
            for document in 0..60 {
                prop_assert_eq!(forest.root(document), label[document as usize]);
            }
        }

        #[test]
        fn clusters_are_numbered_in_order_and_counted(
            edges in prop::collection::vec((0u32..60, 0u32..60), 0..40),
        ) {
            let label = labels(&edges);
            let clusters = joined(edges).into_clusters();
            let mut roots: Vec<u32> = (0..60).filter(|&document| {
                label.iter().filter(|&&root| root == document).count() > 1
            }).collect();
            roots.sort_unstable();
            prop_assert_eq!(clusters.sizes().len(), roots.len());
            for document in 0..60 {
                let expected = roots.iter().position(|&root| root == label[document as usize]);
                prop_assert_eq!(clusters.of(document), expected);
            }
            for (number, root) in roots.iter().enumerate() {
                let members = label.iter().filter(|&label| label == root).count();
                prop_assert_eq!(clusters.sizes()[number] as usize, members);
            }
        }
    }
}
