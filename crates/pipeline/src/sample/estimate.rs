//! From a sample in two stages to figures of the whole: units of the inputs, then records in them.
//!
//! A figure is a ratio: what was counted in the chosen units, by their bytes, times all bytes. Its variance has two parts:
//! how much units differ from each other, as far as not all were looked into, and the chance by which records were taken
//! in each. The interval is the middle 95 % of Student's distribution, or of the normal one where all units were looked
//! into. (Cochran, "Sampling Techniques", 3rd edition, sections 10.3 and 11.7.)

use serde::Serialize;

/// What one unit told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct UnitCounts {
    /// Its bytes in the input.
    pub(super) bytes: f64,
    /// Its records.
    pub(super) records: f64,
    /// Those that were taken.
    pub(super) taken: f64,
}

/// The sample as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Frame {
    /// The chosen units.
    pub(super) units: Vec<UnitCounts>,
    /// How many units there are.
    pub(super) all_units: f64,
    /// Their bytes.
    pub(super) all_bytes: f64,
}

/// A figure with the bounds of its interval of 95 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The likeliest value.
    pub value: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl Estimate {
    /// Something that is known.
    pub(super) fn exact(value: f64) -> Self {
        Self { value, low: value, high: value }
    }
}

/// The normal distribution's bound for 95 %.
const NORMAL: f64 = 1.959_964;

/// Student's bound for 95 %, by the first terms of its expansion around the normal one (Cornish and Fisher); with one
/// degree of freedom it is told as it is.
fn student(freedom: f64) -> f64 {
    if freedom < 2.0 {
        return 12.706;
    }
    let z = NORMAL;
    let one = (z.powi(3) + z) / 4.0;
    let two = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let three = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + one / freedom + two / freedom.powi(2) + three / freedom.powi(3)
}

impl Frame {
    /// Bytes of the chosen units.
    pub(super) fn bytes(&self) -> f64 {
        self.units.iter().map(|unit| unit.bytes).sum()
    }

    /// Records that were taken.
    pub(super) fn taken(&self) -> f64 {
        self.units.iter().map(|unit| unit.taken).sum()
    }

    /// What the bytes of the chosen units must be multiplied by to be all.
    pub(super) fn unit_factor(&self) -> f64 {
        let bytes = self.bytes();
        if bytes > 0.0 { self.all_bytes / bytes } else { 0.0 }
    }

    /// How many records of the corpus a record of the sample stands for.
    pub(super) fn record_factor(&self) -> f64 {
        let taken = self.taken();
        if taken > 0.0 { self.records().value / taken } else { 0.0 }
    }

    /// Records of the whole corpus.
    pub(super) fn records(&self) -> Estimate {
        let counts: Vec<f64> = self.units.iter().map(|unit| unit.records).collect();
        self.bounded(&counts, 0.0, counts.iter().sum(), f64::INFINITY)
    }

    /// A count over all records, of which `counts` were found among those taken in each unit.
    pub(super) fn total(&self, counts: &[f64]) -> Estimate {
        let taken = self.taken();
        let found: f64 = counts.iter().sum();
        let share = if taken > 0.0 { found / taken } else { 0.0 };
        let mut within = 0.0;
        let mut scaled = Vec::with_capacity(counts.len());
        for (unit, count) in self.units.iter().zip(counts) {
            if unit.taken == 0.0 {
                // Nothing is known of its records but how many there are: they count as the others do.
                scaled.push(unit.records * share);
                continue;
            }
            scaled.push(unit.records * count / unit.taken);
            let left = 1.0 - unit.taken / unit.records.max(unit.taken);
            within += unit.records.powi(2) * left * share * (1.0 - share).max(0.0) / unit.taken;
        }
        self.bounded(&scaled, within, found, self.records().value)
    }

    fn bounded(&self, counts: &[f64], within: f64, least: f64, most: f64) -> Estimate {
        let (bytes, units) = (self.bytes(), self.units.len() as f64);
        let sum: f64 = counts.iter().sum();
        if bytes <= 0.0 || units == 0.0 {
            return Estimate::exact(0.0);
        }
        let ratio = sum / bytes;
        let value = ratio * self.all_bytes;
        let all_seen = units >= self.all_units;
        let mut variance = within * self.all_units / units;
        if !all_seen && units > 1.0 {
            let errors =
                self.units.iter().zip(counts).map(|(unit, count)| (count - ratio * unit.bytes).powi(2));
            let spread = errors.sum::<f64>() / (units - 1.0);
            variance += self.all_units.powi(2) * (1.0 - units / self.all_units) / units * spread;
        }
        let bound = if all_seen { NORMAL } else { student(units - 1.0) };
        let half = if !all_seen && units <= 1.0 { f64::INFINITY } else { bound * variance.sqrt() };
        let low = (value - half).max(least).min(value);
        let high = (value + half).min(most).max(value);
        Estimate { value, low, high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A corpus of units, each of some records of which a part has a property; sampled as the sampler does.
    fn draw(units: usize, chosen: usize, part: f64, seed: u64) -> (Frame, Vec<f64>, f64) {
        let hash = |a: u64, b: u64| xxhash_rust::xxh3::xxh3_64_with_seed(&a.to_le_bytes(), b);
        let share = |unit: u64| 0.1 + 0.2 * (hash(unit, 1) % 100) as f64 / 100.0;
        let has =
            |unit: u64, record: u64| (hash(unit << 32 | record, 2) % 10_000) as f64 / 10_000.0 < share(unit);
        let records = |unit: u64| 50 + hash(unit, 3) % 100;
        let mut truth = 0.0;
        let mut ranked: Vec<u64> = (0..units as u64).collect();
        ranked.sort_by_key(|&unit| hash(unit, seed ^ 0xabc));
        let mut frame = Frame { all_units: units as f64, ..Frame::default() };
        let mut counts = Vec::new();
        for (place, &unit) in ranked.iter().enumerate() {
            let of_unit = records(unit);
            let bytes = of_unit as f64 * 1000.0 + (hash(unit, 4) % 20_000) as f64;
            frame.all_bytes += bytes;
            truth += (0..of_unit).filter(|&record| has(unit, record)).count() as f64;
            if place < chosen {
                let taken: Vec<u64> = (0..of_unit)
                    .filter(|&record| (hash(unit << 32 | record, seed) as f64) < part * u64::MAX as f64)
                    .collect();
                counts.push(taken.iter().filter(|&&record| has(unit, record)).count() as f64);
                frame.units.push(UnitCounts { bytes, records: of_unit as f64, taken: taken.len() as f64 });
            }
        }
        (frame, counts, truth)
    }

    #[test]
    fn intervals_hold_the_truth_about_as_often_as_they_say() {
        for (units, chosen, part) in [(400, 60, 0.3), (50, 50, 0.1), (1000, 80, 0.05)] {
            let (mut held, mut sum, mut of) = (0, 0.0, 0.0);
            for seed in 0..200 {
                let (frame, counts, truth) = draw(units, chosen, part, seed);
                let estimate = frame.total(&counts);
                assert!(estimate.low <= estimate.value && estimate.value <= estimate.high);
                held += u32::from((estimate.low..=estimate.high).contains(&truth));
                (sum, of) = (sum + estimate.value, of + truth);
            }
            assert!(
                (180..=200).contains(&held),
                "{units} units, {chosen} of them: {held} of 200 hold the truth"
            );
            assert!((sum / of - 1.0).abs() < 0.02, "the mean of the estimates is the truth: {}", sum / of);
        }
    }

    #[test]
    fn all_of_it_is_exact_and_nothing_is_nothing() {
        let (frame, counts, truth) = draw(20, 20, 1.0, 1);
        let estimate = frame.total(&counts);
        assert!((estimate.value - truth).abs() < 1e-6, "{estimate:?} of {truth}");
        assert!((estimate.high - estimate.low).abs() < 1e-6);
        assert_eq!(Frame::default().total(&[]), Estimate::exact(0.0));
        let (frame, counts, _) = draw(20, 1, 0.5, 1);
        let unknown = frame.total(&counts);
        assert!(unknown.high > 10.0 * unknown.value || unknown.high >= frame.records().value, "{unknown:?}");
    }

    #[test]
    fn students_bounds_are_those_of_the_tables() {
        for (freedom, expected) in [(4.0, 2.776), (10.0, 2.228), (30.0, 2.042), (1e6, 1.960)] {
            assert!((student(freedom) - expected).abs() < 0.01, "{freedom}: {}", student(freedom));
        }
    }
}
