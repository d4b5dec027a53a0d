//! Llama (Touvron et al., 2023): a decoder with RMS normalisation before each sub-block, rotary positions, a SwiGLU
//! feed-forward network, heads of keys and values that several heads of queries may share, and no biases.
//!
//! ```text
//! tokens ─▶ embed ─┬─▶ norm ─▶ q, k, v ─▶ rotate ─▶ attention ─▶ o ─▶ + ─┬─▶ norm ─┬▶ gate ─▶ silu ─┐
//!                  │                                                  ▲  │         └▶ up ─────────── × ─▶ down ─▶ + ─▶ … ─▶ norm ─▶ head
//!                  └──────────────────────────────────────────────────┘  └────────────────────────────────────▲
//! ```
//!
//! Parameters have the keys and shapes of Hugging Face's `LlamaForCausalLM`, whose linear weights are `[out, in]`; with
//! `size = width / heads`:
//!
//! | parameter | shape |
//! |---|---|
//! | `model.embed_tokens.weight` | `[vocabulary, width]` |
//! | `….input_layernorm.weight`, `….post_attention_layernorm.weight`, `model.norm.weight` | `[width]` |
//! | `….self_attn.q_proj.weight` | `[width, width]` |
//! | `….self_attn.k_proj.weight`, `….v_proj.weight` | `[kv_heads · size, width]` |
//! | `….self_attn.o_proj.weight` | `[width, width]` |
//! | `….mlp.gate_proj.weight`, `….up_proj.weight` | `[inner, width]` |
//! | `….mlp.down_proj.weight` | `[width, inner]` |
//! | `lm_head.weight`, where it is not tied | `[vocabulary, width]` |
//!
//! Dropout acts on the attention's probabilities alone, as that library's `attention_dropout`.

pub mod huggingface;
mod options;

use burn::tensor::Tensor;

use super::{Model, ModelConfig};
use crate::ops::{AttentionShape, Dropout, DropoutSeed, Mask, Ops, RotaryTable, Tokens, WeightLayout};
use crate::parameters::{Init, ParameterLayout, Parameters};

pub use options::{LlamaOptions, RopeScaling, validate};

/// Name in the table of families.
pub const NAME: &str = "llama";
/// Standard deviation of initial weights.
const DEVIATION: f64 = 0.02;

/// The options of a configuration that [`validate`] has passed.
fn options(config: &ModelConfig) -> &LlamaOptions {
    config.llama.as_ref().expect("a valid configuration of the family has them")
}

/// Number of parameters.
pub fn parameters(config: &ModelConfig) -> u128 {
    let options = options(config);
    let (width, inner) = (config.width as u128, options.inner as u128);
    let narrow = (config.width / config.heads * options.kv_heads) as u128;
    let block = 2 * width * width + 2 * width * narrow + 3 * width * inner + 2 * width;
    let tables = if options.tied { 1 } else { 2 };
    block * config.layers as u128 + tables * config.vocabulary as u128 * width + width
}

/// Parameters in the order of the network. What writes to the residual stream begins smaller, by the root of the number
/// of such writes, as in GPT-2.
pub fn layout(config: &ModelConfig) -> ParameterLayout {
    let (options, width) = (options(config), config.width);
    let narrow = width / config.heads * options.kv_heads;
    let weight = Init::Normal(DEVIATION);
    let residual = Init::Normal(DEVIATION / (2.0 * config.layers as f64).sqrt());
    let mut layout = ParameterLayout::default();
    layout.push("model.embed_tokens.weight", &[config.vocabulary, width], weight);
    for layer in 0..config.layers {
        let mut push = |name: &str, shape: &[usize], init: Init| {
            layout.push(format!("model.layers.{layer}.{name}.weight"), shape, init);
        };
        push("input_layernorm", &[width], Init::Ones);
        push("self_attn.q_proj", &[width, width], weight);
        push("self_attn.k_proj", &[narrow, width], weight);
        push("self_attn.v_proj", &[narrow, width], weight);
        push("self_attn.o_proj", &[width, width], residual);
        push("post_attention_layernorm", &[width], Init::Ones);
        push("mlp.gate_proj", &[options.inner, width], weight);
        push("mlp.up_proj", &[options.inner, width], weight);
        push("mlp.down_proj", &[width, options.inner], residual);
    }
    layout.push("model.norm.weight", &[width], Init::Ones);
    if !options.tied {
        layout.push("lm_head.weight", &[config.vocabulary, width], weight);
    }
    layout
}

/// Builds the model from parameters of [`layout`].
pub fn build<B: Ops>(config: &ModelConfig, parameters: &Parameters<B>) -> Box<dyn Model<B>> {
    let options = options(config);
    let epsilon = options.epsilon as f32;
    let blocks = (0..config.layers).map(|layer| Block::new(layer, epsilon, parameters)).collect();
    let head = if options.tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
    Box::new(Llama {
        heads: config.heads,
        kv_heads: options.kv_heads,
        width: config.width,
        dropout: config.dropout,
        frequencies: options.frequencies(config.width / config.heads / 2),
        embedding: parameters.matrix("model.embed_tokens.weight"),
        blocks,
        final_norm: Norm { weight: parameters.vector("model.norm.weight"), epsilon },
        head: parameters.matrix(head),
    })
}

/// The whole decoder.
struct Llama<B: Ops> {
    heads: usize,
    kv_heads: usize,
    width: usize,
    dropout: f32,
    /// Radians a position, for each pair of a head's channels.
    frequencies: Vec<f32>,
    embedding: Tensor<B, 2>,
    blocks: Vec<Block<B>>,
    final_norm: Norm<B>,
    head: Tensor<B, 2>,
}

impl<B: Ops> Model<B> for Llama<B> {
    fn hidden(&self, tokens: &Tokens, dropout: Option<DropoutSeed>) -> Tensor<B, 2> {
        let table = RotaryTable::new(tokens.time(), &self.frequencies);
        let shape = AttentionShape {
            time: tokens.time(),
            heads: self.heads,
            kv_heads: self.kv_heads,
            width: self.width,
            mask: Mask::Causal,
        };
        let mut x = B::embed_tokens(tokens, self.embedding.clone(), None);
        for (layer, block) in self.blocks.iter().enumerate() {
            let dropout = dropout.and_then(|seed| seed.at(layer as u64, self.dropout));
            x = block.forward(x, shape, &table, dropout);
        }
        self.final_norm.forward(x)
    }

    fn logits(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        linear(hidden, &self.head, None)
    }
}

/// Attention and a feed-forward network, each around the residual stream.
struct Block<B: Ops> {
    attention_norm: Norm<B>,
    query: Tensor<B, 2>,
    key: Tensor<B, 2>,
    value: Tensor<B, 2>,
    output: Tensor<B, 2>,
    feed_forward_norm: Norm<B>,
    gate: Tensor<B, 2>,
    up: Tensor<B, 2>,
    down: Tensor<B, 2>,
}

impl<B: Ops> Block<B> {
    fn new(layer: usize, epsilon: f32, parameters: &Parameters<B>) -> Self {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let matrix = |part: &str| parameters.matrix(&name(part));
        let norm = |part: &str| Norm { weight: parameters.vector(&name(part)), epsilon };
        Self {
            attention_norm: norm("input_layernorm"),
            query: matrix("self_attn.q_proj"),
            key: matrix("self_attn.k_proj"),
            value: matrix("self_attn.v_proj"),
            output: matrix("self_attn.o_proj"),
            feed_forward_norm: norm("post_attention_layernorm"),
            gate: matrix("mlp.gate_proj"),
            up: matrix("mlp.up_proj"),
            down: matrix("mlp.down_proj"),
        }
    }

    fn forward(
        &self,
        x: Tensor<B, 2>,
        shape: AttentionShape,
        table: &RotaryTable,
        dropout: Option<Dropout>,
    ) -> Tensor<B, 2> {
        let normal = self.attention_norm.forward(x.clone());
        let query = linear(normal.clone(), &self.query, None);
        let key = linear(normal.clone(), &self.key, None);
        let value = linear(normal, &self.value, None);
        let attended = B::self_attention(B::rotate_and_pack(query, key, value, table), shape, dropout);
        let x = linear(attended, &self.output, Some(x));
        let normal = self.feed_forward_norm.forward(x.clone());
        let inner = B::swiglu(linear(normal.clone(), &self.gate, None), linear(normal, &self.up, None));
        linear(inner, &self.down, Some(x))
    }
}

/// A linear map without bias, added to the residual stream where there is one.
fn linear<B: Ops>(x: Tensor<B, 2>, weight: &Tensor<B, 2>, residual: Option<Tensor<B, 2>>) -> Tensor<B, 2> {
    B::affine(x, weight.clone(), WeightLayout::OutIn, None, residual)
}

/// A root mean square normalisation.
struct Norm<B: Ops> {
    weight: Tensor<B, 1>,
    epsilon: f32,
}

impl<B: Ops> Norm<B> {
    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        B::rms_normalise(x, self.weight.clone(), self.epsilon)
    }
}
