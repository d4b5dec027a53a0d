//! The digest of a model: what the manifests of train and export carry.

use orchestrator_core::{Digest, RowHasher};
use orchestrator_model::ModelConfig;
use orchestrator_train::TrainError;

/// Hashes a model's tensors: for each, in bytewise order of the names, its name, the number of its dimensions, each of them,
/// and its values as little-endian `f32`. `weights` is the flat vector of the configuration's layout.
pub fn model_digest(config: &ModelConfig, weights: &[f32]) -> Result<Digest, TrainError> {
    let layout = config.layout()?;
    let mut parameters: Vec<_> = layout.iter().collect();
    parameters.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    let mut hasher = RowHasher::default();
    for parameter in parameters {
        hasher.text(&parameter.name).number(parameter.shape.len() as u64);
        for &size in &parameter.shape {
            hasher.number(size as u64);
        }
        let values: Vec<u8> =
            weights[parameter.span()].iter().flat_map(|value| value.to_le_bytes()).collect();
        hasher.bytes(&values);
    }
    Ok(Digest(hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_weight_is_another_model() {
        let config = ModelConfig {
            family: "gpt".into(),
            vocabulary: 16,
            layers: 1,
            heads: 1,
            width: 8,
            context: 8,
            dropout: 0.0,
            llama: None,
        };
        let mut weights = config.layout().expect("a small model").initial(1);
        let digest = model_digest(&config, &weights).expect("a small model");
        assert_eq!(digest, model_digest(&config, &weights).expect("a small model"));
        *weights.last_mut().expect("weights") += 1e-6;
        assert_ne!(digest, model_digest(&config, &weights).expect("a small model"));
    }
}
