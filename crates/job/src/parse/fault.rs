//! What went wrong while types took their values from the tree, in words for people.

use std::fmt;

use serde::de::{Expected, Unexpected};

use super::tree::{Position, Segment};

/// One mismatch between the tree and the types.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Where it stands; the innermost node that knows sets it.
    pub(super) at: Option<Position>,
    /// The path to the node at fault, built from the inside out.
    pub(super) path: Vec<Segment>,
    /// The key that is missing below `path`, if that is the fault.
    pub(super) missing: Option<&'static str>,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, at: None, path: Vec::new(), missing: None }
    }

    pub(super) fn expected(what: &str, found: &str) -> Self {
        Self::new(format!("expected {what}, found {found}"))
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The fault as the node around it sees it.
    pub(super) fn within(mut self, segment: Segment, at: Position) -> Self {
        self.at.get_or_insert(at);
        self.path.insert(0, segment);
        self
    }

    pub(super) fn at(mut self, at: Position) -> Self {
        self.at.get_or_insert(at);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let fault = Self::expected(&expectation(&expected.to_string()), &sight(found));
        match (found, expected.to_string().as_str()) {
            (
                Unexpected::Bool(_) | Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_),
                "a string",
            ) => fault.help("put it in quotes to make it a string"),
            (Unexpected::Str(text), "a sequence") => {
                fault.help(format!("write `[{text}]` for a list of one"))
            }
            _ => fault,
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(&expectation(&expected.to_string()), &sight(found))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {}, found {length} items", expectation(&expected.to_string())))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown name `{found}`{}", nearest(found, expected))).help(choices(expected))
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown key `{found}`{}", nearest(found, expected))).help(choices(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("the key `{field}` is missing")) }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("the key `{field}` stands here twice"))
    }
}

/// The types' own words for what they expect, as people say it.
fn expectation(words: &str) -> String {
    match words {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "an array of length 2" => "a list of two".to_owned(),
        "a map" => "keys with values".to_owned(),
        _ if words.starts_with("struct ") => "keys with values".to_owned(),
        _ => words.to_owned(),
    }
}

/// What was found, as people say it.
fn sight(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value:?}`"),
        Unexpected::Str(text) => format!("the string `{text}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "keys with values".to_owned(),
        other => other.to_string(),
    }
}

/// A question about the name that was meant, if one is near.
pub fn nearest(found: &str, expected: &[&str]) -> String {
    let distance = |name: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), &found.to_lowercase());
    let best = expected.iter().map(|name| (distance(name), *name)).min();
    match best {
        Some((distance, name)) if distance <= (found.chars().count() / 2).clamp(1, 3) => {
            format!("; did you mean `{name}`?")
        }
        _ => String::new(),
    }
}

/// The names that stand to choice.
pub(super) fn choices(expected: &[&str]) -> String {
    if expected.is_empty() {
        return "no keys are expected here".to_owned();
    }
    let names: Vec<String> = expected.iter().map(|name| format!("`{name}`")).collect();
    format!("expected one of {}", names.join(", "))
}
