//! Which words and labels the examples hold.

use rustc_hash::FxHashMap;

use crate::fasttext::dictionary::{Dictionary, END_OF_SENTENCE, Entry, Features, LABEL_PREFIX, is_separator};

use super::{TrainConfig, TrainError};

/// Counts words and labels; most frequent first, ties by first appearance.
pub(super) fn dictionary(examples: &[(&str, &str)], config: &TrainConfig) -> Result<Dictionary, TrainError> {
    let (mut words, mut labels) = (Counter::default(), Counter::default());
    let mut tokens = 0_i64;
    for (label, text) in examples {
        let is_label = label.len() > LABEL_PREFIX.len()
            && label.starts_with(LABEL_PREFIX)
            && !label.bytes().any(is_separator);
        if !is_label {
            return Err(TrainError::BadLabel((*label).to_owned()));
        }
        labels.add(label.as_bytes());
        let line = text.as_bytes().split(|&byte| is_separator(byte)).filter(|token| !token.is_empty());
        for token in line.chain([END_OF_SENTENCE]) {
            if !token.starts_with(LABEL_PREFIX.as_bytes()) {
                words.add(token);
                tokens += 1;
            }
            if token == END_OF_SENTENCE {
                break;
            }
        }
    }
    let labels = labels.sorted(1);
    if labels.len() < 2 {
        return Err(TrainError::TooFewLabels(labels.len()));
    }
    let features = Features {
        word_ngrams: config.word_ngrams,
        bucket: if config.word_ngrams > 1 || config.max_chars > 0 { config.bucket } else { 0 },
        min_chars: config.min_chars,
        max_chars: config.max_chars,
    };
    Ok(Dictionary::new(words.sorted(i64::from(config.min_count)), labels, tokens, features))
}

#[derive(Default)]
struct Counter<'a> {
    ids: FxHashMap<&'a [u8], usize>,
    entries: Vec<(&'a [u8], i64)>,
}

impl<'a> Counter<'a> {
    fn add(&mut self, token: &'a [u8]) {
        let id = *self.ids.entry(token).or_insert_with(|| {
            self.entries.push((token, 0));
            self.entries.len() - 1
        });
        self.entries[id].1 += 1;
    }

    fn sorted(mut self, min_count: i64) -> Vec<Entry> {
        self.entries.retain(|entry| entry.1 >= min_count);
        self.entries.sort_by_key(|entry| std::cmp::Reverse(entry.1));
        self.entries.into_iter().map(|(text, count)| Entry { text: text.into(), count }).collect()
    }
}

/// The id of each example's label, in the examples' order.
pub(super) fn label_ids(examples: &[(&str, &str)], dictionary: &Dictionary) -> Vec<u32> {
    let ids: FxHashMap<&[u8], u32> =
        dictionary.labels.iter().enumerate().map(|(id, label)| (&*label.text, id as u32)).collect();
    examples.iter().map(|(label, _)| ids[label.as_bytes()]).collect()
}
