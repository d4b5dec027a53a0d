//! fastText models: read, score, train.
