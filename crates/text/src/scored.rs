//! What the stages that score documents (`quality`, `perplexity`) ask of the options that they have in common: a model that is
//! given or trained, and cuts of which one is chosen.
//!
//! The options themselves are declared by each stage: serde's `flatten` would take unknown keys for good ones.

use crate::step::ConfigError;

/// Refuses a stage with no model, or with two.
pub(crate) fn check_model(is_given: bool, is_trained: bool) -> Result<(), ConfigError> {
    match (is_given, is_trained) {
        (false, false) => Err(ConfigError::new("model", "is missing: expected `model` or `train`")),
        (true, true) => Err(ConfigError::new("train", "stands beside `model`: expected one of the two")),
        (true, false) | (false, true) => Ok(()),
    }
}

/// Refuses examples to train with that are none.
pub(crate) fn check_examples(key: &str, paths: &[String]) -> Result<(), ConfigError> {
    if paths.is_empty() {
        return Err(ConfigError::new(key, "is empty: expected at least one path"));
    }
    Ok(())
}

/// Refuses a cut beside another one that is set.
pub(crate) fn check_alone(key: &str, is_set: bool, others: &[(&str, bool)]) -> Result<(), ConfigError> {
    match others.iter().find(|(_, other_is_set)| is_set && *other_is_set) {
        Some((other, _)) => {
            Err(ConfigError::new(key, format!("stands beside `{other}`: expected one of the two")))
        }
        None => Ok(()),
    }
}

/// Refuses a fraction of documents that keeps none, or more than all.
pub(crate) fn check_keep_fraction(fraction: Option<f64>) -> Result<(), ConfigError> {
    match fraction.filter(|fraction| !(*fraction > 0.0 && *fraction <= 1.0)) {
        Some(fraction) => {
            let message = format!("{fraction} is out of range: expected more than 0, up to 1");
            Err(ConfigError::new("keep_fraction", message))
        }
        None => Ok(()),
    }
}
