//! The `config.json` and `generation_config.json` of Hugging Face's `GPT2LMHeadModel`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ModelError;
use crate::families::ModelConfig;

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

/// What generation begins from in that library.
pub fn generation_config_json(end_of_text: Option<u32>) -> Value {
    json!({"_from_model_config": true, "bos_token_id": end_of_text, "eos_token_id": end_of_text})
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
    #[serde(default)]
    n_inner: Option<usize>,
    #[serde(default)]
    activation_function: Option<String>,
    #[serde(default)]
    layer_norm_epsilon: Option<f64>,
    #[serde(default)]
    resid_pdrop: f32,
    #[serde(default)]
    eos_token_id: Option<u32>,
}

/// Reads a `config.json`; also the id of the end-of-text token, where it has one.
pub fn read_config(bytes: &[u8]) -> Result<(ModelConfig, Option<u32>), ModelError> {
    let problem = |problem: String| ModelError::File { file: "config.json", problem };
    let read: Gpt2Config = serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))?;
    if read.model_type != "gpt2" {
        return Err(problem(format!("`model_type` is `{}`: expected `gpt2`", read.model_type)));
    }
    if read.activation_function.as_deref().is_some_and(|name| name != "gelu_new") {
        return Err(problem("`activation_function` is not `gelu_new`".to_owned()));
    }
    if read.n_inner.is_some_and(|inner| inner != 4 * read.n_embd) {
        return Err(problem("`n_inner` is not four times `n_embd`".to_owned()));
    }
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
    };
    config.validate()?;
    Ok((config, read.eos_token_id))
}
