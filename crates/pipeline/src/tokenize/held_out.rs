//! Which documents are held out for validation: those with the lowest xxh3(seed, id).
//!
//! The hash is uniform, so the choice is one threshold, whatever the number of documents; it is found in two passes
//! over the ids and a few megabytes of memory.

use orchestrator_core::DocumentId;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// With fewer documents than this, single documents say too little: the last tokens are held out instead.
const FEW_DOCUMENTS: u64 = orchestrator_job::expand::FEW_DOCUMENTS;
/// Buckets of the first pass.
const BUCKETS: usize = 1 << 16;

/// What is held out of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum HeldOut {
    /// Nothing.
    None,
    /// Documents with (hash, id) up to this one.
    Documents {
        /// The greatest hash that is held out.
        hash: u64,
        /// Among documents with that hash, the greatest id.
        id: DocumentId,
        /// The seed of the hash.
        seed: u64,
        /// How many documents that is.
        count: u64,
    },
    /// The last fraction of all tokens, in millionths.
    Tail {
        /// Millionths of the tokens.
        millionths: u32,
    },
}

impl HeldOut {
    /// Whether a document is held out. A tail is not decided by documents.
    pub fn holds(&self, id: DocumentId) -> bool {
        match self {
            Self::None | Self::Tail { .. } => false,
            Self::Documents { hash, id: last, seed, .. } => (rank(*seed, id), id) <= (*hash, *last),
        }
    }

    /// Chooses `fraction` of the documents, and says how many there are where it looked. `ids` gives all ids anew each time it
    /// is called: twice at most.
    pub(crate) fn choose<E, I: Iterator<Item = Result<DocumentId, E>>>(
        fraction: f64,
        seed: u64,
        mut ids: impl FnMut() -> Result<I, E>,
    ) -> Result<(Self, Option<u64>), E> {
        if fraction <= 0.0 {
            return Ok((Self::None, None));
        }
        let mut buckets = vec![0_u64; BUCKETS];
        let mut documents = 0;
        for id in ids()? {
            buckets[bucket(rank(seed, id?))] += 1;
            documents += 1;
        }
        if documents < FEW_DOCUMENTS {
            return Ok((Self::Tail { millionths: (fraction * 1e6) as u32 }, Some(documents)));
        }
        let count = ((documents as f64 * fraction).round() as u64).clamp(1, documents - 1);
        // The bucket in which the last held-out document lies, and how many of it are held out.
        let mut before = 0;
        let mut last = 0;
        while before + buckets[last] < count {
            before += buckets[last];
            last += 1;
        }
        let mut candidates = Vec::with_capacity(buckets[last] as usize);
        for id in ids()? {
            let id = id?;
            let hash = rank(seed, id);
            if bucket(hash) == last {
                candidates.push((hash, id));
            }
        }
        candidates.sort_unstable();
        let (hash, id) = candidates[(count - before - 1) as usize];
        Ok((Self::Documents { hash, id, seed, count }, Some(documents)))
    }
}

fn rank(seed: u64, id: DocumentId) -> u64 {
    xxh3_64_with_seed(&id.0.to_be_bytes(), seed)
}

fn bucket(hash: u64) -> usize {
    (hash >> 48) as usize
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn choose(ids: &[u128], fraction: f64, seed: u64) -> HeldOut {
        let mut passes = 0;
        let all = || {
            passes += 1;
            Ok::<_, Infallible>(ids.iter().map(|&id| Ok(DocumentId(id))))
        };
        let (chosen, documents) = HeldOut::choose(fraction, seed, all).unwrap_or_else(|never| match never {});
        assert!(passes <= 2, "{passes} passes over the ids");
        assert_eq!(documents, (fraction > 0.0).then_some(ids.len() as u64));
        chosen
    }

    proptest! {
        #[test]
        fn exactly_the_lowest_are_held_out(
            ids in prop::collection::btree_set(any::<u128>(), 100..400),
            fraction in 0.001f64..0.9,
            seed in any::<u64>(),
        ) {
            let ids: Vec<u128> = ids.into_iter().collect();
            let held_out = choose(&ids, fraction, seed);
            let mut ranked: Vec<_> = ids.iter().map(|&id| (rank(seed, DocumentId(id)), DocumentId(id))).collect();
            ranked.sort_unstable();
            let count = ((ids.len() as f64 * fraction).round() as usize).max(1);
            for (place, (_, id)) in ranked.into_iter().enumerate() {
                prop_assert_eq!(held_out.holds(id), place < count);
            }
        }

        #[test]
        fn the_order_of_documents_does_not_matter(mut ids in prop::collection::vec(any::<u128>(), 100..300)) {
            let before = choose(&ids, 0.05, 7);
            ids.reverse();
            prop_assert_eq!(before, choose(&ids, 0.05, 7));
        }
    }

    #[test]
    fn few_documents_hold_out_a_tail() {
        assert_eq!(choose(&[1, 2, 3], 0.1, 7), HeldOut::Tail { millionths: 100_000 });
        assert_eq!(choose(&[1, 2, 3], 0.0, 7), HeldOut::None);
    }
}
