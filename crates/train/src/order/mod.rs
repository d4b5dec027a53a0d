//! The order of the data: which tokens are the n-th window of a run. A pure function of (seed, n), whatever the ranks.

mod packed;
mod random;
mod sequential;

use serde::{Deserialize, Serialize};

pub use packed::Packed;
pub use random::Random;
pub use sequential::Sequential;

use crate::error::TrainError;
use crate::tokens::TokenSource;

/// How windows are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// Documents in a new global shuffle each epoch, packed one after the other and cut into windows: every token once
    /// an epoch.
    #[default]
    Packed,
    /// Each window begins at a random token.
    Random,
    /// The corpus from beginning to end, window after window; each epoch is cut elsewhere.
    Sequential,
}

/// An order of windows.
pub trait Order: Send {
    /// Writes the tokens of window `number` to `into`, whose length is the window's.
    fn window(&mut self, source: &dyn TokenSource, number: u64, into: &mut [u32]) -> Result<(), TrainError>;
}

/// Makes an order of windows of `size` tokens; the stream must hold at least one.
pub fn open(
    kind: OrderKind,
    source: &dyn TokenSource,
    seed: u64,
    size: usize,
) -> Result<Box<dyn Order>, TrainError> {
    if source.len() < size as u64 {
        return Err(TrainError::Option {
            option: "context",
            value: (size.saturating_sub(1)).to_string(),
            expected: format!("fewer than the `{}` tokens there are to train on", source.len()),
        });
    }
    Ok(match kind {
        OrderKind::Packed => Box::new(Packed::new(seed, size)),
        OrderKind::Random => Box::new(Random::new(seed)),
        OrderKind::Sequential => Box::new(Sequential::new(seed)),
    })
}

/// Windows of held-out tokens: evenly spread over the stream, the same at every measurement.
pub fn validation_start(length: u64, size: u64, number: u64, count: u64) -> u64 {
    let room = length.saturating_sub(size);
    (u128::from(room) * u128::from(number) / u128::from(count.max(1))) as u64
}
