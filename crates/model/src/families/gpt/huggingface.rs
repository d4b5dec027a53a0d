//! Hugging Face's `GPT2LMHeadModel`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ModelError;
use crate::families::ModelConfig;
use crate::families::huggingface::{HuggingFace, TokenIds, Told, expect, parse, problem};

/// How the library knows this family.
pub const HUGGING_FACE: HuggingFace = HuggingFace {
    model_type: "gpt2",
    config_json,
    read_config,
    prefix: "transformer.",
    buffers: &[".attn.bias", ".attn.masked_bias"],
    head: ("lm_head.weight", "transformer.wte.weight"),
};

/// The configuration as the library writes it, with `eos_token_id` where the tokenizer has one.
pub fn config_json(config: &ModelConfig, end_of_text: Option<u32>) -> Value {
    json!({
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": config.dropout,
        "bos_token_id": end_of_text,
        "dtype": "float32",
        "embd_pdrop": config.dropout,
        "eos_token_id": end_of_text,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-5,
        "model_type": "gpt2",
        "n_ctx": config.context,
        "n_embd": config.width,
        "n_head": config.heads,
        "n_inner": null,
        "n_layer": config.layers,
        "n_positions": config.context,
        "pad_token_id": null,
        "resid_pdrop": config.dropout,
        "scale_attn_weights": true,
        "tie_word_embeddings": true,
        "use_cache": true,
        "vocab_size": config.vocabulary,
    })
}

/// What we read of a `config.json`. The library's files have many keys that do not concern us.
#[derive(Deserialize)]
struct Gpt2Config {
    model_type: String,
    vocab_size: usize,
    n_layer: usize,
    n_head: usize,
    n_embd: usize,
    n_positions: usize,
    n_inner: Option<usize>,
    activation_function: Option<String>,
    layer_norm_epsilon: Option<f64>,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    add_cross_attention: Option<bool>,
    tie_word_embeddings: Option<bool>,
    #[serde(default)]
    resid_pdrop: f32,
    eos_token_id: Option<TokenIds>,
}

/// Reads a `config.json`.
pub fn read_config(bytes: &[u8]) -> Result<Told, ModelError> {
    let read: Gpt2Config = parse(bytes)?;
    expect("model_type", Some(read.model_type.as_str()), &"gpt2")?;
    expect("activation_function", read.activation_function.as_deref(), &"gelu_new")?;
    expect("n_inner", read.n_inner, &read.n_embd.saturating_mul(4))?;
    expect("scale_attn_weights", read.scale_attn_weights, &true)?;
    expect("scale_attn_by_inverse_layer_idx", read.scale_attn_by_inverse_layer_idx, &false)?;
    expect("add_cross_attention", read.add_cross_attention, &false)?;
    expect("tie_word_embeddings", read.tie_word_embeddings, &true)?;
    if read.layer_norm_epsilon.is_some_and(|epsilon| (epsilon - 1e-5).abs() > 1e-9) {
        return Err(problem("`layer_norm_epsilon` is not 1e-5".to_owned()));
    }
    let config = ModelConfig {
        family: super::NAME.to_owned(),
        vocabulary: read.vocab_size,
        layers: read.n_layer,
        heads: read.n_head,
        width: read.n_embd,
        context: read.n_positions,
        dropout: read.resid_pdrop,
        llama: None,
    };
    config.validate()?;
    Ok((config, read.eos_token_id.and_then(|ids| ids.first())))
}
