//! Encoding text into ids.

use super::merges::Scratch;
use super::model::Engine;
use super::{Tokenizer, TokenizerError, pretokenize};

/// Encodes text with one tokenizer. Each thread has its own: it remembers the words it has just seen.
///
/// What it remembers never changes what it returns.
#[derive(Debug)]
pub struct Encoder<'t> {
    tokenizer: &'t Tokenizer,
    cache: WordCache,
    scratch: Scratch,
}

impl<'t> Encoder<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer) -> Self {
        let slots = if matches!(tokenizer.engine(), Engine::ByteLevel(_)) { CACHE_SLOTS } else { 0 };
        Self { tokenizer, cache: WordCache::new(slots), scratch: Scratch::default() }
    }

    /// Appends the ids of `text`. No special token is added, and none comes out of the text: where it spells one, it
    /// is encoded as any other text.
    pub fn encode(&mut self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let bpe = match self.tokenizer.engine() {
            Engine::ByteLevel(bpe) => bpe,
            Engine::Library(library) => return library.encode(text, ids),
        };
        for word in pretokenize::split(text) {
            let word = word.as_bytes();
            let Some(key) = Key::new(word) else {
                bpe.encode_word(word, &mut self.scratch, ids);
                continue;
            };
            if let Some(known) = self.cache.get(&key) {
                ids.extend_from_slice(known);
                continue;
            }
            let start = ids.len();
            bpe.encode_word(word, &mut self.scratch, ids);
            self.cache.put(&key, &ids[start..]);
        }
        Ok(())
    }
}

/// 32,768 slots of 64 bytes: 2 MiB a thread, about what a core's second-level cache holds.
const CACHE_SLOTS: usize = 1 << 15;

/// Longer words are not remembered.
const KEY_BYTES: usize = 24;

/// Words of more ids are not remembered.
const SLOT_IDS: usize = 8;

/// A short word, padded with zeros, and its hash.
struct Key {
    bytes: [u8; KEY_BYTES],
    length: u8,
    hash: u64,
}

impl Key {
    fn new(word: &[u8]) -> Option<Self> {
        let mut bytes = [0; KEY_BYTES];
        bytes.get_mut(..word.len())?.copy_from_slice(word);
        let mut hash = word.len() as u64;
        for chunk in bytes.chunks_exact(8) {
            let part = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
            hash = (hash.rotate_left(26) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        Some(Self { bytes, length: word.len() as u8, hash })
    }
}

/// A direct-mapped cache: a word has one slot, and the last word that wanted it has it.
///
/// It is bounded without bookkeeping. The frequent words of a text win their slots back at once.
#[derive(Debug)]
struct WordCache {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Slot {
    bytes: [u8; KEY_BYTES],
    ids: [u32; SLOT_IDS],
    /// Zero in an empty slot: a word is never empty.
    length: u8,
    count: u8,
}

impl WordCache {
    /// `slots` is a power of two.
    fn new(slots: usize) -> Self {
        let empty = Slot { bytes: [0; KEY_BYTES], ids: [0; SLOT_IDS], length: 0, count: 0 };
        Self { slots: vec![empty; slots] }
    }

    fn index(&self, key: &Key) -> usize {
        (key.hash >> 40) as usize & (self.slots.len() - 1)
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<&[u32]> {
        let slot = &self.slots[self.index(key)];
        (slot.length == key.length && slot.bytes == key.bytes).then(|| &slot.ids[..slot.count as usize])
    }

    fn put(&mut self, key: &Key, ids: &[u32]) {
        let index = self.index(key);
        let slot = &mut self.slots[index];
        if let Some(room) = slot.ids.get_mut(..ids.len()) {
            room.copy_from_slice(ids);
            (slot.bytes, slot.length, slot.count) = (key.bytes, key.length, ids.len() as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_the_last_short_word() {
        let mut cache = WordCache::new(1);
        let key = |word: &[u8]| Key::new(word).expect("short");
        assert!(cache.get(&key(b"a")).is_none());
        cache.put(&key(b"a"), &[1, 2]);
        assert_eq!(cache.get(&key(b"a")), Some(&[1, 2][..]));
        assert!(cache.get(&key(b"a\0")).is_none());
        cache.put(&key(b"b"), &[3]);
        assert!(cache.get(&key(b"a")).is_none());
        cache.put(&key(b"c"), &[0; 9]);
        assert_eq!(cache.get(&key(b"b")), Some(&[3][..]));
        assert!(Key::new(&[b'x'; 25]).is_none());
    }

    #[test]
    fn a_slot_is_one_cache_line() {
        assert_eq!(size_of::<Slot>(), 64);
    }
}
