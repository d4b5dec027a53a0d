//! Tokenizers: train, load, encode.
