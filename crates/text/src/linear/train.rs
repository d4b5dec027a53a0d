//! Training: document frequencies, then logistic regression by L-BFGS.
//!
//! ```text
//! minimise  ½ w·w + C · Σ ln(1 + exp(−y (w·x + b)))
//! ```

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::features::{Features, Scratch, frequency};
use super::{Model, Term};

/// Steps and gradients that L-BFGS remembers.
const MEMORY: usize = 10;
/// The search ends where no part of the gradient is larger.
const TOLERANCE: f64 = 1e-5;

/// How a classifier is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Longest n-gram of words.
    pub word_ngrams: u32,
    /// n-grams that stand in fewer examples are not looked at.
    pub min_documents: u32,
    /// At most so many n-grams are looked at: those in the most examples, ties by hash.
    pub max_features: u32,
    /// What an example's error weighs beside the length of the weights; larger fits closer.
    pub inverse_regularization: f64,
    /// Most steps of the search.
    pub max_steps: u32,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            word_ngrams: 2,
            min_documents: 2,
            max_features: 1_000_000,
            inverse_regularization: 1.0,
            max_steps: 200,
        }
    }
}

/// Why no model can be trained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// One of the classes has no example.
    #[error("there are {positive} positive and {negative} negative examples: expected some of each")]
    OneClass {
        /// Positive examples.
        positive: usize,
        /// Negative examples.
        negative: usize,
    },
    /// No n-gram stands in enough examples.
    #[error("no n-gram stands in {0} examples: expected more text or a lower `min_count`")]
    NoFeatures(u32),
    /// A number out of range.
    #[error("`{key}` is out of range: expected {expected}")]
    OutOfRange {
        /// The option.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
    },
}

impl TrainConfig {
    /// Holds every number against its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        let check =
            |holds, key, expected| if holds { Ok(()) } else { Err(TrainError::OutOfRange { key, expected }) };
        let weight = self.inverse_regularization;
        check((1..=8).contains(&self.word_ngrams), "word_ngrams", "1 to 8")?;
        check((1..=100_000_000).contains(&self.max_features), "max_features", "1 to 100000000")?;
        check((1..=100_000).contains(&self.max_steps), "max_steps", "1 to 100000")?;
        check(weight.is_finite() && weight > 0.0, "inverse_regularization", "a number above 0")
    }
}

/// The examples as rows of (term, value), one after another.
struct Examples {
    starts: Vec<usize>,
    entries: Vec<(u32, f32)>,
    /// 1 or −1.
    signs: Vec<f64>,
}

/// Trains on texts of two classes.
pub fn train(positive: &[&str], negative: &[&str], config: &TrainConfig) -> Result<Model, TrainError> {
    config.validate()?;
    if positive.is_empty() || negative.is_empty() {
        return Err(TrainError::OneClass { positive: positive.len(), negative: negative.len() });
    }
    let features = Features { word_ngrams: config.word_ngrams };
    let mut terms = terms(features, positive, negative, config)?;
    let examples = examples(features, &terms, positive, negative);
    let point = minimise(&examples, terms.len(), config);
    for (term, weight) in terms.iter_mut().zip(&point) {
        term.weight = *weight as f32;
    }
    Ok(Model { features, terms, bias: point[point.len() - 1] as f32 })
}

/// The n-grams that are looked at, rising by hash.
fn terms(
    features: Features,
    positive: &[&str],
    negative: &[&str],
    config: &TrainConfig,
) -> Result<Vec<Term>, TrainError> {
    let mut documents: FxHashMap<u64, u32> = FxHashMap::default();
    let mut scratch = Scratch::default();
    for text in positive.iter().chain(negative) {
        features.count(text, &mut scratch);
        for &(hash, _) in &scratch.counts {
            *documents.entry(hash).or_insert(0) += 1;
        }
    }
    let enough = |&(_, count): &(u64, u32)| count >= config.min_documents.max(1);
    let mut found: Vec<(u64, u32)> = documents.into_iter().filter(enough).collect();
    if found.is_empty() {
        return Err(TrainError::NoFeatures(config.min_documents));
    }
    found.sort_unstable_by_key(|&(hash, count)| (std::cmp::Reverse(count), hash));
    found.truncate(config.max_features as usize);
    found.sort_unstable();
    let total = (positive.len() + negative.len()) as f64;
    let idf = |count: u32| libm::log((1.0 + total) / (1.0 + f64::from(count))) + 1.0;
    Ok(found.into_iter().map(|(hash, count)| Term { hash, idf: idf(count) as f32, weight: 0.0 }).collect())
}

fn examples(features: Features, terms: &[Term], positive: &[&str], negative: &[&str]) -> Examples {
    let mut examples = Examples { starts: vec![0], entries: Vec::new(), signs: Vec::new() };
    let mut scratch = Scratch::default();
    let signed = positive.iter().map(|text| (text, 1.0)).chain(negative.iter().map(|text| (text, -1.0)));
    for (text, sign) in signed {
        features.count(text, &mut scratch);
        let start = examples.entries.len();
        let mut square = 0.0;
        for &(hash, count) in &scratch.counts {
            if let Ok(place) = terms.binary_search_by_key(&hash, |term| term.hash) {
                let value = frequency(count) * f64::from(terms[place].idf);
                square += value * value;
                examples.entries.push((place as u32, value as f32));
            }
        }
        let length = if square > 0.0 { libm::sqrt(square) } else { 1.0 };
        for entry in &mut examples.entries[start..] {
            entry.1 = (f64::from(entry.1) / length) as f32;
        }
        examples.starts.push(examples.entries.len());
        examples.signs.push(sign);
    }
    examples
}

/// `1 / (1 + exp(−x))`, without overflow.
pub(super) fn logistic(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + libm::exp(-x)) } else { 1.0 - 1.0 / (1.0 + libm::exp(x)) }
}

impl Examples {
    /// The function's value at `point` (the weights, then the bias); its gradient goes to `gradient`.
    fn value(&self, point: &[f64], weight: f64, gradient: &mut [f64]) -> f64 {
        let bias = point.len() - 1;
        gradient.copy_from_slice(point);
        gradient[bias] = 0.0;
        let mut value = 0.5 * dot(&point[..bias], &point[..bias]);
        for (example, &sign) in self.signs.iter().enumerate() {
            let row = &self.entries[self.starts[example]..self.starts[example + 1]];
            let mut margin = point[bias];
            for &(term, x) in row {
                margin += point[term as usize] * f64::from(x);
            }
            margin *= sign;
            // ln(1 + exp(−m)), without overflow.
            value += weight * ((-margin).max(0.0) + libm::log1p(libm::exp(-margin.abs())));
            let slope = -weight * sign * logistic(-margin);
            for &(term, x) in row {
                gradient[term as usize] += slope * f64::from(x);
            }
            gradient[bias] += slope;
        }
        value
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// L-BFGS with a backtracking search along each direction (Nocedal and Wright 2006, algorithms 7.4 and 3.1).
fn minimise(examples: &Examples, terms: usize, config: &TrainConfig) -> Vec<f64> {
    let weight = config.inverse_regularization;
    let mut point = vec![0.0; terms + 1];
    let mut gradient = vec![0.0; terms + 1];
    let mut value = examples.value(&point, weight, &mut gradient);
    let mut past: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for _ in 0..config.max_steps {
        if gradient.iter().all(|part| part.abs() <= TOLERANCE) {
            break;
        }
        let mut direction = descent(&gradient, &past);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            direction = gradient.iter().map(|part| -part).collect();
            slope = -dot(&gradient, &gradient);
            past.clear();
        }
        // The first step has no scale to go by: the gradient's own length.
        let mut length = if past.is_empty() { 1.0 / libm::sqrt(-slope).max(1.0) } else { 1.0 };
        let mut next_gradient = vec![0.0; gradient.len()];
        let found = (0..40).find_map(|_| {
            let next: Vec<f64> = point.iter().zip(&direction).map(|(x, step)| x + length * step).collect();
            let next_value = examples.value(&next, weight, &mut next_gradient);
            let is_lower = next_value <= value + 1e-4 * length * slope;
            length *= 0.5;
            is_lower.then_some((next, next_value))
        });
        // No step goes down any more: this is the minimum, as far as numbers of this length can tell.
        let Some((next, next_value)) = found else { break };
        let step: Vec<f64> = next.iter().zip(&point).map(|(next, x)| next - x).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(next, g)| next - g).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-12 {
            if past.len() == MEMORY {
                past.pop_front();
            }
            past.push_back((step, change, 1.0 / curvature));
        }
        (point, gradient, value) = (next, next_gradient, next_value);
    }
    point
}

/// The direction of descent from the remembered steps.
fn descent(gradient: &[f64], past: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|part| -part).collect();
    let mut shares = vec![0.0; past.len()];
    for (share, (step, change, inverse)) in shares.iter_mut().zip(past).rev() {
        *share = inverse * dot(step, &direction);
        add(&mut direction, -*share, change);
    }
    if let Some((_, change, inverse)) = past.back() {
        let scale = 1.0 / (inverse * dot(change, change));
        for part in &mut direction {
            *part *= scale;
        }
    }
    for (share, (step, change, inverse)) in shares.iter().zip(past) {
        let back = inverse * dot(change, &direction);
        add(&mut direction, share - back, step);
    }
    direction
}

fn add(sum: &mut [f64], scale: f64, vector: &[f64]) {
    for (sum, value) in sum.iter_mut().zip(vector) {
        *sum += scale * value;
    }
}
