//! Counting the words of a corpus, in bounded memory.

use std::collections::hash_map::Entry;
use std::sync::LazyLock;

use regex::Regex;
use rustc_hash::FxHashMap;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer as _, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _,
};

use super::pretokenize;
use super::{TokenizerError, TokenizerModel, TrainTokenizer};

/// How often each word of the training text occurs; what a word is depends on the model.
///
/// Up to `MAX_WORDS` distinct words the counts do not depend on the order of the documents. Beyond, each pruning
/// drops the words seen at most once since, then at most twice, and so on, until half are left; the result is then a
/// function of the documents in their order, which a caller keeps fixed.
#[derive(Clone, Debug)]
pub struct WordCounts {
    model: TokenizerModel,
    counts: FxHashMap<Box<str>, u64>,
    bytes: u64,
    sample: u64,
    max_words: usize,
    floor: u64,
}

/// About 1 GiB with words of ordinary length; 256 MiB of English text have two million.
const MAX_WORDS: usize = 1 << 23;

/// Longer words are counted in pieces of at most this many bytes: nobody learns from longer ones, and base64 has them.
const MAX_WORD_BYTES: usize = 256;

/// A unigram piece is looked for within at most this many characters, see the trainer.
pub(super) const MAX_UNIGRAM_CHARS: usize = 32;

/// The pattern of the library's `Whitespace` pre-tokenizer.
static WORDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\w+|[^\w\s]+").expect("the pattern is a literal of ours"));

impl WordCounts {
    /// Counts nothing yet.
    pub fn new(config: &TrainTokenizer) -> Self {
        Self {
            model: config.model,
            counts: FxHashMap::default(),
            bytes: 0,
            sample: config.sample.0,
            max_words: MAX_WORDS,
            floor: 0,
        }
    }

    /// Counts the words of one document, or of as much of it as the sample still takes.
    pub fn add(&mut self, text: &str) {
        let room = usize::try_from(self.sample - self.bytes).unwrap_or(usize::MAX);
        let text = &text[..text.floor_char_boundary(room)];
        if text.len() > room.saturating_sub(4) {
            self.bytes = self.sample;
        } else {
            self.bytes += text.len() as u64;
        }
        match self.model {
            TokenizerModel::Bpe => pretokenize::split(text).for_each(|word| self.count_in_pieces(word)),
            TokenizerModel::Word => {
                WORDS.find_iter(text).for_each(|word| self.count_in_pieces(word.as_str()));
            }
            TokenizerModel::Unigram => split_unigram(text, |word| self.count(word)),
            TokenizerModel::Wordpiece => {
                for line in text.lines() {
                    pieces(line, 1 << 16).for_each(|part| self.count_bert(part));
                }
            }
            TokenizerModel::Character => {
                let mut buffer = [0; 4];
                text.chars().for_each(|char| self.count(char.encode_utf8(&mut buffer)));
            }
        }
    }

    /// Whether the sample's bound is reached: further documents are not counted.
    pub fn is_full(&self) -> bool {
        self.bytes >= self.sample
    }

    /// Bytes of text counted.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Distinct words counted.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no word has been counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// All words of `min_frequency` occurrences and more, the most frequent first, ties by their bytes.
    pub(super) fn sorted(&self, min_frequency: u64) -> Result<Vec<(&str, u64)>, TokenizerError> {
        let mut words: Vec<(&str, u64)> = self
            .counts
            .iter()
            .filter(|(_, count)| **count >= min_frequency)
            .map(|(word, count)| (&**word, *count))
            .collect();
        words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        if self.counts.is_empty() { Err(TokenizerError::NoText) } else { Ok(words) }
    }

    pub(super) fn model(&self) -> TokenizerModel {
        self.model
    }

    fn count_in_pieces(&mut self, word: &str) {
        if word.len() <= MAX_WORD_BYTES {
            self.count(word);
        } else {
            pieces(word, MAX_WORD_BYTES).for_each(|piece| self.count(piece));
        }
    }

    fn count(&mut self, word: &str) {
        if let Some(count) = self.counts.get_mut(word) {
            *count += 1;
            return;
        }
        if self.counts.len() >= self.max_words {
            self.prune();
        }
        match self.counts.entry(word.into()) {
            Entry::Occupied(mut entry) => *entry.get_mut() += 1,
            Entry::Vacant(entry) => {
                entry.insert(1);
            }
        }
    }

    fn prune(&mut self) {
        while self.counts.len() > self.max_words / 2 {
            self.floor += 1;
            let floor = self.floor;
            self.counts.retain(|_, count| *count > floor);
        }
    }

    /// Splits as BERT does, by the library's own code: its rules for punctuation and ideographs are long.
    fn count_bert(&mut self, text: &str) {
        let mut normalized = NormalizedString::from(text);
        let mut split = match BertNormalizer::new(true, true, None, false).normalize(&mut normalized) {
            Ok(()) => PreTokenizedString::from(normalized),
            Err(_) => return,
        };
        if BertPreTokenizer.pre_tokenize(&mut split).is_ok() {
            for (word, _, _) in split.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
                self.count_in_pieces(word);
            }
        }
    }
}

/// `text` in pieces of at most `limit` bytes, cut between characters.
fn pieces(text: &str, limit: usize) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(limit));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Splits as the pre-tokenizers of our unigram models do: runs of line ends and tabs apart, the rest before each space,
/// which is written as `▁` and stands before the very first word as well. Long words come in pieces.
fn split_unigram(text: &str, mut count: impl FnMut(&str)) {
    let mut word = String::new();
    let mut length = 0;
    let mut controls = false;
    if !text.starts_with([' ', '▁', '\r', '\n', '\t']) {
        word.push('▁');
        length = 1;
    }
    for char in text.chars() {
        let char = if char == ' ' { '▁' } else { char };
        let control = matches!(char, '\r' | '\n' | '\t');
        if !word.is_empty() && (char == '▁' || control != controls || length == MAX_UNIGRAM_CHARS) {
            count(&word);
            word.clear();
            length = 0;
        }
        word.push(char);
        length += 1;
        controls = control;
    }
    if !text.is_empty() && !word.is_empty() {
        count(&word);
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_core::units::ByteSize;

    use super::*;

    fn counts(model: TokenizerModel, text: &str) -> Vec<(String, u64)> {
        let mut counts = WordCounts::new(&TrainTokenizer { model, ..TrainTokenizer::default() });
        counts.add(text);
        let sorted = counts.sorted(1).expect("text");
        sorted.into_iter().map(|(word, count)| (word.to_owned(), count)).collect()
    }

    fn words(model: TokenizerModel, text: &str) -> Vec<String> {
        counts(model, text).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn each_model_has_its_own_words() {
        let text = "a a, b\n c";
        assert_eq!(words(TokenizerModel::Bpe, text), ["\n", " a", " b", " c", ",", "a"]);
        assert_eq!(words(TokenizerModel::Word, text), ["a", ",", "b", "c"]);
        assert_eq!(words(TokenizerModel::Wordpiece, text), ["a", ",", "b", "c"]);
        assert_eq!(words(TokenizerModel::Character, text), [" ", "a", "\n", ",", "b", "c"]);
        assert_eq!(words(TokenizerModel::Unigram, text), ["\n", "▁a", "▁a,", "▁b", "▁c"]);
    }

    #[test]
    fn the_sample_ends_within_a_document() {
        let config = TrainTokenizer { sample: ByteSize(7), ..TrainTokenizer::default() };
        let mut counts = WordCounts::new(&config);
        counts.add("abc ab日");
        assert!(counts.is_full());
        counts.add(" more");
        assert_eq!(counts.len(), 2);
    }

    #[test]
    fn rare_words_make_room() {
        let mut counts = WordCounts { max_words: 4, ..WordCounts::new(&TrainTokenizer::default()) };
        for word in ["a", "a", "b", "c", "d", "e", "a"] {
            counts.add(word);
        }
        assert_eq!(counts.sorted(1).expect("text"), [("a", 3), ("e", 1)]);
    }

    #[test]
    fn a_long_word_is_counted_in_pieces() {
        let found = counts(TokenizerModel::Bpe, &"é".repeat(1000));
        assert_eq!(found.iter().map(|(word, count)| word.len() as u64 * count).sum::<u64>(), 2000);
        assert!(found.iter().all(|(word, _)| word.len() <= MAX_WORD_BYTES));
    }
}
