//! The vocabulary that families are written in. Nothing above this module names an operation of the engine.
//!
//! Activations are `[rows, width]`, where a row is one position of one sequence and sequences follow each other. Every
//! operation has a composed form out of the engine's own operations ([`composed`]), which is what a GPU runs and what
//! tests compare with; on the CPU it is replaced by a fused kernel with its own backward pass.

mod autodiff;
pub mod composed;
#[cfg(feature = "cuda")]
mod cuda;
mod flex;
mod rotary;

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::error::ModelError;
pub use crate::kernels::linear::WeightLayout;
pub use rotary::RotaryTable;

/// A target that does not count in the loss.
pub const IGNORED: i32 = -1;

/// Tokens of `batch` sequences of `time` positions each, checked against a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    ids: Arc<[i32]>,
    batch: usize,
    time: usize,
}

impl Tokens {
    /// Takes `ids [batch, time]`; every one must be below `vocabulary`.
    pub fn new(ids: &[u32], time: usize, vocabulary: usize) -> Result<Self, ModelError> {
        if time == 0 || ids.is_empty() || !ids.len().is_multiple_of(time) {
            return Err(ModelError::Shape { what: "tokens", expected: time, found: ids.len() });
        }
        if let Some(token) = ids.iter().find(|id| **id as usize >= vocabulary.min(i32::MAX as usize)) {
            return Err(ModelError::TokenOutOfVocabulary { token: *token, vocabulary });
        }
        Ok(Self { ids: ids.iter().map(|id| *id as i32).collect(), batch: ids.len() / time, time })
    }

    /// The ids, sequence after sequence.
    pub fn ids(&self) -> &[i32] {
        &self.ids
    }

    /// Number of sequences.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Positions of each sequence.
    pub fn time(&self) -> usize {
        self.time
    }
}

/// Which positions a position may attend to. Each kind shows a leading range of keys that never shrinks from one
/// position to the next; the kernels rely on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mask {
    /// Itself and what is before it.
    Causal,
    /// Every position.
    Full,
    /// The first positions see each other wholly; the others are causal.
    Prefix(usize),
}

impl Mask {
    /// Number of leading keys that position `row` of `time` sees; at least one.
    pub fn visible(self, row: usize, time: usize) -> usize {
        match self {
            Self::Causal => row + 1,
            Self::Full => time,
            Self::Prefix(length) => length.max(row + 1).min(time),
        }
    }
}

/// Shapes and mask of self-attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Positions of each sequence.
    pub time: usize,
    /// Heads of queries; they divide `width`.
    pub heads: usize,
    /// Heads of keys and values; they divide `heads`. As many as `heads`, or fewer that are shared by groups of them
    /// (grouped-query attention, Ainslie et al., 2023).
    pub kv_heads: usize,
    /// Width of the result.
    pub width: usize,
    /// Who sees whom.
    pub mask: Mask,
}

impl AttentionShape {
    /// Channels of one head.
    pub fn size(&self) -> usize {
        self.width / self.heads
    }

    /// Heads of queries to one of keys and values.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Columns of queries, keys and values side by side.
    pub fn packed(&self) -> usize {
        self.width + 2 * self.kv_heads * self.size()
    }
}

/// Dropout whose draws are a pure function of (key, element).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of elements dropped, in (0, 1).
    pub rate: f32,
    /// Key of the draws; see [`DropoutSeed`].
    pub key: u64,
}

/// Names the place of a micro-batch in a run. With a site in the model it makes the key of a dropout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutSeed {
    /// The run's seed.
    pub seed: u64,
    /// The step.
    pub step: u64,
    /// The micro-batch's number within the step, over all ranks.
    pub micro_batch: u64,
}

impl DropoutSeed {
    /// Dropout at one site of the model; `None` where nothing is dropped.
    pub fn at(self, site: u64, rate: f32) -> Option<Dropout> {
        let key = crate::random::key(&[self.seed, self.step, self.micro_batch, site]);
        (rate > 0.0).then_some(Dropout { rate, key })
    }
}

/// The operations of model families, over one backend of the engine.
///
/// Each has a composed default; implementations replace what they have fused.
pub trait Ops: Backend {
    /// `x w (+ bias) (+ residual)`: `[rows, in]` to `[rows, out]`.
    fn affine(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        layout: WeightLayout,
        bias: Option<Tensor<Self, 1>>,
        residual: Option<Tensor<Self, 2>>,
    ) -> Tensor<Self, 2> {
        composed::linear(x, weight, layout, bias, residual)
    }

    /// Normalises each row to mean 0 and deviation 1, then scales and shifts it.
    fn layer_normalise(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        epsilon: f32,
    ) -> Tensor<Self, 2> {
        composed::layer_norm(x, weight, bias, epsilon)
    }

    /// Divides each row by its root mean square, then scales it (Zhang and Sennrich, 2019): `[rows, width]`, weight
    /// `[width]`. `epsilon` is added to the mean square under the root.
    fn rms_normalise(x: Tensor<Self, 2>, weight: Tensor<Self, 1>, epsilon: f32) -> Tensor<Self, 2> {
        composed::rms_norm(x, weight, epsilon)
    }

    /// `gate σ(gate) · up` (SwiGLU, Shazeer, 2020), all `[rows, inner]`.
    fn swiglu(gate: Tensor<Self, 2>, up: Tensor<Self, 2>) -> Tensor<Self, 2> {
        composed::swiglu(gate, up)
    }

    /// GELU in its tanh form (Hendrycks and Gimpel, 2016), as GPT-2 has it.
    fn gelu_tanh(x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        composed::gelu(x)
    }

    /// Turns queries `[rows, heads · size]` and keys `[rows, kv_heads · size]` by the angles of their positions, and puts
    /// them beside the values `[rows, kv_heads · size]`: what [`Ops::self_attention`] takes.
    fn rotate_and_pack(
        query: Tensor<Self, 2>,
        key: Tensor<Self, 2>,
        value: Tensor<Self, 2>,
        table: &RotaryTable,
    ) -> Tensor<Self, 2> {
        composed::rotate_and_pack(query, key, value, table)
    }

    /// Scaled dot-product self-attention: `[rows, width + 2 · kv_heads · width / heads]` (queries, keys, values) to
    /// `[rows, width]`. Dropout acts on the probabilities.
    fn self_attention(
        qkv: Tensor<Self, 2>,
        shape: AttentionShape,
        dropout: Option<Dropout>,
    ) -> Tensor<Self, 2> {
        composed::attention(qkv, shape, dropout)
    }

    /// Each token's row of `table [vocabulary, width]`; with learned `positions [context, width]`, plus its position's
    /// row of them.
    fn embed_tokens(
        tokens: &Tokens,
        table: Tensor<Self, 2>,
        positions: Option<Tensor<Self, 2>>,
    ) -> Tensor<Self, 2> {
        composed::embedding(tokens, table, positions)
    }

    /// Mean over the targets that are not [`IGNORED`] of `−log softmax(logits)[target]`; 0 where all are.
    fn cross_entropy(logits: Tensor<Self, 2>, targets: Arc<[i32]>) -> Tensor<Self, 1> {
        composed::cross_entropy(logits, &targets)
    }

    /// Zeroes elements and scales the others by the reciprocal of the kept share.
    fn dropout(x: Tensor<Self, 2>, dropout: Option<Dropout>) -> Tensor<Self, 2> {
        match dropout {
            Some(dropout) => composed::dropout(x, dropout),
            None => x,
        }
    }
}
