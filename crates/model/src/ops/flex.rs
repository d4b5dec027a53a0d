//! The vocabulary on the CPU without a tape: inference, and the forward half of [`super::autodiff`].

use std::sync::Arc;

use burn::tensor::{DType, Shape, Tensor, TensorPrimitive};
use burn_flex::{Flex, FlexTensor, Layout};
use burn_std::Bytes;

use super::{AttentionShape, Dropout, Ops, RotaryTable, Tokens, WeightLayout};
use crate::kernels;

/// A tensor around a vector, without a copy.
pub(super) fn dense(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape.into()), DType::F32)
}

/// The values of a tensor that [`contiguous`] has passed.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("operations make their inputs contiguous")
}

/// The same values without gaps or strides.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() { tensor } else { tensor.to_contiguous() }
}

/// Sizes of a matrix.
pub(super) fn sizes(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1]]
}

/// Input and output width of a weight.
pub(super) fn widths(weight: &FlexTensor, layout: WeightLayout) -> (usize, usize) {
    let [rows, columns] = sizes(weight);
    match layout {
        WeightLayout::InOut => (rows, columns),
        WeightLayout::OutIn => (columns, rows),
    }
}

/// Forward pass of `linear`.
pub(super) fn linear(
    x: &FlexTensor,
    weight: &FlexTensor,
    layout: WeightLayout,
    bias: Option<&FlexTensor>,
    residual: Option<&FlexTensor>,
) -> FlexTensor {
    let (input, output) = widths(weight, layout);
    let (bias, residual) = (bias.map(values), residual.map(values));
    let y = kernels::linear::forward(values(x), values(weight), layout, bias, residual, (input, output));
    dense(y, [sizes(x)[0], output])
}

/// Forward pass of `rotate_and_pack`.
pub(super) fn rotated(
    query: &FlexTensor,
    key: &FlexTensor,
    value: &FlexTensor,
    table: &RotaryTable,
) -> FlexTensor {
    let ([rows, wide], [_, narrow]) = (sizes(query), sizes(key));
    let y = kernels::rotary::forward(values(query), values(key), values(value), (wide, narrow), table);
    dense(y, [rows, wide + 2 * narrow])
}

fn primitive<const D: usize>(tensor: Tensor<Flex, D>) -> FlexTensor {
    contiguous(tensor.into_primitive().tensor())
}

fn tensor<const D: usize>(primitive: FlexTensor) -> Tensor<Flex, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

impl Ops for Flex {
    fn affine(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        layout: WeightLayout,
        bias: Option<Tensor<Self, 1>>,
        residual: Option<Tensor<Self, 2>>,
    ) -> Tensor<Self, 2> {
        let (bias, residual) = (bias.map(primitive), residual.map(primitive));
        tensor(linear(&primitive(x), &primitive(weight), layout, bias.as_ref(), residual.as_ref()))
    }

    fn layer_normalise(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        epsilon: f32,
    ) -> Tensor<Self, 2> {
        let (x, weight, bias) = (primitive(x), primitive(weight), primitive(bias));
        let (y, _) = kernels::norm::forward(values(&x), values(&weight), values(&bias), epsilon);
        tensor(dense(y, sizes(&x)))
    }

    fn rms_normalise(x: Tensor<Self, 2>, weight: Tensor<Self, 1>, epsilon: f32) -> Tensor<Self, 2> {
        let (x, weight) = (primitive(x), primitive(weight));
        let (y, _) = kernels::rms_norm::forward(values(&x), values(&weight), epsilon);
        tensor(dense(y, sizes(&x)))
    }

    fn swiglu(gate: Tensor<Self, 2>, up: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let (gate, up) = (primitive(gate), primitive(up));
        tensor(dense(kernels::pointwise::swiglu(values(&gate), values(&up)), sizes(&gate)))
    }

    fn rotate_and_pack(
        query: Tensor<Self, 2>,
        key: Tensor<Self, 2>,
        value: Tensor<Self, 2>,
        table: &RotaryTable,
    ) -> Tensor<Self, 2> {
        tensor(rotated(&primitive(query), &primitive(key), &primitive(value), table))
    }

    fn gelu_tanh(x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let x = primitive(x);
        tensor(dense(kernels::pointwise::gelu(values(&x)), sizes(&x)))
    }

    fn self_attention(
        qkv: Tensor<Self, 2>,
        shape: AttentionShape,
        dropout: Option<Dropout>,
    ) -> Tensor<Self, 2> {
        let qkv = primitive(qkv);
        let (y, _) = kernels::attention::forward(values(&qkv), &shape, dropout);
        tensor(dense(y, [sizes(&qkv)[0], shape.width]))
    }

    fn embed_tokens(
        tokens: &Tokens,
        table: Tensor<Self, 2>,
        positions: Option<Tensor<Self, 2>>,
    ) -> Tensor<Self, 2> {
        let (table, positions) = (primitive(table), positions.map(primitive));
        let width = sizes(&table)[1];
        let positions = positions.as_ref().map(values);
        let y = kernels::embedding::forward(tokens.ids(), values(&table), positions, tokens.time(), width);
        tensor(dense(y, [tokens.ids().len(), width]))
    }

    fn cross_entropy(logits: Tensor<Self, 2>, targets: Arc<[i32]>) -> Tensor<Self, 1> {
        let logits = primitive(logits);
        let (loss, _) = kernels::loss::forward(values(&logits), &targets, sizes(&logits)[1]);
        tensor(dense(vec![loss], [1]))
    }

    fn dropout(x: Tensor<Self, 2>, dropout: Option<Dropout>) -> Tensor<Self, 2> {
        let Some(Dropout { rate, key }) = dropout else { return x };
        let x = primitive(x);
        tensor(dense(kernels::pointwise::dropout(values(&x), rate, key), sizes(&x)))
    }
}
