//! The quality-classifier filter.
