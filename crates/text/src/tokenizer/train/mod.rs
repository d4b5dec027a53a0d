//! Training: from counted words to a vocabulary, the same bytes for the same counts.
//!
//! The `tokenizers` crate trains too, but its results hang on randomly seeded hash maps (WordPiece, Unigram) and on the
//! number of threads (Unigram), and it counts pairs in 32 bits. See `docs/decisions/tokenizer-own-bpe.md`.

mod lattice;
mod pairs;
mod seeds;
mod trie;
mod unigram;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::byte_level::{byte_to_char, spell};
use super::json::{self, Stages};
use super::{Tokenizer, TokenizerError, TokenizerModel, TrainTokenizer, WordCounts};

/// Trains a tokenizer on counted words. `counts` were made with the same `config`.
///
/// Special tokens follow the model's entries and are none of them, so that no text can be encoded to one.
pub fn train(
    counts: &WordCounts,
    config: &TrainTokenizer,
    end_of_text: &str,
) -> Result<Tokenizer, TokenizerError> {
    let specials = config.specials(end_of_text);
    let room = config.vocab_size.saturating_sub(specials.len());
    let (stages, model, size) = match counts.model() {
        TokenizerModel::Bpe => bpe(counts, config, room, &specials)?,
        TokenizerModel::Wordpiece => wordpiece(counts, config, room, &specials)?,
        TokenizerModel::Unigram => unigram_model(counts, config, room, &specials)?,
        TokenizerModel::Word | TokenizerModel::Character => whole(counts, config, room, &specials)?,
    };
    let unknown = model["unk_token"].as_str().map(str::to_owned);
    let added = specials.into_iter().filter(|name| Some(name) != unknown.as_ref());
    let added = added.enumerate().map(|(index, name)| (name, (size + index) as u32, true));
    Tokenizer::from_value(&json::assemble(stages, model, added), end_of_text)
}

type Trained = (Stages, Value, usize);

fn bpe(
    counts: &WordCounts,
    config: &TrainTokenizer,
    room: usize,
    specials: &[String],
) -> Result<Trained, TokenizerError> {
    let mut alphabet: Vec<char> = (0..=255).map(byte_to_char).collect();
    alphabet.sort_unstable();
    let mut ids = [0; 256];
    for byte in 0..=255u8 {
        ids[byte as usize] = alphabet.binary_search(&byte_to_char(byte)).expect("all bytes are in it") as u32;
    }
    let mut tokens: Vec<String> = alphabet.into_iter().map(String::from).collect();
    let mut words = pairs::Words::default();
    for (word, count) in counts.sorted(1)? {
        words.push(word.bytes().map(|byte| ids[byte as usize]), count);
    }
    let reserved: Vec<String> =
        specials.iter().flat_map(|name| [name.clone(), spell(name.as_bytes())]).collect();
    let rules =
        pairs::Rules { size: room, min_frequency: config.min_frequency, prefix: "", reserved: &reserved };
    let merges = pairs::learn(&mut tokens, words, &rules);
    let merges = merges
        .into_iter()
        .map(|(left, right)| json!([tokens[left as usize], tokens[right as usize]]))
        .collect();
    Ok((json::byte_level(), json::bpe_model(json::vocabulary(&tokens), merges), tokens.len()))
}

/// WordPiece's vocabulary is learnt as BPE's is, over characters that are marked where they continue a word.
fn wordpiece(
    counts: &WordCounts,
    config: &TrainTokenizer,
    room: usize,
    specials: &[String],
) -> Result<Trained, TokenizerError> {
    const UNKNOWN: &str = "[UNK]";
    const PREFIX: &str = "##";
    let sorted = counts.sorted(1)?;
    let form =
        |index: usize, char: char| if index == 0 { char.to_string() } else { format!("{PREFIX}{char}") };
    let mut forms: BTreeMap<String, u64> = BTreeMap::new();
    for (word, count) in &sorted {
        for (index, char) in word.chars().enumerate() {
            *forms.entry(form(index, char)).or_default() += count;
        }
    }
    let mut alphabet: Vec<(String, u64)> = forms
        .into_iter()
        .filter(|(form, count)| *count >= config.min_frequency && !specials.contains(form))
        .collect();
    alphabet.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    // Scripts of many characters must leave room for words.
    alphabet.truncate((room / 2).max(1));
    let mut tokens = vec![UNKNOWN.to_owned()];
    tokens.extend(alphabet.into_iter().map(|(form, _)| form));
    tokens[1..].sort_unstable();
    let ids: BTreeMap<String, u32> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), id as u32)).collect();
    let mut words = pairs::Words::default();
    for (word, count) in sorted {
        let symbols: Option<Vec<u32>> =
            word.chars().enumerate().map(|(index, char)| ids.get(&form(index, char)).copied()).collect();
        if let Some(symbols) = symbols {
            words.push(symbols.into_iter(), count);
        }
    }
    let rules =
        pairs::Rules { size: room, min_frequency: config.min_frequency, prefix: PREFIX, reserved: specials };
    pairs::learn(&mut tokens, words, &rules);
    let stages = Stages {
        normalizer: json!({
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": false,
        }),
        pre_tokenizer: json!({"type": "BertPreTokenizer"}),
        decoder: json!({"type": "WordPiece", "prefix": PREFIX, "cleanup": true}),
        ..Stages::default()
    };
    let model = json!({
        "type": "WordPiece", "unk_token": UNKNOWN, "continuing_subword_prefix": PREFIX,
        "max_input_chars_per_word": 100, "vocab": json::vocabulary(&tokens),
    });
    Ok((stages, model, tokens.len()))
}

fn unigram_model(
    counts: &WordCounts,
    config: &TrainTokenizer,
    room: usize,
    specials: &[String],
) -> Result<Trained, TokenizerError> {
    // No path through these is ever better than one through learnt pieces: text that spells them stays text.
    const UNUSED: f64 = -10_000.0;
    let mut vocabulary = vec![json!(["<unk>", UNUSED])];
    vocabulary.extend((0..=255).map(|byte| json!([format!("<0x{byte:02X}>"), UNUSED])));
    let reserved: Vec<&str> = specials.iter().map(String::as_str).collect();
    let pieces = unigram::learn(
        &counts.sorted(1)?,
        room.saturating_sub(vocabulary.len()),
        config.min_frequency,
        &reserved,
    );
    vocabulary.extend(pieces.into_iter().map(|(piece, score)| json!([piece, score])));
    let size = vocabulary.len();
    let metaspace =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true});
    let stages = Stages {
        pre_tokenizer: json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "[\\r\\n\\t]+"}, "behavior": "Isolated", "invert": false},
            metaspace,
        ]}),
        decoder: json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]}),
        ..Stages::default()
    };
    let model = json!({"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": vocabulary});
    Ok((stages, model, size))
}

/// Whole words, or single characters: the most frequent ones.
fn whole(
    counts: &WordCounts,
    config: &TrainTokenizer,
    room: usize,
    specials: &[String],
) -> Result<Trained, TokenizerError> {
    const UNKNOWN: &str = "<unk>";
    let mut tokens = vec![UNKNOWN.to_owned()];
    let sorted = counts.sorted(config.min_frequency)?;
    let words = sorted.into_iter().map(|(word, _)| word.to_owned());
    tokens.extend(
        words.filter(|word| word != UNKNOWN && !specials.contains(word)).take(room.saturating_sub(1)),
    );
    let stages = if counts.model() == TokenizerModel::Word {
        Stages { pre_tokenizer: json!({"type": "Whitespace"}), ..Stages::default() }
    } else {
        Stages {
            pre_tokenizer: json!({
                // Not `(?s:.)`: the Python package's engine (Oniguruma) knows no such group.
                "type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": false,
            }),
            decoder: json!({"type": "Fuse"}),
            ..Stages::default()
        }
    };
    let model = json!({"type": "WordLevel", "unk_token": UNKNOWN, "vocab": json::vocabulary(&tokens)});
    Ok((stages, model, tokens.len()))
}
