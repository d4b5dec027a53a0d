//! The minima of MinHash: for each of a hundred permutations, the least value over all shingles of a document.

/// The Mersenne prime of the compatible permutations.
pub(crate) const MODULUS: u64 = (1 << 61) - 1;

/// Shingles that are looked at together: few enough that looking again at one such block costs little.
const BLOCK: usize = 16;
/// The same for shingles of 32 bits, where nothing is looked at again: four vectors, so that none waits for the one before.
const WIDE_BLOCK: usize = 32;
/// The sign of a difference.
const SIGN: u64 = 1 << 63;

/// Lowers each of `minima` to the least x·a + b modulo 2³² over the shingles x, for its own a and b.
pub(crate) fn native(shingles: &[u32], a: &[u32], b: &[u32], minima: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2, the only feature that the function is compiled for.
        unsafe { native_avx2(shingles, a, b, minima) };
        return;
    }
    native_with(shingles, a, b, minima);
}

/// Lowers each of `minima` to the least ((x·a + b) modulo 2⁶⁴) modulo 2⁶¹ − 1 over the shingles x, for its own a and b.
pub(crate) fn prime(shingles: &[u64], a: &[u64], b: &[u64], minima: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2, the only feature that the function is compiled for.
        unsafe { prime_avx2(shingles, a, b, minima) };
        return;
    }
    prime_with(shingles, a, b, minima);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn native_avx2(shingles: &[u32], a: &[u32], b: &[u32], minima: &mut [u32]) {
    native_with(shingles, a, b, minima);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn prime_avx2(shingles: &[u64], a: &[u64], b: &[u64], minima: &mut [u64]) {
    prime_with(shingles, a, b, minima);
}

#[inline(always)]
fn native_with(shingles: &[u32], a: &[u32], b: &[u32], minima: &mut [u32]) {
    let (blocks, rest) = shingles.as_chunks::<WIDE_BLOCK>();
    for ((&a, &b), minimum) in a.iter().zip(b).zip(minima) {
        let value = |x: &u32| x.wrapping_mul(a).wrapping_add(b);
        let mut least = [u32::MAX; WIDE_BLOCK];
        for block in blocks {
            for (least, x) in least.iter_mut().zip(block) {
                *least = (*least).min(value(x));
            }
        }
        *minimum = rest.iter().map(value).chain(least).fold(*minimum, u32::min);
    }
}

/// The exact remainder of a wrapped product: 2⁶¹ leaves 1 modulo the prime, so the upper bits are added to the lower.
#[inline(always)]
fn reduce(wrapped: u64) -> u64 {
    let folded = (wrapped & MODULUS) + (wrapped >> 61);
    if folded >= MODULUS { folded - MODULUS } else { folded }
}

#[inline(always)]
fn prime_with(shingles: &[u64], a: &[u64], b: &[u64], minima: &mut [u64]) {
    let (blocks, rest) = shingles.as_chunks::<BLOCK>();
    for ((&a, &b), minimum) in a.iter().zip(b).zip(minima) {
        let exact = |xs: &[u64], least: u64| {
            xs.iter().fold(least, |least, x| least.min(reduce(x.wrapping_mul(a).wrapping_add(b))))
        };
        let mut least = exact(rest, *minimum);
        // A remainder is the low 61 bits and at most 7 more, or wraps around where those bits are within 7 of the prime:
        // eight more than the low 61 bits, wrapped, is at most 8 above every remainder. So a block none of whose values
        // lies that low is passed over without its remainders, and nearly all are: a new minimum becomes rare soon.
        for block in blocks {
            let limit = least.min(MODULUS) + 9;
            let mut lower = 0;
            for x in block {
                let bound = x.wrapping_mul(a).wrapping_add(b.wrapping_add(8)) & MODULUS;
                lower |= bound.wrapping_sub(limit);
            }
            // Both sides are under 2⁶²: a difference below zero sets the sign.
            if lower & SIGN != 0 {
                least = exact(block, least);
            }
        }
        *minimum = least;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of any size, and the factors that bring wrapped products near 0, 2⁶¹ and their multiples.
    fn numbers() -> impl Strategy<Value = u64> {
        let near =
            (0u64..8, 0u64..20).prop_map(|(top, near)| (top << 61).wrapping_sub(10).wrapping_add(near));
        prop_oneof![any::<u64>(), near]
    }

    proptest! {
        #[test]
        fn vectors_give_the_numbers_of_the_definition(
            shingles in prop::collection::vec(numbers(), 0..70),
            a in prop_oneof![Just(1u64), any::<u64>()],
            b in prop_oneof![Just(0u64), 0..MODULUS],
        ) {
            let low: Vec<u32> = shingles.iter().map(|&x| x as u32).collect();
            let least = low.iter().map(|x| x.wrapping_mul(a as u32).wrapping_add(b as u32)).min();
            for kernel in [native, native_with] {
                let mut minima = [u32::MAX];
                kernel(&low, &[a as u32], &[b as u32], &mut minima);
                prop_assert_eq!(minima[0], least.unwrap_or(u32::MAX));
            }
            let values = || shingles.iter().map(|x| x.wrapping_mul(a).wrapping_add(b));
            let mut minima = [u64::MAX];
            prime(&shingles, &[a], &[b], &mut minima);
            prop_assert_eq!(minima[0], values().map(|value| value % MODULUS).min().unwrap_or(u64::MAX));
            let mut minima = [u64::MAX];
            prime_with(&shingles, &[a], &[b], &mut minima);
            prop_assert_eq!(minima[0], values().map(|value| value % MODULUS).min().unwrap_or(u64::MAX));
        }
    }
}
