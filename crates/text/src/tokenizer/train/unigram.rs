//! Learning a unigram language model over pieces.
//!
//! The method is that of Kudo, "Subword Regularization" (2018), and of SentencePiece: begin with the frequent
//! substrings, fit their probabilities by expectation maximisation, drop the pieces that cost the least likelihood,
//! and repeat until the vocabulary has its size.
//!
//! All sums run in one order on one thread, and exponentials come from `libm`, so the result is a function of the
//! counts. Words are at most 32 characters and no probability is below 1e-9: a product over a word stays above 1e-288,
//! within what an f64 holds, and the inner loops need no logarithm.

use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::xxh3_64;

use super::lattice::{Edge, Lattices};
use super::seeds::{Ordered, Seeds, seeds};
use super::trie::Trie;

/// Most characters of distinct words that are looked at: memory and time are proportional to it.
const MAX_CHARS: usize = 8 << 20;

/// Share of the text's characters that have a piece of their own; the rest is spelled in bytes.
const COVERAGE: f64 = 0.9995;

/// Rounds of expectation maximisation between two prunings.
const ROUNDS: usize = 2;

/// Share of the pieces that a pruning keeps.
const SHRINK: f64 = 0.75;

/// Pieces expected less often than this are dropped by a round.
const MIN_EXPECTED: f64 = 0.5;

const MIN_PROBABILITY: f64 = 1e-9;

#[derive(Clone, Debug)]
struct Piece<'a> {
    text: &'a str,
    /// Probability; a count before the first normalisation.
    weight: f64,
    /// Single characters stay, or text could not be spelled.
    required: bool,
}

/// The pieces with their log-probabilities, the most probable first: at most `size`, and none that is in `reserved`.
///
/// `sorted` are counted words in a fixed order.
pub(super) fn learn(
    sorted: &[(&str, u64)],
    size: usize,
    min_frequency: u64,
    reserved: &[&str],
) -> Vec<(String, f64)> {
    let alphabet = alphabet(sorted, size);
    let words = sample(sorted, &alphabet);
    let mut pieces = begin(&words, min_frequency, reserved);
    normalise(&mut pieces);
    let mut lattices = Lattices::new(&words, &trie(&pieces));
    loop {
        for _ in 0..ROUNDS {
            pieces = maximise(&mut lattices, pieces);
        }
        // SentencePiece's margin: the last cut is by probability alone.
        let target = (size * 11 / 10).max(alphabet.len());
        if pieces.len() <= target {
            break;
        }
        let keep = target.max((pieces.len() as f64 * SHRINK) as usize);
        pieces = prune(&mut lattices, pieces, keep);
    }
    let mut chosen = pieces;
    chosen.sort_by(|a, b| {
        b.required.cmp(&a.required).then(b.weight.total_cmp(&a.weight)).then(a.text.cmp(b.text))
    });
    chosen.truncate(size);
    normalise(&mut chosen);
    chosen.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.text.cmp(b.text)));
    chosen.into_iter().map(|piece| (piece.text.to_owned(), libm::log(piece.weight))).collect()
}

/// The characters that get a piece: the most frequent, until they cover the text, and no more than half the vocabulary.
fn alphabet(sorted: &[(&str, u64)], size: usize) -> FxHashSet<char> {
    let mut counts: FxHashMap<char, u64> = FxHashMap::default();
    for (word, count) in sorted {
        for char in word.chars() {
            *counts.entry(char).or_default() += count;
        }
    }
    let total: u64 = counts.values().sum();
    let mut chars: Vec<(char, u64)> = counts.into_iter().collect();
    chars.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut covered = 0;
    let enough = chars.iter().position(|(_, count)| {
        let full = covered as f64 >= total as f64 * COVERAGE;
        covered += count;
        full
    });
    chars.truncate(enough.unwrap_or(chars.len()).min(size.div_ceil(2)));
    chars.into_iter().map(|(char, _)| char).collect()
}

/// The words to learn from, cut where a character has no piece. Frequent words come first; among equally frequent ones
/// a hash chooses, for bytewise order would choose by the first letter.
fn sample<'a>(sorted: &[(&'a str, u64)], alphabet: &FxHashSet<char>) -> Vec<(&'a str, u64)> {
    let mut order: Vec<(u64, u64, &str)> =
        sorted.iter().map(|(word, count)| (u64::MAX - count, xxh3_64(word.as_bytes()), *word)).collect();
    order.sort_unstable();
    let mut chars = 0;
    let mut words = Vec::new();
    for (inverse, _, word) in order {
        for part in word.split(|char| !alphabet.contains(&char)).filter(|part| !part.is_empty()) {
            chars += part.chars().count();
            words.push((part, u64::MAX - inverse));
        }
        if chars >= MAX_CHARS {
            break;
        }
    }
    words
}

/// The pieces to begin with.
fn begin<'a>(words: &[(&'a str, u64)], min_frequency: u64, reserved: &[&str]) -> Vec<Piece<'a>> {
    let Seeds { singles, longer } = seeds(words, min_frequency, reserved);
    let piece = |required| move |(text, weight)| Piece { text, weight: weight as f64, required };
    singles.into_iter().map(piece(true)).chain(longer.into_iter().map(piece(false))).collect()
}

fn normalise(pieces: &mut [Piece<'_>]) {
    let total: f64 = pieces.iter().map(|piece| piece.weight).sum();
    for piece in pieces {
        piece.weight = (piece.weight / total).max(MIN_PROBABILITY);
    }
}

fn trie(pieces: &[Piece<'_>]) -> Trie {
    let mut order: Vec<(Ordered<'_>, u32)> =
        pieces.iter().zip(0..).map(|(piece, id)| (Ordered::new(piece.text), id)).collect();
    order.sort_unstable();
    let (keys, ids): (Vec<&[u8]>, Vec<u32>) =
        order.into_iter().map(|(piece, id)| (piece.text().as_bytes(), id)).unzip();
    Trie::new(&keys, &ids)
}

/// One round: how often each piece is expected over all segmentations of all words, then new probabilities, with the
/// digamma function in place of the logarithm as SentencePiece has it: it favours few pieces.
fn maximise<'a>(lattices: &mut Lattices, mut pieces: Vec<Piece<'a>>) -> Vec<Piece<'a>> {
    let edge = |piece: &Piece<'_>| Edge { weight: piece.weight, chars: piece.text.chars().count() as u32 };
    let edges: Vec<Edge> = pieces.iter().map(edge).collect();
    for (piece, expected) in pieces.iter_mut().zip(lattices.expected(&edges)) {
        piece.weight = expected;
    }
    let mut pieces = retain(lattices, pieces, |_, piece| piece.required || piece.weight >= MIN_EXPECTED);
    let log_total = digamma(pieces.iter().map(|piece| piece.weight).sum());
    for piece in &mut pieces {
        let log = digamma(piece.weight.max(MIN_EXPECTED)) - log_total;
        piece.weight = libm::exp(log).max(MIN_PROBABILITY);
    }
    pieces
}

/// Drops pieces, here and in the lattices.
fn retain<'a>(
    lattices: &mut Lattices,
    pieces: Vec<Piece<'a>>,
    keep: impl Fn(usize, &Piece<'a>) -> bool,
) -> Vec<Piece<'a>> {
    let mut kept = Vec::with_capacity(pieces.len());
    let mut numbers = Vec::with_capacity(pieces.len());
    for (id, piece) in pieces.into_iter().enumerate() {
        let stays = keep(id, &piece);
        numbers.push(stays.then_some(kept.len() as u32));
        if stays {
            kept.push(piece);
        }
    }
    if kept.len() < numbers.len() {
        lattices.renumber(&numbers);
    }
    kept
}

/// Keeps the `keep` pieces whose loss would cost the most: how often the piece is used, times how much less likely its
/// text is without it.
fn prune<'a>(lattices: &mut Lattices, pieces: Vec<Piece<'a>>, keep: usize) -> Vec<Piece<'a>> {
    let trie = trie(&pieces);
    let logs: Vec<f64> = pieces.iter().map(|piece| libm::log(piece.weight)).collect();
    let mut order: Vec<(f64, usize)> = Vec::with_capacity(pieces.len());
    let mut best = Vec::new();
    for (id, piece) in pieces.iter().enumerate() {
        let loss = if piece.required {
            f64::INFINITY
        } else {
            let without = best_without(&trie, &logs, piece.text.as_bytes(), id as u32, &mut best);
            piece.weight * (logs[id] - without)
        };
        order.push((loss, id));
    }
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    order.truncate(keep);
    let mut kept = vec![false; pieces.len()];
    for (_, id) in order {
        kept[id] = true;
    }
    retain(lattices, pieces, |id, _| kept[id])
}

/// The log-likelihood of the best segmentation of `text` without the piece `id`.
fn best_without(trie: &Trie, logs: &[f64], text: &[u8], id: u32, best: &mut Vec<f64>) -> f64 {
    best.clear();
    best.resize(text.len() + 1, f64::NEG_INFINITY);
    best[0] = 0.0;
    for start in 0..text.len() {
        let reach = best[start];
        if reach > f64::NEG_INFINITY {
            trie.prefixes(&text[start..], |length, other| {
                if other != id {
                    best[start + length] = best[start + length].max(reach + logs[other as usize]);
                }
            });
        }
    }
    best[text.len()]
}

/// The logarithmic derivative of the gamma function, by recurrence and its asymptotic series.
fn digamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 7.0 {
        shift -= 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = square * (1.0 / 12.0 - square * (1.0 / 120.0 - square * (1.0 / 252.0 - square / 240.0)));
    shift + libm::log(x) - 0.5 / x - series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digamma_at_known_points() {
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-9);
        assert!((digamma(0.5) + 1.963_510_026_021_423_5).abs() < 1e-9);
        assert!((digamma(100.0) - 4.600_161_852_738_087).abs() < 1e-12);
    }

    #[test]
    fn frequent_words_become_pieces_and_all_characters_stay() {
        let words = [("▁the", 90), ("▁cat", 40), ("▁that", 20), ("▁catalogue", 6), ("▁hat", 3)];
        let pieces = learn(&words, 24, 2, &[]);
        let names: Vec<&str> = pieces.iter().map(|(name, _)| name.as_str()).collect();
        assert!((12..=24).contains(&names.len()), "{names:?}");
        assert!(names.contains(&"▁the") && names.contains(&"▁cat"), "{names:?}");
        assert!(pieces.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        for char in "▁thecaogul".chars() {
            assert!(names.contains(&char.to_string().as_str()), "{char}: {names:?}");
        }
        assert!(!learn(&words, 24, 2, &["▁the"]).iter().any(|(name, _)| name == "▁the"));
    }
}
