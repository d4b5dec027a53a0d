//! From bytes to text: charset by header, by meta tag, by detection.
