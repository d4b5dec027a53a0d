//! Hugging Face's `LlamaForCausalLM`: the files of Llama 1 to 3.3, and of others with the same architecture.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{LlamaOptions, RopeScaling};
use crate::error::ModelError;
use crate::families::ModelConfig;
use crate::families::huggingface::{HuggingFace, TokenIds, Told, expect, parse, problem};

/// How the library knows this family.
pub const HUGGING_FACE: HuggingFace = HuggingFace {
    model_type: "llama",
    config_json,
    read_config,
    prefix: "model.",
    buffers: &[".rotary_emb.inv_freq"],
    head: ("lm_head.weight", "model.embed_tokens.weight"),
};

/// Name of [`RopeScaling`] in the library.
const SCALED: &str = "llama3";
/// What the library takes for keys that a file leaves out.
const DEFAULT_THETA: f64 = 10_000.0;
const DEFAULT_EPSILON: f64 = 1e-6;
const DEFAULT_CONTEXT: usize = 2048;

/// The configuration as the library writes it, with `eos_token_id` where the tokenizer has one. Rotary positions stand in
/// it as version 5 has them (`rope_parameters`) and as those before (`rope_theta`, `rope_scaling`).
pub fn config_json(config: &ModelConfig, end_of_text: Option<u32>) -> Value {
    let options = super::options(config);
    let mut rope = match options.rope_scaling {
        None => json!({ "rope_type": "default" }),
        Some(scaling) => json!({
            "factor": scaling.factor,
            "high_freq_factor": scaling.high_freq_factor,
            "low_freq_factor": scaling.low_freq_factor,
            "original_max_position_embeddings": scaling.original_context,
            "rope_type": SCALED,
        }),
    };
    let scaling = options.rope_scaling.map(|_| rope.clone());
    rope["rope_theta"] = options.rope_theta.into();
    json!({
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": false,
        "attention_dropout": config.dropout,
        "bos_token_id": end_of_text,
        "dtype": "float32",
        "eos_token_id": end_of_text,
        "head_dim": config.width / config.heads,
        "hidden_act": "silu",
        "hidden_size": config.width,
        "initializer_range": 0.02,
        "intermediate_size": options.inner,
        "max_position_embeddings": config.context,
        "mlp_bias": false,
        "model_type": "llama",
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": options.kv_heads,
        "pad_token_id": null,
        "pretraining_tp": 1,
        "rms_norm_eps": options.epsilon,
        "rope_parameters": rope,
        "rope_scaling": scaling,
        "rope_theta": options.rope_theta,
        "tie_word_embeddings": options.tied,
        "use_cache": true,
        "vocab_size": config.vocabulary,
    })
}

/// What we read of a `config.json`. The library's files have many keys that do not concern us.
#[derive(Deserialize)]
struct LlamaConfig {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    hidden_act: Option<String>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Positions>,
    rope_parameters: Option<Positions>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    attention_dropout: Option<f32>,
    tie_word_embeddings: Option<bool>,
    eos_token_id: Option<TokenIds>,
}

/// Rotary positions: `rope_parameters` of version 5, `rope_scaling` of those before.
#[derive(Deserialize)]
struct Positions {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    partial_rotary_factor: Option<f64>,
}

impl Positions {
    /// The stretching, if there is any.
    fn scaling(&self) -> Result<Option<RopeScaling>, ModelError> {
        if self.partial_rotary_factor.is_some_and(|factor| (factor - 1.0).abs() > f64::EPSILON) {
            return Err(problem(
                "`partial_rotary_factor` is not 1: expected whole heads to be turned".into(),
            ));
        }
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(None),
            Some(SCALED) => {
                let given = (
                    self.factor,
                    self.low_freq_factor,
                    self.high_freq_factor,
                    self.original_max_position_embeddings,
                );
                let (Some(factor), Some(low_freq_factor), Some(high_freq_factor), Some(original_context)) =
                    given
                else {
                    let expected = "`factor`, `low_freq_factor`, `high_freq_factor` and \
                                    `original_max_position_embeddings`";
                    return Err(problem(format!("`rope_type` is `{SCALED}`: expected with it {expected}")));
                };
                Ok(Some(RopeScaling { factor, low_freq_factor, high_freq_factor, original_context }))
            }
            Some(other) => {
                Err(problem(format!("`rope_type` is `{other}`: expected `default` or `{SCALED}`")))
            }
        }
    }
}

/// Reads a `config.json`.
pub fn read_config(bytes: &[u8]) -> Result<Told, ModelError> {
    let read: LlamaConfig = parse(bytes)?;
    expect("model_type", Some(read.model_type.as_str()), &"llama")?;
    expect("hidden_act", read.hidden_act.as_deref(), &"silu")?;
    expect("attention_bias", read.attention_bias, &false)?;
    expect("mlp_bias", read.mlp_bias, &false)?;
    let size = read.hidden_size / read.num_attention_heads.max(1);
    expect("head_dim", read.head_dim, &size)?;
    // As the library has it: the older key wins where both are there.
    let rope = read.rope_scaling.as_ref().or(read.rope_parameters.as_ref());
    let theta = rope.and_then(|rope| rope.rope_theta).or(read.rope_theta);
    let config = ModelConfig {
        family: super::NAME.to_owned(),
        vocabulary: read.vocab_size,
        layers: read.num_hidden_layers,
        heads: read.num_attention_heads,
        width: read.hidden_size,
        context: read.max_position_embeddings.unwrap_or(DEFAULT_CONTEXT),
        dropout: read.attention_dropout.unwrap_or(0.0),
        llama: Some(LlamaOptions {
            kv_heads: read.num_key_value_heads.unwrap_or(read.num_attention_heads),
            inner: read.intermediate_size,
            tied: read.tie_word_embeddings.unwrap_or(false),
            rope_theta: theta.unwrap_or(DEFAULT_THETA),
            rope_scaling: rope.map(Positions::scaling).transpose()?.flatten(),
            epsilon: read.rms_norm_eps.unwrap_or(DEFAULT_EPSILON),
        }),
    };
    config.validate()?;
    Ok((config, read.eos_token_id.and_then(|ids| ids.first())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3.1's published configuration, made small.
    fn published() -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
            "bos_token_id": 128_000, "eos_token_id": [128_001, 128_008, 128_009], "hidden_act": "silu",
            "hidden_size": 64, "initializer_range": 0.02, "intermediate_size": 224,
            "max_position_embeddings": 131_072, "mlp_bias": false, "model_type": "llama",
            "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "pretraining_tp": 1,
            "rms_norm_eps": 1e-5, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
            "rope_theta": 500_000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
            "transformers_version": "4.42.3", "use_cache": true, "vocab_size": 512,
        })
    }

    fn read(value: &Value) -> Result<Told, ModelError> {
        read_config(value.to_string().as_bytes())
    }

    #[test]
    fn a_published_configuration_is_read_and_written_back() {
        let (config, end) = read(&published()).expect("Llama 3.1");
        assert_eq!(end, Some(128_001));
        let options = config.llama.clone().expect("a Llama");
        assert_eq!((options.kv_heads, options.inner, options.tied), (2, 224, false));
        assert_eq!(options.rope_scaling.map(|scaling| scaling.original_context), Some(8192));
        assert_eq!(read(&config_json(&config, end)).expect("our own"), (config, end));
        let mut newer = published();
        newer["rope_parameters"] = newer["rope_scaling"].take();
        newer["rope_parameters"]["rope_theta"] = newer["rope_theta"].take();
        assert_eq!(read(&newer).expect("version 5"), read(&published()).expect("version 4"));
    }

    #[test]
    fn what_we_cannot_honour_is_refused_by_name() {
        for (key, value) in [
            ("hidden_act", json!("gelu")),
            ("attention_bias", json!(true)),
            ("mlp_bias", json!(true)),
            ("head_dim", json!(32)),
            ("rope_scaling", json!({"type": "linear", "factor": 2.0})),
            ("rope_scaling", json!({"rope_type": "llama3", "factor": 2.0})),
            ("num_key_value_heads", json!(3)),
            ("num_attention_heads", json!(0)),
            ("rms_norm_eps", json!(0.0)),
            ("model_type", json!("mistral")),
        ] {
            let mut config = published();
            config[key] = value;
            let error = read(&config).expect_err(key).to_string();
            let known = ["rope_type", "kv_heads", "epsilon", "heads"];
            assert!(error.contains(key) || known.iter().any(|name| error.contains(name)), "{key}: {error}");
        }
    }
}
