//! Every way to cut every word into pieces, found once and kept while pieces fall.

use super::trie::Trie;

/// What a lattice needs of a piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    /// Probability.
    pub(super) weight: f64,
    /// Length in characters.
    pub(super) chars: u32,
}

/// For each character of each word, the pieces that begin there, shortest first.
///
/// A walk through the trie costs a cache miss for every byte, and each round would make the same walks again. Memory is
/// four bytes for each place at which a piece fits: about six for each character with a million pieces, three with fifty
/// thousand, and never more than the sixteen lengths that pieces have.
pub(super) struct Lattices {
    /// How often each word occurs, and its characters.
    words: Vec<(u64, u32)>,
    /// How many pieces begin at each character.
    fans: Vec<u8>,
    /// Their numbers.
    pieces: Vec<u32>,
}

impl Lattices {
    pub(super) fn new(words: &[(&str, u64)], trie: &Trie) -> Self {
        let mut lattices =
            Self { words: Vec::with_capacity(words.len()), fans: Vec::new(), pieces: Vec::new() };
        for (word, count) in words {
            let before = lattices.fans.len();
            for (start, _) in word.char_indices() {
                let first = lattices.pieces.len();
                trie.prefixes(&word.as_bytes()[start..], |_, piece| lattices.pieces.push(piece));
                lattices.fans.push((lattices.pieces.len() - first) as u8);
            }
            lattices.words.push((*count, (lattices.fans.len() - before) as u32));
        }
        lattices
    }

    /// How often each piece is expected over all segmentations of all words, the words as often as they occur.
    pub(super) fn expected(&self, edges: &[Edge]) -> Vec<f64> {
        let mut expected = vec![0.0; edges.len()];
        let (mut fans, mut pieces) = (&self.fans[..], &self.pieces[..]);
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        for &(count, chars) in &self.words {
            let (these, rest) = fans.split_at(chars as usize);
            fans = rest;
            let (ours, rest) = pieces.split_at(these.iter().map(|&fan| usize::from(fan)).sum());
            pieces = rest;

            let end = chars as usize;
            forward.clear();
            forward.resize(end + 1, 0.0);
            forward[0] = 1.0;
            let mut next = 0;
            for (at, &fan) in these.iter().enumerate() {
                let reach: f64 = forward[at];
                for &piece in &ours[next..next + usize::from(fan)] {
                    let edge = edges[piece as usize];
                    forward[at + edge.chars as usize] += reach * edge.weight;
                }
                next += usize::from(fan);
            }
            backward.clear();
            backward.resize(end + 1, 0.0);
            backward[end] = 1.0;
            for (at, &fan) in these.iter().enumerate().rev() {
                next -= usize::from(fan);
                for &piece in ours[next..next + usize::from(fan)].iter().rev() {
                    let edge = edges[piece as usize];
                    backward[at] += backward[at + edge.chars as usize] * edge.weight;
                }
            }
            let total = forward[end];
            if total > 0.0 {
                let scale = count as f64 / total;
                for (at, &fan) in these.iter().enumerate() {
                    for &piece in &ours[next..next + usize::from(fan)] {
                        let edge = edges[piece as usize];
                        expected[piece as usize] +=
                            forward[at] * edge.weight * backward[at + edge.chars as usize] * scale;
                    }
                    next += usize::from(fan);
                }
            }
        }
        expected
    }

    /// Gives pieces their new numbers; those that have `None` are gone.
    pub(super) fn renumber(&mut self, numbers: &[Option<u32>]) {
        let (mut read, mut written) = (0, 0);
        for fan in &mut self.fans {
            let first = written;
            for _ in 0..*fan {
                if let Some(number) = numbers[self.pieces[read] as usize] {
                    self.pieces[written] = number;
                    written += 1;
                }
                read += 1;
            }
            *fan = (written - first) as u8;
        }
        self.pieces.truncate(written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_those_of_all_segmentations() {
        let trie = Trie::new(&[b"a", b"ab", b"b"], &[0, 1, 2]);
        let edges = [(0.25, 1), (0.5, 2), (0.25, 1)].map(|(weight, chars)| Edge { weight, chars });
        let mut lattices = Lattices::new(&[("ab", 9), ("b", 1)], &trie);
        // `ab` is one piece with 8 of 9 parts of the probability, and two with the ninth.
        assert_eq!(lattices.expected(&edges), [1.0, 8.0, 2.0]);
        lattices.renumber(&[Some(0), None, Some(1)]);
        assert_eq!(lattices.expected(&[edges[0], edges[2]]), [9.0, 10.0]);
    }
}
