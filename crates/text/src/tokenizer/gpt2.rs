//! GPT-2's `vocab.json` and `merges.txt`.

use serde_json::Value;

use super::{MAX_FILE_BYTES, TokenizerError, json};

/// The pair as a `tokenizer.json`. The end of text must be a token of the vocabulary.
pub(super) fn to_json(vocabulary: &[u8], merges: &[u8], end_of_text: &str) -> Result<Value, TokenizerError> {
    let bytes = vocabulary.len().saturating_add(merges.len());
    if bytes > MAX_FILE_BYTES {
        return Err(TokenizerError::TooLarge { bytes, limit: MAX_FILE_BYTES });
    }
    let vocabulary: Value = serde_json::from_slice(vocabulary)?;
    let merges = std::str::from_utf8(merges).map_err(|_| TokenizerError::malformed("merges are no UTF-8"))?;
    let mut pairs = Vec::new();
    for (number, line) in merges.lines().enumerate() {
        // Only the first line is a header: `#` is a token too.
        if line.is_empty() || (number == 0 && line.starts_with("#version")) {
            continue;
        }
        let (left, right) =
            line.split_once(' ').filter(|(_, right)| !right.contains(' ')).ok_or_else(|| {
                TokenizerError::malformed(format!("line {} of the merges: expected two tokens", number + 1))
            })?;
        pairs.push(Value::Array(vec![left.into(), right.into()]));
    }
    let end = vocabulary.get(end_of_text).and_then(Value::as_u64);
    let added = end.map(|id| (end_of_text.to_owned(), u32::try_from(id).unwrap_or(u32::MAX), true));
    Ok(json::assemble(json::byte_level(), json::bpe_model(vocabulary, pairs), added.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_pairs_are_refused() {
        assert!(to_json(b"[", b"", "x").is_err());
        assert!(to_json(b"{}", b"#version: 0.2\na b c\n", "x").is_err());
        assert!(to_json(b"{}", b"\xff", "x").is_err());
        let json = to_json(br#"{"x":7}"#, b"#version: 0.2\n# #\n\n", "x").expect("well-formed");
        assert_eq!(json["model"]["merges"], serde_json::json!([["#", "#"]]));
        assert_eq!(json["added_tokens"][0]["id"], 7);
    }
}
