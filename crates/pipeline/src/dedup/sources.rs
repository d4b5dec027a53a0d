//! What each source loses to a dedup stage.

use std::collections::BTreeMap;

use orchestrator_storage::clusters::{SourceLoss, SourceLosses};

/// Sources named in the evidence.
const NAMED: usize = 20;
/// Sources told apart; those after that many count together, so that memory is bounded.
const MOST: usize = 1 << 16;
/// What small files at the root count as.
const ROOT: &str = ".";

#[derive(Clone, Copy, Default)]
struct Tally {
    documents: u64,
    dropped: u64,
}

/// Counts documents by source, in global order: the documents of a file come one after another.
#[derive(Default)]
pub(crate) struct Sources {
    file: String,
    of_file: Tally,
    totals: BTreeMap<String, Tally>,
}

impl Sources {
    /// Counts the next document.
    pub(crate) fn push(&mut self, source: &str, dropped: bool) {
        if source != self.file {
            self.close_file();
            source.clone_into(&mut self.file);
        }
        self.of_file.documents += 1;
        self.of_file.dropped += u64::from(dropped);
    }

    fn close_file(&mut self) {
        let file = std::mem::take(&mut self.of_file);
        if file.documents == 0 {
            return;
        }
        let name = match self.file.split_once('/') {
            Some((directory, _)) => directory,
            None if file.documents == 1 => ROOT,
            None => &self.file,
        };
        let known = self.totals.contains_key(name) || self.totals.len() < MOST;
        let total = self.totals.entry(if known { name } else { ROOT }.to_owned()).or_default();
        total.documents += file.documents;
        total.dropped += file.dropped;
    }

    /// The sources that lose most.
    pub(crate) fn losses(mut self) -> SourceLosses {
        self.close_file();
        let sources = self.totals.len() as u64;
        let mut most: Vec<SourceLoss> = self
            .totals
            .into_iter()
            .map(|(source, Tally { documents, dropped })| SourceLoss { source, documents, dropped })
            .collect();
        let vanished = most.iter().filter(|loss| loss.documents == loss.dropped).count() as u64;
        most.retain(|loss| loss.dropped > 0);
        most.sort_by(|a, b| {
            b.loss()
                .total_cmp(&a.loss())
                .then(b.documents.cmp(&a.documents))
                .then_with(|| a.source.cmp(&b.source))
        });
        most.truncate(NAMED);
        SourceLosses { sources, vanished, most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_directory_or_a_file_of_many_documents() {
        let mut sources = Sources::default();
        for (source, dropped) in [
            ("a.txt", true),
            ("b.jsonl", true),
            ("b.jsonl", true),
            ("books/1.txt", true),
            ("books/x/2.txt", false),
            ("c.txt", false),
        ] {
            sources.push(source, dropped);
        }
        let losses = sources.losses();
        assert_eq!((losses.sources, losses.vanished), (3, 1));
        let most: Vec<_> =
            losses.most.iter().map(|loss| (loss.source.as_str(), loss.documents, loss.dropped)).collect();
        assert_eq!(most, [("b.jsonl", 2, 2), (".", 2, 1), ("books", 2, 1)]);
    }
}
