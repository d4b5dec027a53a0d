//! From weights and sizes to epochs.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{GroupSize, MixConfig};

/// One epoch in the units of [`Epochs`].
const ONE: f64 = 4_294_967_296.0;

/// How often documents are seen, in 2⁻³² of an epoch: whole numbers, so that every machine draws the same documents. In
/// JSON a number with 2⁻³² as its least step, which an `f64` holds exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epochs(u64);

impl Epochs {
    /// The nearest below `epochs`, which is finite and not negative.
    pub fn new(epochs: f64) -> Self {
        Self((epochs * ONE) as u64)
    }

    /// As a number.
    pub fn value(self) -> f64 {
        self.0 as f64 / ONE
    }

    /// Bytes of one pass, for `bytes` of text.
    pub fn of(self, bytes: u64) -> f64 {
        self.value() * bytes as f64
    }

    /// How often a document with this draw is seen: the whole epochs, and one more for draws in the fraction.
    pub fn copies(self, draw: u32) -> u64 {
        (self.0 + u64::from(draw)) >> 32
    }
}

impl fmt::Display for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.value())
    }
}

impl Serialize for Epochs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

impl<'de> Deserialize<'de> for Epochs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        // A parser that is off by the last bit of an `f64` still rounds to the same step.
        if (0.0..=1e6).contains(&value) {
            Ok(Self((value * ONE).round() as u64))
        } else {
            Err(serde::de::Error::custom(format!("{value} epochs: expected 0 to 1000000")))
        }
    }
}

/// A group that shares what is left.
struct Sharer {
    group: usize,
    weight: f64,
    bytes: f64,
    epochs: Option<f64>,
}

/// The epochs of every group in the job's order, and one for the documents of no group.
///
/// What is left of the total after the groups with `epochs` and the others is shared by weight. A group that would be
/// seen more than `max_epochs` is seen so often, and the rest shares again, until none is above the bound or all are.
pub(super) fn solve(config: &MixConfig, sizes: &[GroupSize]) -> Vec<Epochs> {
    let bytes = |index: usize| sizes.get(index).map_or(0.0, |size| size.bytes as f64);
    let mut epochs = vec![Epochs::new(1.0); config.groups.len() + 1];
    let incoming: f64 = sizes.iter().map(|size| size.bytes as f64).sum();
    let mut left = config.total.map_or(incoming, |total| total.0 as f64) - bytes(config.groups.len());
    let mut sharers = Vec::new();
    for (index, group) in config.groups.iter().enumerate() {
        if let Some(fixed) = group.epochs {
            epochs[index] = Epochs::new(fixed);
            left -= fixed * bytes(index);
            continue;
        }
        let weight = group.weight.unwrap_or_else(|| libm::pow(bytes(index), 1.0 / config.temperature));
        sharers.push(Sharer { group: index, weight, bytes: bytes(index), epochs: None });
    }
    share(&mut sharers, left.max(0.0), config.max_epochs);
    for sharer in sharers {
        epochs[sharer.group] = Epochs::new(sharer.epochs.unwrap_or(0.0));
    }
    epochs
}

/// Water filling: those above the bound take it and leave, the others share again.
fn share(sharers: &mut [Sharer], mut left: f64, bound: f64) {
    for sharer in sharers.iter_mut().filter(|sharer| sharer.bytes == 0.0) {
        sharer.epochs = Some(0.0);
    }
    loop {
        let weights: f64 = sharers.iter().filter(|s| s.epochs.is_none()).map(|s| s.weight).sum();
        let fair = |sharer: &Sharer| left * (sharer.weight / weights) / sharer.bytes;
        let above: Vec<usize> = (0..sharers.len())
            .filter(|&i| sharers[i].epochs.is_none() && fair(&sharers[i]) > bound)
            .collect();
        if above.is_empty() {
            let fair: Vec<f64> = sharers.iter().map(fair).collect();
            for (sharer, fair) in sharers.iter_mut().zip(fair) {
                sharer.epochs.get_or_insert(fair);
            }
            return;
        }
        for index in above {
            sharers[index].epochs = Some(bound);
            left -= bound * sharers[index].bytes;
        }
        left = left.max(0.0);
    }
}
