//! Documents in a global shuffle, packed and cut.

use orchestrator_model::random;

use super::Order;
use crate::error::TrainError;
use crate::tokens::TokenSource;

/// Cuts each epoch's shuffled documents into windows. A window may begin and end inside documents; what is left at an
/// epoch's end, less than a window, waits for another shuffle.
pub struct Packed {
    key: u64,
    size: usize,
    epoch: Option<Epoch>,
}

/// One epoch's order of documents.
struct Epoch {
    number: u64,
    /// Documents in this epoch's order.
    documents: Vec<u32>,
    /// Where each of them ends in the packed stream.
    ends: Vec<u64>,
}

impl Packed {
    /// An order from a seed, for windows of `size` tokens.
    pub fn new(seed: u64, size: usize) -> Self {
        Self { key: random::key(&[seed, 0x7061_636b_6564_0000]), size, epoch: None }
    }

    /// The epoch's order, made when first asked for.
    fn epoch(&mut self, source: &dyn TokenSource, number: u64) -> &Epoch {
        let known = self.epoch.take().filter(|epoch| epoch.number == number);
        let key = random::key(&[self.key, number]);
        self.epoch.insert(known.unwrap_or_else(|| Epoch::new(source.document_ends(), key, number)))
    }
}

impl Epoch {
    /// Shuffles (Fisher and Yates).
    fn new(document_ends: &[u64], key: u64, number: u64) -> Self {
        let mut documents: Vec<u32> = (0..document_ends.len() as u32).collect();
        for last in (1..documents.len()).rev() {
            let other = random::below(key, last as u64, last as u64 + 1);
            documents.swap(last, other as usize);
        }
        let mut end = 0;
        let ends = documents.iter().map(|document| {
            end += document_ends[*document as usize] - start_of(document_ends, *document);
            end
        });
        let ends = ends.collect();
        Self { number, documents, ends }
    }
}

fn start_of(document_ends: &[u64], document: u32) -> u64 {
    if document == 0 { 0 } else { document_ends[document as usize - 1] }
}

impl Order for Packed {
    fn window(&mut self, source: &dyn TokenSource, number: u64, into: &mut [u32]) -> Result<(), TrainError> {
        let windows = (source.len() / self.size as u64).max(1);
        let epoch = self.epoch(source, number / windows);
        let mut at = number % windows * into.len() as u64;
        let mut place = epoch.ends.partition_point(|end| *end <= at);
        let mut filled = 0;
        while filled < into.len() && place < epoch.ends.len() {
            let document = epoch.documents[place];
            let left = epoch.ends[place] - at;
            let count = left.min((into.len() - filled) as u64);
            let start = source.document_ends()[document as usize] - left;
            source.read(start, &mut into[filled..filled + count as usize])?;
            filled += count as usize;
            at += count;
            place += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::MemoryTokens;

    #[test]
    fn an_epoch_shows_every_token_once_in_whole_documents() {
        let documents: Vec<Vec<u32>> =
            (0..20).map(|d| (0..=d * 3 % 7).map(|t| d * 100 + t).collect()).collect();
        let source = MemoryTokens::new(documents.iter().map(Vec::as_slice));
        let size = 5;
        let windows = source.len() / size as u64;
        let mut order = Packed::new(3, size);
        let mut epochs = Vec::new();
        for epoch in 0..2 {
            let mut seen = Vec::new();
            for window in 0..windows {
                let mut tokens = vec![u32::MAX; size];
                order.window(&source, epoch * windows + window, &mut tokens).expect("reads");
                seen.extend(tokens);
            }
            for pair in seen.windows(2) {
                let same = pair[0] / 100 == pair[1] / 100;
                assert!(!same || pair[1] == pair[0] + 1, "documents stay whole: {pair:?}");
            }
            let mut sorted = seen.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), seen.len(), "no token twice");
            epochs.push(seen);
        }
        assert_ne!(epochs[0], epochs[1], "each epoch has its own shuffle");
        let mut again = vec![0; size];
        Packed::new(3, size).window(&source, windows + 2, &mut again).expect("reads");
        assert_eq!(again, epochs[1][2 * size..3 * size], "a window does not depend on what was read before");
    }
}
