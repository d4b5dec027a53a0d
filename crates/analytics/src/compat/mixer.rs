//! Which documents the configuration of Dolma's mixer excludes.
//!
//! Its filters are JSONPath expressions over a document's attributes, of which those that its users write are
//! understood: terms joined by `&&` and `||`, each an attribute that is there, or the score of its first span compared
//! with a number.
//!
//! ```text
//! $.attributes[?(@.NAME && @.NAME[0] && @.NAME[0][2] < 50)]
//! ```
//!
//! Any other expression, and one in jq's language, is an error that names it: a guess would make differences of its own.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Error;

/// The part of the configuration that decides.
#[derive(Deserialize)]
struct Config {
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    filter: Option<Filter>,
}

#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Filter {
    include: Vec<String>,
    exclude: Vec<String>,
    syntax: Option<String>,
}

/// What decides on a document.
pub(crate) struct Mixer {
    /// One of them must hold, where there are any.
    include: Vec<Expression>,
    /// None of them may hold.
    exclude: Vec<Expression>,
}

/// What a document goes for that no `include` names.
const NOT_INCLUDED: &str = "include";

/// Alternatives, each of terms that must all hold.
type Expression = Vec<Vec<Term>>;

/// A statement on one attribute.
struct Term {
    name: String,
    /// The last part of its name (`EXPERIMENT__TAGGER__PART`), which is what rules are called.
    reason: String,
    test: Test,
}

enum Test {
    /// The attribute is there.
    IsThere,
    /// Its first span is.
    HasSpan,
    /// The score of its first span against a number.
    Score(Comparison, f64),
}

#[derive(Clone, Copy)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    Different,
}

/// As they are written; of two that begin alike the longer comes first.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::Different),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Comparison {
    fn holds(self, score: f64, number: f64) -> bool {
        match self {
            Self::Less => score < number,
            Self::LessOrEqual => score <= number,
            Self::Greater => score > number,
            Self::GreaterOrEqual => score >= number,
            Self::Equal => (score - number).abs() < f64::EPSILON,
            Self::Different => (score - number).abs() >= f64::EPSILON,
        }
    }
}

impl Mixer {
    /// Reads a configuration, YAML or JSON. `path` is for messages.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, Error> {
        let wrong = |problem: String| Error::PeerFile { path: path.to_owned(), problem };
        let config: Config = serde_saphyr::from_str(text)
            .map_err(|error| wrong(format!("expected the configuration of Dolma's mixer: {error}")))?;
        let mut filters = config.streams.into_iter().map(|stream| stream.filter.unwrap_or_default());
        let Some(filter) = filters.next() else {
            return Err(wrong("expected one stream or more".to_owned()));
        };
        if filters.any(|other| other != filter) {
            let problem = "its streams have different filters: expected a configuration with one of them";
            return Err(wrong(problem.to_owned()));
        }
        if filter.syntax.as_deref().is_some_and(|syntax| syntax != "jsonpath") {
            let problem = "filters in `jq` are not understood here: expected `jsonpath`; without a configuration all is \
                           compared but the reasons";
            return Err(wrong(problem.to_owned()));
        }
        let parse = |expressions: &[String]| {
            let parsed = expressions
                .iter()
                .map(|text| expression(text).map_err(|why| wrong(format!("`{text}`: {why}"))));
            parsed.collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { include: parse(&filter.include)?, exclude: parse(&filter.exclude)? })
    }

    /// For what a document with these attributes goes.
    pub(crate) fn excludes(&self, attributes: &Map<String, Value>) -> Option<&str> {
        if !self.include.is_empty() && !self.include.iter().any(|one| holds(one, attributes).is_some()) {
            return Some(NOT_INCLUDED);
        }
        self.exclude.iter().find_map(|expression| holds(expression, attributes))
    }
}

/// The reason that the first alternative gives whose terms all hold: its last term's.
fn holds<'a>(expression: &'a Expression, attributes: &Map<String, Value>) -> Option<&'a str> {
    let alternative = expression.iter().find(|terms| terms.iter().all(|term| term.holds(attributes)))?;
    alternative.last().map(|term| term.reason.as_str())
}

impl Term {
    fn holds(&self, attributes: &Map<String, Value>) -> bool {
        let Some(spans) = attributes.get(&self.name) else { return false };
        let score = || spans.get(0)?.get(2)?.as_f64();
        match self.test {
            Test::IsThere => true,
            Test::HasSpan => spans.get(0).is_some(),
            Test::Score(comparison, number) => score().is_some_and(|score| comparison.holds(score, number)),
        }
    }
}

/// Takes an expression apart.
fn expression(text: &str) -> Result<Expression, String> {
    let inner = ["$.attributes[?(", "$@.attributes[?("]
        .iter()
        .find_map(|start| text.trim().strip_prefix(start)?.strip_suffix(")]"))
        .ok_or("expected `$.attributes[?(…)]`")?;
    inner.split("||").map(|terms| terms.split("&&").map(|text| term(text.trim())).collect()).collect()
}

fn term(text: &str) -> Result<Term, String> {
    let expected =
        || format!("`{text}` is no term: expected `@.NAME`, `@.NAME[0]`, or `@.NAME[0][2]` and a comparison");
    let rest = text.strip_prefix("@.").ok_or_else(expected)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let test = match rest.trim() {
        "" => Test::IsThere,
        "[0]" => Test::HasSpan,
        rest => {
            let rest = rest.strip_prefix("[0][2]").ok_or_else(expected)?.trim_start();
            let found = COMPARISONS
                .iter()
                .find_map(|(sign, comparison)| Some((*comparison, rest.strip_prefix(sign)?)));
            let (comparison, number) = found.ok_or_else(expected)?;
            Test::Score(comparison, number.trim().parse().map_err(|_| expected())?)
        }
    };
    if name.is_empty() {
        return Err(expected());
    }
    let reason = name.rsplit("__").next().unwrap_or(name).to_owned();
    Ok(Term { name: name.to_owned(), reason, test })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mixer(exclude: &str) -> Result<Mixer, Error> {
        let config = json!({"streams": [{"name": "a", "filter": {"exclude": [exclude]}}], "processes": 1});
        Mixer::parse("mixer.yaml", &config.to_string())
    }

    #[test]
    fn a_document_goes_for_the_attribute_that_is_compared_last() {
        let text = "$.attributes[?(@.e__gopher_v1__word_count && @.e__gopher_v1__word_count[0] && @.e__gopher_v1__word_count[0][2] < 50)]";
        let mixer = mixer(text).expect("an expression of theirs");
        let excludes = |attributes: Value| {
            let Value::Object(attributes) = attributes else { panic!("an object") };
            mixer.excludes(&attributes).map(str::to_owned)
        };
        assert_eq!(
            excludes(json!({"e__gopher_v1__word_count": [[0, 9, 49.0]]})).as_deref(),
            Some("word_count")
        );
        for kept in [
            json!({"e__gopher_v1__word_count": [[0, 9, 50.0]]}),
            json!({"e__gopher_v1__word_count": []}),
            json!({"e__gopher_v1__word_count": null}),
            json!({"other": [[0, 9, 1.0]]}),
        ] {
            assert_eq!(excludes(kept.clone()), None, "{kept}");
        }
    }

    #[test]
    fn includes_and_alternatives_are_understood() {
        let config = "streams:\n  - filter:\n      include: ['$@.attributes[?(@.a__b__en[0][2] >= 0.5)]']\n      \
                      exclude: ['$.attributes[?(@.x[0][2] == 1 || @.y[0][2] != 2.5)]']\n";
        let mixer = Mixer::parse("mixer.yaml", config).expect("a configuration");
        for (attributes, reason) in [
            (json!({"a__b__en": [[0, 1, 0.5]]}), None),
            (json!({"a__b__en": [[0, 1, 0.49]]}), Some("include")),
            (json!({"a__b__en": [[0, 1, 0.9]], "x": [[0, 1, 1]]}), Some("x")),
            (json!({"a__b__en": [[0, 1, 0.9]], "y": [[0, 1, 2.5]]}), None),
            (json!({"a__b__en": [[0, 1, 0.9]], "y": [[0, 1, 2]]}), Some("y")),
        ] {
            let Value::Object(fields) = &attributes else { panic!("an object") };
            assert_eq!(mixer.excludes(fields), reason, "{attributes}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for text in [
            "$.attributes.x",
            "$.attributes[?(@.x[1][2] < 5)]",
            "$.attributes[?(@.x[0][2] ~ 5)]",
            "$.attributes[?(@.x[0][2] < five)]",
            "$.attributes[?(@. < 5)]",
            "$.attributes[?()]",
        ] {
            let error = mixer(text).err().expect(text).to_string();
            assert!(error.contains(text) && error.contains("mixer.yaml"), "{error}");
        }
        let jq = "streams:\n  - filter: {exclude: ['.text | length > 5'], syntax: jq}\n";
        assert!(Mixer::parse("m", jq).err().expect("jq").to_string().contains("`jq`"));
        let two = "streams:\n  - filter: {exclude: []}\n  - filter: {include: ['$.attributes[?(@.a)]']}\n";
        assert!(Mixer::parse("m", two).err().expect("two").to_string().contains("different filters"));
        assert!(Mixer::parse("m", "streams: []").is_err());
        assert!(Mixer::parse("m", "[1").is_err());
    }
}
