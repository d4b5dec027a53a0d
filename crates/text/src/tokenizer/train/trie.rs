//! A static trie over byte strings, for finding every piece that starts at a place.

/// Nodes in breadth-first order: the children of one node stand together, sorted by label.
#[derive(Debug)]
pub(super) struct Trie {
    labels: Vec<u8>,
    first_child: Vec<u32>,
    /// The value of the string that ends at a node, or `NONE`.
    values: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Trie {
    /// Builds the trie of `keys`, which are sorted and distinct; a key's value is `values[key's place]`.
    pub(super) fn new(keys: &[&[u8]], values: &[u32]) -> Self {
        let mut trie = Self { labels: vec![0], first_child: vec![0], values: vec![NONE] };
        let mut level = vec![(0, 0, keys.len())];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for (node, mut start, end) in level {
                if start < end && keys[start].len() == depth {
                    trie.values[node] = values[start];
                    start += 1;
                }
                trie.first_child[node] = trie.labels.len() as u32;
                while start < end {
                    let label = keys[start][depth];
                    let stop = start + keys[start..end].partition_point(|key| key[depth] == label);
                    next.push((trie.labels.len(), start, stop));
                    trie.labels.push(label);
                    trie.first_child.push(0);
                    trie.values.push(NONE);
                    start = stop;
                }
            }
            level = next;
            depth += 1;
        }
        trie.first_child.push(trie.labels.len() as u32);
        trie
    }

    /// Calls `found(length, value)` for every key that `text` starts with, shortest first.
    #[inline]
    pub(super) fn prefixes(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let mut node = 0;
        for (index, byte) in text.iter().enumerate() {
            let (start, end) = (self.first_child[node] as usize, self.first_child[node + 1] as usize);
            let children = &self.labels[start..end];
            let child = if children.len() > 8 {
                children.binary_search(byte).ok()
            } else {
                children.iter().position(|label| label == byte)
            };
            let Some(child) = child else { return };
            node = start + child;
            if self.values[node] != NONE {
                found(index + 1, self.values[node]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_prefixes_are_found() {
        let keys: [&[u8]; 5] = [b"a", b"ab", b"abcd", b"b", b"bc"];
        let trie = Trie::new(&keys, &[10, 11, 12, 13, 14]);
        let find = |text: &[u8]| {
            let mut all = Vec::new();
            trie.prefixes(text, |length, value| all.push((length, value)));
            all
        };
        assert_eq!(find(b"abcde"), [(1, 10), (2, 11), (4, 12)]);
        assert_eq!(find(b"bd"), [(1, 13)]);
        assert!(find(b"c").is_empty() && find(b"").is_empty());
        assert!(Trie::new(&[], &[]).labels.len() == 1);
    }
}
