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

use super::trie::Trie;

/// Longest piece, in characters.
const MAX_PIECE_CHARS: usize = 16;

/// Most pieces to begin with.
const MAX_SEEDS: usize = 1_000_000;

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
    let mut pieces = seeds(&words, &alphabet, min_frequency, reserved);
    normalise(&mut pieces);
    loop {
        for _ in 0..ROUNDS {
            pieces = maximise(&words, pieces);
        }
        // SentencePiece's margin: the last cut is by probability alone.
        let target = (size * 11 / 10).max(alphabet.len());
        if pieces.len() <= target {
            break;
        }
        let keep = target.max((pieces.len() as f64 * SHRINK) as usize);
        pieces = prune(pieces, keep);
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

/// All substrings that are frequent, weighted by the characters they cover, longest first to fall. A substring is
/// counted only if it is one character longer than a frequent one, so each pass holds few.
fn seeds<'a>(
    words: &[(&'a str, u64)],
    alphabet: &FxHashSet<char>,
    min_frequency: u64,
    reserved: &[&str],
) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    let mut frequent: FxHashMap<&str, u64> = FxHashMap::default();
    let mut longer = Vec::new();
    for chars in 1..=MAX_PIECE_CHARS {
        let mut counts: FxHashMap<&str, u64> = FxHashMap::default();
        for (word, count) in words {
            let mut starts: Vec<usize> = word.char_indices().map(|(at, _)| at).collect();
            starts.push(word.len());
            for window in starts.windows(chars + 1) {
                let (start, end) = (window[0], window[chars]);
                let grown = chars == 1
                    || (frequent.contains_key(&word[start..window[chars - 1]])
                        && frequent.contains_key(&word[window[1]..end]));
                if grown {
                    *counts.entry(&word[start..end]).or_default() += count;
                }
            }
        }
        if chars == 1 {
            let mut singles: Vec<(&str, u64)> = counts.iter().map(|(text, count)| (*text, *count)).collect();
            singles.sort_unstable();
            debug_assert!(singles.len() <= alphabet.len(), "words were cut at other characters");
            pieces.extend(singles.into_iter().map(|(text, count)| Piece {
                text,
                weight: count as f64,
                required: true,
            }));
        } else {
            counts.retain(|_, count| *count >= min_frequency.max(2));
            let weigh = |(text, count): (&&'a str, &u64)| (count * chars as u64, *text);
            longer.extend(counts.iter().map(weigh).filter(|(_, text)| !reserved.contains(text)));
        }
        if counts.is_empty() {
            break;
        }
        frequent = counts;
    }
    longer.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    longer.truncate(MAX_SEEDS);
    pieces.extend(longer.into_iter().map(|(weight, text)| Piece {
        text,
        weight: weight as f64,
        required: false,
    }));
    pieces
}

fn normalise(pieces: &mut [Piece<'_>]) {
    let total: f64 = pieces.iter().map(|piece| piece.weight).sum();
    for piece in pieces {
        piece.weight = (piece.weight / total).max(MIN_PROBABILITY);
    }
}

fn trie(pieces: &[Piece<'_>]) -> Trie {
    let mut order: Vec<(&[u8], u32)> =
        pieces.iter().zip(0..).map(|(piece, id)| (piece.text.as_bytes(), id)).collect();
    order.sort_unstable();
    let (keys, ids): (Vec<&[u8]>, Vec<u32>) = order.into_iter().unzip();
    Trie::new(&keys, &ids)
}

/// One round: how often each piece is expected over all segmentations of all words, then new probabilities, with the
/// digamma function in place of the logarithm as SentencePiece has it: it favours few pieces.
fn maximise<'a>(words: &[(&str, u64)], mut pieces: Vec<Piece<'a>>) -> Vec<Piece<'a>> {
    let trie = trie(&pieces);
    let mut expected = vec![0.0; pieces.len()];
    let mut lattice = Vec::new();
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    for (word, count) in words {
        let bytes = word.as_bytes();
        lattice.clear();
        forward.clear();
        forward.resize(bytes.len() + 1, 0.0);
        forward[0] = 1.0;
        for start in 0..bytes.len() {
            let reach: f64 = forward[start];
            if reach > 0.0 {
                trie.prefixes(&bytes[start..], |length, id| {
                    let weight = pieces[id as usize].weight;
                    forward[start + length] += reach * weight;
                    lattice.push((start, start + length, id, weight));
                });
            }
        }
        backward.clear();
        backward.resize(bytes.len() + 1, 0.0);
        backward[bytes.len()] = 1.0;
        for (start, end, _, weight) in lattice.iter().rev() {
            backward[*start] += backward[*end] * weight;
        }
        let total = forward[bytes.len()];
        if total > 0.0 {
            let scale = *count as f64 / total;
            for (start, end, id, weight) in &lattice {
                expected[*id as usize] += forward[*start] * weight * backward[*end] * scale;
            }
        }
    }
    for (piece, expected) in pieces.iter_mut().zip(&expected) {
        piece.weight = *expected;
    }
    pieces.retain(|piece| piece.required || piece.weight >= MIN_EXPECTED);
    let log_total = digamma(pieces.iter().map(|piece| piece.weight).sum());
    for piece in &mut pieces {
        let log = digamma(piece.weight.max(MIN_EXPECTED)) - log_total;
        piece.weight = libm::exp(log).max(MIN_PROBABILITY);
    }
    pieces
}

/// Keeps the `keep` pieces whose loss would cost the most: how often the piece is used, times how much less likely its
/// text is without it.
fn prune(pieces: Vec<Piece<'_>>, keep: usize) -> Vec<Piece<'_>> {
    let trie = trie(&pieces);
    let logs: Vec<f64> = pieces.iter().map(|piece| libm::log(piece.weight)).collect();
    let mut order: Vec<(f64, usize)> = Vec::with_capacity(pieces.len());
    for (id, piece) in pieces.iter().enumerate() {
        let loss = if piece.required {
            f64::INFINITY
        } else {
            piece.weight * (logs[id] - best_without(&trie, &logs, piece.text.as_bytes(), id as u32))
        };
        order.push((loss, id));
    }
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    order.truncate(keep);
    let kept: FxHashSet<usize> = order.into_iter().map(|(_, id)| id).collect();
    pieces.into_iter().enumerate().filter(|(id, _)| kept.contains(id)).map(|(_, piece)| piece).collect()
}

/// The log-likelihood of the best segmentation of `text` without the piece `id`.
fn best_without(trie: &Trie, logs: &[f64], text: &[u8], id: u32) -> f64 {
    let mut best = vec![f64::NEG_INFINITY; text.len() + 1];
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
