//! The permutations' factors and offsets.

/// Factors (odd) and offsets of the native permutations: the upper halves of SplitMix64's numbers.
pub(super) fn native(seed: u32, count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut state = u64::from(seed);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    };
    let a = (0..count).map(|_| next() | 1).collect();
    let b = (0..count).map(|_| next()).collect();
    (a, b)
}

/// Factors in 1..2⁶¹−1 and offsets in 0..2⁶¹−1, as NumPy's `RandomState(seed).randint` draws them.
pub(super) fn numpy(seed: u32, count: usize) -> (Vec<u64>, Vec<u64>) {
    let mut random = MersenneTwister::new(seed);
    let a = (0..count).map(|_| 1 + random.at_most(crate::kernels::MODULUS - 2)).collect();
    let b = (0..count).map(|_| random.at_most(crate::kernels::MODULUS - 1)).collect();
    (a, b)
}

/// MT19937 (Matsumoto and Nishimura 1998), which that generator is built on.
struct MersenneTwister {
    state: [u32; Self::WORDS],
    next: usize,
}

impl MersenneTwister {
    const WORDS: usize = 624;
    const MIDDLE: usize = 397;

    fn new(seed: u32) -> Self {
        let mut state = [seed; Self::WORDS];
        for index in 1..Self::WORDS {
            let before = state[index - 1];
            state[index] = (before ^ (before >> 30)).wrapping_mul(1_812_433_253).wrapping_add(index as u32);
        }
        Self { state, next: Self::WORDS }
    }

    fn twist(&mut self) {
        for index in 0..Self::WORDS {
            let following = self.state[(index + 1) % Self::WORDS];
            let joined = (self.state[index] & 0x8000_0000) | (following & 0x7fff_ffff);
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + Self::MIDDLE) % Self::WORDS] ^ (joined >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == Self::WORDS {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// A number of 0..=`most`: draws of 61 bits until one is small enough.
    fn at_most(&mut self, most: u64) -> u64 {
        loop {
            let high = u64::from(self.next_u32()) << 32;
            let drawn = (high | u64::from(self.next_u32())) & crate::kernels::MODULUS;
            if drawn <= most {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twister_gives_its_published_numbers() {
        let mut random = MersenneTwister::new(5489);
        assert_eq!(random.next_u32(), 3_499_211_612);
        for _ in 0..9998 {
            random.next_u32();
        }
        assert_eq!(random.next_u32(), 4_123_659_995, "the 10,000th draw of the standard seed");
    }
}
