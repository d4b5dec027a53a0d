//! Words, labels and the hashing of n-grams, as fastText's C++ does it.

use rustc_hash::FxHashMap;

use super::reader::{Error, Reader};

/// The token that ends every line; C++ makes it of the newline.
pub(super) const END_OF_SENTENCE: &[u8] = b"</s>";
/// What a label's token begins with. Model files do not hold it; everybody uses the default.
pub(super) const LABEL_PREFIX: &str = "__label__";
/// Labels' counts stay below the weight that fastText's Huffman tree gives to a node not yet built.
pub(super) const MAX_LABEL_COUNT: i64 = 1_000_000_000_000_000;

/// How a model cuts text into features.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    pub(super) word_ngrams: u32,
    pub(super) bucket: u32,
    pub(super) min_chars: u32,
    pub(super) max_chars: u32,
}

impl Features {
    pub(super) fn hashes(&self) -> bool {
        self.word_ngrams > 1 || self.max_chars > 0
    }
}

/// One word or label with its count in the training text.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: Box<[u8]>,
    pub(super) count: i64,
}

/// The dictionary: ids of words are rows of the input matrix; hashed n-grams follow them.
#[derive(Clone, Debug)]
pub(super) struct Dictionary {
    pub(super) words: Vec<Entry>,
    pub(super) labels: Vec<Entry>,
    pub(super) tokens: i64,
    pub(super) features: Features,
    ids: FxHashMap<Box<[u8]>, u32>,
    /// From a bucket to the row that pruning left it, if the model was pruned.
    pruned: Option<FxHashMap<u32, u32>>,
}

impl Dictionary {
    pub(super) fn new(words: Vec<Entry>, labels: Vec<Entry>, tokens: i64, features: Features) -> Self {
        let mut ids = FxHashMap::default();
        for (id, word) in words.iter().enumerate() {
            ids.entry(word.text.clone()).or_insert(id as u32);
        }
        Self { words, labels, tokens, features, ids, pruned: None }
    }

    pub(super) fn read(reader: &mut Reader<'_>, features: Features) -> Result<Self, Error> {
        let size = reader.count32("dictionary size")?;
        let word_count = reader.count32("words")?;
        let label_count = reader.count32("labels")?;
        if u64::from(word_count) + u64::from(label_count) != u64::from(size) {
            return Err(Error::invalid("dictionary size", i64::from(size), "words plus labels"));
        }
        let tokens = reader.i64("tokens")?;
        let pruned_size = reader.i64("pruned size")?;
        // Vectors grow with what is read, so a count larger than the file allocates nothing.
        let (mut words, mut labels) = (Vec::new(), Vec::new());
        for id in 0..size {
            let text = reader.c_string("entry")?.into();
            let count = reader.i64("entry count")?;
            let kind = reader.byte("entry type")?;
            if kind != u8::from(id >= word_count) {
                return Err(Error::invalid("entry type", i64::from(kind), "words before labels"));
            }
            if kind == 0 {
                words.push(Entry { text, count });
            } else if (0..MAX_LABEL_COUNT).contains(&count) {
                labels.push(Entry { text, count });
            } else {
                return Err(Error::invalid("label count", count, "a count below 10^15"));
            }
        }
        let mut dictionary = Self::new(words, labels, tokens, features);
        if let Ok(count) = u64::try_from(pruned_size) {
            let pairs = reader.take("pruned buckets", count, 8)?;
            let mut map = FxHashMap::default();
            for pair in pairs.as_chunks::<8>().0 {
                let [a, b, c, d, e, f, g, h] = *pair;
                let (from, to) = (i32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]));
                let to = u32::try_from(to)
                    .ok()
                    .filter(|&row| u64::from(row) < count)
                    .ok_or(Error::invalid("pruned row", i64::from(to), "below the pruned size"))?;
                map.insert(from as u32, to);
            }
            dictionary.pruned = Some(map);
        }
        Ok(dictionary)
    }

    /// Whether buckets were pruned; only quantized models may be.
    pub(super) fn is_pruned(&self) -> bool {
        self.pruned.is_some()
    }

    /// How many rows the input matrix must have for every feature to have one.
    pub(super) fn rows_needed(&self) -> u64 {
        let hashed = match &self.pruned {
            Some(map) => map.values().max().map_or(0, |&row| u64::from(row) + 1),
            None if self.features.hashes() => u64::from(self.features.bucket),
            None => 0,
        };
        self.words.len() as u64 + hashed
    }

    /// Collects the rows of one line: `text`'s newlines are white space, and one newline ends it.
    pub(super) fn line(&self, text: &str, rows: &mut Vec<u32>, hashes: &mut Vec<i32>, word: &mut Vec<u8>) {
        rows.clear();
        hashes.clear();
        let tokens = text.as_bytes().split(|&byte| is_separator(byte)).filter(|token| !token.is_empty());
        for token in tokens.chain([END_OF_SENTENCE]) {
            let id = self.ids.get(token).copied();
            if id.is_some() || !token.starts_with(LABEL_PREFIX.as_bytes()) {
                self.word(token, id, rows, word);
                hashes.push(hash(token) as i32);
            }
            if token == END_OF_SENTENCE {
                break;
            }
        }
        for start in 0..hashes.len() {
            // C++ widens the 32-bit hashes with their sign.
            let mut ngram = i64::from(hashes[start]) as u64;
            for &next in
                hashes[start + 1..].iter().take((self.features.word_ngrams as usize).saturating_sub(1))
            {
                ngram = ngram.wrapping_mul(116_049_371).wrapping_add(i64::from(next) as u64);
                self.push_bucket((ngram % u64::from(self.features.bucket)) as u32, rows);
            }
        }
    }

    fn word(&self, token: &[u8], id: Option<u32>, rows: &mut Vec<u32>, word: &mut Vec<u8>) {
        rows.extend(id);
        if self.features.max_chars == 0 || token == END_OF_SENTENCE {
            return;
        }
        word.clear();
        word.push(b'<');
        word.extend_from_slice(token);
        word.push(b'>');
        for start in 0..word.len() {
            if is_continuation(word[start]) {
                continue;
            }
            let mut end = start;
            let mut ngram = FNV_OFFSET;
            for length in 1..=self.features.max_chars {
                if end == word.len() {
                    break;
                }
                ngram = fnv(ngram, word[end]);
                end += 1;
                while end < word.len() && is_continuation(word[end]) {
                    ngram = fnv(ngram, word[end]);
                    end += 1;
                }
                let is_bracket = length == 1 && (start == 0 || end == word.len());
                if length >= self.features.min_chars && !is_bracket {
                    self.push_bucket(ngram % self.features.bucket, rows);
                }
            }
        }
    }

    fn push_bucket(&self, bucket: u32, rows: &mut Vec<u32>) {
        let row = match &self.pruned {
            Some(map) => map.get(&bucket).copied(),
            None => Some(bucket),
        };
        rows.extend(row.map(|row| self.words.len() as u32 + row));
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (words, labels) = (self.words.len() as i32, self.labels.len() as i32);
        for number in [words + labels, words, labels] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.tokens.to_le_bytes());
        out.extend((-1_i64).to_le_bytes()); // not pruned
        for (kind, entries) in [(0, &self.words), (1, &self.labels)] {
            for entry in entries {
                out.extend_from_slice(&entry.text);
                out.push(0);
                out.extend(entry.count.to_le_bytes());
                out.push(kind);
            }
        }
    }
}

/// What C++ splits words at.
pub(super) fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c | 0)
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

const FNV_OFFSET: u32 = 2_166_136_261;

/// One step of FNV-1a over a byte that C++ widens with its sign.
fn fnv(hash: u32, byte: u8) -> u32 {
    (hash ^ i32::from(byte as i8) as u32).wrapping_mul(16_777_619)
}

fn hash(token: &[u8]) -> u32 {
    token.iter().fold(FNV_OFFSET, |hash, &byte| fnv(hash, byte))
}
