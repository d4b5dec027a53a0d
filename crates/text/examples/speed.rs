//! Runs one algorithm over the texts of a JSONL file, so many times, and prints what it found the first time.
//!
//! `speed WHAT FILE TIMES [MODEL]`, where WHAT is `filters` (datatrove's four sets, each on every document), the name of
//! one set (its verdict, and the xxh64 of the text that it leaves), `language` (a fastText model on every document) or
//! `read` (nothing: what reading the file costs). It has no clock: who starts it measures the process.
//! `benches/compare/filters.py` does, beside datatrove and fastText; `profiles.py` compares verdicts with other projects'.

use std::io::{BufRead, BufReader, BufWriter, Write};

use orchestrator_core::{Decision, Document};
use orchestrator_text::Step;
use orchestrator_text::fasttext::{Model, Scratch};
use orchestrator_text::filters::{FilterConfig, FilterStep, Profile, RuleSet};
use xxhash_rust::xxh64::xxh64;

type Error = Box<dyn std::error::Error>;
/// What is found in a text, in one line.
type Judge = Box<dyn FnMut(&str) -> String>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, file, times, rest @ ..] = arguments.as_slice() else {
        return Err("expected WHAT FILE TIMES [MODEL]".into());
    };
    let mut texts = Vec::new();
    for line in BufReader::new(std::fs::File::open(file)?).lines() {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        texts.push(row["text"].as_str().unwrap_or_default().to_owned());
    }
    let mut judge: Judge = match (what.as_str(), rest) {
        ("read", _) => Box::new(|_| String::new()),
        ("filters", _) => filters()?,
        ("language", [model]) => language(&std::fs::read(model)?)?,
        (name, _) => {
            let set = RuleSet::ALL.iter().find(|set| set.name() == name);
            let expected = "expected `filters`, a rule set, `language MODEL` or `read`";
            one_set(*set.ok_or_else(|| format!("`{what}` is unknown: {expected}"))?)?
        }
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    for time in 0..times.parse()? {
        for text in &texts {
            let found = judge(text);
            if time == 0 {
                writeln!(out, "{found}")?;
            }
        }
    }
    Ok(())
}

fn filters() -> Result<Judge, Error> {
    let mut steps = Vec::new();
    for &set in Profile::Datatrove.rules() {
        let config = FilterConfig { rules: Some(vec![set]), ..FilterConfig::default() };
        steps.push(FilterStep::new(&config)?);
    }
    let mut notes = Vec::new();
    Ok(Box::new(move |text| {
        let mut found = Vec::new();
        for step in &mut steps {
            notes.clear();
            found.push(match step.apply(&mut Document::new("", 0, text), &mut notes) {
                Decision::Keep => "pass".to_owned(),
                Decision::Drop(reason) => reason.rule.into_owned(),
            });
        }
        found.join("\t")
    }))
}

fn one_set(set: RuleSet) -> Result<Judge, Error> {
    let config = FilterConfig { rules: Some(vec![set]), ..FilterConfig::default() };
    let mut step = FilterStep::new(&config)?;
    let mut notes = Vec::new();
    Ok(Box::new(move |text| {
        notes.clear();
        let mut document = Document::new("", 0, text);
        match step.apply(&mut document, &mut notes) {
            Decision::Keep => format!("pass\t{:016x}", xxh64(document.text.as_bytes(), 0)),
            Decision::Drop(reason) => format!("{}\t{}", reason.rule, reason.value),
        }
    }))
}

fn language(model: &[u8]) -> Result<Judge, Error> {
    let model = Model::read(model)?;
    let mut scratch = Scratch::default();
    Ok(Box::new(move |text| match model.predict(text, 1, &mut scratch).first() {
        Some((label, score)) => format!("{label}\t{score:.6}"),
        None => String::new(),
    }))
}
