//! The stage on small benchmarks; GSM8K where it is there.

use std::io::Read as _;

use super::*;
use crate::files::testing::Memory;
use crate::files::{FileError, Files, ReadFile};

const QUESTION: &str =
    "A farmer has twelve sheep and buys seven more at the market on Monday, but three run away.";

fn files() -> Memory {
    Memory(vec![
        (
            "farm.jsonl",
            "{\"question\": \"A farmer has twelve sheep and buys seven more at the market on Monday, but three run away.\", \"answer\": \"16\"}\n\n{\"question\": \"Short one?\", \"answer\": \"yes\"}\n{\"question\": \"How many sheep are left there now, please?\", \"answer\": \"16\"}\n",
        ),
        ("lines.txt", "the quick brown fox jumps over the lazy dog while the old cat sleeps\n"),
        ("empty.txt", "too short\n\n"),
    ])
}

fn benchmark(path: &str, fields: &[&str]) -> Benchmark {
    Benchmark {
        path: path.into(),
        name: None,
        fields: fields.iter().map(|&field| field.to_owned()).collect(),
    }
}

fn config() -> DecontaminateConfig {
    DecontaminateConfig {
        benchmarks: vec![benchmark("farm.jsonl", &["question", "answer"]), benchmark("lines.txt", &[])],
        ..DecontaminateConfig::default()
    }
}

fn apply(config: &DecontaminateConfig, text: &str) -> (Decision, Vec<(String, String)>) {
    let mut step = DecontaminateStep::from(Arc::new(Index::load(config, &files()).expect("benchmarks")));
    let mut notes = Vec::new();
    let decision = step.apply(&mut Document::new("test", 0, text), &mut notes);
    let spans = notes
        .iter()
        .map(|note| (note.rule.to_string(), text[note.start as usize..note.end as usize].to_owned()))
        .collect();
    (decision, spans)
}

fn dropped(config: &DecontaminateConfig, text: &str) -> Option<(String, String)> {
    match apply(config, text).0 {
        Decision::Drop(reason) => Some((reason.rule.into_owned(), reason.value)),
        Decision::Keep => None,
    }
}

#[test]
fn the_item_and_its_count_name_the_drop() {
    let rule = |name: &str, value: &str| Some((format!("contaminated_{name}"), value.to_owned()));
    // 18 words of question and one of answer make seven 13-grams.
    assert_eq!(dropped(&config(), QUESTION), rule("farm", "item 0: 6 of 7 n-grams"));
    let marked = QUESTION.to_uppercase().replace(' ', " - ").replace(',', ";");
    assert_eq!(dropped(&config(), &format!("Seen: {marked}")), rule("farm", "item 0: 6 of 7 n-grams"));
    let whole = "so: how many sheep are left, there! now please 16?";
    assert_eq!(
        dropped(&config(), whole),
        rule("farm", "item 2: 1 of 1 n-grams"),
        "a short item, looked for whole"
    );
    let (decision, spans) = apply(&config(), &format!("Seen: {marked} And more."));
    assert!(matches!(decision, Decision::Drop(_)));
    assert_eq!(
        spans,
        [("contaminated_farm".to_owned(), marked.trim_end_matches('.').to_owned())],
        "what was found"
    );
    let twice = format!("{QUESTION} {QUESTION}");
    assert_eq!(dropped(&config(), &twice), rule("farm", "item 0: 6 of 7 n-grams"), "a copy counts once");
    let fox = "The quick, brown fox jumps over the lazy dog while the old cat";
    assert_eq!(dropped(&config(), fox), rule("lines", "item 0: 1 of 2 n-grams"));
    assert_eq!(
        dropped(&config(), "the quick brown fox jumps over the lazy dog while the old dog sleeps"),
        None
    );
    assert_eq!(dropped(&config(), ""), None);
}

#[test]
fn thresholds_and_the_action_decide_and_spans_are_noted() {
    let strict = DecontaminateConfig { min_ngrams: 7, ..config() };
    let (decision, spans) = apply(&strict, &format!("Look. {QUESTION} Well?"));
    assert!(decision.is_keep());
    assert_eq!(spans, [("contaminated_farm".to_owned(), QUESTION.trim_end_matches('.').to_owned())]);
    assert!(dropped(&DecontaminateConfig { min_share: 0.9, ..config() }, QUESTION).is_none());
    assert!(dropped(&DecontaminateConfig { min_share: 0.8, ..config() }, QUESTION).is_some());
    let (decision, spans) = apply(&DecontaminateConfig { action: Action::Note, ..config() }, QUESTION);
    assert_eq!((decision.is_keep(), spans.len()), (true, 1));
    let long_only = DecontaminateConfig { short_items: None, ..config() };
    assert_eq!(dropped(&long_only, "How many sheep are left there now, please? 16"), None);
}

#[test]
fn wrong_options_and_files_are_named() {
    let key = |config: DecontaminateConfig| config.validate().expect_err("wrong").key;
    assert_eq!(key(DecontaminateConfig::default()), "benchmarks");
    assert_eq!(key(DecontaminateConfig { ngram: 0, ..config() }), "ngram");
    assert_eq!(key(DecontaminateConfig { short_items: Some(14), ..config() }), "short_items");
    assert_eq!(key(DecontaminateConfig { min_share: 1.5, ..config() }), "min_share");
    let unnamed = Benchmark { name: Some("a b".into()), ..benchmark("x", &[]) };
    assert_eq!(key(DecontaminateConfig { benchmarks: vec![unnamed], ..config() }), "benchmarks[0].name");
    let error = |benchmark: Benchmark| {
        let config = DecontaminateConfig { benchmarks: vec![benchmark], ..config() };
        Index::load(&config, &files()).err().expect("wrong").to_string()
    };
    assert_eq!(
        error(benchmark("farm.jsonl", &["prompt"])),
        "`farm.jsonl`, line 1: has no field `prompt`: there are `question`, `answer`"
    );
    assert!(error(benchmark("farm.jsonl", &[])).contains("expected `fields` beside `path`"));
    assert!(error(benchmark("lines.txt", &["a"])).contains("line 1: is no JSON"));
    assert!(error(benchmark("empty.txt", &[])).contains("has 1 items, none of them of 8 words or more"));
    assert!(error(benchmark("gone.txt", &[])).contains("`gone.txt`"));
}

/// Files of `../shared/data`, where it is there.
struct Shared;

impl Files for Shared {
    fn each(&self, location: &str, read: &mut ReadFile<'_>) -> Result<(), FileError> {
        let bytes = std::fs::read(location).map_err(|error| FileError::new(location, error.to_string()))?;
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..])
            .read_to_end(&mut text)
            .map_err(|error| FileError::new(location, error.to_string()))?;
        read(location, &mut &text[..])
    }
}

/// Every test problem finds itself, and of the training problems only those that a search for the words finds too.
#[test]
fn gsm8k_is_found_in_itself_and_little_of_it_in_its_training_set() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let benchmark =
        benchmark(&format!("{data}/decontamination/gsm8k_test.jsonl.gz"), &["question", "answer"]);
    if !std::path::Path::new(&benchmark.path).exists() {
        println!("skipped: ../shared is absent");
        return;
    }
    let read = |path: &str| {
        let mut rows: Vec<String> = Vec::new();
        Shared
            .each(path, &mut |name, content| {
                let fields = ["question".to_owned(), "answer".to_owned()].to_vec();
                let benchmark = Benchmark { fields, ..Benchmark::default() };
                benchmark::each_item(&benchmark, name, content, |_, text| {
                    rows.push(text.to_owned());
                    Ok(())
                })
            })
            .expect("a set of the index");
        rows
    };
    let test = read(&benchmark.path);
    let train = read(&format!("{data}/instruction/gsm8k_train.jsonl.gz"));
    let config = DecontaminateConfig { benchmarks: vec![benchmark], ..DecontaminateConfig::default() };
    let index = Arc::new(Index::load(&config, &Shared).expect("a benchmark"));
    assert_eq!(index.items(), test.len());
    let mut step = DecontaminateStep::from(index);
    let mut drop = |text: &str| match step.apply(&mut Document::new("test", 0, text), &mut Vec::new()) {
        Decision::Drop(reason) => Some(reason),
        Decision::Keep => None,
    };
    for (row, text) in test.iter().enumerate() {
        let reason = drop(text).expect("it finds itself");
        assert_eq!(reason.rule, "contaminated_gsm8k_test");
        let own = format!("item {row}: ");
        assert!(reason.value.starts_with(&own), "{own} {}", reason.value);
    }
    // The same by strings: 13 words of small letters and digits in a row.
    let grams = |text: &str| -> Vec<String> {
        let small = text.to_lowercase();
        let words: Vec<&str> =
            small.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        words.windows(13).map(|gram| gram.join(" ")).collect()
    };
    let known: std::collections::HashSet<String> = test.iter().flat_map(|text| grams(text)).collect();
    let mut hit = 0;
    for text in &train {
        let expected = grams(text).iter().any(|gram| known.contains(gram));
        let found = drop(text);
        assert_eq!(found.is_some(), expected, "{text}\n{found:?}");
        hit += usize::from(expected);
    }
    println!("of {} training problems {hit} share 13 words with a test problem", train.len());
}
