//! What was seen before, in a bounded piece of memory: a Bloom filter that keeps its rate, or a table that is never wrong.
//!
//! Items are hashes of 88 bits with a place each. They are shared out among slices of the hash space, one filter
//! or table a slice, so that any number of items is told apart with no more memory at once than was asked for.

use crate::dedup::DedupConfig;

/// Bits of an item's hash; they lie at the top of 128. Of 10¹¹ different items two have equal hashes with a probability of
/// 2 in 100,000.
const HASH_BITS: u32 = 88;
/// Bits of an item's place, below the hash.
const PLACE_BITS: u32 = 128 - HASH_BITS;
/// The bits of a place.
pub const PLACE_MASK: u128 = (1 << PLACE_BITS) - 1;
/// Slices at most: every one of them reads through the files of all items.
const MOST_SLICES: u32 = 1024;

/// Bytes of a table's slot: hash and place.
const SLOT_BYTES: u64 = 16;
/// Least bits of a filter.
const LEAST_BITS: u64 = 1024;
/// Most bits that an item sets.
const MOST_HASHES: u32 = 48;
/// Six standard deviations of the share of bits that are set, times the root of their number: of n balls in m bins the
/// number of empty bins has a variance of at most 0.102 m. So no filter in 10⁹ exceeds its rate, even if it is small.
const FILL_DEVIATION: f64 = 1.92;

/// How many slices items are shared out among, and what one of them takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Slices of the hash space.
    pub slices: u32,
    /// Different items that a slice can hold.
    pub capacity: u64,
    /// Bytes of a slice's filter or table.
    pub bytes: u64,
}

/// How seen items are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// In a filter with this rate of false positives.
    Bloom(f64),
    /// In a table.
    Table,
}

impl Kind {
    fn of(config: &DedupConfig) -> Self {
        match config.false_positive_rate() {
            Some(rate) => Self::Bloom(rate),
            None => Self::Table,
        }
    }

    /// Bytes that so many different items take.
    fn bytes(self, capacity: u64) -> u64 {
        match self {
            Self::Bloom(rate) => Shape::of(capacity, rate).bits / 8,
            Self::Table => slots(capacity).saturating_mul(SLOT_BYTES),
        }
    }
}

/// Slots of a table: three of four are used when it is full.
fn slots(capacity: u64) -> u64 {
    capacity.saturating_add(capacity / 3).saturating_add(8)
}

/// Different items that one of `slices` slices gets of `items`, but for one case in 10⁹: hashes are uniform, so it is
/// their share and six standard deviations.
fn share(items: u64, slices: u32) -> u64 {
    if slices <= 1 {
        return items.max(1);
    }
    let mean = items as f64 / f64::from(slices);
    ((mean + 6.0 * mean.sqrt()).ceil() as u64 + 16).min(items.max(1))
}

impl DedupConfig {
    /// Shares out `items` items, as few slices as fit in the stage's memory; or says what would do instead.
    pub fn sizing(&self, items: u64) -> Result<Sizing, String> {
        let kind = Kind::of(self);
        let bytes = |slices: u32| kind.bytes(share(items, slices));
        let most = self.memory.0;
        if bytes(MOST_SLICES) > most {
            return Err(self.too_much(items, kind));
        }
        // A slice takes less the more there are.
        let (mut low, mut high) = (0, MOST_SLICES);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if bytes(middle) > most { low = middle } else { high = middle }
        }
        Ok(Sizing { slices: high, capacity: share(items, high), bytes: bytes(high) })
    }

    /// Why so many items cannot be kept, and with which options they could.
    fn too_much(&self, items: u64, kind: Kind) -> String {
        let capacity = share(items, MOST_SLICES);
        let mebibytes = kind.bytes(capacity).div_ceil(1 << 20);
        let Kind::Bloom(rate) = kind else {
            return format!(
                "{items} items do not fit in {MOST_SLICES} slices of `memory: {}`; expected `memory: {mebibytes} MiB` or more",
                self.memory
            );
        };
        let bits_per_item = self.memory.0 as f64 * 8.0 / capacity as f64;
        // A tenth more than the best filter reaches, for what small ones need besides.
        let reached = 1.1 * libm::exp(-bits_per_item * std::f64::consts::LN_2 * std::f64::consts::LN_2);
        let or_rate =
            if reached < 0.1 { format!(", or `false_positive_rate: {reached:.1e}`") } else { String::new() };
        format!(
            "{items} items at `false_positive_rate: {rate}` do not fit in {MOST_SLICES} slices of `memory: {}`; expected \
             `memory: {mebibytes} MiB` or more{or_rate}",
            self.memory
        )
    }
}

/// A slice holds more different items than it was made for. It must not go on: its rate would not be what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {capacity} different items came to one slice, which uniform hashes do once in 10⁹ times")]
pub struct Full {
    /// What it was made for.
    pub capacity: u64,
}

/// The items of one slice that were seen.
pub enum Seen {
    /// A filter.
    Bloom(Bloom),
    /// A table.
    Table(Table),
}

impl Seen {
    /// Nothing was seen yet. `sizing` is for the slices that there are.
    pub fn new(config: &DedupConfig, sizing: &Sizing) -> Self {
        match Kind::of(config) {
            Kind::Bloom(rate) => Self::Bloom(Bloom::new(sizing.capacity, rate)),
            Kind::Table => Self::Table(Table::new(sizing.capacity)),
        }
    }

    /// Sees the item with this hash (bits of the place are not looked at) at `place`; whether it was seen at a place at
    /// least `gap` before. A filter knows no places: it answers for a gap of 1.
    pub fn see(&mut self, hash: u128, place: u64, gap: u64) -> Result<bool, Full> {
        match self {
            Self::Bloom(bloom) => bloom.insert(hash),
            Self::Table(table) => table.first(hash, place).map(|first| first + gap <= place),
        }
    }

    /// Different items seen; of a filter those that it did not take for one seen before.
    pub fn different(&self) -> u64 {
        match self {
            Self::Bloom(bloom) => bloom.inserted,
            Self::Table(table) => table.used,
        }
    }
}

/// Mixes all bits into all others: the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number below `range`, from the upper bits of `bits`.
fn below(bits: u64, range: u64) -> u64 {
    ((u128::from(bits) * u128::from(range)) >> 64) as u64
}

/// Bits of a filter, and how many of them an item sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    bits: u64,
    hashes: u32,
}

impl Shape {
    /// The smallest filter that has no higher rate of false positives than `rate` when it holds `items` items.
    fn of(items: u64, rate: f64) -> Self {
        let (ln_2, items) = (std::f64::consts::LN_2, items.max(1) as f64);
        let mut bits = ((-libm::log(rate) * items / (ln_2 * ln_2)) as u64).max(LEAST_BITS);
        let hashes = (libm::round(bits as f64 / items * ln_2) as u32).clamp(1, MOST_HASHES);
        // The number of hashes was rounded, and chance may fill more: a little more room makes up for both.
        while (Self { bits, hashes }).rate(items) > rate {
            bits += bits / 256 + 64;
        }
        Self { bits: bits.next_multiple_of(64), hashes }
    }

    /// The rate of false positives with so many items: (1 − e^(−kn/m))^k after Bloom 1970, at the highest fill that is to be
    /// expected.
    fn rate(self, items: f64) -> f64 {
        let (hashes, bits) = (f64::from(self.hashes), self.bits as f64);
        let fill = 1.0 - libm::exp(-hashes * items / bits) + FILL_DEVIATION / bits.sqrt();
        libm::pow(fill.min(1.0), hashes)
    }

    /// The bits that an item sets. Not `h + i·g`, as is common: with a number of its own for each the formula holds.
    fn bits_of(self, hash: u128) -> impl Iterator<Item = u64> {
        let hash = hash & !PLACE_MASK;
        let mut state = (hash >> 64) as u64 ^ mix(hash as u64);
        (0..self.hashes).map(move |_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            below(mix(state), self.bits)
        })
    }
}

/// A Bloom filter: never forgets an item, and takes a new one for a seen one at no higher rate than it was made for.
pub struct Bloom {
    words: Vec<u64>,
    shape: Shape,
    capacity: u64,
    inserted: u64,
}

impl Bloom {
    /// An empty filter for `capacity` different items.
    pub fn new(capacity: u64, rate: f64) -> Self {
        let shape = Shape::of(capacity, rate);
        Self { words: vec![0; (shape.bits / 64) as usize], shape, capacity, inserted: 0 }
    }

    /// Puts an item in; whether it was there, or seems to have been.
    pub fn insert(&mut self, hash: u128) -> Result<bool, Full> {
        let mut seen = true;
        for bit in self.shape.bits_of(hash) {
            let (word, mask) = (&mut self.words[(bit / 64) as usize], 1 << (bit % 64));
            seen &= *word & mask != 0;
            *word |= mask;
        }
        self.inserted += u64::from(!seen);
        if self.inserted > self.capacity { Err(Full { capacity: self.capacity }) } else { Ok(seen) }
    }

    /// Whether an item is in, or seems to be.
    #[cfg(test)]
    fn contains(&self, hash: u128) -> bool {
        self.shape.bits_of(hash).all(|bit| self.words[(bit / 64) as usize] & (1 << (bit % 64)) != 0)
    }

    /// Bits.
    pub fn bits(&self) -> u64 {
        self.shape.bits
    }

    /// Bits that an item sets.
    pub fn hashes(&self) -> u32 {
        self.shape.hashes
    }

    /// The rate of false positives as the filter is filled now: the share of bits that are set, to the power of the
    /// number that is looked at.
    pub fn rate(&self) -> f64 {
        let set: u64 = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
        libm::pow(set as f64 / self.shape.bits as f64, f64::from(self.shape.hashes))
    }
}

/// The first place of every item, by open addressing.
pub struct Table {
    /// Hash and place plus one; 0 where nothing is.
    slots: Vec<u128>,
    capacity: u64,
    used: u64,
}

impl Table {
    /// An empty table for `capacity` different items.
    pub fn new(capacity: u64) -> Self {
        Self { slots: vec![0; slots(capacity) as usize], capacity, used: 0 }
    }

    /// The first place of an item: `place`, unless it has one already. Places are below 2⁴⁰ − 1.
    pub fn first(&mut self, hash: u128, place: u64) -> Result<u64, Full> {
        let hash = hash & !PLACE_MASK;
        // Items of a slice have their upper bits in common.
        let mut at = below(mix((hash >> 64) as u64 ^ mix(hash as u64)), self.slots.len() as u64) as usize;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                if self.used == self.capacity {
                    return Err(Full { capacity: self.capacity });
                }
                self.used += 1;
                self.slots[at] = hash | (u128::from(place + 1) & PLACE_MASK);
                return Ok(place);
            }
            if slot & !PLACE_MASK == hash {
                return Ok((slot & PLACE_MASK) as u64 - 1);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orchestrator_core::units::ByteSize;
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_128_with_seed;

    use super::*;
    use crate::dedup::{Method, ParagraphConfig};

    fn hash(number: u64, seed: u64) -> u128 {
        xxh3_128_with_seed(&number.to_le_bytes(), seed) & !PLACE_MASK
    }

    fn config(memory: u64, rate: f64) -> DedupConfig {
        DedupConfig {
            method: Method::Paragraph,
            memory: ByteSize(memory),
            paragraph: ParagraphConfig { false_positive_rate: rate, ..ParagraphConfig::default() },
            ..DedupConfig::default()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// A full filter forgets none of its items, and takes new ones for seen ones at no higher rate than was asked:
        /// the observed number stays within what chance allows (five standard deviations) above the rate.
        #[test]
        fn a_filter_keeps_its_rate_and_forgets_nothing(
            items in 1u64..20_000,
            exponent in 1i32..5,
            seed in any::<u64>(),
        ) {
            let rate = 10f64.powi(-exponent);
            let mut bloom = Bloom::new(items, rate);
            for number in 0..items {
                bloom.insert(hash(number, seed)).expect("room for all");
            }
            let full = bloom.rate();
            prop_assert!(full <= rate, "{} of {} items, asked {}", full, items, rate);
            for number in 0..items {
                prop_assert!(bloom.insert(hash(number, seed)).expect("nothing new"), "{} is forgotten", number);
            }
            let asked = 20_000;
            let wrong = (items..items + asked).filter(|&number| bloom.contains(hash(number, seed))).count();
            let expected = asked as f64 * rate;
            let most = expected + 5.0 * expected.sqrt() + 1.0;
            prop_assert!(wrong as f64 <= most, "{} of {} are wrong, asked {}", wrong, asked, rate);
        }

        /// A table gives the first place of every item, as a map does.
        #[test]
        fn a_table_knows_first_places(numbers in prop::collection::vec(0u64..50, 1..200)) {
            let mut table = Table::new(50);
            let mut first = BTreeMap::new();
            for (place, &number) in (0..).zip(&numbers) {
                let expected = *first.entry(number).or_insert(place);
                prop_assert_eq!(table.first(hash(number, 1), place), Ok(expected));
            }
            prop_assert_eq!(table.used, first.len() as u64);
        }

        /// Slices are as few as fit, and one fewer would not.
        #[test]
        fn slices_fit_in_the_memory(items in 0u64..3_000_000_000, memory in 20u32..31, exact in any::<bool>()) {
            let config = config(1 << memory, if exact { 0.0 } else { 1e-6 });
            let Ok(sizing) = config.sizing(items) else {
                let least = if exact { 21 } else { 3 };
                prop_assert!(items * least > 1 << memory);
                return Ok(());
            };
            prop_assert!(sizing.bytes <= 1 << memory && sizing.slices <= MOST_SLICES);
            prop_assert!(sizing.capacity * u64::from(sizing.slices) >= items);
            if sizing.slices > 1 {
                let kind = Kind::of(&config);
                prop_assert!(kind.bytes(share(items, sizing.slices - 1)) > 1 << memory);
            }
        }
    }

    #[test]
    fn more_than_fits_is_refused_with_what_would_do() {
        let refused =
            config(1 << 20, 1e-6).sizing(1_000_000_000).expect_err("a thousand millions in a gibibyte");
        assert!(refused.contains("`memory: 4 MiB` or more, or `false_positive_rate: "), "{refused}");
        let refused = config(1 << 20, 0.0).sizing(1_000_000_000).expect_err("too many");
        assert!(
            refused.contains("expected `memory: 20 MiB` or more") && !refused.contains("rate"),
            "{refused}"
        );
        assert_eq!(config(1 << 30, 1e-6).sizing(0).expect("nothing").slices, 1);
    }

    #[test]
    fn a_slice_that_is_full_says_so() {
        let mut bloom = Bloom::new(10, 1e-9);
        let mut table = Table::new(10);
        for number in 0..10 {
            assert_eq!(bloom.insert(hash(number, 0)), Ok(false));
            assert_eq!(table.first(hash(number, 0), number), Ok(number));
        }
        assert_eq!(bloom.insert(hash(10, 0)), Err(Full { capacity: 10 }));
        assert_eq!(table.first(hash(10, 0), 10), Err(Full { capacity: 10 }));
        assert_eq!(table.first(hash(3, 0), 11), Ok(3), "what is there is found all the same");
    }
}
