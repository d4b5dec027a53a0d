//! Every operation out of the engine's own: plain, slow on a CPU, differentiable on any backend.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData, activation};

use super::{AttentionShape, Dropout, IGNORED, RotaryTable, Tokens, WeightLayout};
use crate::kernels::pointwise::drop_factor;

/// See [`super::Ops::affine`].
pub fn linear<B: Backend>(
    x: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    layout: WeightLayout,
    bias: Option<Tensor<B, 1>>,
    residual: Option<Tensor<B, 2>>,
) -> Tensor<B, 2> {
    let mut y = match layout {
        WeightLayout::InOut => x.matmul(weight),
        WeightLayout::OutIn => x.matmul(weight.transpose()),
    };
    if let Some(bias) = bias {
        y = y + bias.unsqueeze();
    }
    match residual {
        Some(residual) => y + residual,
        None => y,
    }
}

/// See [`super::Ops::layer_normalise`].
pub fn layer_norm<B: Backend>(
    x: Tensor<B, 2>,
    weight: Tensor<B, 1>,
    bias: Tensor<B, 1>,
    epsilon: f32,
) -> Tensor<B, 2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = (centred.clone() * centred.clone()).mean_dim(1);
    centred / (variance + epsilon).sqrt() * weight.unsqueeze() + bias.unsqueeze()
}

/// See [`super::Ops::rms_normalise`].
pub fn rms_norm<B: Backend>(x: Tensor<B, 2>, weight: Tensor<B, 1>, epsilon: f32) -> Tensor<B, 2> {
    let square = (x.clone() * x.clone()).mean_dim(1);
    x / (square + epsilon).sqrt() * weight.unsqueeze()
}

/// See [`super::Ops::swiglu`].
pub fn swiglu<B: Backend>(gate: Tensor<B, 2>, up: Tensor<B, 2>) -> Tensor<B, 2> {
    activation::silu(gate) * up
}

/// See [`super::Ops::rotate_and_pack`].
pub fn rotate_and_pack<B: Backend>(
    query: Tensor<B, 2>,
    key: Tensor<B, 2>,
    value: Tensor<B, 2>,
    table: &RotaryTable,
) -> Tensor<B, 2> {
    let (rows, half, device) = (query.dims()[0], table.half(), query.device());
    let angles = |pick: fn(&RotaryTable, usize) -> &[f32]| {
        let values: Vec<f32> = (0..rows).flat_map(|row| pick(table, row).iter().copied()).collect();
        Tensor::<B, 4>::from_data(TensorData::new(values, [rows, 1, 1, half]), &device)
    };
    let cosines = angles(|table, row| table.angles(row).0);
    let sines = angles(|table, row| table.angles(row).1);
    let turn = |x: Tensor<B, 2>| -> Tensor<B, 2> {
        let width = x.dims()[1];
        let heads = width / (2 * half);
        let x = x.reshape([rows, heads, 2, half]);
        let part = |which: usize| x.clone().slice([0..rows, 0..heads, which..which + 1, 0..half]);
        let (first, second) = (part(0), part(1));
        let turned_first = first.clone() * cosines.clone() - second.clone() * sines.clone();
        let turned_second = second * cosines.clone() + first * sines.clone();
        Tensor::cat(vec![turned_first, turned_second], 2).reshape([rows, width])
    };
    Tensor::cat(vec![turn(query), turn(key), value], 1)
}

/// See [`super::Ops::gelu_tanh`].
pub fn gelu<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let cubic = x.clone() * x.clone() * x.clone() * 0.044_715;
    let u = (x.clone() + cubic) * (2.0 / std::f64::consts::PI).sqrt();
    x * (u.tanh() + 1.0) * 0.5
}

/// See [`super::Ops::self_attention`].
#[expect(clippy::needless_pass_by_value, reason = "the trait's form, whose fused operations keep the shape")]
pub fn attention<B: Backend>(
    qkv: Tensor<B, 2>,
    shape: AttentionShape,
    dropout: Option<Dropout>,
) -> Tensor<B, 2> {
    let AttentionShape { time, heads, kv_heads, width, mask } = shape;
    let batch = qkv.dims()[0] / time;
    let device = qkv.device();
    let (size, group) = (shape.size(), shape.group());
    let part = |first: usize, heads: usize| -> Tensor<B, 4> {
        let columns = first..first + heads * size;
        qkv.clone().slice([0..batch * time, columns]).reshape([batch, time, heads, size]).swap_dims(1, 2)
    };
    // Each head of keys and values stands for the heads of queries that share it.
    let shared = |first: usize| -> Tensor<B, 4> {
        let part = part(first, kv_heads).unsqueeze_dim::<5>(2).repeat_dim(2, group);
        part.reshape([batch, heads, time, size])
    };
    let (query, key, value) = (part(0, heads), shared(width), shared(width + kv_heads * size));
    let scores = query.matmul(key.transpose()) / (size as f32).sqrt();
    let hidden: Vec<f32> = (0..time * time)
        .map(|i| if i % time < mask.visible(i / time, time) { 0.0 } else { f32::NEG_INFINITY })
        .collect();
    let hidden = Tensor::<B, 4>::from_data(TensorData::new(hidden, [1, 1, time, time]), &device);
    let mut probabilities = activation::softmax(scores + hidden, 3);
    if let Some(dropout) = dropout {
        let count = batch * heads * time * time;
        let factors = TensorData::new(factors(count, dropout), [batch, heads, time, time]);
        probabilities = probabilities * Tensor::from_data(factors, &device);
    }
    probabilities.matmul(value).swap_dims(1, 2).reshape([batch * time, width])
}

/// See [`super::Ops::embed_tokens`].
pub fn embedding<B: Backend>(
    tokens: &Tokens,
    table: Tensor<B, 2>,
    positions: Option<Tensor<B, 2>>,
) -> Tensor<B, 2> {
    let rows = tokens.ids().len();
    let device = table.device();
    let ids = Tensor::<B, 1, Int>::from_data(TensorData::new(tokens.ids().to_vec(), [rows]), &device);
    let embedded = table.select(0, ids);
    let Some(positions) = positions else { return embedded };
    let places: Vec<i32> = (0..rows).map(|row| (row % tokens.time()) as i32).collect();
    let places = Tensor::<B, 1, Int>::from_data(TensorData::new(places, [rows]), &device);
    embedded + positions.select(0, places)
}

/// See [`super::Ops::cross_entropy`].
pub fn cross_entropy<B: Backend>(logits: Tensor<B, 2>, targets: &[i32]) -> Tensor<B, 1> {
    let rows = targets.len();
    let device = logits.device();
    let counted = targets.iter().filter(|target| **target != IGNORED).count().max(1);
    let weights: Vec<f32> = targets.iter().map(|target| f32::from(*target != IGNORED)).collect();
    let targets: Vec<i32> = targets.iter().map(|target| (*target).max(0)).collect();
    let targets = Tensor::<B, 2, Int>::from_data(TensorData::new(targets, [rows, 1]), &device);
    let weights = Tensor::<B, 2>::from_data(TensorData::new(weights, [rows, 1]), &device);
    let chosen = activation::log_softmax(logits, 1).gather(1, targets);
    (chosen * weights).sum() / -(counted as f32)
}

/// See [`super::Ops::dropout`].
pub fn dropout<B: Backend>(x: Tensor<B, 2>, dropout: Dropout) -> Tensor<B, 2> {
    let [rows, width] = x.dims();
    let device = x.device();
    x * Tensor::from_data(TensorData::new(factors(rows * width, dropout), [rows, width]), &device)
}

fn factors(count: usize, dropout: Dropout) -> Vec<f32> {
    (0..count as u64).map(|i| drop_factor(dropout.rate, dropout.key, i)).collect()
}
