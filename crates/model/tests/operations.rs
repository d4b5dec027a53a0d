//! Every fused operation against its composed form: results and gradients.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_flex::{Flex, FlexDevice};
use orchestrator_model::ops::{
    AttentionShape, Dropout, IGNORED, Mask, Ops, RotaryTable, Tokens, WeightLayout, composed,
};
use orchestrator_model::random;

type Tape = Autodiff<Flex>;

const TOLERANCE: f32 = 1e-5;

/// Numbers around 0 from a seed.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    (0..count as u64).map(|i| random::normal(seed, i) as f32 * 0.5).collect()
}

fn matrix(seed: u64, rows: usize, columns: usize) -> Tensor<Tape, 2> {
    Tensor::from_data(TensorData::new(numbers(seed, rows * columns), [rows, columns]), &FlexDevice)
        .require_grad()
}

fn vector(seed: u64, length: usize) -> Tensor<Tape, 1> {
    Tensor::from_data(TensorData::new(numbers(seed, length), [length]), &FlexDevice).require_grad()
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand in what they just computed")]
fn close(what: &str, ours: Vec<f32>, reference: Vec<f32>) {
    assert_eq!(ours.len(), reference.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(&reference).enumerate() {
        assert!((a - b).abs() <= TOLERANCE * b.abs().max(1.0), "{what} [{i}]: {a}, expected {b}");
    }
}

fn list<const D: usize>(tensor: Tensor<Flex, D>) -> Vec<f32> {
    tensor.into_data().into_vec().expect("f32")
}

/// Compares two forms of an operation of matrices and vectors: the result, and each argument's gradient of a weighted
/// sum of the result.
fn compare(
    what: &str,
    matrices: &[Tensor<Tape, 2>],
    vectors: &[Tensor<Tape, 1>],
    fused: impl Fn() -> Tensor<Tape, 2>,
    reference: impl Fn() -> Tensor<Tape, 2>,
) {
    let run = |form: &dyn Fn() -> Tensor<Tape, 2>| {
        let result = form();
        let [rows, columns] = result.dims();
        let weights = TensorData::new(numbers(99, rows * columns), [rows, columns]);
        let weights = Tensor::<Tape, 2>::from_data(weights, &FlexDevice);
        let mut gradients = (result.clone() * weights).sum().backward();
        let mut found = vec![list(result.inner())];
        found.extend(matrices.iter().map(|m| list(m.grad_remove(&mut gradients).expect("a gradient"))));
        found.extend(vectors.iter().map(|v| list(v.grad_remove(&mut gradients).expect("a gradient"))));
        found
    };
    for (i, (ours, theirs)) in run(&fused).into_iter().zip(run(&reference)).enumerate() {
        close(&format!("{what}, part {i}"), ours, theirs);
    }
}

#[test]
fn linear_maps_agree() {
    let (x, w, wt) = (matrix(1, 300, 40), matrix(2, 40, 24), matrix(3, 24, 40));
    let (bias, residual) = (vector(4, 24), matrix(5, 300, 24));
    let none = || (None::<Tensor<Tape, 1>>, None::<Tensor<Tape, 2>>);
    for (layout, w) in [(WeightLayout::InOut, &w), (WeightLayout::OutIn, &wt)] {
        compare(
            "plain",
            &[x.clone(), w.clone()],
            &[],
            || Tape::affine(x.clone(), w.clone(), layout, none().0, none().1),
            || composed::linear(x.clone(), w.clone(), layout, None, None),
        );
        compare(
            "bias",
            &[x.clone(), w.clone()],
            std::slice::from_ref(&bias),
            || Tape::affine(x.clone(), w.clone(), layout, Some(bias.clone()), None),
            || composed::linear(x.clone(), w.clone(), layout, Some(bias.clone()), None),
        );
        compare(
            "bias and residual",
            &[x.clone(), w.clone(), residual.clone()],
            std::slice::from_ref(&bias),
            || Tape::affine(x.clone(), w.clone(), layout, Some(bias.clone()), Some(residual.clone())),
            || composed::linear(x.clone(), w.clone(), layout, Some(bias.clone()), Some(residual.clone())),
        );
    }
}

#[test]
fn pointwise_operations_and_norms_agree() {
    let x = matrix(1, 150, 37);
    let (weight, bias) = (vector(2, 37), vector(3, 37));
    compare(
        "layer norm",
        std::slice::from_ref(&x),
        &[weight.clone(), bias.clone()],
        || Tape::layer_normalise(x.clone(), weight.clone(), bias.clone(), 1e-5),
        || composed::layer_norm(x.clone(), weight.clone(), bias.clone(), 1e-5),
    );
    compare(
        "rms norm",
        std::slice::from_ref(&x),
        std::slice::from_ref(&weight),
        || Tape::rms_normalise(x.clone(), weight.clone(), 1e-5),
        || composed::rms_norm(x.clone(), weight.clone(), 1e-5),
    );
    let (gate, up) = (matrix(4, 150, 37), matrix(5, 150, 37));
    compare(
        "swiglu",
        &[gate.clone(), up.clone()],
        &[],
        || Tape::swiglu(gate.clone(), up.clone()),
        || composed::swiglu(gate.clone(), up.clone()),
    );
    let x = matrix(1, 40, 37) * 4.0;
    let x = Tensor::<Tape, 2>::from_data(x.into_data(), &FlexDevice).require_grad();
    let one = std::slice::from_ref(&x);
    compare("gelu", one, &[], || Tape::gelu_tanh(x.clone()), || composed::gelu(x.clone()));
    let dropout = Dropout { rate: 0.3, key: 77 };
    compare(
        "dropout",
        one,
        &[],
        || Ops::dropout(x.clone(), Some(dropout)),
        || composed::dropout(x.clone(), dropout),
    );
    let kept = list(<Flex as Ops>::dropout(Tensor::ones([100, 100], &FlexDevice), Some(dropout)));
    let share = kept.iter().filter(|value| **value != 0.0).count() as f64 / 1e4;
    assert!((share - 0.7).abs() < 0.02, "kept {share}");
}

#[test]
fn attention_agrees_under_every_mask_and_with_dropout() {
    let (batch, width) = (2, 24);
    for time in [1, 5, 64, 70, 150] {
        let qkv = matrix(time as u64, batch * time, 3 * width);
        for mask in [Mask::Causal, Mask::Full, Mask::Prefix(time.min(67))] {
            for dropout in [None, Some(Dropout { rate: 0.2, key: 9 })] {
                let shape = AttentionShape { time, heads: 3, kv_heads: 3, width, mask };
                compare(
                    &format!("attention, time {time}, {mask:?}, {dropout:?}"),
                    std::slice::from_ref(&qkv),
                    &[],
                    || Tape::self_attention(qkv.clone(), shape, dropout),
                    || composed::attention(qkv.clone(), shape, dropout),
                );
            }
        }
    }
}

#[test]
fn attention_agrees_where_heads_share_keys_and_values() {
    let (batch, width, heads) = (2, 24, 6);
    for (kv_heads, time) in [(1, 5), (2, 70), (3, 150), (6, 64)] {
        for dropout in [None, Some(Dropout { rate: 0.2, key: 9 })] {
            let shape = AttentionShape { time, heads, kv_heads, width, mask: Mask::Causal };
            assert_eq!(shape.packed(), 24 + 8 * kv_heads);
            let qkv = matrix(time as u64, batch * time, shape.packed());
            compare(
                &format!("{kv_heads} heads of keys, time {time}, {dropout:?}"),
                std::slice::from_ref(&qkv),
                &[],
                || Tape::self_attention(qkv.clone(), shape, dropout),
                || composed::attention(qkv.clone(), shape, dropout),
            );
        }
    }
}

#[test]
fn rotary_positions_agree_and_only_distances_count() {
    let (batch, time, size) = (3, 21, 10);
    let frequencies: Vec<f32> = (0..size / 2).map(|pair| 0.4_f32.powi(pair as i32)).collect();
    let table = RotaryTable::new(time, &frequencies);
    for (heads, kv_heads) in [(4, 2), (1, 1)] {
        let query = matrix(1, batch * time, heads * size);
        let (key, value) =
            (matrix(2, batch * time, kv_heads * size), matrix(3, batch * time, kv_heads * size));
        compare(
            &format!("rotary, {heads} heads, {kv_heads} of keys"),
            &[query.clone(), key.clone(), value.clone()],
            &[],
            || Tape::rotate_and_pack(query.clone(), key.clone(), value.clone(), &table),
            || composed::rotate_and_pack(query.clone(), key.clone(), value.clone(), &table),
        );
    }
    // One query and one key, at every position: their product depends on how far apart they stand.
    let same = |seed: u64| {
        let row = numbers(seed, size);
        Tensor::<Flex, 2>::from_data(TensorData::new(row.repeat(time), [time, size]), &FlexDevice)
    };
    let packed = list(Flex::rotate_and_pack(same(1), same(2), same(3), &table));
    let product = |query: usize, key: usize| -> f32 {
        let (query, key) = (&packed[query * 3 * size..][..size], &packed[key * 3 * size + size..][..size]);
        query.iter().zip(key).map(|(a, b)| a * b).sum()
    };
    for distance in 0..time {
        for later in distance..time {
            let (here, first) = (product(later, later - distance), product(distance, 0));
            assert!((here - first).abs() < 1e-4, "{distance} apart at {later}: {here}, expected {first}");
        }
    }
    assert!((product(9, 0) - product(0, 0)).abs() > 1e-2, "and it does depend on it");
    assert_eq!(packed[..size], numbers(1, size), "the first position is not turned");
}

#[test]
fn embedding_and_cross_entropy_agree() {
    let ids: Vec<u32> = (0..30).map(|i| (i * 7 % 11) as u32).collect();
    let tokens = Tokens::new(&ids, 10, 11).expect("tokens in range");
    let (table, positions) = (matrix(1, 11, 16), matrix(2, 12, 16));
    compare(
        "embedding",
        &[table.clone(), positions.clone()],
        &[],
        || Tape::embed_tokens(&tokens, table.clone(), Some(positions.clone())),
        || composed::embedding(&tokens, table.clone(), Some(positions.clone())),
    );
    compare(
        "embedding without positions",
        std::slice::from_ref(&table),
        &[],
        || Tape::embed_tokens(&tokens, table.clone(), None),
        || composed::embedding(&tokens, table.clone(), None),
    );
    let logits = matrix(3, 30, 11);
    let mut targets: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    targets[4] = IGNORED;
    targets[20] = IGNORED;
    let targets: Arc<[i32]> = targets.into();
    compare(
        "cross-entropy",
        std::slice::from_ref(&logits),
        &[],
        || Tape::cross_entropy(logits.clone(), targets.clone()).unsqueeze(),
        || composed::cross_entropy(logits.clone(), &targets).unsqueeze(),
    );
}

/// The bits that `run` gives with one thread, which more threads must give too.
#[track_caller]
fn equal_with_any_number_of_threads(run: impl Fn() -> Vec<u32> + Sync) {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(&run)
    };
    let one = with(1);
    assert!(with(2) == one && with(3) == one && with(7) == one);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (time, width) = (130, 48);
    let qkv = matrix(1, 5 * time, 3 * width);
    let weight = matrix(2, 3 * width, 500);
    let (norm, bias) = (vector(3, 3 * width), vector(4, 3 * width));
    equal_with_any_number_of_threads(|| {
        let shape = AttentionShape { time, heads: 4, kv_heads: 4, width, mask: Mask::Causal };
        let x = Tape::layer_normalise(qkv.clone(), norm.clone(), bias.clone(), 1e-5);
        let attended = Tape::self_attention(x.clone(), shape, None);
        let y = Tape::affine(Tape::gelu_tanh(x), weight.clone(), WeightLayout::InOut, None, None);
        let mut gradients = (attended.sum() + (y.clone() * y).sum()).backward();
        let mut bits = list(qkv.grad_remove(&mut gradients).expect("a gradient"));
        bits.extend(list(weight.grad_remove(&mut gradients).expect("a gradient")));
        bits.extend(list(norm.grad_remove(&mut gradients).expect("a gradient")));
        bits.into_iter().map(f32::to_bits).collect()
    });
}

#[test]
fn what_a_llama_is_made_of_does_not_depend_on_the_number_of_threads() {
    let (time, width, kv_heads) = (130, 48, 2);
    let shape = AttentionShape { time, heads: 4, kv_heads, width, mask: Mask::Causal };
    let frequencies: Vec<f32> = (0..6).map(|pair| 0.3_f32.powi(pair)).collect();
    let table = RotaryTable::new(time, &frequencies);
    let x = matrix(1, 5 * time, width);
    let narrow = matrix(2, width, kv_heads * 12);
    let norm = vector(3, width);
    equal_with_any_number_of_threads(|| {
        let y = Tape::rms_normalise(x.clone(), norm.clone(), 1e-5);
        let key = Tape::affine(y.clone(), narrow.clone(), WeightLayout::InOut, None, None);
        let packed = Tape::rotate_and_pack(y.clone(), key.clone(), key, &table);
        let attended = Tape::self_attention(packed, shape, None);
        let gated = Tape::swiglu(attended, y);
        let mut gradients = (gated.clone() * gated.clone()).sum().backward();
        let mut bits = list(gated.inner());
        bits.extend(list(x.grad_remove(&mut gradients).expect("a gradient")));
        bits.extend(list(narrow.grad_remove(&mut gradients).expect("a gradient")));
        bits.extend(list(norm.grad_remove(&mut gradients).expect("a gradient")));
        bits.into_iter().map(f32::to_bits).collect()
    });
}
