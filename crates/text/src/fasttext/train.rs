//! Supervised training: one thread, one fixed order, so that equal examples and seed give equal bytes.
//!
//! ```text
//! for epoch, for example (shuffled by the seed):
//!   h = mean of the rows;  p = softmax(O·h);  g = Σ lr·(1[label] − p)·O[label];  O += lr·(1[label] − p)·h;  rows += g / n
//! ```

use rustc_hash::FxHashMap;

use super::dictionary::{Dictionary, END_OF_SENTENCE, Entry, Features, LABEL_PREFIX, is_separator};
use super::loss::Loss;
use super::matrix::{Dense, Matrix, dot};
use super::model::{Carried, Model, Scratch};

/// The most values that the input matrix may have: 8 GiB of them.
const MAX_VALUES: u64 = 1 << 31;

/// How a classifier is trained. Defaults are fastText's, but for n-grams (2) and buckets (ten times fewer).
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Length of the hidden vector.
    pub dimension: u32,
    /// Longest n-gram of words.
    pub word_ngrams: u32,
    /// Rows shared by hashed n-grams.
    pub bucket: u32,
    /// Shortest n-gram of characters.
    pub min_chars: u32,
    /// Longest n-gram of characters; 0 for none.
    pub max_chars: u32,
    /// Words rarer than this are known only by their n-grams.
    pub min_count: u32,
    /// Passes over the examples.
    pub epochs: u32,
    /// Learning rate at the start; it falls in a straight line to 0.
    pub learning_rate: f64,
    /// Seed of the starting weights and of the order of examples.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            dimension: 100,
            word_ngrams: 2,
            bucket: 200_000,
            min_chars: 0,
            max_chars: 0,
            min_count: 1,
            epochs: 5,
            learning_rate: 0.1,
            seed: 0,
        }
    }
}

/// Why no model can be trained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// Fewer than two labels among the examples.
    #[error("the examples have {0} labels: expected at least 2")]
    TooFewLabels(usize),
    /// A label that the file format cannot hold.
    #[error("`{0}` is no label: expected `__label__` and a name without white space")]
    BadLabel(String),
    /// A number out of range.
    #[error("`{key}` is out of range: expected {expected}")]
    OutOfRange {
        /// The option.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
    },
}

/// Trains supervised models.
#[derive(Clone, Copy, Debug)]
pub struct Trainer;

struct Example {
    label: u32,
    rows: Vec<u32>,
}

impl TrainConfig {
    /// Holds every number against its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        let check =
            |holds, key, expected| if holds { Ok(()) } else { Err(TrainError::OutOfRange { key, expected }) };
        check((1..=4096).contains(&self.dimension), "dimension", "1 to 4096")?;
        check((1..=16).contains(&self.word_ngrams), "word_ngrams", "1 to 16")?;
        check((1..=i32::MAX as u32).contains(&self.bucket), "bucket", "1 to 2147483647")?;
        check(self.max_chars <= 16 && self.min_chars <= self.max_chars, "max_chars", "min_chars to 16")?;
        check((1..=10_000).contains(&self.epochs), "epochs", "1 to 10000")?;
        check(i32::try_from(self.min_count).is_ok(), "min_count", "at most 2147483647")?;
        check(self.learning_rate.is_finite() && self.learning_rate > 0.0, "learning_rate", "above 0")
    }
}

impl Trainer {
    /// Trains on (label, text) pairs. Labels carry `__label__`; newlines in a text count as white space.
    pub fn train(examples: &[(&str, &str)], config: &TrainConfig) -> Result<Model, TrainError> {
        config.validate()?;
        let dictionary = dictionary(examples, config)?;
        let values = dictionary.rows_needed().saturating_mul(u64::from(config.dimension));
        if values > MAX_VALUES {
            return Err(TrainError::OutOfRange {
                key: "bucket",
                expected: "a matrix of at most 2^31 values",
            });
        }
        let dimension = config.dimension as usize;
        let mut random = Random(config.seed);
        let bound = 1.0 / dimension as f32;
        let mut input = Dense {
            rows: dictionary.rows_needed() as usize,
            columns: dimension,
            values: (0..values).map(|_| (random.unit() * 2.0 - 1.0) * bound).collect(),
        };
        let labels = dictionary.labels.len();
        let mut output = Dense { rows: labels, columns: dimension, values: vec![0.0; labels * dimension] };

        let mut examples = features(examples, &dictionary);
        let total = (examples.len() as u64 * u64::from(config.epochs)) as f64;
        let mut pass =
            Pass { hidden: vec![0.0; dimension], gradient: vec![0.0; dimension], scores: vec![0.0; labels] };
        let mut done = 0_u64;
        for _ in 0..config.epochs {
            for last in (1..examples.len()).rev() {
                examples.swap(last, random.below(last as u64 + 1) as usize);
            }
            for example in &examples {
                let rate = config.learning_rate * (1.0 - done as f64 / total);
                pass.step(example, rate as f32, &mut input, &mut output);
                done += 1;
            }
        }
        let carried = Carried {
            window: 5,
            epochs: config.epochs as i32,
            min_count: config.min_count as i32,
            negatives: 5,
            update_rate: 100,
            sampling: 1e-4,
        };
        Ok(Model::new(carried, dictionary, Matrix::Dense(input), Matrix::Dense(output), Loss::Softmax))
    }
}

/// Counts words and labels; most frequent first, ties by first appearance.
fn dictionary(examples: &[(&str, &str)], config: &TrainConfig) -> Result<Dictionary, TrainError> {
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

fn features(examples: &[(&str, &str)], dictionary: &Dictionary) -> Vec<Example> {
    let ids: FxHashMap<&[u8], u32> =
        dictionary.labels.iter().enumerate().map(|(id, label)| (&*label.text, id as u32)).collect();
    let mut scratch = Scratch::default();
    let mut found = Vec::with_capacity(examples.len());
    for (label, text) in examples {
        dictionary.line(text, &mut scratch.rows, &mut scratch.hashes, &mut scratch.word);
        if !scratch.rows.is_empty() {
            found.push(Example { label: ids[label.as_bytes()], rows: scratch.rows.clone() });
        }
    }
    found
}

struct Pass {
    hidden: Vec<f32>,
    gradient: Vec<f32>,
    scores: Vec<f32>,
}

impl Pass {
    fn step(&mut self, example: &Example, rate: f32, input: &mut Dense, output: &mut Dense) {
        let scale = 1.0 / example.rows.len() as f32;
        self.hidden.fill(0.0);
        self.gradient.fill(0.0);
        for &row in &example.rows {
            add(&mut self.hidden, 1.0, input.row(row as usize));
        }
        self.hidden.iter_mut().for_each(|value| *value *= scale);
        for (label, score) in self.scores.iter_mut().enumerate() {
            *score = dot(output.row(label), &self.hidden);
        }
        let highest = self.scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for score in &mut self.scores {
            *score = libm::expf(*score - highest);
            sum += *score;
        }
        for (label, score) in self.scores.iter().enumerate() {
            let target = if label as u32 == example.label { 1.0 } else { 0.0 };
            let step = rate * (target - score / sum);
            add(&mut self.gradient, step, output.row(label));
            add(output.row_mut(label), step, &self.hidden);
        }
        for &row in &example.rows {
            add(input.row_mut(row as usize), scale, &self.gradient);
        }
    }
}

fn add(sum: &mut [f32], scale: f32, vector: &[f32]) {
    for (sum, value) in sum.iter_mut().zip(vector) {
        *sum += scale * value;
    }
}

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// A number below `bound`, by the high half of a product.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}
