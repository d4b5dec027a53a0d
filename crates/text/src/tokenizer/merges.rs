//! Merging by rank: the heart of BPE encoding.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

/// No pair has this rank.
const NONE: u32 = u32::MAX;

/// Words longer than this are merged through a heap: the scan below is quadratic.
const SCAN_LIMIT: usize = 96;

/// Which pairs merge, in which order, and into what.
#[derive(Debug, Default)]
pub(super) struct Merges {
    table: FxHashMap<u64, (u32, u32)>,
}

/// Buffers that live as long as an encoder.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    parts: Vec<Part>,
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

/// A symbol, and the merge with its right neighbour.
#[derive(Clone, Copy, Debug)]
struct Part {
    id: u32,
    rank: u32,
    merged: u32,
    previous: u32,
    next: u32,
}

impl Merges {
    /// Adds the next merge in order. A pair that comes again gets the later rank, as in the `tokenizers` crate.
    pub(super) fn insert(&mut self, rank: u32, left: u32, right: u32, merged: u32) {
        self.table.insert(key(left, right), (rank, merged));
    }

    #[inline]
    fn get(&self, left: u32, right: u32) -> (u32, u32) {
        self.table.get(&key(left, right)).copied().unwrap_or((NONE, 0))
    }

    /// Merges `symbols` until no pair of neighbours merges, lowest rank first, leftmost first, and appends the rest.
    pub(super) fn apply(
        &self,
        symbols: impl Iterator<Item = u32>,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) {
        let parts = &mut scratch.parts;
        parts.clear();
        parts.extend(symbols.map(|id| Part { id, rank: NONE, merged: 0, previous: 0, next: 0 }));
        for index in 1..parts.len() {
            (parts[index - 1].rank, parts[index - 1].merged) = self.get(parts[index - 1].id, parts[index].id);
        }
        if parts.len() > SCAN_LIMIT {
            self.merge_by_heap(parts, &mut scratch.heap, ids);
        } else {
            self.merge_by_scan(parts);
            ids.extend(parts.iter().map(|part| part.id));
        }
    }

    fn merge_by_scan(&self, parts: &mut Vec<Part>) {
        loop {
            let (mut best, mut rank) = (0, NONE);
            for (index, part) in parts.iter().enumerate() {
                if part.rank < rank {
                    (best, rank) = (index, part.rank);
                }
            }
            if rank == NONE {
                return;
            }
            parts[best].id = parts[best].merged;
            parts.remove(best + 1);
            (parts[best].rank, parts[best].merged) = match parts.get(best + 1) {
                Some(next) => self.get(parts[best].id, next.id),
                None => (NONE, 0),
            };
            if best > 0 {
                (parts[best - 1].rank, parts[best - 1].merged) = self.get(parts[best - 1].id, parts[best].id);
            }
        }
    }

    /// The same over a linked list. An entry of the heap is stale where its symbol's rank has changed.
    fn merge_by_heap(
        &self,
        parts: &mut [Part],
        heap: &mut BinaryHeap<Reverse<(u32, u32)>>,
        ids: &mut Vec<u32>,
    ) {
        heap.clear();
        for (index, part) in parts.iter_mut().enumerate() {
            part.previous = (index as u32).wrapping_sub(1);
            part.next = index as u32 + 1;
            if part.rank != NONE {
                heap.push(Reverse((part.rank, index as u32)));
            }
        }
        let end = parts.len() as u32;
        while let Some(Reverse((rank, at))) = heap.pop() {
            let part = parts[at as usize];
            if part.rank != rank {
                continue;
            }
            let after = parts[part.next as usize].next;
            parts[part.next as usize].rank = NONE;
            parts[at as usize].id = part.merged;
            parts[at as usize].next = after;
            if after < end {
                parts[after as usize].previous = at;
            }
            for left in [part.previous, at] {
                if left >= end {
                    continue;
                }
                let right = parts[left as usize].next;
                let (rank, merged) = if right < end {
                    self.get(parts[left as usize].id, parts[right as usize].id)
                } else {
                    (NONE, 0)
                };
                parts[left as usize].rank = rank;
                parts[left as usize].merged = merged;
                if rank != NONE {
                    heap.push(Reverse((rank, left)));
                }
            }
        }
        let mut at = 0;
        while at < end {
            ids.push(parts[at as usize].id);
            at = parts[at as usize].next;
        }
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Random tables over a small alphabet, merged by both ways.
        #[test]
        fn heap_and_scan_agree(
            pairs in proptest::collection::vec((0u32..12, 0u32..12), 0..40),
            symbols in proptest::collection::vec(0u32..4, 0..300),
        ) {
            let mut merges = Merges::default();
            for (rank, (left, right)) in pairs.into_iter().enumerate() {
                merges.insert(rank as u32, left, right, 4 + rank as u32 % 8);
            }
            let start = |index: usize, id: u32| {
                let (rank, merged) = symbols.get(index + 1).map_or((NONE, 0), |next| merges.get(id, *next));
                Part { id, rank, merged, previous: 0, next: 0 }
            };
            let mut scan: Vec<Part> = symbols.iter().enumerate().map(|(index, id)| start(index, *id)).collect();
            let mut heap = scan.clone();
            merges.merge_by_scan(&mut scan);
            let mut by_heap = Vec::new();
            merges.merge_by_heap(&mut heap, &mut BinaryHeap::new(), &mut by_heap);
            prop_assert_eq!(scan.iter().map(|part| part.id).collect::<Vec<_>>(), by_heap);
        }
    }
}
