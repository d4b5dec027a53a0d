//! Random numbers as a pure function of a key and a counter, so that a draw never depends on what was drawn before it,
//! on threads or on ranks.

/// Mixes two words into one; chains make a key out of several numbers.
pub fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A key made of several numbers, in order.
pub fn key(parts: &[u64]) -> u64 {
    parts.iter().fold(0x6a09_e667_f3bc_c908, |key, part| mix(key, *part))
}

/// 32 random bits for one counter: two multiply-and-shift rounds, one per half of the key, which compilers vectorise.
#[inline]
pub(crate) fn bits32(key: u64, counter: u64) -> u32 {
    let mut x = (counter as u32) ^ (key as u32);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^= (x >> 16) ^ ((key >> 32) as u32) ^ ((counter >> 32) as u32).wrapping_mul(0x9e37_79b9);
    x = (x ^ (x >> 17)).wrapping_mul(0xed5a_d4bb);
    x = (x ^ (x >> 11)).wrapping_mul(0xac4c_1b51);
    x ^ (x >> 15)
}

/// A number in [0, 1) with 53 random bits.
pub fn uniform(key: u64, counter: u64) -> f64 {
    (mix(key, counter) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number in `0..bound`; `bound` is positive. The bias is below 2⁻⁶⁴ · bound.
pub fn below(key: u64, counter: u64, bound: u64) -> u64 {
    ((u128::from(mix(key, counter)) * u128::from(bound)) >> 64) as u64
}

/// A draw from the standard normal distribution (Box and Muller).
pub fn normal(key: u64, counter: u64) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(key, 2 * counter)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(key, 2 * counter + 1)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_they_should() {
        let key = key(&[1, 2, 3]);
        let count = 100_000;
        let normals: Vec<f64> = (0..count).map(|i| normal(key, i)).collect();
        let mean = normals.iter().sum::<f64>() / count as f64;
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        let ones: u32 = (0..count).map(|i| bits32(key, i).count_ones()).sum();
        assert!((f64::from(ones) / (count * 32) as f64 - 0.5).abs() < 0.002);
    }

    #[test]
    fn neighbouring_keys_and_counters_are_unrelated() {
        for bit in 0..64 {
            let flipped =
                (0..1_000).map(|i| (bits32(7, i) ^ bits32(7 ^ (1 << bit), i)).count_ones()).sum::<u32>();
            assert!((f64::from(flipped) / 32_000.0 - 0.5).abs() < 0.05, "key bit {bit}: {flipped}");
        }
        assert!((0..1_000).all(|i| below(3, i, 10) < 10));
    }
}
