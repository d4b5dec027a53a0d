//! The job file for programs (JSON Schema) and for people (Markdown), both from the types' own comments.

mod reference;

use serde_json::Value;

pub use reference::reference;

use crate::spec::Job;

/// JSON Schema (2020-12) of the job file, for editors.
pub fn schema() -> Value {
    let mut value = schemars::schema_for!(Job).to_value();
    if let Value::Object(schema) = &mut value {
        schema.insert("title".into(), "orchestrator job".into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_described() {
        let schema = schema();
        let mut bare = Vec::new();
        let definitions = schema["$defs"].as_object().expect("definitions");
        for (name, definition) in definitions.iter().chain([(&"Job".to_owned(), &schema)]) {
            for (key, property) in definition["properties"].as_object().into_iter().flatten() {
                let described = property.get("description").is_some() || property.get("$ref").is_some();
                if !described {
                    bare.push(format!("{name}.{key}"));
                }
            }
        }
        assert!(bare.is_empty(), "without a doc comment: {bare:?}");
    }

    #[test]
    fn unknown_keys_are_refused_by_the_schema_too() {
        let schema = schema();
        assert_eq!(schema["additionalProperties"], false);
        for (name, definition) in schema["$defs"].as_object().expect("definitions") {
            if definition.get("properties").is_some() {
                assert_eq!(definition["additionalProperties"], false, "{name}");
            }
        }
    }

    #[test]
    fn the_reference_names_every_stage() {
        let text = reference();
        for stage in
            ["read", "clean", "language", "filter", "quality", "dedup", "pii", "tokenize", "train", "export"]
        {
            assert!(text.contains(&format!("\n## `{stage}`\n")), "{stage}");
        }
        let (_, train) = text.split_once("\n## `train`\n").expect("a section");
        let (train, _) = train.split_once("\n## ").expect("another section after it");
        assert!(
            train.contains("| `global_batch` | integer | `32` |") && train.contains("#### optimizer kind")
        );
        assert!(!text.contains("$ref") && !text.contains("#/$defs"));
    }
}
