//! The vocabulary on the CPU with a tape: each operation is one node with a backward pass of ours.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorPrimitive};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops as Step, OpsKind};
use burn_backend::tensor::FloatTensor;
use burn_flex::{Flex, FlexTensor};

use super::flex::{contiguous, dense, linear, rotated, sizes, values, widths};
use super::{AttentionShape, Dropout, Ops, RotaryTable, Tokens, WeightLayout};
use crate::kernels;

type Tape = Autodiff<Flex>;
type Node = FloatTensor<Tape>;

fn node<const D: usize>(tensor: Tensor<Tape, D>) -> Node {
    let mut node = tensor.into_primitive().tensor();
    node.primitive = contiguous(node.primitive);
    node
}

fn tensor<const D: usize>(node: Node) -> Tensor<Tape, D> {
    Tensor::from_primitive(TensorPrimitive::Float(node))
}

/// Puts an operation on the tape: its result, and what its backward pass needs.
fn record<Op, const N: usize>(
    operation: Op,
    parents: [&Node; N],
    state: Op::State,
    result: FlexTensor,
) -> Node
where
    Op: Backward<Flex, N>,
{
    let parents = parents.map(|parent| parent.node.clone());
    match operation.prepare::<NoCheckpointing>(parents).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(state, result),
        OpsKind::UnTracked(step) => step.finish(result),
    }
}

/// The gradient of an operation's result, without strides.
fn incoming<S, const N: usize>(step: &Step<S, N>, gradients: &mut Gradients) -> FlexTensor {
    contiguous(gradients.consume::<Flex>(&step.node))
}

/// Hands gradients to the parents that want them, in the order in which the operation was recorded.
fn hand_out<S, const N: usize>(step: Step<S, N>, gradients: &mut Gradients, of_parents: [FlexTensor; N]) {
    for (parent, gradient) in step.parents.into_iter().zip(of_parents) {
        if let Some(parent) = parent {
            gradients.register::<Flex>(parent.id, gradient);
        }
    }
}

/// Parents: input, weight, then bias and residual where they are.
#[derive(Debug)]
struct LinearBackward;

#[derive(Clone, Debug)]
struct LinearState {
    x: FlexTensor,
    weight: FlexTensor,
    layout: WeightLayout,
    bias: bool,
    residual: bool,
}

impl<const N: usize> Backward<Flex, N> for LinearBackward {
    type State = LinearState;

    fn backward(self, step: Step<LinearState, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let LinearState { x, weight, layout, bias, residual } = &step.state;
        let size = widths(weight, *layout);
        let (xs, weights) = (values(x), values(weight));
        let found = kernels::linear::backward(xs, weights, *layout, values(&dy), *bias, size);
        let mut of_parents = Vec::with_capacity(N);
        of_parents.push(dense(found.input, sizes(x)));
        of_parents.push(dense(found.weight, sizes(weight)));
        if *bias {
            of_parents.push(dense(found.bias, [size.1]));
        }
        if *residual {
            of_parents.push(dy);
        }
        let of_parents = of_parents.try_into().expect("one gradient per parent");
        hand_out(step, gradients, of_parents);
    }
}

#[derive(Debug)]
struct LayerNormBackward;

impl Backward<Flex, 3> for LayerNormBackward {
    /// Input, weight, statistics of the rows.
    type State = (FlexTensor, FlexTensor, Arc<[f32]>);

    fn backward(self, step: Step<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let (x, weight, statistics) = &step.state;
        let width = sizes(x)[1];
        let (dx, dweight, dbias) =
            kernels::norm::backward(values(x), values(weight), statistics, values(&dy));
        let of_parents = [dense(dx, sizes(x)), dense(dweight, [width]), dense(dbias, [width])];
        hand_out(step, gradients, of_parents);
    }
}

#[derive(Debug)]
struct RmsNormBackward;

impl Backward<Flex, 2> for RmsNormBackward {
    /// Input, weight, reciprocal root mean squares of the rows.
    type State = (FlexTensor, FlexTensor, Arc<[f32]>);

    fn backward(self, step: Step<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let (x, weight, scales) = &step.state;
        let (dx, dweight) = kernels::rms_norm::backward(values(x), values(weight), scales, values(&dy));
        let of_parents = [dense(dx, sizes(x)), dense(dweight, [sizes(x)[1]])];
        hand_out(step, gradients, of_parents);
    }
}

#[derive(Debug)]
struct SwigluBackward;

impl Backward<Flex, 2> for SwigluBackward {
    /// Gate, what it lets through.
    type State = (FlexTensor, FlexTensor);

    fn backward(self, step: Step<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let (gate, up) = &step.state;
        let (dgate, dup) = kernels::pointwise::swiglu_backward(values(gate), values(up), values(&dy));
        let of_parents = [dense(dgate, sizes(gate)), dense(dup, sizes(gate))];
        hand_out(step, gradients, of_parents);
    }
}

#[derive(Debug)]
struct RotaryBackward;

impl Backward<Flex, 3> for RotaryBackward {
    /// Widths of queries and keys, angles. Turning is linear: it needs nothing of its inputs.
    type State = ((usize, usize), RotaryTable);

    fn backward(self, step: Step<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let (widths, table) = &step.state;
        let rows = sizes(&dy)[0];
        let (query, key, value) = kernels::rotary::backward(values(&dy), *widths, table);
        let narrow = [rows, widths.1];
        let of_parents = [dense(query, [rows, widths.0]), dense(key, narrow), dense(value, narrow)];
        hand_out(step, gradients, of_parents);
    }
}

#[derive(Debug)]
struct GeluBackward;

impl Backward<Flex, 1> for GeluBackward {
    type State = FlexTensor;

    fn backward(self, step: Step<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let dx = kernels::pointwise::gelu_backward(values(&step.state), values(&dy));
        let dx = dense(dx, sizes(&dy));
        hand_out(step, gradients, [dx]);
    }
}

#[derive(Debug)]
struct AttentionBackward;

#[derive(Clone, Debug)]
struct AttentionState {
    qkv: FlexTensor,
    output: FlexTensor,
    lse: Arc<[f32]>,
    shape: AttentionShape,
    dropout: Option<Dropout>,
}

impl Backward<Flex, 1> for AttentionBackward {
    type State = AttentionState;

    fn backward(self, step: Step<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let AttentionState { qkv, output, lse, shape, dropout } = &step.state;
        let (qkvs, outputs) = (values(qkv), values(output));
        let dqkv = kernels::attention::backward(qkvs, outputs, lse, values(&dy), shape, *dropout);
        let dqkv = dense(dqkv, sizes(qkv));
        hand_out(step, gradients, [dqkv]);
    }
}

#[derive(Debug)]
struct EmbeddingBackward;

/// Parents: the table of tokens, then that of positions where it is.
impl<const N: usize> Backward<Flex, N> for EmbeddingBackward {
    /// Tokens, rows of both tables.
    type State = (Tokens, (usize, Option<usize>));

    fn backward(self, step: Step<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let (tokens, rows) = &step.state;
        let (rows, width) = (*rows, sizes(&dy)[1]);
        let (dtable, dpositions) =
            kernels::embedding::backward(tokens.ids(), values(&dy), rows, tokens.time(), width);
        let mut of_parents = vec![dense(dtable, [rows.0, width])];
        of_parents.extend(dpositions.zip(rows.1).map(|(values, places)| dense(values, [places, width])));
        hand_out(step, gradients, of_parents.try_into().expect("one gradient per parent"));
    }
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl Backward<Flex, 1> for CrossEntropyBackward {
    /// Logits, targets, `lse` of the rows.
    type State = (FlexTensor, Arc<[i32]>, Arc<[f32]>);

    fn backward(self, mut step: Step<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let (logits, targets, lse) = &mut step.state;
        let vocabulary = sizes(logits)[1];
        // The logits are the largest tensor of all: where nothing else holds them, their gradient takes their place.
        let mut buffer = logits.clone();
        *logits = dense(Vec::new(), [0, 0]);
        let scale = values(&dy)[0];
        kernels::loss::backward(buffer.storage_mut::<f32>(), targets, lse, scale, vocabulary);
        hand_out(step, gradients, [buffer]);
    }
}

#[derive(Debug)]
struct DropoutBackward;

impl Backward<Flex, 1> for DropoutBackward {
    type State = Dropout;

    fn backward(self, step: Step<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = incoming(&step, gradients);
        let Dropout { rate, key } = step.state;
        let dx = dense(kernels::pointwise::dropout(values(&dy), rate, key), sizes(&dy));
        hand_out(step, gradients, [dx]);
    }
}

impl Ops for Tape {
    fn affine(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        layout: WeightLayout,
        bias: Option<Tensor<Self, 1>>,
        residual: Option<Tensor<Self, 2>>,
    ) -> Tensor<Self, 2> {
        let (x, weight) = (node(x), node(weight));
        let (bias, residual) = (bias.map(node), residual.map(node));
        let y = linear(
            &x.primitive,
            &weight.primitive,
            layout,
            bias.as_ref().map(|bias| &bias.primitive),
            residual.as_ref().map(|residual| &residual.primitive),
        );
        let state = LinearState {
            x: x.primitive.clone(),
            weight: weight.primitive.clone(),
            layout,
            bias: bias.is_some(),
            residual: residual.is_some(),
        };
        tensor(match (&bias, &residual) {
            (None, None) => record(LinearBackward, [&x, &weight], state, y),
            (Some(third), None) | (None, Some(third)) => {
                record(LinearBackward, [&x, &weight, third], state, y)
            }
            (Some(bias), Some(residual)) => record(LinearBackward, [&x, &weight, bias, residual], state, y),
        })
    }

    fn layer_normalise(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        epsilon: f32,
    ) -> Tensor<Self, 2> {
        let (x, weight, bias) = (node(x), node(weight), node(bias));
        let (xs, weights, biases) =
            (values(&x.primitive), values(&weight.primitive), values(&bias.primitive));
        let (y, statistics) = kernels::norm::forward(xs, weights, biases, epsilon);
        let state = (x.primitive.clone(), weight.primitive.clone(), statistics.into());
        let y = dense(y, sizes(&x.primitive));
        tensor(record(LayerNormBackward, [&x, &weight, &bias], state, y))
    }

    fn rms_normalise(x: Tensor<Self, 2>, weight: Tensor<Self, 1>, epsilon: f32) -> Tensor<Self, 2> {
        let (x, weight) = (node(x), node(weight));
        let (y, scales) =
            kernels::rms_norm::forward(values(&x.primitive), values(&weight.primitive), epsilon);
        let state = (x.primitive.clone(), weight.primitive.clone(), scales.into());
        let y = dense(y, sizes(&x.primitive));
        tensor(record(RmsNormBackward, [&x, &weight], state, y))
    }

    fn swiglu(gate: Tensor<Self, 2>, up: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let (gate, up) = (node(gate), node(up));
        let y = kernels::pointwise::swiglu(values(&gate.primitive), values(&up.primitive));
        let y = dense(y, sizes(&gate.primitive));
        let state = (gate.primitive.clone(), up.primitive.clone());
        tensor(record(SwigluBackward, [&gate, &up], state, y))
    }

    fn rotate_and_pack(
        query: Tensor<Self, 2>,
        key: Tensor<Self, 2>,
        value: Tensor<Self, 2>,
        table: &RotaryTable,
    ) -> Tensor<Self, 2> {
        let (query, key, value) = (node(query), node(key), node(value));
        let y = rotated(&query.primitive, &key.primitive, &value.primitive, table);
        let widths = (sizes(&query.primitive)[1], sizes(&key.primitive)[1]);
        tensor(record(RotaryBackward, [&query, &key, &value], (widths, table.clone()), y))
    }

    fn gelu_tanh(x: Tensor<Self, 2>) -> Tensor<Self, 2> {
        let x = node(x);
        let y = dense(kernels::pointwise::gelu(values(&x.primitive)), sizes(&x.primitive));
        tensor(record(GeluBackward, [&x], x.primitive.clone(), y))
    }

    fn self_attention(
        qkv: Tensor<Self, 2>,
        shape: AttentionShape,
        dropout: Option<Dropout>,
    ) -> Tensor<Self, 2> {
        let qkv = node(qkv);
        let (y, lse) = kernels::attention::forward(values(&qkv.primitive), &shape, dropout);
        let y = dense(y, [sizes(&qkv.primitive)[0], shape.width]);
        let state =
            AttentionState { qkv: qkv.primitive.clone(), output: y.clone(), lse: lse.into(), shape, dropout };
        tensor(record(AttentionBackward, [&qkv], state, y))
    }

    fn embed_tokens(
        tokens: &Tokens,
        table: Tensor<Self, 2>,
        positions: Option<Tensor<Self, 2>>,
    ) -> Tensor<Self, 2> {
        let (table, positions) = (node(table), positions.map(node));
        let [rows, width] = sizes(&table.primitive);
        let places = positions.as_ref().map(|positions| sizes(&positions.primitive)[0]);
        let added = positions.as_ref().map(|positions| values(&positions.primitive));
        let y =
            kernels::embedding::forward(tokens.ids(), values(&table.primitive), added, tokens.time(), width);
        let y = dense(y, [tokens.ids().len(), width]);
        let state = (tokens.clone(), (rows, places));
        tensor(match &positions {
            Some(positions) => record(EmbeddingBackward, [&table, positions], state, y),
            None => record(EmbeddingBackward, [&table], state, y),
        })
    }

    fn cross_entropy(logits: Tensor<Self, 2>, targets: Arc<[i32]>) -> Tensor<Self, 1> {
        let logits = node(logits);
        let vocabulary = sizes(&logits.primitive)[1];
        let (loss, lse) = kernels::loss::forward(values(&logits.primitive), &targets, vocabulary);
        let state = (logits.primitive.clone(), targets, lse.into());
        tensor(record(CrossEntropyBackward, [&logits], state, dense(vec![loss], [1])))
    }

    fn dropout(x: Tensor<Self, 2>, dropout: Option<Dropout>) -> Tensor<Self, 2> {
        let Some(Dropout { rate, key }) = dropout else { return x };
        let x = node(x);
        let y = dense(kernels::pointwise::dropout(values(&x.primitive), rate, key), sizes(&x.primitive));
        tensor(record(DropoutBackward, [&x], Dropout { rate, key }, y))
    }
}
