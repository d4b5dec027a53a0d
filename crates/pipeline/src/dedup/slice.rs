//! Ranges of the hash space, one a task.

use std::ops::Range;

/// A range of hashes, the same one in every band.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) number: u32,
    pub(crate) count: u32,
}

impl Slice {
    /// Slice `number` of `count`; a count of 0 is one of 1.
    pub(crate) fn new(number: u32, count: u32) -> Self {
        Self { number, count: count.max(1) }
    }

    /// Whether a hash belongs here. Hashes are uniform, so equal ranges hold about equally many.
    pub(crate) fn holds(self, hash: u64) -> bool {
        self.of(hash) == self.number
    }

    fn of(self, hash: u64) -> u32 {
        ((u128::from(hash) * u128::from(self.count)) >> 64) as u32
    }

    /// The buckets in which hashes of this slice can lie, where a hash's upper `bits` bits are its bucket.
    pub(crate) fn buckets(self, bits: u32) -> Range<usize> {
        let first_of = |bucket: u64| bucket << (64 - bits);
        let last_of = |bucket: u64| first_of(bucket) | (u64::MAX >> bits);
        // Both rise with the bucket.
        let (mut start, mut end) = (0, 1 << bits);
        while start < end && self.of(last_of(start)) < self.number {
            start += 1;
        }
        while start < end && self.of(first_of(end - 1)) > self.number {
            end -= 1;
        }
        start as usize..end as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_lies_in_exactly_one_slice() {
        for hash in [0, 1, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
            let holders = (0..7).filter(|&number| Slice { number, count: 7 }.holds(hash));
            assert_eq!(holders.count(), 1, "{hash}");
        }
    }

    #[test]
    fn the_buckets_of_a_slice_hold_all_of_it_and_little_else() {
        for count in [1, 2, 3, 7, 16, 1000, 1024] {
            for number in 0..count {
                let slice = Slice::new(number, count);
                let buckets = slice.buckets(10);
                assert!(buckets.len() <= 1024_usize.div_ceil(count as usize) + 1, "{number} of {count}");
                for bucket in 0..1024_u64 {
                    let inside =
                        [0, 1, 77, (1 << 54) - 1].iter().any(|low| slice.holds((bucket << 54) | low));
                    assert!(
                        !inside || buckets.contains(&(bucket as usize)),
                        "{bucket} of {number} of {count}"
                    );
                }
            }
        }
    }
}
