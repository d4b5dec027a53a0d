//! Model families: a folder each, and a line each in [`families`].

pub mod gpt;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::ops::{DropoutSeed, Ops, Tokens};
use crate::parameters::{ParameterLayout, Parameters};

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
        let block = self.width as u128 * self.width as u128 * 12 + self.width as u128 * 13;
        let total =
            block * self.layers as u128 + (self.vocabulary + self.context) as u128 * self.width as u128;
        if total > MOST_PARAMETERS as u128 {
            let expected = format!("at most {MOST_PARAMETERS} parameters, not {total}");
            return Err(ModelError::Config { field: "width", value: self.width.to_string(), expected });
        }
        family_names()
            .contains(&self.family.as_str())
            .then_some(())
            .ok_or_else(|| unknown_family(&self.family))
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
    /// The parameters of a valid configuration.
    pub layout: fn(&ModelConfig) -> ParameterLayout,
    /// Builds the model.
    pub build: Build<B>,
}

/// Every family there is.
pub fn families<B: Ops>() -> [Family<B>; 1] {
    [Family { name: gpt::NAME, layout: gpt::layout, build: gpt::build }]
}

/// The family of this name.
pub fn family<B: Ops>(name: &str) -> Result<Family<B>, ModelError> {
    families().into_iter().find(|family| family.name == name).ok_or_else(|| unknown_family(name))
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
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(config().validate().is_ok());
        assert!(ModelConfig { heads: 3, ..config() }.validate().is_err());
        assert!(ModelConfig { width: 0, ..config() }.validate().is_err());
        assert!(ModelConfig { dropout: 1.0, ..config() }.validate().is_err());
        assert!(ModelConfig { dropout: f32::NAN, ..config() }.validate().is_err());
        let vast = ModelConfig { width: 1 << 24, layers: 1 << 24, ..config() };
        assert!(vast.validate().is_err());
        let error = ModelConfig { family: "gtp".into(), ..config() }.validate().expect_err("no such family");
        assert_eq!(error.to_string(), "unknown model family `gtp`: expected one of gpt");
    }
}
