//! Figures, SQL and reports over runs.
