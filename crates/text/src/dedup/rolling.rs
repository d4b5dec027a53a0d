//! Hashes of all windows of a sequence, in constant time each, after Karp and Rabin 1987.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_128;

/// 2⁶¹ − 1, a prime.
const PRIME: u64 = (1 << 61) - 1;
/// Where the two polynomials are evaluated: any two numbers, drawn once.
const BASES: [u64; 2] = [0x0b7e_1516_28ae_d2a6, 0x1bf7_1588_09cf_4f3c];

fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    reduce((product & u128::from(PRIME)) as u64 + (product >> 61) as u64)
}

/// A number modulo the prime.
fn reduce(number: u64) -> u64 {
    let number = (number & PRIME) + (number >> 61);
    if number >= PRIME { number - PRIME } else { number }
}

/// The last tokens of a sequence and their hash: two polynomials over the tokens' hashes, each modulo 2⁶¹ − 1. Two windows
/// of N different tokens have equal hashes with a probability of about (N / 2⁶¹)².
pub(super) struct Rolling {
    length: usize,
    /// Both halves of the tokens' hashes.
    tokens: VecDeque<[u64; 2]>,
    sums: [u64; 2],
    /// The bases to the power of the window's length less one: what the first token counts with.
    highest: [u64; 2],
}

impl Rolling {
    /// For windows of `length` tokens, at least one.
    pub(super) fn new(length: usize) -> Self {
        let highest = BASES.map(|base| (1..length).fold(1, |power, _| multiply(power, base)));
        Self { length, tokens: VecDeque::with_capacity(length), sums: [0; 2], highest }
    }

    /// Forgets all tokens.
    pub(super) fn clear(&mut self) {
        self.tokens.clear();
        self.sums = [0; 2];
    }

    /// Adds a token's hash; the hash of the window that it ends, once there are enough.
    pub(super) fn push(&mut self, hash: u128) -> Option<u128> {
        let first = if self.tokens.len() == self.length { self.tokens.pop_front() } else { None };
        let token = [(hash >> 64) as u64, hash as u64].map(reduce);
        for half in 0..2 {
            let gone = first.map_or(0, |first| multiply(first[half], self.highest[half]));
            let rest = reduce(self.sums[half] + PRIME - gone);
            self.sums[half] = reduce(multiply(rest, BASES[half]) + token[half]);
        }
        self.tokens.push_back(token);
        if self.tokens.len() < self.length {
            return None;
        }
        // The sums are no uniform bits, which slices of the hash space need.
        let sums = (u128::from(self.sums[0]) << 64) | u128::from(self.sums[1]);
        Some(xxh3_128(&sums.to_le_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Windows have equal hashes where their tokens are equal, and nowhere else.
        #[test]
        fn equal_windows_have_equal_hashes(tokens in prop::collection::vec(0u8..3, 1..120), length in 1usize..9) {
            let mut rolling = Rolling::new(length);
            let hashes: Vec<Option<u128>> = tokens.iter().map(|token| rolling.push(xxh3_128(&[*token]))).collect();
            prop_assert!(hashes.iter().take(length - 1).all(Option::is_none));
            let hashes: Vec<u128> = hashes.into_iter().flatten().collect();
            let windows: Vec<&[u8]> = tokens.windows(length).collect();
            prop_assert_eq!(hashes.len(), windows.len());
            for (i, one) in windows.iter().enumerate() {
                for (j, other) in windows.iter().enumerate() {
                    prop_assert_eq!(hashes[i] == hashes[j], one == other);
                }
            }
        }

        #[test]
        fn products_are_right(a in 0..PRIME, b in 0..PRIME) {
            prop_assert_eq!(u128::from(multiply(a, b)), u128::from(a) * u128::from(b) % u128::from(PRIME));
        }
    }
}
