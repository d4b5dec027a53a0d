//! What a model is: its family and its sizes.

use orchestrator_text::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::train_check::{Found, below_one};

/// Bounds that keep arithmetic on sizes far from overflow and refuse a slip of the finger.
const MOST_LAYERS: u32 = 1 << 12;
const MOST_WIDTH: u32 = 1 << 17;
const MOST_INNER: u32 = 1 << 20;
const MOST_CONTEXT: u32 = 1 << 20;
const MOST_VOCABULARY: u32 = 1 << 24;
/// Default widths of a feed-forward network are multiples of this.
const INNER_GRAIN: u32 = 64;

/// A model's family and size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The architecture.
    #[serde(default)]
    pub family: Family,
    /// Number of Transformer blocks.
    pub layers: u32,
    /// Attention heads in each block; divides `width`.
    pub heads: u32,
    /// Length of the vector that stands for a token.
    pub width: u32,
    /// Tokens in a sequence.
    pub context: u32,
    /// Probability with which activations are dropped in training. In `llama` those of the attention alone.
    #[serde(default)]
    pub dropout: f64,
    /// Rows of the table of tokens. By default as many as the tokenizer has entries; never fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<u32>,
    /// `llama`: heads of keys and values, each shared by a group of attention heads; divides `heads`. By default as many
    /// as `heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<u32>,
    /// `llama`: width of the feed-forward network between its two maps. By default 8/3 of `width`, rounded up to a
    /// multiple of 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner_width: Option<u32>,
    /// `llama`: whether the output projection is the table of tokens. By default it is a matrix of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_embeddings: Option<bool>,
    /// `llama`: base of the rotary positions' frequencies. By default 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// `llama`: how the rotary positions were stretched for a longer context. By default not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// `llama`: what is added to the mean square in a normalisation. By default 1e-5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_epsilon: Option<f64>,
}

/// Model families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// GPT-2's architecture: layer norms before each block's parts, learned positions, GELU, tied embeddings.
    #[default]
    Gpt,
    /// Llama's architecture: RMS norms, rotary positions, SwiGLU, grouped-query attention, no biases.
    Llama,
}

/// Llama 3.1's stretching of rotary positions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RopeScaling {
    /// What low frequencies are divided by.
    pub factor: f64,
    /// Frequencies are low whose waves are longer than `original_context` over this.
    pub low_freq_factor: f64,
    /// Frequencies are high, and stay, whose waves are shorter than `original_context` over this.
    pub high_freq_factor: f64,
    /// Tokens in a sequence before the model was stretched.
    pub original_context: u32,
}

impl ModelConfig {
    /// Heads of keys and values.
    pub fn kv_heads(&self) -> u32 {
        self.kv_heads.unwrap_or(self.heads)
    }

    /// Width of the feed-forward network between its two maps.
    pub fn inner_width(&self) -> u32 {
        match self.family {
            Family::Gpt => self.width.saturating_mul(4),
            Family::Llama => self
                .inner_width
                .unwrap_or_else(|| self.width.saturating_mul(8).div_ceil(3).next_multiple_of(INNER_GRAIN)),
        }
    }

    /// Whether the output projection is the table of tokens.
    pub fn is_tied(&self) -> bool {
        match self.family {
            Family::Gpt => true,
            Family::Llama => self.tie_embeddings.unwrap_or(false),
        }
    }

    /// Base of the rotary positions' frequencies.
    pub fn rope_theta(&self) -> f64 {
        self.rope_theta.unwrap_or(1e4)
    }

    /// What is added in a normalisation.
    pub fn norm_epsilon(&self) -> f64 {
        self.norm_epsilon.unwrap_or(1e-5)
    }

    /// Writes out the defaults that depend on other options.
    pub(super) fn resolve(&mut self) {
        if self.family == Family::Llama {
            self.kv_heads = Some(self.kv_heads());
            self.inner_width = Some(self.inner_width());
            self.tie_embeddings = Some(self.is_tied());
            self.rope_theta = Some(self.rope_theta());
            self.norm_epsilon = Some(self.norm_epsilon());
        }
    }

    /// Numbers in the model with so many rows in its table of tokens.
    pub fn parameters(&self, vocabulary: u64) -> u64 {
        let (layers, width, context) =
            (u64::from(self.layers), u64::from(self.width), u64::from(self.context));
        let times = u64::saturating_mul;
        match self.family {
            Family::Gpt => {
                let block = times(width, width).saturating_mul(12).saturating_add(13 * width);
                times(layers, block).saturating_add(times(width, vocabulary.saturating_add(context)))
            }
            Family::Llama => {
                let narrow = width / u64::from(self.heads.max(1)) * u64::from(self.kv_heads());
                let columns = 2 * (width + narrow) + 3 * u64::from(self.inner_width()) + 2;
                let tables = if self.is_tied() { 1 } else { 2 };
                times(layers, times(width, columns)).saturating_add(times(width, times(tables, vocabulary)))
            }
        }
    }

    pub(super) fn check(&self, found: &mut Found) {
        let sizes = [
            ("model.layers", Some(self.layers), MOST_LAYERS),
            ("model.heads", Some(self.heads), MOST_WIDTH),
            ("model.width", Some(self.width), MOST_WIDTH),
            ("model.context", Some(self.context), MOST_CONTEXT),
            ("model.vocabulary", self.vocabulary, MOST_VOCABULARY),
            ("model.inner_width", self.inner_width, MOST_INNER),
        ];
        for (key, value, most) in sizes {
            if let Some(value) = value
                && !(1..=most).contains(&value)
            {
                found.find(key, format!("expected 1 to {most}, found {value}"));
            }
        }
        if self.heads > 0 && !self.width.is_multiple_of(self.heads) {
            found.find(
                "model.heads",
                format!("expected a divisor of the width {}, found {}", self.width, self.heads),
            );
        }
        found.check(below_one("model.dropout", self.dropout));
        match self.family {
            Family::Gpt => self.check_gpt(found),
            Family::Llama => self.check_llama(found),
        }
    }

    fn check_gpt(&self, found: &mut Found) {
        for (key, is_set) in [
            ("kv_heads", self.kv_heads.is_some()),
            ("inner_width", self.inner_width.is_some()),
            ("tie_embeddings", self.tie_embeddings.is_some()),
            ("rope_theta", self.rope_theta.is_some()),
            ("rope_scaling", self.rope_scaling.is_some()),
            ("norm_epsilon", self.norm_epsilon.is_some()),
        ] {
            if is_set {
                found.find(
                    &format!("model.{key}"),
                    "the family `gpt` has no such option: expected `family: llama`, or leave the key out",
                );
            }
        }
    }

    fn check_llama(&self, found: &mut Found) {
        self.check_heads(found);
        for (key, bound, value) in
            [("rope_theta", 1.0, self.rope_theta()), ("norm_epsilon", 0.0, self.norm_epsilon())]
        {
            found.check(above(bound, &format!("model.{key}"), value));
        }
        let Some(scaling) = self.rope_scaling else { return };
        for (key, bound, value) in [
            ("factor", 0.0, scaling.factor),
            ("low_freq_factor", 0.0, scaling.low_freq_factor),
            ("high_freq_factor", scaling.low_freq_factor, scaling.high_freq_factor),
            ("original_context", 0.0, f64::from(scaling.original_context)),
        ] {
            found.check(above(bound, &format!("model.rope_scaling.{key}"), value));
        }
    }

    /// Of heads whose number is wrong nothing more is said.
    fn check_heads(&self, found: &mut Found) {
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            return;
        }
        let kv_heads = self.kv_heads();
        if kv_heads == 0 || !self.heads.is_multiple_of(kv_heads) {
            found.find(
                "model.kv_heads",
                format!("expected a divisor of `heads` ({}), found {kv_heads}", self.heads),
            );
        }
        let size = self.width / self.heads;
        if !size.is_multiple_of(2) {
            found.find(
                "model.heads",
                format!(
                    "expected `width` ({}) over `heads` to be even, found {size}: rotary positions turn channels in \
                     pairs",
                    self.width
                ),
            );
        }
    }
}

/// A number that lies strictly above a bound.
fn above(bound: f64, key: &str, value: f64) -> Result<(), ConfigError> {
    if value > bound && value.is_finite() {
        Ok(())
    } else {
        Err(ConfigError::new(key, format!("expected a number above {bound}, found {value}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(value: serde_json::Value) -> ModelConfig {
        serde_json::from_value(value).expect("a model")
    }

    fn keys(model: &ModelConfig) -> Vec<String> {
        let mut found = Found::default();
        model.check(&mut found);
        found.0.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn parameters_are_those_of_the_published_models() {
        let gpt2 = model(json!({"layers": 12, "heads": 12, "width": 768, "context": 1024}));
        assert_eq!(gpt2.parameters(50_257), 124_439_808 - 2 * 768, "all but the last norm");
        let llama = model(json!({"family": "llama", "layers": 32, "heads": 32, "width": 4096,
            "context": 4096, "inner_width": 11_008}));
        assert_eq!(llama.parameters(32_000), 6_738_415_616 - 4096);
        let llama3 =
            model(json!({"family": "llama", "layers": 16, "heads": 32, "kv_heads": 8, "width": 2048,
            "context": 4096, "inner_width": 8192, "tie_embeddings": true}));
        assert_eq!(llama3.parameters(128_256), 1_235_814_400 - 2048);
    }

    #[test]
    fn defaults_of_a_llama_are_written_out_and_others_have_none() {
        let mut llama =
            model(json!({"family": "llama", "layers": 1, "heads": 4, "width": 100, "context": 8}));
        llama.resolve();
        assert_eq!((llama.kv_heads, llama.inner_width), (Some(4), Some(320)));
        assert_eq!((llama.tie_embeddings, llama.rope_theta), (Some(false), Some(1e4)));
        assert_eq!(keys(&llama), ["model.heads"], "heads of 25 channels");
        let mut gpt = model(json!({"layers": 1, "heads": 4, "width": 100, "context": 8}));
        let before = gpt.clone();
        gpt.resolve();
        assert_eq!(gpt, before);
        assert!(keys(&gpt).is_empty());
    }
}
