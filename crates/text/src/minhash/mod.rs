//! MinHash signatures: documents that share most of their 5-word shingles share most of their signature.
//!
//! ```text
//! text ─▶ normalised ─▶ shingles of 5 words ─▶ one hash x each ─▶ 112 minima of x·a + b ─▶ 14 bands of 8 ─▶ 14 hashes
//! ```
//!
//! Two documents that agree in one band are candidates: a pair of similarity s is found with 1 − (1 − s⁸)¹⁴, which is
//! 0.92 at 0.8 and 0.05 at 0.5. Reference: Broder 1997; parameters of FineWeb. The compatible hashes give datatrove's
//! signatures bit for bit, English word rules included; the native one splits at blanks and is several times faster.

mod normalize;
mod parameters;

use orchestrator_core::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use xxhash_rust::{xxh3, xxh32, xxh64};

use crate::step::{ConfigError, Languages};
use crate::words::{Span, Splitter};

/// The Mersenne prime of the compatible permutations.
const MODULUS: u64 = (1 << 61) - 1;
/// More minima than this are a mistake in the configuration.
const MOST_HASHES: usize = 4096;

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

/// How duplicates are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Documents whose text is equal.
    Exact,
    /// Documents whose words are nearly the same.
    #[default]
    Minhash,
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

/// Finds duplicates over the whole corpus and keeps the first of each cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DedupConfig {
    /// Equal texts only, or near-duplicates too.
    pub method: Method,
    /// Hash of a shingle; `sha1-64`, `xxh64` and `xxh32` give datatrove's signatures.
    pub hash: Hash,
    /// Words of a shingle.
    pub shingle: usize,
    /// Bands: more find more.
    pub bands: usize,
    /// Minima that must agree in a band: more find less.
    pub rows: usize,
    /// Chooses the permutations.
    pub seed: u32,
    /// Languages to deduplicate; all where not given.
    pub languages: Languages,
    /// Writes this stage's documents even where the next stage could read them in passing.
    pub keep: bool,
}

impl Default for DedupConfig {
    fn default() -> Self {
        let MinHashConfig { hash, shingle, bands, rows, seed } = MinHashConfig::default();
        Self { method: Method::default(), hash, shingle, bands, rows, seed, languages: None, keep: false }
    }
}

impl DedupConfig {
    /// Checks what the types cannot say.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (key, value, most) in [
            ("shingle", self.shingle, 64),
            ("bands", self.bands, MOST_HASHES),
            ("rows", self.rows, MOST_HASHES),
        ] {
            if value == 0 || value > most {
                return Err(ConfigError::new(key, format!("is {value}; expected 1 to {most}")));
            }
        }
        if self.bands * self.rows > MOST_HASHES {
            return Err(ConfigError::new(
                "bands",
                format!("times rows is {}; expected at most {MOST_HASHES}", self.bands * self.rows),
            ));
        }
        Ok(())
    }

    /// The part that signatures are made by.
    pub fn minhash(&self) -> MinHashConfig {
        let Self { hash, shingle, bands, rows, seed, .. } = *self;
        MinHashConfig { hash, shingle, bands, rows, seed }
    }
}

/// The 128-bit hash by which equal texts are found.
pub fn text_hash(text: &str) -> u128 {
    Digest::of(text.as_bytes()).0
}

/// Makes signatures; keeps its scratch space from one document to the next.
pub struct Hasher {
    config: MinHashConfig,
    a: Vec<u64>,
    b: Vec<u64>,
    minima: Vec<u64>,
    normalized: String,
    joined: String,
    words: Vec<Span>,
    shingles: Vec<u64>,
}

impl Hasher {
    /// Makes the permutations of a configuration that has been validated.
    pub fn new(config: &MinHashConfig) -> Self {
        let count = config.bands * config.rows;
        let (a, b) = match config.hash {
            Hash::Xxh3 => parameters::native(config.seed, count),
            Hash::Sha1_64 | Hash::Xxh64 | Hash::Xxh32 => parameters::numpy(config.seed, count),
        };
        Self {
            config: config.clone(),
            a,
            b,
            minima: Vec::new(),
            normalized: String::new(),
            joined: String::new(),
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

    fn minimize(&mut self, text: &str) -> Option<()> {
        self.hash_shingles(text);
        if self.shingles.is_empty() {
            return None;
        }
        self.minima.clear();
        self.minima.resize(self.a.len(), u64::MAX);
        match self.config.hash {
            Hash::Xxh3 => minima_native(&self.shingles, &self.a, &self.b, &mut self.minima),
            Hash::Sha1_64 | Hash::Xxh64 => {
                minima_prime(&self.shingles, &self.a, &self.b, u64::MAX, &mut self.minima);
            }
            Hash::Xxh32 => {
                minima_prime(&self.shingles, &self.a, &self.b, u64::from(u32::MAX), &mut self.minima);
            }
        }
        Some(())
    }

    /// Fills `shingles`. Words stand in one buffer with one blank between them, so that a shingle is a slice of it.
    fn hash_shingles(&mut self, text: &str) {
        self.words.clear();
        self.shingles.clear();
        let native = self.config.hash == Hash::Xxh3;
        normalize::normalize(text, native, &mut self.normalized);
        let buffer = if native {
            split_at_blanks(&self.normalized, &mut self.words);
            &self.normalized
        } else {
            let mut spans = Vec::new();
            Splitter::English.split_into(&self.normalized, &mut spans);
            self.joined.clear();
            for span in spans {
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
                Hash::Sha1_64 => {
                    let digest = Sha1::digest(shingle);
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(&digest[..8]);
                    u64::from_le_bytes(bytes)
                }
            });
        }
    }
}

fn split_at_blanks(text: &str, words: &mut Vec<Span>) {
    let mut start = 0;
    for end in memchr::memchr_iter(b' ', text.as_bytes()).chain([text.len()]) {
        if end > start {
            words.push(Span { start, end });
        }
        start = end + 1;
    }
}

/// Minima of x·a + b modulo 2⁶⁴: x is a good hash already, and a is odd, so each is a permutation.
fn minima_native(shingles: &[u64], a: &[u64], b: &[u64], minima: &mut [u64]) {
    for ((a, b), minimum) in a.iter().zip(b).zip(minima) {
        // Shingles inside: the minimum stays in a register, and four chains hide the multiplication's latency.
        let mut least = [u64::MAX; 4];
        let (fours, rest) = shingles.as_chunks::<4>();
        for four in fours {
            for (least, x) in least.iter_mut().zip(four) {
                *least = (*least).min(x.wrapping_mul(*a).wrapping_add(*b));
            }
        }
        for x in rest {
            least[0] = least[0].min(x.wrapping_mul(*a).wrapping_add(*b));
        }
        *minimum = least.into_iter().fold(*minimum, u64::min);
    }
}

/// Minima of ((x·a + b) modulo 2⁶⁴) modulo 2⁶¹−1, of which `mask` keeps the low bits, as datatrove computes them.
fn minima_prime(shingles: &[u64], a: &[u64], b: &[u64], mask: u64, minima: &mut [u64]) {
    for ((a, b), minimum) in a.iter().zip(b).zip(minima) {
        let mut least = u64::MAX;
        for x in shingles {
            let wrapped = x.wrapping_mul(*a).wrapping_add(*b);
            let folded = (wrapped & MODULUS) + (wrapped >> 61);
            let reduced = if folded >= MODULUS { folded - MODULUS } else { folded };
            least = least.min(reduced & mask);
        }
        *minimum = least;
    }
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
            normalize::normalize(text, false, &mut normalized);
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

    #[test]
    fn wrong_values_are_named_by_key() {
        let config = DedupConfig { rows: 0, ..DedupConfig::default() };
        assert_eq!(config.validate().expect_err("no rows").key, "rows");
        let config = DedupConfig { bands: 100, rows: 100, ..DedupConfig::default() };
        assert_eq!(config.validate().expect_err("too many").key, "bands");
        assert_eq!(DedupConfig::default().validate(), Ok(()));
        assert!(serde_json::from_str::<DedupConfig>(r#"{"method": "exact", "hash": "sha1-64"}"#).is_ok());
        assert!(serde_json::from_str::<DedupConfig>(r#"{"metod": "exact"}"#).is_err());
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
            let jaccard = left.intersection(&right).count() as f64 / left.union(&right).count() as f64;
            let mut hasher = Hasher::new(&MinHashConfig { seed, bands: 64, ..MinHashConfig::default() });
            let one = hasher.signature(&text(&words)).expect("long enough");
            let two = hasher.signature(&text(&other)).expect("long enough");
            let equal = one.iter().zip(&two).filter(|(one, two)| one == two).count() as f64 / one.len() as f64;
            // Five standard deviations at 512 minima are 0.11.
            prop_assert!((equal - jaccard).abs() < 0.12, "estimated {equal}, is {jaccard}");
        }
    }
}
