//! Options of stages whose configurations have not landed in `text` yet.

use orchestrator_text::{ConfigError, Languages};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! pending {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Which languages the stage judges.
            pub languages: Languages,
            $(
                /// Pending.
                pub $field: $type,
            )*
        }

        impl $name {
            /// Checks what the types cannot say.
            pub fn validate(&self) -> Result<(), ConfigError> {
                Ok(())
            }
        }
    )*};
}

pending! {
    /// Clean.
    CleanConfig { keep: bool }
    /// Language.
    LanguageConfig { keep: Vec<String>, model: Option<String> }
    /// Quality.
    QualityConfig { keep: bool, fraction: Option<f64>, model: Option<String> }
}

impl QualityConfig {
    /// Whether the classifier is trained by the job.
    pub fn trains(&self) -> bool {
        false
    }
}
