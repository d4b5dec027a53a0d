//! A bounded sample of a text.

use std::borrow::Cow;

/// Pieces that a sample is made of.
const PIECES: usize = 8;

/// The text, or of a longer one `PIECES` pieces at even distances that have about `bytes` bytes together.
pub(super) fn sample(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let length = bytes / PIECES;
    let distance = (text.len() - length) / (PIECES - 1);
    let mut sample = String::with_capacity(bytes + PIECES);
    for piece in 0..PIECES {
        let start = text.floor_char_boundary(piece * distance);
        sample.push_str(&text[start..text.floor_char_boundary(start + length)]);
        sample.push(' ');
    }
    Cow::Owned(sample)
}
