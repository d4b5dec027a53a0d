//! MinHash signatures: documents that share most of their 5-word shingles share most of their signature.
//!
//! ```text
//! text ─▶ normalised ─▶ shingles of 5 words ─▶ one hash x each ─▶ 112 minima of x·a + b ─▶ 14 bands of 8 ─▶ 14 hashes
//! ```
//!
//! The native hash counts with the lower 32 bits of xxh3: two different shingles of two pages of a thousand words have equal
//! ones once in 4,000 pairs of pages, and then one minimum of some 2,000 may be wrong.
//!
//! Two documents that agree in one band are candidates: a pair of similarity s is found with 1 − (1 − s⁸)¹⁴, which is
//! 0.92 at 0.8 and 0.05 at 0.5. Reference: Broder 1997; parameters of FineWeb. The compatible hashes give datatrove's
//! signatures bit for bit, English word rules included; the native one splits at blanks and is several times faster.

mod normalize;
mod parameters;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use xxhash_rust::{xxh3, xxh32, xxh64};

use crate::kernels::{self, MODULUS};
use crate::words::{Span, Splitter};

/// The hash of a shingle, and with it the words and the permutations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hash {
    /// xxh3: the fastest; any language.
    #[default]
    Xxh3,
    /// The first eight bytes of SHA-1, as datatrove.
    #[serde(rename = "sha1-64")]
    Sha1_64,
    /// xxh64, as datatrove.
    Xxh64,
    /// xxh32, as datatrove.
    Xxh32,
}

/// What a signature is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinHashConfig {
    /// Hash of a shingle.
    pub hash: Hash,
    /// Words of a shingle.
    pub shingle: usize,
    /// Bands of a signature.
    pub bands: usize,
    /// Minima of a band.
    pub rows: usize,
    /// Chooses the permutations.
    pub seed: u32,
}

impl Default for MinHashConfig {
    fn default() -> Self {
        Self { hash: Hash::Xxh3, shingle: 5, bands: 14, rows: 8, seed: 1 }
    }
}

/// Makes signatures; keeps its scratch space from one document to the next.
pub struct Hasher {
    config: MinHashConfig,
    permutations: Permutations,
    minima: Vec<u64>,
    normalized: String,
    joined: String,
    spans: Vec<Span>,
    words: Vec<Span>,
    shingles: Vec<u64>,
}

/// Factors and offsets, one of each a minimum.
enum Permutations {
    /// Modulo 2³²; with scratch space for the shingles' lower halves and the minima.
    Native { a: Vec<u32>, b: Vec<u32>, shingles: Vec<u32>, minima: Vec<u32> },
    /// Modulo 2⁶⁴ and then 2⁶¹ − 1.
    Compatible { a: Vec<u64>, b: Vec<u64> },
}

impl Permutations {
    fn new(config: &MinHashConfig) -> Self {
        let count = config.bands * config.rows;
        match config.hash {
            Hash::Xxh3 => {
                let (a, b) = parameters::native(config.seed, count);
                Self::Native { a, b, shingles: Vec::new(), minima: Vec::new() }
            }
            Hash::Sha1_64 | Hash::Xxh64 | Hash::Xxh32 => {
                let (a, b) = parameters::numpy(config.seed, count);
                Self::Compatible { a, b }
            }
        }
    }
}

impl Hasher {
    /// Makes the permutations of a configuration that has been validated.
    pub fn new(config: &MinHashConfig) -> Self {
        Self {
            config: config.clone(),
            permutations: Permutations::new(config),
            minima: Vec::new(),
            normalized: String::new(),
            joined: String::new(),
            spans: Vec::new(),
            words: Vec::new(),
            shingles: Vec::new(),
        }
    }

    /// One hash for each band, or `None` where the text has fewer words than a shingle.
    ///
    /// The band's number is part of its hash, so that hashes of all bands can share one space.
    pub fn bands(&mut self, text: &str) -> Option<Vec<u64>> {
        self.minimize(text)?;
        let bands = self.minima.chunks_exact(self.config.rows).enumerate().map(|(band, rows)| {
            let mut hasher = xxh3::Xxh3::with_seed(band as u64);
            for row in rows {
                hasher.update(&row.to_le_bytes());
            }
            hasher.digest()
        });
        Some(bands.collect())
    }

    /// The whole signature, band after band, or `None` where the text has fewer words than a shingle.
    pub fn signature(&mut self, text: &str) -> Option<Vec<u64>> {
        self.minimize(text)?;
        Some(self.minima.clone())
    }

    /// The hashes of all different shingles, in rising order; empty where the text has fewer words than a shingle.
    pub fn shingle_set(&mut self, text: &str) -> Vec<u64> {
        self.hash_shingles(text);
        self.shingles.sort_unstable();
        self.shingles.dedup();
        self.shingles.clone()
    }

    fn minimize(&mut self, text: &str) -> Option<()> {
        self.hash_shingles(text);
        if self.shingles.is_empty() {
            return None;
        }
        self.minima.clear();
        match &mut self.permutations {
            Permutations::Native { a, b, shingles, minima } => {
                shingles.clear();
                shingles.extend(self.shingles.iter().map(|&shingle| shingle as u32));
                minima.clear();
                minima.resize(a.len(), u32::MAX);
                kernels::native(shingles, a, b, minima);
                self.minima.extend(minima.iter().copied().map(u64::from));
            }
            Permutations::Compatible { a, b } => {
                self.minima.resize(a.len(), u64::MAX);
                let kernel =
                    if self.config.hash == Hash::Xxh32 { minima_of_low_bits } else { kernels::prime };
                kernel(&self.shingles, a, b, &mut self.minima);
            }
        }
        Some(())
    }

    /// Fills `shingles`. Words stand in one buffer with one blank between them, so that a shingle is a slice of it.
    fn hash_shingles(&mut self, text: &str) {
        self.shingles.clear();
        let native = self.config.hash == Hash::Xxh3;
        normalize::normalize(text, native, &mut self.normalized, &mut self.words);
        let buffer = if native {
            &self.normalized
        } else {
            self.words.clear();
            self.spans.clear();
            Splitter::English.split_into(&self.normalized, &mut self.spans);
            self.joined.clear();
            for span in &self.spans {
                if !self.joined.is_empty() {
                    self.joined.push(' ');
                }
                let start = self.joined.len();
                self.joined.push_str(span.of(&self.normalized));
                self.words.push(Span { start, end: self.joined.len() });
            }
            &self.joined
        };
        let last = self.config.shingle - 1;
        for (first, end) in self.words.iter().zip(self.words.iter().skip(last)) {
            let shingle = &buffer.as_bytes()[first.start..end.end];
            self.shingles.push(match self.config.hash {
                Hash::Xxh3 => xxh3::xxh3_64(shingle),
                Hash::Xxh64 => xxh64::xxh64(shingle, 0),
                Hash::Xxh32 => u64::from(xxh32::xxh32(shingle, 0)),
                Hash::Sha1_64 => sha1_64(shingle),
            });
        }
    }
}

/// The true Jaccard similarity of two sets of shingles, each in rising order: 0 for two empty ones.
pub fn jaccard(one: &[u64], other: &[u64]) -> f64 {
    let (mut left, mut right, mut common) = (0, 0, 0_usize);
    while left < one.len() && right < other.len() {
        match one[left].cmp(&other[right]) {
            std::cmp::Ordering::Less => left += 1,
            std::cmp::Ordering::Greater => right += 1,
            std::cmp::Ordering::Equal => (left, right, common) = (left + 1, right + 1, common + 1),
        }
    }
    match one.len() + other.len() - common {
        0 => 0.0,
        union => common as f64 / union as f64,
    }
}

/// Lowers each of `minima` to the least of the low 32 bits of the compatible values, as datatrove computes them.
fn minima_of_low_bits(shingles: &[u64], a: &[u64], b: &[u64], minima: &mut [u64]) {
    for ((a, b), minimum) in a.iter().zip(b).zip(minima) {
        for x in shingles {
            let wrapped = x.wrapping_mul(*a).wrapping_add(*b);
            let folded = (wrapped & MODULUS) + (wrapped >> 61);
            let reduced = if folded >= MODULUS { folded - MODULUS } else { folded };
            *minimum = (*minimum).min(reduced & u64::from(u32::MAX));
        }
    }
}

/// The first eight bytes of a message's SHA-1, as a little-endian number.
///
/// A shingle nearly always fits one block: it is padded here, and goes straight to the compression function, which the
/// crate runs on the CPU's own instructions where there are some. Reference: FIPS 180-4.
fn sha1_64(message: &[u8]) -> u64 {
    const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    /// What fits beside the end mark and the length.
    const ONE_BLOCK: usize = 55;
    let mut first = [0; 8];
    if message.len() > ONE_BLOCK {
        first.copy_from_slice(&Sha1::digest(message)[..8]);
    } else {
        let mut block = [0; 64];
        block[..message.len()].copy_from_slice(message);
        block[message.len()] = 0x80;
        block[56..].copy_from_slice(&(8 * message.len() as u64).to_be_bytes());
        let mut state = INITIAL;
        sha1::compress(&mut state, &[block.into()]);
        first[..4].copy_from_slice(&state[0].to_be_bytes());
        first[4..].copy_from_slice(&state[1].to_be_bytes());
    }
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn signatures_equal_datatroves() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/golden/datatrove_minhash.json");
        let Ok(golden) = std::fs::read(path) else {
            println!("skipped: ../shared is absent");
            return;
        };
        let golden: serde_json::Value = serde_json::from_slice(&golden).expect("JSON");
        let numbers = |value: &serde_json::Value| -> Vec<u64> {
            value.as_array().expect("a list").iter().map(|value| value.as_u64().expect("a number")).collect()
        };
        let (a, b) = parameters::numpy(1, 112);
        assert_eq!((a, b), (numbers(&golden["params_seed1"]["a"]), numbers(&golden["params_seed1"]["b"])));
        for case in golden["minhash"].as_array().expect("a list") {
            let text = case["text"].as_str().expect("text");
            let mut normalized = String::new();
            normalize::normalize(text, false, &mut normalized, &mut Vec::new());
            assert_eq!(normalized, case["simplified"].as_str().expect("text"));
            for (hash, key) in
                [(Hash::Sha1_64, "sig_sha164"), (Hash::Xxh64, "sig_xxhash64"), (Hash::Xxh32, "sig_xxhash32")]
            {
                let config = MinHashConfig { hash, ..MinHashConfig::default() };
                let expected: Vec<u64> =
                    case[key].as_array().expect("bands").iter().flat_map(numbers).collect();
                assert_eq!(Hasher::new(&config).signature(text).expect("long enough"), expected, "{key}");
            }
        }
    }

    #[test]
    fn one_block_is_hashed_as_any_other_message() {
        for length in 0..130_u8 {
            let message: Vec<u8> = (0..length).map(|place| place.wrapping_mul(7)).collect();
            let digest = Sha1::digest(&message);
            assert_eq!(sha1_64(&message).to_le_bytes(), digest[..8], "{length} bytes");
        }
    }

    #[test]
    fn short_texts_have_no_signature() {
        for hash in [Hash::Xxh3, Hash::Sha1_64] {
            let mut hasher = Hasher::new(&MinHashConfig { hash, ..MinHashConfig::default() });
            assert_eq!(hasher.bands("one two three four"), None);
            assert_eq!(hasher.bands(""), None);
            assert_eq!(hasher.bands("One, two; three four FIVE"), hasher.bands("one two three four five."));
            assert_eq!(hasher.bands("one two three four five").map(|bands| bands.len()), Some(14));
        }
    }

    #[test]
    fn the_native_permutations_never_change() {
        // Signatures of one run may meet those of an index made years before.
        let mut hasher = Hasher::new(&MinHashConfig::default());
        let bands = hasher.bands("the signature of this sentence is on users' disks").expect("long enough");
        let distinct: BTreeSet<u64> = bands.iter().copied().collect();
        assert_eq!(distinct.len(), 14, "the band's number is in its hash");
        assert_eq!(hasher.bands("the signature of this sentence is on users' disks"), Some(bands));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn equal_minima_estimate_the_jaccard_similarity(
            words in prop::collection::vec(0u32..5000, 60..400), changed in 0usize..60, seed in any::<u32>(),
        ) {
            let mut other = words.clone();
            for word in other.iter_mut().take(changed) {
                *word += 5000;
            }
            // Letters only: numbers would all become the same.
            let name = |word: &u32| -> String {
                word.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
            };
            let text = |words: &[u32]| words.iter().map(name).collect::<Vec<_>>().join(" ");
            let set = |words: &[u32]| words.windows(5).map(<[u32]>::to_vec).collect::<BTreeSet<_>>();
            let (left, right) = (set(&words), set(&other));
            let truth = left.intersection(&right).count() as f64 / left.union(&right).count() as f64;
            let mut hasher = Hasher::new(&MinHashConfig { seed, bands: 64, ..MinHashConfig::default() });
            let sets = [hasher.shingle_set(&text(&words)), hasher.shingle_set(&text(&other))];
            prop_assert!((jaccard(&sets[0], &sets[1]) - truth).abs() < 1e-12);
            let one = hasher.signature(&text(&words)).expect("long enough");
            let two = hasher.signature(&text(&other)).expect("long enough");
            let equal = one.iter().zip(&two).filter(|(one, two)| one == two).count() as f64 / one.len() as f64;
            // Five standard deviations at 512 minima are 0.11.
            prop_assert!((equal - truth).abs() < 0.12, "estimated {equal}, is {truth}");
        }
    }
}
