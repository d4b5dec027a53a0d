//! Digests of stages: equal jobs have equal digests, whatever the bounds of parts and the order of events.
//!
//! ```text
//! row ──length-prefixed fields──▶ xxh3-128 ──▶ row hash h₀ h₁ h₂ …
//! ordered fold:  D = (…((h₀·B + h₁)·B + h₂)…)  mod 2¹²⁷−1, with the number of rows
//! ```
//!
//! The fold is associative over concatenation: D(xs ++ ys) = D(xs)·B^|ys| + D(ys). So each task folds its own rows as
//! they pass, and the coordinator joins the tasks' digests in order without reading a row again. See
//! `docs/decisions/stage-digest.md`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::document::Document;
use crate::verdict::Dropped;

/// Modulus: the Mersenne prime 2¹²⁷−1.
const MODULUS: u128 = (1 << 127) - 1;
/// Multiplier: an arbitrary constant below the modulus (digits of π in hexadecimal). On users' disks: never changes.
const BASE: u128 = 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344;

/// Hashes the fields of one row, each with its length before it, so that no two rows share an encoding.
#[derive(Default)]
pub struct RowHasher(Xxh3);

impl RowHasher {
    /// Adds bytes, after their length as eight little-endian bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a text field.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Adds an optional field; absent and empty differ.
    pub fn optional(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        self.0.update(&[u8::from(bytes.is_some())]);
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
        self
    }

    /// Adds a number as eight little-endian bytes.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    /// The row's hash.
    pub fn finish(&self) -> u128 {
        self.0.digest128()
    }
}

/// An ordered digest of rows that can be joined with the digest of the rows after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDigest {
    /// How many rows were folded in.
    pub rows: u64,
    #[serde(with = "hex")]
    fold: u128,
}

impl RowDigest {
    /// Folds in one more row.
    pub fn push(&mut self, row_hash: u128) {
        self.fold = add(multiply(self.fold, BASE), reduce(row_hash));
        self.rows += 1;
    }

    /// Folds in a kept document.
    pub fn push_document(&mut self, document: &Document) {
        let mut row = RowHasher::default();
        row.number((document.id.0 >> 64) as u64)
            .number(document.id.0 as u64)
            .text(&document.text)
            .text(&document.source)
            .number(document.record)
            .optional(document.url.as_deref().map(str::as_bytes))
            .optional(document.date.as_deref().map(str::as_bytes))
            .optional(document.language.as_deref().map(str::as_bytes))
            .optional(document.language_score.map(f32::to_le_bytes).as_ref().map(<[u8; 4]>::as_slice))
            .optional(document.quality_score.map(f32::to_le_bytes).as_ref().map(<[u8; 4]>::as_slice))
            .text(&document.metadata);
        self.push(row.finish());
    }

    /// Folds in a dropped record.
    pub fn push_dropped(&mut self, dropped: &Dropped) {
        let mut row = RowHasher::default();
        row.number((dropped.id.0 >> 64) as u64)
            .number(dropped.id.0 as u64)
            .text(&dropped.source)
            .number(dropped.record)
            .optional(dropped.url.as_deref().map(str::as_bytes))
            .text(&dropped.reason.rule)
            .text(&dropped.reason.value);
        self.push(row.finish());
    }

    /// The digest of these rows followed by `after`'s.
    #[must_use]
    pub fn then(self, after: Self) -> Self {
        Self {
            rows: self.rows + after.rows,
            fold: add(multiply(self.fold, power(BASE, after.rows)), after.fold),
        }
    }

    /// A stage's digest: its kept rows, then its dropped rows.
    pub fn stage(kept: Self, dropped: Self) -> Digest {
        let mut row = RowHasher::default();
        for part in [kept, dropped] {
            row.number(part.rows).bytes(&part.fold.to_le_bytes());
        }
        Digest(row.finish())
    }
}

/// A finished digest of 128 bits, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u128);

impl Digest {
    /// xxh3-128 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        u128::from_str_radix(&String::deserialize(deserializer)?, 16).map_err(serde::de::Error::custom)
    }
}

/// A representative below the modulus of any 128-bit value.
fn reduce(value: u128) -> u128 {
    let folded = (value & MODULUS) + (value >> 127);
    if folded >= MODULUS { folded - MODULUS } else { folded }
}

fn add(a: u128, b: u128) -> u128 {
    reduce(a + b) // both are below 2^127: no overflow
}

/// a·b mod 2¹²⁷−1 for a, b below the modulus, through four 64-bit products.
fn multiply(a: u128, b: u128) -> u128 {
    let (a_high, a_low) = (a >> 64, a & u128::from(u64::MAX));
    let (b_high, b_low) = (b >> 64, b & u128::from(u64::MAX));
    let low = a_low * b_low;
    // a_high, b_high < 2^63, so the sum of the cross products stays below 2^128.
    let middle = a_high * b_low + a_low * b_high;
    let high = a_high * b_high;
    // product = high·2^128 + middle·2^64 + low, and 2^127 ≡ 1: high·2^128 ≡ 2·high, and
    // middle·2^64 = (middle >> 63)·2^127 + (middle & (2^63 − 1))·2^64.
    let middle_low = (middle & ((1 << 63) - 1)) << 64;
    add(add(reduce(high << 1), reduce(low)), add(reduce(middle >> 63), reduce(middle_low)))
}

fn power(mut base: u128, mut exponent: u64) -> u128 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = multiply(result, base);
        }
        base = multiply(base, base);
        exponent >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(rows: &[u128]) -> RowDigest {
        let mut digest = RowDigest::default();
        for &row in rows {
            digest.push(row);
        }
        digest
    }

    proptest! {
        #[test]
        fn joining_any_cut_gives_the_whole(rows in prop::collection::vec(any::<u128>(), 0..40), cut in 0usize..40) {
            let cut = cut.min(rows.len());
            prop_assert_eq!(digest(&rows[..cut]).then(digest(&rows[cut..])), digest(&rows));
        }

        #[test]
        fn order_matters(rows in prop::collection::vec(any::<u128>(), 2..20)) {
            prop_assume!(reduce(rows[0]) != reduce(rows[1]));
            let mut swapped = rows.clone();
            swapped.swap(0, 1);
            prop_assert_ne!(digest(&swapped), digest(&rows));
        }

        #[test]
        fn multiplication_agrees_with_repeated_addition(a in any::<u128>(), b in 0u128..200) {
            let a = reduce(a);
            let sum = (0..b).fold(0, |sum, _| add(sum, a));
            prop_assert_eq!(multiply(a, b), sum);
        }
    }

    #[test]
    fn fields_cannot_run_into_each_other() {
        let hash = |a: &str, b: &str| RowHasher::default().text(a).text(b).finish();
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
        assert_ne!(
            RowHasher::default().optional(None).finish(),
            RowHasher::default().optional(Some(b"")).finish()
        );
    }
}
