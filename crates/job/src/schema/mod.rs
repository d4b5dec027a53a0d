//! The job file for programs (JSON Schema) and for people (Markdown), both from the types' own comments.

mod reference;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

pub use reference::reference;

use crate::spec::Job;

/// JSON Schema (2020-12) of the job file, for editors.
pub fn schema() -> Value {
    let mut value = schemars::schema_for!(Job).to_value();
    if let Value::Object(schema) = &mut value {
        schema.insert("title".into(), "orchestrator job".into());
        if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
            allow_bare(definitions);
        }
    }
    value
}

/// Says what the parser takes beside what the types say: `clean:` without a value is `clean: {}`, and so is `clean` alone.
fn allow_bare(definitions: &mut Map<String, Value>) {
    let mut optional = BTreeSet::new();
    for (name, definition) in &mut *definitions {
        // Keys that are needed each, or one of several.
        let needs_keys = definition["required"].as_array().is_some_and(|keys| !keys.is_empty())
            || definition["anyOf"].is_array();
        if definition["properties"].is_object() && !needs_keys {
            definition["type"] = json!(["object", "null"]);
            optional.insert(format!("#/$defs/{name}"));
        }
    }
    for definition in definitions.values_mut() {
        let Some(Value::Array(variants)) = definition.get_mut("oneOf") else { continue };
        let bare: Vec<Value> = variants.iter().filter_map(|variant| bare_name(variant, &optional)).collect();
        if !bare.is_empty() {
            let description = "The name alone: all options have their defaults.";
            variants.push(json!({ "description": description, "type": "string", "enum": bare }));
        }
    }
}

/// The name of a variant whose options may all be left out.
fn bare_name(variant: &Value, optional: &BTreeSet<String>) -> Option<Value> {
    let (name, options) = variant["properties"].as_object()?.iter().next()?;
    optional.contains(options["$ref"].as_str()?).then(|| Value::from(name.as_str()))
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
    fn options_may_be_left_out_where_the_parser_lets_them() {
        let schema = schema();
        let definitions = &schema["$defs"];
        for (name, kind) in [
            ("CleanConfig", json!(["object", "null"])),
            ("PiiConfig", json!(["object", "null"])),
            ("ModelConfig", json!("object")),
            ("TrainConfig", json!("object")),
        ] {
            assert_eq!(definitions[name]["type"], kind, "{name}");
        }
        let variants = definitions["Stage"]["oneOf"].as_array().expect("variants");
        let names = variants.iter().find(|variant| variant["type"] == "string").expect("names alone");
        let names: Vec<&str> =
            names["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(names.contains(&"clean") && names.contains(&"pii"), "{names:?}");
        assert!(!names.contains(&"train"), "neither `model` nor `from` has a default: {names:?}");
        let text = "name: x\noutput: o\npipeline:\n  - read: {paths: [a.md]}\n  - clean:\n  - pii\n";
        assert_eq!(crate::parse(text, "bare.yaml").expect("a job").job.pipeline.len(), 3);
    }

    #[test]
    fn the_reference_names_every_stage() {
        let text = reference();
        for stage in [
            "read",
            "clean",
            "language",
            "filter",
            "quality",
            "perplexity",
            "dedup",
            "pii",
            "tokenize",
            "train",
            "export",
        ] {
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
