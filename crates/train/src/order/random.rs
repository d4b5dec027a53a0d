//! Windows at random places, with replacement.

use orchestrator_model::random;

use super::Order;
use crate::error::TrainError;
use crate::tokens::TokenSource;

/// Draws where each window begins.
pub struct Random {
    key: u64,
}

impl Random {
    /// An order from a seed.
    pub fn new(seed: u64) -> Self {
        Self { key: random::key(&[seed, 0x0072_616e_646f_6d00]) }
    }
}

impl Order for Random {
    fn window(&mut self, source: &dyn TokenSource, number: u64, into: &mut [u32]) -> Result<(), TrainError> {
        let places = source.len() - into.len() as u64 + 1;
        Ok(source.read(random::below(self.key, number, places), into)?)
    }
}
