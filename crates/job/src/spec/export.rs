//! Options of `export`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes the trained model to `model/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExportConfig {
    /// For whom the model is laid out.
    pub format: ExportFormat,
}

/// Layouts of an exported model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// A directory that Hugging Face's `from_pretrained` loads.
    #[default]
    Huggingface,
}
