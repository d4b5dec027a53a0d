//! Heuristic filters: one file per published rule set.
