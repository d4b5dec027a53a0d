//! How duplicates are found, and what stays of them: whole documents, or parts of documents.
//!
//! `exact` and `minhash` find documents that are alike and keep one of each cluster. `paragraph` and `substring` find parts
//! that occurred before and cut them out ([`Divider`]). Both are barriers: nothing can be judged before all was seen.

mod divide;
mod paragraph;
mod rolling;
mod seen;
mod substring;

use std::collections::BTreeMap;

use orchestrator_core::units::ByteSize;
use orchestrator_core::{Digest, Document};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub use divide::Divider;
pub use paragraph::{ParagraphConfig, Unit};
pub use seen::{Bloom, Full, PLACE_MASK, Seen, Sizing, Table};
pub use substring::{SubstringConfig, TokenUnit};

use crate::minhash::{Hash, MinHashConfig};
use crate::step::{ConfigError, Languages};

/// More minima than this are a mistake in the configuration.
const MOST_HASHES: usize = 4096;
/// Less would be slices of a few thousand items.
const LEAST_MEMORY: ByteSize = ByteSize(64 << 10);
const MOST_MEMORY: ByteSize = ByteSize(1 << 40);

/// How duplicates are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Documents whose text is equal.
    Exact,
    /// Documents whose words are nearly the same.
    #[default]
    Minhash,
    /// Paragraphs, lines or n-grams of words that occurred before: what repeats them is cut out of its document.
    Paragraph,
    /// Substrings of many tokens that occurred before: they are cut out of their documents.
    Substring,
}

impl Method {
    /// Whether parts of documents are cut out, not documents dropped for others.
    pub fn cuts(self) -> bool {
        match self {
            Self::Exact | Self::Minhash => false,
            Self::Paragraph | Self::Substring => true,
        }
    }
}

/// Which document of a cluster of duplicates stays. Between equals it is the first in global order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Survivor {
    /// The first in global order: read step, source, record.
    #[default]
    First,
    /// The one with the most bytes of text.
    Longest,
    /// The one with the highest quality score; one without a score comes after all that have one.
    Quality,
}

impl Survivor {
    /// What the rule compares: the document with the highest rank stays. `None` where order alone decides.
    pub fn rank(self, document: &Document) -> Option<u64> {
        match self {
            Self::First => None,
            Self::Longest => Some(document.text.len() as u64),
            Self::Quality => Some(document.quality_score.map_or(0, |score| {
                // Bits of positive numbers rise with their value; those of negative ones fall.
                let bits = score.to_bits();
                1 + u64::from(if bits >> 31 == 0 { bits | 1 << 31 } else { !bits })
            })),
        }
    }
}

/// Finds duplicates over the whole corpus and keeps one of each cluster, or a few; or cuts out of documents what occurred
/// before in the corpus.
///
/// Drop rules: `duplicate`, with the id of the document that stayed; where parts are cut out `too_little_left`, with the
/// characters that were left, and `mostly_repeated`, with the share that was cut. Notes `repeated_paragraph`,
/// `repeated_line` and `repeated_substring` tell what was cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DedupConfig {
    /// Equal documents, near-duplicates too, or parts of documents.
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
    /// Compare the texts of pairs that share a band: those whose true Jaccard similarity (common shingles by all shingles)
    /// is under this are no duplicates of each other. Not set, sharing a band is enough.
    pub verify: Option<f64>,
    /// Which document of a cluster stays; the others' drops name it.
    pub survivor: Survivor,
    /// How many documents of a cluster stay, by its size: the entry of the greatest size that the cluster reaches counts.
    /// Beside the survivor the first in order stay. Empty: one of each. FineWeb-2's weights are
    /// `{1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}`.
    #[serde(deserialize_with = "sizes")]
    #[schemars(with = "BTreeMap<String, u32>")]
    pub keep_by_size: BTreeMap<u32, u32>,
    /// The largest cluster that is believed, in documents: a larger one stops the job before anything is dropped, with the
    /// evidence in the stage's `clusters.json`.
    pub max_cluster: Option<u64>,
    /// The greatest fraction of its documents that a source may lose; more stops the job likewise. A source here is the
    /// first directory below the root, or a file at the root.
    pub max_source_loss: Option<f64>,
    /// Outputs of earlier runs to compare with: a duplicate of one of their documents is dropped for the one that they kept,
    /// as if this run had begun with theirs. Each must have been run with `index: true` and the same options of signatures.
    /// Pairs with their documents are not verified.
    pub against: Vec<String>,
    /// Keep an index of this stage's documents, for later runs to compare with (`against`): 24 bytes a document and 8 a band.
    pub index: bool,
    /// The options of `method: paragraph`.
    pub paragraph: ParagraphConfig,
    /// The options of `method: substring`.
    pub substring: SubstringConfig,
    /// With `paragraph` and `substring`: the most memory that a task takes for what it has seen. What needs more is cut into
    /// slices of the hash space, a task each, up to 1024; if it does not fit then, the job fails before any of them runs.
    pub memory: ByteSize,
    /// With `paragraph` and `substring`: how many items (paragraphs, n-grams or tokens) to expect, so that a job fails
    /// before it starts if they do not fit in `memory`. The filter is sized by their number as it was counted.
    pub expected_items: Option<u64>,
    /// With `paragraph` and `substring`: documents out of which something was cut are dropped when they have fewer
    /// characters left than this, white space not counted.
    pub min_left: u64,
    /// With `paragraph` and `substring`: they are dropped when more than this share of their characters was cut.
    pub max_cut: f64,
    /// Languages to deduplicate; all where not given.
    pub languages: Languages,
    /// Writes this stage's documents even where the next stage could read them in passing.
    pub keep: bool,
}

/// Reads numbers by size. Keys of a mapping are text to whoever reads YAML or JSON.
fn sizes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u32, u32>, D::Error> {
    let by_text = BTreeMap::<String, u32>::deserialize(deserializer)?;
    let by_size = by_text.into_iter().map(|(size, keep)| match size.parse::<u32>() {
        Ok(number) if number > 0 => Ok((number, keep)),
        _ => Err(D::Error::custom(format!("`{size}` is no size of a cluster: expected a number from 1 on"))),
    });
    by_size.collect()
}

impl Default for DedupConfig {
    fn default() -> Self {
        let MinHashConfig { hash, shingle, bands, rows, seed } = MinHashConfig::default();
        Self {
            method: Method::default(),
            hash,
            shingle,
            bands,
            rows,
            seed,
            verify: None,
            survivor: Survivor::default(),
            keep_by_size: BTreeMap::new(),
            max_cluster: None,
            max_source_loss: None,
            against: Vec::new(),
            index: false,
            paragraph: ParagraphConfig::default(),
            substring: SubstringConfig::default(),
            memory: ByteSize::mib(512),
            expected_items: None,
            min_left: 50,
            max_cut: 1.0,
            languages: None,
            keep: false,
        }
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
        for (&size, &keep) in &self.keep_by_size {
            if keep == 0 || keep > size {
                let message = format!("keeps {keep} of a cluster of {size}; expected 1 to {size}");
                return Err(ConfigError::new("keep_by_size", message));
            }
        }
        if let Some(verify) = self.verify
            && !(0.0..=1.0).contains(&verify)
        {
            return Err(ConfigError::new(
                "verify",
                format!("is {verify}; expected a similarity from 0 to 1"),
            ));
        }
        if self.max_cluster == Some(0) {
            return Err(ConfigError::new("max_cluster", "is 0; expected 1 or more"));
        }
        if let Some(loss) = self.max_source_loss
            && !(0.0..=1.0).contains(&loss)
        {
            let message = format!("is {loss}; expected a fraction from 0 to 1");
            return Err(ConfigError::new("max_source_loss", message));
        }
        self.validate_cuts()?;
        self.validate_method()
    }

    /// Checks the options of the methods that cut.
    fn validate_cuts(&self) -> Result<(), ConfigError> {
        self.paragraph.validate()?;
        self.substring.validate()?;
        if !(LEAST_MEMORY..=MOST_MEMORY).contains(&self.memory) {
            let message = format!("is {}; expected 64 KiB to 1 TiB", self.memory);
            return Err(ConfigError::new("memory", message));
        }
        if !(0.0..=1.0).contains(&self.max_cut) {
            return Err(ConfigError::new(
                "max_cut",
                format!("is {}; expected a share from 0 to 1", self.max_cut),
            ));
        }
        if self.expected_items == Some(0) {
            return Err(ConfigError::new("expected_items", "is 0; expected 1 or more"));
        }
        if let (true, Some(items)) = (self.method.cuts(), self.expected_items) {
            self.sizing(items).map_err(|message| ConfigError::new("expected_items", message))?;
        }
        Ok(())
    }

    /// Refuses options of one method that are given with another: they would do nothing.
    fn validate_method(&self) -> Result<(), ConfigError> {
        let default = Self::default();
        let (whole, cutting) = ("`method: exact` and `minhash`", "`method: paragraph` and `substring`");
        let (clusters, signs, minhash) =
            (!self.method.cuts(), self.method == Method::Minhash, "`method: minhash`");
        for (key, given, possible, methods) in [
            ("hash", self.hash != default.hash, signs, minhash),
            ("shingle", self.shingle != default.shingle, signs, minhash),
            ("bands", self.bands != default.bands, signs, minhash),
            ("rows", self.rows != default.rows, signs, minhash),
            ("seed", self.seed != default.seed, signs, minhash),
            ("verify", self.verify.is_some(), signs, minhash),
            ("survivor", self.survivor != default.survivor, clusters, whole),
            ("keep_by_size", !self.keep_by_size.is_empty(), clusters, whole),
            ("max_cluster", self.max_cluster.is_some(), clusters, whole),
            ("max_source_loss", self.max_source_loss.is_some(), clusters, whole),
            ("against", !self.against.is_empty(), clusters, whole),
            ("index", self.index, clusters, whole),
            (
                "paragraph",
                self.paragraph != default.paragraph,
                self.method == Method::Paragraph,
                "`method: paragraph`",
            ),
            (
                "substring",
                self.substring != default.substring,
                self.method == Method::Substring,
                "`method: substring`",
            ),
            ("memory", self.memory != default.memory, !clusters, cutting),
            ("expected_items", self.expected_items.is_some(), !clusters, cutting),
            ("min_left", self.min_left != default.min_left, !clusters, cutting),
            ("max_cut", self.max_cut < default.max_cut, !clusters, cutting),
        ] {
            if given && !possible {
                return Err(ConfigError::new(key, format!("does nothing here; it is for {methods}")));
            }
        }
        Ok(())
    }

    /// The rate that a Bloom filter must keep; `None` where a table is kept, which is never wrong.
    pub fn false_positive_rate(&self) -> Option<f64> {
        let rate = self.paragraph.false_positive_rate;
        (self.method == Method::Paragraph && rate > 0.0).then_some(rate)
    }

    /// The part that signatures are made by.
    pub fn minhash(&self) -> MinHashConfig {
        let Self { hash, shingle, bands, rows, seed, .. } = *self;
        MinHashConfig { hash, shingle, bands, rows, seed }
    }

    /// Why an index made with `other` cannot be compared with signatures made with this, if so.
    pub fn differs(&self, other: &Self) -> Option<String> {
        if self.method != other.method {
            return Some(format!("its `method` is {:?}", other.method).to_lowercase());
        }
        if self.method == Method::Exact {
            return None;
        }
        let (own, its) = (self.minhash(), other.minhash());
        (own != its).then(|| {
            let MinHashConfig { hash, shingle, bands, rows, seed } = its;
            let name = serde_json::to_value(hash).unwrap_or_default();
            format!(
                "its signatures have `hash: {}`, `shingle: {shingle}`, `bands: {bands}`, `rows: {rows}`, `seed: {seed}`",
                name.as_str().unwrap_or_default()
            )
        })
    }

    /// How many documents stay of a cluster of `size`, the survivor among them.
    pub fn kept_of(&self, size: u32) -> u32 {
        self.keep_by_size.range(..=size).next_back().map_or(1, |(_, &keep)| keep)
    }
}

/// The 128-bit hash by which equal texts are found.
pub fn text_hash(text: &str) -> u128 {
    Digest::of(text.as_bytes()).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_named_by_key() {
        let config = DedupConfig { rows: 0, ..DedupConfig::default() };
        assert_eq!(config.validate().expect_err("no rows").key, "rows");
        let config = DedupConfig { bands: 100, rows: 100, ..DedupConfig::default() };
        assert_eq!(config.validate().expect_err("too many").key, "bands");
        let config = DedupConfig { keep_by_size: [(2, 3)].into(), ..DedupConfig::default() };
        assert_eq!(config.validate().expect_err("three of two").key, "keep_by_size");
        assert_eq!(DedupConfig::default().validate(), Ok(()));
        assert!(serde_json::from_str::<DedupConfig>(r#"{"method": "exact", "hash": "sha1-64"}"#).is_ok());
        assert!(serde_json::from_str::<DedupConfig>(r#"{"metod": "exact"}"#).is_err());
    }

    #[test]
    fn an_option_of_another_method_is_refused_by_name() {
        let key = |text: &str| {
            let config: DedupConfig = serde_json::from_str(text).expect(text);
            config.validate().err().map(|error| error.key)
        };
        assert_eq!(key(r#"{"method": "paragraph", "survivor": "longest"}"#).as_deref(), Some("survivor"));
        assert_eq!(key(r#"{"method": "substring", "index": true}"#).as_deref(), Some("index"));
        assert_eq!(key(r#"{"method": "paragraph", "bands": 20}"#).as_deref(), Some("bands"));
        assert_eq!(key(r#"{"method": "exact", "seed": 3}"#).as_deref(), Some("seed"));
        assert_eq!(key(r#"{"method": "exact", "verify": 0.5}"#).as_deref(), Some("verify"));
        assert_eq!(key(r#"{"memory": "1 GiB"}"#).as_deref(), Some("memory"));
        assert_eq!(
            key(r#"{"method": "substring", "paragraph": {"unit": "line"}}"#).as_deref(),
            Some("paragraph")
        );
        assert_eq!(key(r#"{"method": "paragraph", "memory": "1 GiB", "paragraph": {"ngram": 13}}"#), None);
        assert_eq!(key(r#"{"method": "substring", "min_left": 0, "max_cut": 0.5}"#), None);
        for wrong in [
            r#"{"method": "paragraph", "paragraph": {"false_positive_rate": 0.6}}"#,
            r#"{"method": "paragraph", "paragraph": {"ngram": 0}}"#,
            r#"{"method": "paragraph", "paragraph": {"ngram": 5, "normalize": true}}"#,
            r#"{"method": "paragraph", "paragraph": {"ngram": 13, "ngram_share": 1.0}}"#,
            r#"{"method": "paragraph", "paragraph": {"ngram_share": 0.5}}"#,
            r#"{"method": "paragraph", "expected_items": 0}"#,
            r#"{"method": "substring", "substring": {"min_tokens": 4}}"#,
            r#"{"method": "substring", "substring": {"word_bounds": true}}"#,
            r#"{"method": "substring", "memory": 10}"#,
            r#"{"method": "substring", "max_cut": -1}"#,
            r#"{"method": "substring", "memory": "1 MiB", "expected_items": 1000000000000}"#,
        ] {
            assert!(key(wrong).is_some(), "{wrong}");
        }
    }

    #[test]
    fn an_index_of_other_signatures_is_refused_by_its_options() {
        let (own, other) = (DedupConfig::default(), DedupConfig { rows: 5, ..DedupConfig::default() });
        assert_eq!(own.differs(&DedupConfig { index: true, ..DedupConfig::default() }), None);
        let said = own.differs(&other).expect("other rows");
        assert!(said.contains("`hash: xxh3`, `shingle: 5`, `bands: 14`, `rows: 5`"), "{said}");
        let exact = DedupConfig { method: Method::Exact, ..DedupConfig::default() };
        assert_eq!(own.differs(&exact).as_deref(), Some("its `method` is exact"));
        assert_eq!(exact.differs(&DedupConfig { rows: 5, ..exact.clone() }), None);
    }

    #[test]
    fn the_entry_of_the_greatest_size_reached_counts() {
        let fineweb_2 = [(1, 1), (2, 2), (3, 3), (5, 5), (100, 8), (1000, 1)].into();
        let config = DedupConfig { keep_by_size: fineweb_2, ..DedupConfig::default() };
        let kept: Vec<u32> =
            [2, 3, 4, 5, 99, 100, 999, 1000, 859_091].map(|size| config.kept_of(size)).into();
        assert_eq!(kept, [2, 3, 3, 5, 5, 8, 8, 1, 1]);
        assert_eq!(DedupConfig::default().kept_of(7), 1);
        let late = DedupConfig { keep_by_size: [(10, 2)].into(), ..DedupConfig::default() };
        assert_eq!((late.kept_of(9), late.kept_of(10)), (1, 2));
    }

    #[test]
    fn ranks_rise_with_what_they_stand_for() {
        let scored = |quality_score| Document { quality_score, ..Document::new("a", 0, "text") };
        let scores = [None, Some(f32::NEG_INFINITY), Some(-1.5), Some(0.0), Some(0.25), Some(1.0)];
        let ranks: Vec<_> = scores.map(|score| Survivor::Quality.rank(&scored(score))).into();
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");
        assert_eq!(Survivor::Longest.rank(&scored(None)), Some(4));
        assert_eq!(Survivor::First.rank(&scored(None)), None);
    }
}
