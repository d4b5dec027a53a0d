//! Angles of rotary positions (Su et al., 2021, RoFormer): a pair of channels is turned by an angle that grows with the
//! position, so that products of queries and keys depend on the distance between them.

use std::sync::Arc;

/// Cosine and sine for each position and pair of channels, each `[time, half]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryTable {
    cosines: Arc<[f32]>,
    sines: Arc<[f32]>,
    time: usize,
    half: usize,
}

impl RotaryTable {
    /// Angles of positions from 0 to below `time`; `frequencies` are radians a position, one for each pair of channels.
    ///
    /// The angle is a product in `f32`, as the public library has it: at position 100,000 its last digit is 0.008, and a
    /// model that learned with that error must be read with it.
    pub fn new(time: usize, frequencies: &[f32]) -> Self {
        let half = frequencies.len();
        let angles = || {
            (0..time).flat_map(|position| {
                frequencies.iter().map(move |frequency| f64::from(position as f32 * frequency))
            })
        };
        Self {
            cosines: angles().map(|angle| angle.cos() as f32).collect(),
            sines: angles().map(|angle| angle.sin() as f32).collect(),
            time,
            half,
        }
    }

    /// Pairs of channels: half the size of a head.
    pub fn half(&self) -> usize {
        self.half
    }

    /// Cosines and sines of a row's position, where sequences of `time` rows follow each other.
    pub fn angles(&self, row: usize) -> (&[f32], &[f32]) {
        let start = row % self.time * self.half;
        (&self.cosines[start..start + self.half], &self.sines[start..start + self.half])
    }
}
