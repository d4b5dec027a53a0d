//! The reference of the job file as Markdown, walked out of the JSON Schema.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A type printed under its own heading wherever it is first named, so that each is printed once.
struct Reference {
    definitions: Map<String, Value>,
    text: String,
    printed: BTreeSet<String>,
}

/// The job file's reference as Markdown: `docs/job-file.md`.
pub fn reference() -> String {
    let schema = super::schema();
    let definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
    let mut reference = Reference { definitions, text: String::new(), printed: BTreeSet::new() };
    reference.text.push_str(HEAD);
    reference.table(&schema);
    reference.nested(&schema, 3);
    let stages = reference.definitions.get("Stage").and_then(|stage| stage["oneOf"].as_array()).cloned();
    for variant in stages.unwrap_or_default() {
        let Some((name, options)) = variant["properties"].as_object().and_then(|keys| keys.iter().next())
        else {
            continue;
        };
        reference.line(&format!("\n## `{name}`\n"));
        if let Some(target) = reference_of(options) {
            reference.definition(target, 3);
        }
    }
    reference.text
}

const HEAD: &str = "\
# The job file

<!-- Generated from the types' comments by `orchestrator reference`; CI fails where it is stale. -->

A job file is YAML. Unknown keys are errors. Paths are relative to the job file; `~` and `${NAME:-default}` expand.
Credentials never stand in it: they come from the environment. A size is a number of bytes with a unit (`64 MiB`, `2 GB`) or
without.

## Keys of the file

";

fn reference_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|target| target.strip_prefix("#/$defs/"))
}

/// The schemas that one stands for a choice of, `null` aside.
fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array());
    lists.flatten().filter(|choice| choice["type"] != "null")
}

impl Reference {
    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("a string takes all that is written");
    }

    /// What a definition is, its keys or its values, and the definitions that it names.
    fn definition(&mut self, name: &str, level: usize) {
        if !self.printed.insert(name.to_owned()) {
            return;
        }
        let Some(schema) = self.definitions.get(name).cloned() else { return };
        if let Some(description) = schema["description"].as_str() {
            self.line(&format!("{}\n", flow(description)));
        }
        if schema["properties"].is_object() {
            self.table(&schema);
        } else {
            self.values(&schema);
        }
        self.nested(&schema, level);
    }

    fn table(&mut self, schema: &Value) {
        let Some(keys) = schema["properties"].as_object().filter(|keys| !keys.is_empty()) else { return };
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut rows = String::from("| key | type | default | |\n|---|---|---|---|\n");
        for (key, property) in keys {
            let default = match property.get("default") {
                Some(Value::Null) | None if required.contains(&key.as_str()) => "needed".to_owned(),
                Some(Value::Null) | None => "none".to_owned(),
                Some(value) => cell(&format!("`{}`", default_text(property, value))),
            };
            let description = match (property["description"].as_str(), reference_of(property)) {
                (Some(description), _) => flow(description),
                (None, Some(target)) => {
                    flow(self.definitions[target]["description"].as_str().unwrap_or_default())
                }
                (None, None) => String::new(),
            };
            writeln!(rows, "| `{key}` | {} | {default} | {} |", cell(&kind(property)), cell(&description))
                .expect("a string takes all that is written");
        }
        self.line(&rows);
    }

    /// The values of an enumeration.
    fn values(&mut self, schema: &Value) {
        let mut lines = String::new();
        for value in schema["enum"].as_array().into_iter().flatten() {
            writeln!(lines, "- `{}`", value.as_str().unwrap_or_default()).expect("a string takes all");
        }
        for choice in choices(schema) {
            let name = choice["const"].as_str().or_else(|| choice["required"][0].as_str());
            let about = flow(choice["description"].as_str().unwrap_or_default());
            match name {
                Some(name) if about.is_empty() => writeln!(lines, "- `{name}`"),
                Some(name) => writeln!(lines, "- `{name}`: {about}"),
                None => continue,
            }
            .expect("a string takes all that is written");
        }
        if !lines.is_empty() {
            self.line(&lines);
        }
    }

    /// The definitions that a schema's keys name, each under a heading.
    fn nested(&mut self, schema: &Value, level: usize) {
        for target in targets(schema) {
            if target == "Stage" || self.printed.contains(&target) || is_plain(&target) {
                continue;
            }
            self.line(&format!("{} {}\n", "#".repeat(level.min(6)), title(&target)));
            self.definition(&target, level + 1);
        }
    }
}

/// Names of all definitions that `schema` refers to, in order.
fn targets(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(keys) => {
            let own = reference_of(schema).map(str::to_owned);
            let below = keys.iter().filter(|(key, _)| *key != "$defs").flat_map(|(_, value)| targets(value));
            own.into_iter().chain(below).collect()
        }
        Value::Array(items) => items.iter().flat_map(targets).collect(),
        _ => Vec::new(),
    }
}

/// Whether a definition needs no heading: a number or text with a meaning, told where it is used.
fn is_plain(target: &str) -> bool {
    matches!(target, "ByteSize" | "Portion")
}

/// A type in a few words.
fn kind(schema: &Value) -> String {
    if let Some(target) = reference_of(schema) {
        return match target {
            "ByteSize" => "size".to_owned(),
            "Portion" => "fraction or count".to_owned(),
            "Stage" => "stage".to_owned(),
            _ => format!("[{}](#{})", title(target), title(target).replace(' ', "-")),
        };
    }
    let several: Vec<String> = choices(schema).map(kind).collect();
    if !several.is_empty() {
        return several.join(" or ");
    }
    let one = |name: &str| match name {
        "array" => {
            let items = &schema["items"];
            if items.is_object() { format!("list of {}", kind(items)) } else { "list".to_owned() }
        }
        "object" => match &schema["additionalProperties"] {
            values @ Value::Object(_) => format!("names with {}", kind(values)),
            _ => "keys".to_owned(),
        },
        "boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => one(name),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.map(one).collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    }
}

/// A type's name as a heading: `CheckpointConfig` is `checkpoint`.
fn title(name: &str) -> String {
    let mut words = String::new();
    for c in name.trim_end_matches("Config").chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// Lines of a comment as one paragraph each.
fn flow(text: &str) -> String {
    let paragraphs =
        text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// A default as people write it.
fn default_text(property: &Value, value: &Value) -> String {
    const MIB: u64 = 1 << 20;
    let is_size =
        reference_of(property) == Some("ByteSize") || property.to_string().contains("#/$defs/ByteSize");
    match value.as_u64() {
        Some(bytes) if is_size && bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        _ => value.to_string(),
    }
}

/// Text that fits a table's cell.
fn cell(text: &str) -> String {
    text.replace("\n\n", "<br>").replace('\n', " ").replace('|', "\\|")
}
