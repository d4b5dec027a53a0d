//! From counts to probabilities and back-off weights.

use super::grams::{BEGIN, Grams};
use super::{Smoothing, TrainConfig};

/// One order's share of the model, index by index as its n-grams.
pub(super) struct Smoothed {
    /// Interpolated probabilities; for n-grams that are left out, none is asked for.
    pub(super) probabilities: Vec<f64>,
    /// What the n-gram, as a context, leaves for shorter ones; 1 where it is no context.
    pub(super) backoffs: Vec<f64>,
}

/// Discounts for counts of one, two, and three and more.
type Discounts = [f64; 3];

/// What KenLM takes on request where a corpus is too regular to estimate discounts from.
const FALLBACK: Discounts = [0.5, 1.0, 1.5];

pub(super) struct Model {
    pub(super) orders: Vec<Smoothed>,
    /// The probability of `<unk>` where the corpus has none.
    pub(super) unknown: f64,
}

/// Smooths all orders. `words` counts `<unk>`, `<s>` and `</s>` too.
pub(super) fn smooth(orders: &[Grams], words: usize, config: &TrainConfig) -> Model {
    let mut smoothed: Vec<Smoothed> = Vec::with_capacity(orders.len());
    let uniform = 1.0 / (words - 1) as f64;
    let mut unknown = uniform;
    for (at, grams) in orders.iter().enumerate() {
        let counts = match config.smoothing {
            Smoothing::ModifiedKneserNey => adjusted(grams, orders.get(at + 1)),
            Smoothing::Laplace => grams.counts.clone(),
        };
        let discounts = discounts(grams, &counts);
        let mut probabilities = vec![0.0; grams.len()];
        // n-grams with one context stand together.
        let mut start = 0;
        while start < grams.len() {
            let context = &grams.get(start)[..grams.order - 1];
            let (end, total) = group(grams, &counts, start);
            let share = |count: u64| match config.smoothing {
                Smoothing::ModifiedKneserNey => {
                    (count as f64 - discounts[(count.clamp(1, 3) - 1) as usize]) / total as f64
                }
                Smoothing::Laplace => count as f64 / (total as f64 + config.pseudo_count),
            };
            let mut left = 1.0;
            let predicted = |index: &usize| !is_begin(grams.get(*index));
            for index in (start..end).filter(predicted).filter(|&index| is_kept(grams, index, config)) {
                probabilities[index] = share(counts[index]).max(0.0);
                left -= probabilities[index];
            }
            let left = left.clamp(0.0, 1.0);
            for index in (start..end).filter(predicted) {
                let suffix = at.checked_sub(1).and_then(|below| orders[below].find(&grams.get(index)[1..]));
                let shorter = smoothed
                    .last()
                    .map_or(uniform, |shorter| suffix.map_or(0.0, |suffix| shorter.probabilities[suffix]));
                probabilities[index] += left * shorter;
            }
            match smoothed.last_mut() {
                None => unknown = left * uniform,
                Some(shorter) => {
                    if let Some(context) = orders[at - 1].find(context) {
                        shorter.backoffs[context] = left;
                    }
                }
            }
            start = end;
        }
        smoothed.push(Smoothed { probabilities, backoffs: vec![1.0; grams.len()] });
    }
    Model { orders: smoothed, unknown }
}

/// Where the n-grams with the context of the one at `start` end, and the sum of their counts.
fn group(grams: &Grams, counts: &[u64], start: usize) -> (usize, u64) {
    let context = &grams.get(start)[..grams.order - 1];
    let mut total = 0;
    for (index, count) in counts.iter().enumerate().skip(start) {
        let gram = grams.get(index);
        if gram[..grams.order - 1] != *context {
            return (index, total);
        }
        if !is_begin(gram) {
            total += count;
        }
    }
    (grams.len(), total)
}

/// Whether the n-gram stands in the file.
pub(super) fn is_kept(grams: &Grams, index: usize, config: &TrainConfig) -> bool {
    grams.order == 1 || grams.counts[index] >= u64::from(config.min_count)
}

/// `<s>` is never predicted, only a context.
fn is_begin(gram: &[u32]) -> bool {
    gram == [BEGIN]
}

/// Kneser and Ney's counts: by how many different words an n-gram was preceded. What begins a sentence has none before
/// it and keeps its count, and so does the longest order.
fn adjusted(grams: &Grams, longer: Option<&Grams>) -> Vec<u64> {
    let Some(longer) = longer else { return grams.counts.clone() };
    let mut counts = vec![0; grams.len()];
    for index in 0..longer.len() {
        if let Some(suffix) = grams.find(&longer.get(index)[1..]) {
            counts[suffix] += 1;
        }
    }
    for (index, count) in counts.iter_mut().enumerate() {
        if grams.get(index)[0] == BEGIN {
            *count = grams.counts[index];
        }
    }
    counts
}

/// Chen and Goodman's estimate from how many n-grams were counted once, twice, three and four times.
fn discounts(grams: &Grams, counts: &[u64]) -> Discounts {
    let mut seen = [0_u64; 4];
    for (index, &count) in counts.iter().enumerate() {
        if (1..=4).contains(&count) && !is_begin(grams.get(index)) {
            seen[count as usize - 1] += 1;
        }
    }
    let [one, two, three, four] = seen.map(|count| count as f64);
    let base = one / (one + 2.0 * two);
    let found =
        [1.0 - 2.0 * base * two / one, 2.0 - 3.0 * base * three / two, 3.0 - 4.0 * base * four / three];
    let is_possible =
        found.iter().zip(1..).all(|(&discount, count)| (0.0..=f64::from(count)).contains(&discount));
    if is_possible { found } else { FALLBACK }
}
