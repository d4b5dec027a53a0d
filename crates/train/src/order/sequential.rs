//! The corpus from beginning to end, cut into windows that stand next to each other.

use orchestrator_model::random;

use super::Order;
use crate::error::TrainError;
use crate::tokens::TokenSource;

/// Partitions the stream in its own order. Each epoch begins at another of the first tokens, so that it cuts elsewhere;
/// what is before and after the windows, less than two of them, waits for another epoch.
///
/// Source: sequential partitioning, *Dive into Deep Learning*, section 9.3.
pub struct Sequential {
    key: u64,
}

impl Sequential {
    /// An order from a seed.
    pub fn new(seed: u64) -> Self {
        Self { key: random::key(&[seed, 0x7365_7175_656e_6365]) }
    }
}

impl Order for Sequential {
    fn window(&mut self, source: &dyn TokenSource, number: u64, into: &mut [u32]) -> Result<(), TrainError> {
        let size = into.len() as u64;
        let windows = ((source.len() + 1 - size) / size).max(1);
        let (epoch, place) = (number / windows, number % windows);
        let offsets = (source.len() - windows * size + 1).min(size);
        let offset = random::below(self.key, epoch, offsets);
        Ok(source.read(offset + place * size, into)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::MemoryTokens;

    #[test]
    fn windows_of_an_epoch_are_the_corpus_in_order() {
        let tokens: Vec<u32> = (0..103).collect();
        let source = MemoryTokens::new([tokens.as_slice()]);
        for size in [1, 7, 10, 60, 103] {
            let windows = ((103 + 1 - size) / size).max(1);
            let mut order = Sequential::new(5);
            let mut begins = Vec::new();
            for epoch in 0..4 {
                let mut seen = Vec::new();
                for window in 0..windows {
                    let mut tokens = vec![0; size];
                    let number = (epoch * windows + window) as u64;
                    order.window(&source, number, &mut tokens).expect("it is there");
                    seen.extend(tokens);
                }
                assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "{size}");
                assert!(seen[0] < size as u32, "{size}");
                begins.push(seen[0]);
            }
            assert!(size != 10 || begins.iter().any(|begin| *begin != begins[0]), "{begins:?}");
        }
    }
}
