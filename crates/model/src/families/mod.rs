//! Model families: a folder each, and a line each in [`families`].

pub mod gpt;
pub mod huggingface;
pub mod llama;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::ops::{DropoutSeed, Ops, Tokens};
use crate::parameters::{ParameterLayout, Parameters};
use huggingface::HuggingFace;
use llama::LlamaOptions;

/// Upper bound of every size in a configuration; keeps products of two sizes far from overflow.
const LARGEST_SIZE: usize = 1 << 24;
/// Upper bound of the number of parameters.
const MOST_PARAMETERS: usize = 1 << 40;

/// What a model is: its family and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name in the table of families.
    pub family: String,
    /// Number of tokens.
    pub vocabulary: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Heads of attention; they divide `width`.
    pub heads: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Longest sequence.
    pub context: usize,
    /// Share of activations dropped in training, in [0, 1).
    pub dropout: f32,
    /// What only the family `llama` has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llama: Option<LlamaOptions>,
}

impl ModelConfig {
    /// Checks the sizes, and that the family exists and takes them.
    pub fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("vocabulary", self.vocabulary),
            ("layers", self.layers),
            ("heads", self.heads),
            ("width", self.width),
            ("context", self.context),
        ];
        for (field, value) in sizes {
            if value == 0 || value > LARGEST_SIZE {
                let expected = format!("a number from 1 to {LARGEST_SIZE}");
                return Err(ModelError::Config { field, value: value.to_string(), expected });
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            let expected = format!("a divisor of the width `{}`", self.width);
            return Err(ModelError::Config { field: "heads", value: self.heads.to_string(), expected });
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let expected = "a share from 0 to below 1".to_owned();
            return Err(ModelError::Config { field: "dropout", value: self.dropout.to_string(), expected });
        }
        let family = family::<burn_flex::Flex>(&self.family)?;
        (family.validate)(self)?;
        let total = (family.parameters)(self);
        if total > MOST_PARAMETERS as u128 {
            let expected = format!("at most {MOST_PARAMETERS} parameters, not {total}");
            return Err(ModelError::Config { field: "width", value: self.width.to_string(), expected });
        }
        Ok(())
    }

    /// The parameters of this model. The configuration must be valid.
    pub fn layout(&self) -> Result<ParameterLayout, ModelError> {
        self.validate()?;
        Ok((family::<burn_flex::Flex>(&self.family)?.layout)(self))
    }
}

/// A model on a device.
pub trait Model<B: Ops> {
    /// Final hidden states `[batch · time, width]`. With a seed, dropout acts.
    fn hidden(&self, tokens: &Tokens, dropout: Option<DropoutSeed>) -> Tensor<B, 2>;

    /// Logits `[rows, vocabulary]` of hidden states.
    fn logits(&self, hidden: Tensor<B, 2>) -> Tensor<B, 2>;
}

/// Builds a model from its parameters.
pub type Build<B> = fn(&ModelConfig, &Parameters<B>) -> Box<dyn Model<B>>;

/// A line of the table of families.
pub struct Family<B: Backend> {
    /// The name in configurations.
    pub name: &'static str,
    /// Checks what the family alone knows of a configuration; comes before the next three.
    pub validate: fn(&ModelConfig) -> Result<(), ModelError>,
    /// The number of parameters, without making their list.
    pub parameters: fn(&ModelConfig) -> u128,
    /// The parameters of a valid configuration.
    pub layout: fn(&ModelConfig) -> ParameterLayout,
    /// Builds the model.
    pub build: Build<B>,
    /// How the public library knows it.
    pub huggingface: HuggingFace,
}

/// Every family there is.
pub fn families<B: Ops>() -> [Family<B>; 2] {
    [
        Family {
            name: gpt::NAME,
            validate: gpt::validate,
            parameters: gpt::parameters,
            layout: gpt::layout,
            build: gpt::build,
            huggingface: gpt::huggingface::HUGGING_FACE,
        },
        Family {
            name: llama::NAME,
            validate: llama::validate,
            parameters: llama::parameters,
            layout: llama::layout,
            build: llama::build,
            huggingface: llama::huggingface::HUGGING_FACE,
        },
    ]
}

/// The family of this name.
pub fn family<B: Ops>(name: &str) -> Result<Family<B>, ModelError> {
    families().into_iter().find(|family| family.name == name).ok_or_else(|| unknown_family(name))
}

/// How the public library knows the family of this name.
pub fn huggingface_of(name: &str) -> Result<HuggingFace, ModelError> {
    Ok(family::<burn_flex::Flex>(name)?.huggingface)
}

/// The names in the table.
pub fn family_names() -> Vec<&'static str> {
    families::<burn_flex::Flex>().iter().map(|family| family.name).collect()
}

fn unknown_family(name: &str) -> ModelError {
    ModelError::Unknown { kind: "model family", name: name.to_owned(), known: family_names().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ModelConfig {
        ModelConfig {
            family: "gpt".into(),
            vocabulary: 64,
            layers: 2,
            heads: 2,
            width: 8,
            context: 16,
            dropout: 0.0,
            llama: None,
        }
    }

    fn llama() -> ModelConfig {
        let options = LlamaOptions {
            kv_heads: 1,
            inner: 12,
            tied: false,
            rope_theta: 1e4,
            rope_scaling: None,
            epsilon: 1e-5,
        };
        ModelConfig { family: "llama".into(), llama: Some(options), ..config() }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(config().validate().is_ok());
        assert!(ModelConfig { heads: 3, ..config() }.validate().is_err());
        assert!(ModelConfig { width: 0, ..config() }.validate().is_err());
        assert!(ModelConfig { dropout: 1.0, ..config() }.validate().is_err());
        assert!(ModelConfig { dropout: f32::NAN, ..config() }.validate().is_err());
        let vast = ModelConfig { width: 1 << 24, layers: 1 << 24, ..config() };
        assert!(vast.validate().is_err(), "without its list, which would fill the memory");
        let error = ModelConfig { family: "gtp".into(), ..config() }.validate().expect_err("no such family");
        assert_eq!(error.to_string(), "unknown model family `gtp`: expected one of gpt, llama");
    }

    #[test]
    fn what_only_one_family_has_is_refused_of_another() {
        assert!(llama().validate().is_ok());
        assert!(ModelConfig { family: "gpt".into(), ..llama() }.validate().is_err());
        assert!(ModelConfig { llama: None, ..llama() }.validate().is_err());
        assert!(ModelConfig { heads: 8, ..llama() }.validate().is_err(), "heads of one channel");
        let refuse = |change: fn(&mut LlamaOptions)| {
            let mut config = llama();
            change(config.llama.as_mut().expect("its options"));
            assert!(config.validate().is_err(), "{config:?}");
        };
        refuse(|options| options.kv_heads = 3);
        refuse(|options| options.kv_heads = 0);
        refuse(|options| options.inner = 0);
        refuse(|options| options.inner = usize::MAX);
        refuse(|options| options.rope_theta = f64::NAN);
        refuse(|options| options.epsilon = 0.0);
    }

    #[test]
    fn parameters_are_counted_as_they_are_listed() {
        let tied = {
            let mut config = llama();
            config.llama.as_mut().expect("its options").tied = true;
            config
        };
        for config in [config(), llama(), tied] {
            let family = family::<burn_flex::Flex>(&config.family).expect("in the table");
            assert_eq!((family.parameters)(&config), config.layout().expect("valid").total() as u128);
        }
    }
}
