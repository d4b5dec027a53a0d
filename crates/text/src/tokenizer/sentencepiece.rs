//! SentencePiece `.model` files.
//!
//! The file is one protobuf message, `ModelProto`; of its fields we read the pieces, the trainer's model type and the
//! normalizer. Its wire form needs a dozen lines, so no schema is compiled for it.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::json::{self, Stages};
use super::{MAX_FILE_BYTES, MAX_VOCABULARY, TokenizerError};

/// What a piece is, in the file's numbers.
const NORMAL: u64 = 1;
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const BYTE: u64 = 6;

const UNIGRAM: u64 = 1;
const BPE: u64 = 2;

struct Piece {
    text: String,
    score: f64,
    kind: u64,
}

/// The fields that matter, with the defaults of the published schema.
struct Model {
    pieces: Vec<Piece>,
    kind: u64,
    charsmap: Vec<u8>,
    dummy_prefix: bool,
    squeeze_spaces: bool,
}

/// The model as a `tokenizer.json`.
pub(super) fn to_json(bytes: &[u8]) -> Result<Value, TokenizerError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(TokenizerError::TooLarge { bytes: bytes.len(), limit: MAX_FILE_BYTES });
    }
    let model = read(bytes)?;
    let unknown = model.pieces.iter().position(|piece| piece.kind == UNKNOWN);
    let unknown = unknown.ok_or_else(|| TokenizerError::malformed("no piece is the unknown one"))?;
    let byte_fallback = model.pieces.iter().any(|piece| piece.kind == BYTE);
    let added: Vec<(String, u32, bool)> = model
        .pieces
        .iter()
        .zip(0..)
        .filter(|(piece, _)| matches!(piece.kind, UNKNOWN | CONTROL | USER_DEFINED))
        .map(|(piece, id)| (piece.text.clone(), id, piece.kind != USER_DEFINED))
        .collect();
    let value = match model.kind {
        UNIGRAM => {
            let vocabulary: Vec<Value> =
                model.pieces.iter().map(|piece| json!([piece.text, piece.score])).collect();
            json!({"type": "Unigram", "unk_id": unknown, "byte_fallback": byte_fallback, "vocab": vocabulary})
        }
        BPE => {
            let mut value = json::bpe_model(
                json::vocabulary(model.pieces.iter().map(|piece| &piece.text)),
                merges(&model.pieces),
            );
            value["unk_token"] = json!(model.pieces[unknown].text);
            value["fuse_unk"] = json!(true);
            value["byte_fallback"] = json!(byte_fallback);
            value
        }
        other => return Err(TokenizerError::ModelType(other)),
    };
    Ok(json::assemble(stages(&model), value, added.into_iter()))
}

/// Normalisation and the mark of a space, as SentencePiece applies them.
fn stages(model: &Model) -> Stages {
    let mut normalizers = Vec::new();
    if !model.charsmap.is_empty() {
        normalizers.push(json!({"type": "Precompiled", "precompiled_charsmap": base64(&model.charsmap)}));
    }
    if model.squeeze_spaces {
        normalizers.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
        normalizers.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
    }
    let normalizer = if normalizers.is_empty() {
        Value::Null
    } else {
        json!({"type": "Sequence", "normalizers": normalizers})
    };
    let scheme = if model.dummy_prefix { "always" } else { "never" };
    let split = model.kind == UNIGRAM;
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if model.dummy_prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Stages {
        normalizer,
        pre_tokenizer: json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}),
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        ..Stages::default()
    }
}

/// The merges of a BPE model, which the file leaves out: every way to make a piece from two others, the pieces in the
/// order of their scores.
fn merges(pieces: &[Piece]) -> Vec<Value> {
    let ids: HashMap<&str, usize> = pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| piece.kind == NORMAL)
        .map(|(id, piece)| (&*piece.text, id))
        .collect();
    let mut found = Vec::new();
    for (id, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.kind == NORMAL) {
        for (at, _) in piece.text.char_indices().skip(1) {
            let (left, right) = piece.text.split_at(at);
            if let (Some(left), Some(right)) = (ids.get(left), ids.get(right)) {
                found.push((id, *left, *right));
            }
        }
    }
    found.sort_by(|a, b| pieces[b.0].score.total_cmp(&pieces[a.0].score).then(a.cmp(b)));
    found.into_iter().map(|(_, left, right)| json!([pieces[left].text, pieces[right].text])).collect()
}

fn read(bytes: &[u8]) -> Result<Model, TokenizerError> {
    let mut model = Model {
        pieces: Vec::new(),
        kind: UNIGRAM,
        charsmap: Vec::new(),
        dummy_prefix: true,
        squeeze_spaces: true,
    };
    let mut wire = Wire { bytes };
    while let Some(field) = wire.next()? {
        match field {
            (1, Field::Bytes(piece)) => {
                if model.pieces.len() >= MAX_VOCABULARY {
                    return Err(TokenizerError::malformed(format!("more than `{MAX_VOCABULARY}` pieces")));
                }
                model.pieces.push(read_piece(piece)?);
            }
            (2, Field::Bytes(trainer)) => {
                let mut wire = Wire { bytes: trainer };
                while let Some(field) = wire.next()? {
                    if let (3, Field::Number(kind)) = field {
                        model.kind = kind;
                    }
                }
            }
            (3, Field::Bytes(normalizer)) => {
                let mut wire = Wire { bytes: normalizer };
                while let Some(field) = wire.next()? {
                    match field {
                        (2, Field::Bytes(charsmap)) => model.charsmap = charsmap.to_vec(),
                        (3, Field::Number(flag)) => model.dummy_prefix = flag != 0,
                        (4, Field::Number(flag)) => model.squeeze_spaces = flag != 0,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if model.pieces.is_empty() { Err(TokenizerError::malformed("holds no pieces")) } else { Ok(model) }
}

fn read_piece(bytes: &[u8]) -> Result<Piece, TokenizerError> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: NORMAL };
    let mut wire = Wire { bytes };
    while let Some(field) = wire.next()? {
        match field {
            (1, Field::Bytes(text)) => {
                let text = std::str::from_utf8(text)
                    .map_err(|_| TokenizerError::malformed("a piece is no UTF-8"))?;
                text.clone_into(&mut piece.text);
            }
            (2, Field::Fixed32(bits)) => piece.score = f64::from(f32::from_bits(bits)),
            (3, Field::Number(kind)) => piece.kind = kind,
            _ => {}
        }
    }
    if piece.score.is_finite() && !piece.text.is_empty() {
        return Ok(piece);
    }
    Err(TokenizerError::malformed(format!("piece `{}` with score `{}`", piece.text, piece.score)))
}

/// A protobuf message, field by field.
struct Wire<'a> {
    bytes: &'a [u8],
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    Fixed64,
}

impl<'a> Wire<'a> {
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, TokenizerError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.take(8).map(|_| Field::Fixed64)?,
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes"))),
            kind => {
                return Err(TokenizerError::malformed(format!("wire type `{kind}`: expected 0, 1, 2 or 5")));
            }
        };
        Ok(Some((tag >> 3, field)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], TokenizerError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or_else(|| TokenizerError::malformed("ends within a field"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, TokenizerError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(TokenizerError::malformed("a number has more than 10 bytes"))
    }
}

/// Standard base64, as `tokenizer.json` holds binary data.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let sextet = group >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[sextet as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_pads() {
        assert_eq!(["", "M", "Ma", "Man"].map(|text| base64(text.as_bytes())), ["", "TQ==", "TWE=", "TWFu"]);
    }

    #[test]
    fn a_bpe_model_gets_its_merges_back() {
        let piece = |text: &str, score: f32, kind: u8| {
            let mut bytes = vec![0x0a, text.len() as u8];
            bytes.extend(text.bytes());
            bytes.push(0x15);
            bytes.extend(score.to_le_bytes());
            bytes.extend([0x18, kind]);
            let mut field = vec![0x0a, bytes.len() as u8];
            field.extend(bytes);
            field
        };
        let pieces = [
            ("<unk>", 0.0, 2),
            ("</s>", 0.0, 3),
            ("ab", -1.0, 1),
            ("abc", -2.0, 1),
            ("a", -3.0, 1),
            ("b", -3.0, 1),
            ("c", -3.0, 1),
        ];
        let mut bytes: Vec<u8> =
            pieces.iter().flat_map(|(text, score, kind)| piece(text, *score, *kind)).collect();
        bytes.extend([0x12, 2, 0x18, 2]);
        let json = to_json(&bytes).expect("well-formed");
        assert_eq!(json["model"]["merges"], json!([["a", "b"], ["ab", "c"]]));
        assert_eq!(json["added_tokens"][1]["content"], "</s>");
        bytes.extend([0x12, 2, 0x18, 3]);
        assert!(matches!(to_json(&bytes), Err(TokenizerError::ModelType(3))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = to_json(&bytes);
        }
    }
}
