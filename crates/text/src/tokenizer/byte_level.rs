//! Byte-level BPE: any bytes in, the same bytes out.

use serde_json::Value;

use super::json::{self, Entry};
use super::merges::{Merges, Scratch};
use super::{MAX_VOCABULARY, TokenizerError};

/// The printable character that stands for a byte in `vocab.json`, as GPT-2 published it: printable Latin-1 stands for
/// itself, the rest follows from U+0100 on.
pub(super) fn byte_to_char(byte: u8) -> char {
    let shifted = match byte {
        0..=0x20 => 0x100 + u32::from(byte),
        0x7f..=0xa0 => 0x121 + u32::from(byte) - 0x7f,
        0xad => 0x143,
        _ => u32::from(byte),
    };
    char::from_u32(shifted).expect("below the surrogates")
}

/// The byte that `char` stands for.
fn char_to_byte(char: char) -> Option<u8> {
    match char as u32 {
        shifted @ 0x100..=0x120 => Some((shifted - 0x100) as u8),
        shifted @ 0x121..=0x142 => Some((shifted - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        same @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(same as u8),
        _ => None,
    }
}

/// Spells `bytes` as `vocab.json` does.
pub(super) fn spell(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| byte_to_char(*byte)).collect()
}

/// The bytes of a spelled token; a token with a foreign character, as special ones are, stands for itself.
fn unspell(token: &str) -> Vec<u8> {
    token.chars().map(char_to_byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// A byte-level BPE model.
#[derive(Debug)]
pub(super) struct ByteLevelBpe {
    byte_ids: [u32; 256],
    merges: Merges,
    /// The bytes of all tokens, and where each token's are. An id without a token has none.
    bytes: Vec<u8>,
    spans: Vec<(u32, u32)>,
    specials: Vec<u32>,
}

impl ByteLevelBpe {
    /// Takes a `tokenizer.json` that is GPT-2's scheme and nothing else; `None` where it asks for more (a normalizer,
    /// another pattern, added tokens that do match in text), which is left to the library.
    pub(super) fn from_json(root: &Value, entries: &[Entry]) -> Result<Option<Self>, TokenizerError> {
        if !is_plain_gpt2(root, entries) {
            return Ok(None);
        }
        let model = &root["model"];
        let size = entries.iter().map(|entry| entry.id as usize + 1).max().unwrap_or(0);
        let mut spans = vec![(0, 0); size];
        let mut bytes = Vec::new();
        for entry in entries {
            let token = if entry.added { entry.token.as_bytes().to_vec() } else { unspell(&entry.token) };
            spans[entry.id as usize] = (bytes.len() as u32, (bytes.len() + token.len()) as u32);
            bytes.extend(token);
        }
        let vocabulary =
            model["vocab"].as_object().ok_or_else(|| TokenizerError::malformed("`model.vocab` is no map"))?;
        let id = |token: &str| vocabulary.get(token).and_then(Value::as_u64).map(|id| id as u32);
        let mut byte_ids = [0; 256];
        for byte in 0..=255 {
            let Some(id) = id(byte_to_char(byte).encode_utf8(&mut [0; 4])) else { return Ok(None) };
            byte_ids[byte as usize] = id;
        }
        let list = model["merges"]
            .as_array()
            .ok_or_else(|| TokenizerError::malformed("`model.merges` is no list"))?;
        if list.len() > MAX_VOCABULARY {
            return Err(TokenizerError::malformed(format!("`{}` merges are too many", list.len())));
        }
        let mut merges = Merges::default();
        for (rank, merge) in list.iter().enumerate() {
            let (left, right) = json::merge(merge)?;
            let unknown =
                |token: &str| TokenizerError::malformed(format!("merge of `{token}`, which is no token"));
            let merged = id(&format!("{left}{right}")).ok_or_else(|| unknown(&format!("{left}{right}")))?;
            let left = id(left).ok_or_else(|| unknown(left))?;
            let right = id(right).ok_or_else(|| unknown(right))?;
            merges.insert(rank as u32, left, right, merged);
        }
        let mut specials: Vec<u32> =
            entries.iter().filter(|entry| entry.special).map(|entry| entry.id).collect();
        specials.sort_unstable();
        Ok(Some(Self { byte_ids, merges, bytes, spans, specials }))
    }

    /// Appends the ids of one word.
    pub(super) fn encode_word(&self, word: &[u8], scratch: &mut Scratch, ids: &mut Vec<u32>) {
        self.merges.apply(word.iter().map(|byte| self.byte_ids[*byte as usize]), scratch, ids);
    }

    /// The bytes of a token; none for an id that has no token.
    pub(super) fn token_bytes(&self, id: u32) -> &[u8] {
        let (start, end) = self.spans.get(id as usize).copied().unwrap_or_default();
        &self.bytes[start as usize..end as usize]
    }

    /// The text of `ids` without special tokens; bytes that are no UTF-8 become replacement characters.
    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for id in ids {
            if self.specials.binary_search(id).is_err() {
                bytes.extend_from_slice(self.token_bytes(*id));
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }
}

fn is_plain_gpt2(root: &Value, entries: &[Entry]) -> bool {
    let empty = |value: &Value| value.is_null() || value.as_str() == Some("");
    let (model, split) = (&root["model"], &root["pre_tokenizer"]);
    let no_option = ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"];
    let no_flag = ["byte_fallback", "ignore_merges"];
    root["normalizer"].is_null()
        && split["type"] == "ByteLevel"
        && split["add_prefix_space"] == false
        && split["use_regex"] != false
        && root["decoder"]["type"] == "ByteLevel"
        && json::model_type(root) == Some("BPE")
        && no_option.iter().all(|key| empty(&model[key]))
        && no_flag.iter().all(|key| model[key] != true)
        && entries.iter().all(|entry| entry.special || !entry.added)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_printable_character_of_its_own() {
        for byte in 0..=255 {
            assert_eq!(char_to_byte(byte_to_char(byte)), Some(byte));
        }
        assert_eq!(spell(b" a\n"), "ĠaĊ");
        assert_eq!(unspell("Ġa"), b" a");
        assert_eq!(unspell("▁a"), "▁a".as_bytes());
    }
}
