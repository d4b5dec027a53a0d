//! GPT-2 (Radford et al., 2019): a decoder with learned positions, normalisation before each sub-block, GELU in its tanh
//! form, and the output projection tied to the token embedding.
//!
//! ```text
//! tokens ─▶ wte + wpe ─▶ drop ─┬─▶ ln_1 ─▶ c_attn ─▶ attention ─▶ c_proj ─▶ drop ─▶ + ─┬─▶ ln_2 ─▶ c_fc ─▶ gelu ─▶ c_proj ─▶ drop ─▶ + ─▶ … ─▶ ln_f ─▶ wteᵀ
//!                              └─────────────────────────────────────────────────────┘ └──────────────────────────────────────────┘
//! ```
//!
//! Parameters have the keys and shapes of Hugging Face's `GPT2LMHeadModel`, whose linear weights are `[in, out]`.

pub mod huggingface;

use burn::tensor::Tensor;

use super::{Model, ModelConfig};
use crate::error::ModelError;
use crate::ops::{AttentionShape, DropoutSeed, Mask, Ops, Tokens, WeightLayout};
use crate::parameters::{Init, ParameterLayout, Parameters};

/// Name in the table of families.
pub const NAME: &str = "gpt";
/// Added to the variance under the root.
pub const EPSILON: f32 = 1e-5;
/// Standard deviation of initial weights.
const DEVIATION: f64 = 0.02;

/// Refuses what only another family has.
pub fn validate(config: &ModelConfig) -> Result<(), ModelError> {
    match &config.llama {
        None => Ok(()),
        Some(options) => {
            let expected = "none: this is no Llama".to_owned();
            Err(ModelError::Config { field: "llama", value: format!("{options:?}"), expected })
        }
    }
}

/// Number of parameters.
pub fn parameters(config: &ModelConfig) -> u128 {
    let width = config.width as u128;
    let block = 12 * width * width + 13 * width;
    block * config.layers as u128 + (config.vocabulary + config.context + 2) as u128 * width
}

/// Parameters in the order of the network. What writes to the residual stream begins smaller, by the root of the number
/// of such writes, so that the stream's variance does not grow with depth.
pub fn layout(config: &ModelConfig) -> ParameterLayout {
    let width = config.width;
    let weight = Init::Normal(DEVIATION);
    let residual = Init::Normal(DEVIATION / (2.0 * config.layers as f64).sqrt());
    let mut layout = ParameterLayout::default();
    layout.push("transformer.wte.weight", &[config.vocabulary, width], weight);
    layout.push("transformer.wpe.weight", &[config.context, width], weight);
    for layer in 0..config.layers {
        let mut push = |name: &str, shape: &[usize], init: Init| {
            layout.push(format!("transformer.h.{layer}.{name}"), shape, init);
        };
        push("ln_1.weight", &[width], Init::Ones);
        push("ln_1.bias", &[width], Init::Zeros);
        push("attn.c_attn.weight", &[width, 3 * width], weight);
        push("attn.c_attn.bias", &[3 * width], Init::Zeros);
        push("attn.c_proj.weight", &[width, width], residual);
        push("attn.c_proj.bias", &[width], Init::Zeros);
        push("ln_2.weight", &[width], Init::Ones);
        push("ln_2.bias", &[width], Init::Zeros);
        push("mlp.c_fc.weight", &[width, 4 * width], weight);
        push("mlp.c_fc.bias", &[4 * width], Init::Zeros);
        push("mlp.c_proj.weight", &[4 * width, width], residual);
        push("mlp.c_proj.bias", &[width], Init::Zeros);
    }
    layout.push("transformer.ln_f.weight", &[width], Init::Ones);
    layout.push("transformer.ln_f.bias", &[width], Init::Zeros);
    layout
}

/// Builds the model from parameters of [`layout`].
pub fn build<B: Ops>(config: &ModelConfig, parameters: &Parameters<B>) -> Box<dyn Model<B>> {
    let blocks = (0..config.layers).map(|layer| Block::new(layer, parameters)).collect();
    Box::new(Gpt {
        config: config.clone(),
        token_embedding: parameters.matrix("transformer.wte.weight"),
        position_embedding: parameters.matrix("transformer.wpe.weight"),
        blocks,
        final_norm: Norm::new("transformer.ln_f", parameters),
    })
}

/// The whole decoder.
struct Gpt<B: Ops> {
    config: ModelConfig,
    token_embedding: Tensor<B, 2>,
    position_embedding: Tensor<B, 2>,
    blocks: Vec<Block<B>>,
    final_norm: Norm<B>,
}

impl<B: Ops> Model<B> for Gpt<B> {
    fn hidden(&self, tokens: &Tokens, dropout: Option<DropoutSeed>) -> Tensor<B, 2> {
        let rate = self.config.dropout;
        let at = |site: u64| dropout.and_then(|seed| seed.at(site, rate));
        let positions = Some(self.position_embedding.clone());
        let x = B::embed_tokens(tokens, self.token_embedding.clone(), positions);
        let mut x = B::dropout(x, at(0));
        let shape = AttentionShape {
            time: tokens.time(),
            heads: self.config.heads,
            kv_heads: self.config.heads,
            width: self.config.width,
            mask: Mask::Causal,
        };
        for (layer, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, shape, |site| at(1 + 3 * layer as u64 + site));
        }
        self.final_norm.forward(x)
    }

    fn logits(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2> {
        B::affine(hidden, self.token_embedding.clone(), WeightLayout::OutIn, None, None)
    }
}

/// Attention and a feed-forward network, each around the residual stream.
struct Block<B: Ops> {
    attention_norm: Norm<B>,
    attention_in: Linear<B>,
    attention_out: Linear<B>,
    feed_forward_norm: Norm<B>,
    feed_forward_in: Linear<B>,
    feed_forward_out: Linear<B>,
}

impl<B: Ops> Block<B> {
    fn new(layer: usize, parameters: &Parameters<B>) -> Self {
        let name = |part: &str| format!("transformer.h.{layer}.{part}");
        Self {
            attention_norm: Norm::new(&name("ln_1"), parameters),
            attention_in: Linear::new(&name("attn.c_attn"), parameters),
            attention_out: Linear::new(&name("attn.c_proj"), parameters),
            feed_forward_norm: Norm::new(&name("ln_2"), parameters),
            feed_forward_in: Linear::new(&name("mlp.c_fc"), parameters),
            feed_forward_out: Linear::new(&name("mlp.c_proj"), parameters),
        }
    }

    fn forward(
        &self,
        x: Tensor<B, 2>,
        shape: AttentionShape,
        dropout: impl Fn(u64) -> Option<crate::ops::Dropout>,
    ) -> Tensor<B, 2> {
        let qkv = self.attention_in.forward(self.attention_norm.forward(x.clone()), None);
        let attended = B::self_attention(qkv, shape, dropout(0));
        let x = self.attention_out.onto(x, attended, dropout(1));
        let inner = self.feed_forward_in.forward(self.feed_forward_norm.forward(x.clone()), None);
        self.feed_forward_out.onto(x, B::gelu_tanh(inner), dropout(2))
    }
}

/// A linear map with bias.
struct Linear<B: Ops> {
    weight: Tensor<B, 2>,
    bias: Tensor<B, 1>,
}

impl<B: Ops> Linear<B> {
    fn new(name: &str, parameters: &Parameters<B>) -> Self {
        Self {
            weight: parameters.matrix(&format!("{name}.weight")),
            bias: parameters.vector(&format!("{name}.bias")),
        }
    }

    fn forward(&self, x: Tensor<B, 2>, residual: Option<Tensor<B, 2>>) -> Tensor<B, 2> {
        B::affine(x, self.weight.clone(), WeightLayout::InOut, Some(self.bias.clone()), residual)
    }

    /// Maps `x` and adds it to the residual stream; in one product where nothing is dropped.
    fn onto(
        &self,
        stream: Tensor<B, 2>,
        x: Tensor<B, 2>,
        dropout: Option<crate::ops::Dropout>,
    ) -> Tensor<B, 2> {
        match dropout {
            None => self.forward(x, Some(stream)),
            Some(_) => stream + B::dropout(self.forward(x, None), dropout),
        }
    }
}

/// A layer normalisation.
struct Norm<B: Ops> {
    weight: Tensor<B, 1>,
    bias: Tensor<B, 1>,
}

impl<B: Ops> Norm<B> {
    fn new(name: &str, parameters: &Parameters<B>) -> Self {
        Self {
            weight: parameters.vector(&format!("{name}.weight")),
            bias: parameters.vector(&format!("{name}.bias")),
        }
    }

    fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        B::layer_normalise(x, self.weight.clone(), self.bias.clone(), EPSILON)
    }
}
