//! `seen-NNNNN.json` of a dedup stage that cuts: what one slice of the hash space saw, and how full its filter became.

use serde::{Deserialize, Serialize};

/// The form of the reports that this build writes.
pub const SCHEMA_VERSION: u32 = 1;

/// What one slice saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceReport {
    /// Form of this file: [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The slice, from 0.
    pub slice: u32,
    /// Slices of the hash space.
    pub slices: u32,
    /// Items that came: paragraphs, n-grams of words or windows of tokens.
    pub items: u64,
    /// Different ones; with a filter those that it did not take for one seen before.
    pub different: u64,
    /// Items that occurred before, far enough away.
    pub repeated: u64,
    /// Bytes of the filter or table.
    pub bytes: u64,
    /// The Bloom filter; absent where a table was kept.
    pub filter: Option<FilterReport>,
}

/// A Bloom filter after the last item.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilterReport {
    /// Its bits.
    pub bits: u64,
    /// Bits that an item sets.
    pub hashes: u32,
    /// The rate of false positives that the job asked for, at most.
    pub rate_asked: f64,
    /// The rate that the filter has as it is filled at the end; it was lower before.
    pub rate_reached: f64,
}
