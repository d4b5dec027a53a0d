//! The vocabulary on NVIDIA GPUs: the composed forms, which the engine's compiler fuses where they are pointwise.
//!
//! Attention under the tape materialises its scores here, as the composed form does. Compiled in CI; no run on a GPU
//! stands behind it yet.

use burn::backend::{Autodiff, Cuda};

use super::Ops;

impl Ops for Cuda {}

impl Ops for Autodiff<Cuda> {}
