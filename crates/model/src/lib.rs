//! The vocabulary of tensor operations, model families and objectives.
