//! Supervised training: one thread, one fixed order, so that equal examples and seed give equal bytes.
//!
//! ```text
//! for epoch, for example (shuffled by the seed):
//!   h = mean of the rows;  g = update(h), which moves the output matrix;  rows += g / n
//! ```
//!
//! Features are cut anew in every pass, as fastText does: character n-grams would fill many times the text's own memory.
//! Reference: Joulin et al. 2016, "Bag of tricks for efficient text classification"; fastText 0.9.2.

mod update;
mod vocabulary;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dictionary::Dictionary;
use super::loss::{Loss, huffman};
use super::matrix::{Dense, Matrix};
use super::model::{self, Carried, Model, Scratch};
use update::{Update, add};
use vocabulary::{dictionary, label_ids};

/// The most values that the input matrix may have: 8 GiB of them.
const MAX_VALUES: u64 = 1 << 31;
/// Labels that negative sampling draws beside the right one; fastText's default.
const NEGATIVES: i32 = 5;

/// What the output layer learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrainLoss {
    /// One distribution over all labels.
    #[default]
    Softmax,
    /// A Huffman tree of binary decisions: faster where there are many labels, and a little less exact.
    HierarchicalSoftmax,
    /// A binary decision for the label and for five others that are drawn: frequent ones more often, by the root of
    /// their counts.
    NegativeSampling,
    /// One binary decision a label, independent of the others.
    OneVsAll,
}

/// How a classifier is trained. Defaults are fastText's, but for n-grams (2) and buckets (ten times fewer).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// What the output layer learns.
    pub loss: TrainLoss,
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
            loss: TrainLoss::Softmax,
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
    /// More examples than a pass can be ordered in.
    #[error("there are {0} examples: expected at most 4294967295")]
    TooManyExamples(usize),
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

impl TrainConfig {
    /// Holds every number against its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        let check =
            |holds, key, expected| if holds { Ok(()) } else { Err(TrainError::OutOfRange { key, expected }) };
        check(self.max_chars == 0 || self.min_chars > 0, "min_chars", "1 to max_chars")?;
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
        if u32::try_from(examples.len()).is_err() {
            return Err(TrainError::TooManyExamples(examples.len()));
        }
        let dictionary = dictionary(examples, config)?;
        let mut random = Random(config.seed);
        let mut input = starting_weights(&dictionary, config, &mut random)?;
        let (rows, columns) = (dictionary.labels.len(), input.columns);
        let mut output = Dense { rows, columns, values: vec![0.0; rows * columns] };
        descend(examples, config, &dictionary, (&mut input, &mut output), random);
        let (code, loss) = match config.loss {
            TrainLoss::Softmax => (model::SOFTMAX, Loss::Softmax),
            TrainLoss::HierarchicalSoftmax => {
                (model::HIERARCHICAL_SOFTMAX, Loss::Hierarchical(huffman(&dictionary.labels)))
            }
            TrainLoss::NegativeSampling => (model::NEGATIVE_SAMPLING, Loss::Binary),
            TrainLoss::OneVsAll => (model::ONE_VS_ALL, Loss::Binary),
        };
        let carried = Carried {
            window: 5,
            epochs: config.epochs as i32,
            min_count: config.min_count as i32,
            negatives: NEGATIVES,
            loss: code,
            update_rate: 100,
            sampling: 1e-4,
        };
        Ok(Model::new(carried, dictionary, Matrix::Dense(input), Matrix::Dense(output), loss))
    }
}

/// The input matrix before the first step: uniform around 0, as fastText draws it.
fn starting_weights(
    dictionary: &Dictionary,
    config: &TrainConfig,
    random: &mut Random,
) -> Result<Dense, TrainError> {
    let values = dictionary.rows_needed().saturating_mul(u64::from(config.dimension));
    if values > MAX_VALUES {
        return Err(TrainError::OutOfRange { key: "bucket", expected: "a matrix of at most 2^31 values" });
    }
    let columns = config.dimension as usize;
    let bound = 1.0 / columns as f32;
    let values = (0..values).map(|_| (random.unit() * 2.0 - 1.0) * bound).collect();
    Ok(Dense { rows: dictionary.rows_needed() as usize, columns, values })
}

/// Goes over the examples, in another order in every pass, and moves both matrices.
fn descend(
    examples: &[(&str, &str)],
    config: &TrainConfig,
    dictionary: &Dictionary,
    (input, output): (&mut Dense, &mut Dense),
    mut random: Random,
) {
    let targets = label_ids(examples, dictionary);
    let total = (examples.len() as u64 * u64::from(config.epochs)) as f64;
    let mut order: Vec<u32> = (0..examples.len() as u32).collect();
    let mut update = Update::new(config.loss, &dictionary.labels, Random(random.next()));
    let (mut hidden, mut gradient) = (vec![0.0; input.columns], vec![0.0; input.columns]);
    let mut scratch = Scratch::default();
    let mut done = 0_u64;
    for _ in 0..config.epochs {
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u64 + 1) as usize);
        }
        for &example in &order {
            let rate = (config.learning_rate * (1.0 - done as f64 / total)) as f32;
            done += 1;
            let (label, text) = (targets[example as usize], examples[example as usize].1);
            dictionary.line(text, &mut scratch.rows, &mut scratch.hashes, &mut scratch.word);
            if scratch.rows.is_empty() {
                continue;
            }
            let scale = 1.0 / scratch.rows.len() as f32;
            hidden.fill(0.0);
            gradient.fill(0.0);
            for &row in &scratch.rows {
                add(&mut hidden, 1.0, input.row(row as usize));
            }
            for value in &mut hidden {
                *value *= scale;
            }
            update.step(label, rate, output, &hidden, &mut gradient);
            for &row in &scratch.rows {
                add(input.row_mut(row as usize), scale, &gradient);
            }
        }
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
