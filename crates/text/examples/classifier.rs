//! Trains and scores classifiers from the command line, for `benches/compare/classifier.py`.
//!
//! ```text
//! cargo run --release -p orchestrator-text --example classifier -- train '{"epochs": 10}' TRAIN MODEL
//! cargo run --release -p orchestrator-text --example classifier -- predict MODEL TEXTS [MOST]
//! cargo run --release -p orchestrator-text --example classifier -- tfidf '{"inverse_regularization": 1}' TRAIN TEXTS
//! ```
//!
//! `TRAIN` has a line an example: the label, a blank, the text. `predict` prints, a line of `TEXTS` each, a JSON array of
//! (label, score), best first, `MOST` of them if it is given. `tfidf` trains a TF-IDF classifier of `__label__1` against all others and prints the score
//! of each line of `TEXTS`.

use std::process::ExitCode;

use orchestrator_text::fasttext::{Model, Scratch, TrainConfig, Trainer};
use orchestrator_text::linear;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["train", options, train, model] => run_train(options, train, model),
        ["predict", model, texts] => run_predict(model, texts, usize::MAX),
        ["predict", model, texts, most] => {
            most.parse().map_err(Failure::from).and_then(|most| run_predict(model, texts, most))
        }
        ["tfidf", options, train, texts] => run_tfidf(options, train, texts),
        _ => {
            Err("expected `train OPTIONS TRAIN MODEL`, `predict MODEL TEXTS [MOST]` or `tfidf OPTIONS TRAIN TEXTS`"
                .into())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&*error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "an example's only voice")]
fn fail(error: &dyn std::error::Error) {
    eprintln!("{error}");
}

/// The labels and texts of lines.
fn examples<'a>(path: &str, lines: &'a str) -> Result<Vec<(&'a str, &'a str)>, Failure> {
    let example = |(at, line): (usize, &'a str)| {
        let parts = line.split_once(' ');
        parts.ok_or_else(|| format!("{path}: line {}: expected a label and a text", at + 1).into())
    };
    lines.lines().enumerate().map(example).collect()
}

fn run_train(options: &str, train: &str, model: &str) -> Result<(), Failure> {
    let options: TrainConfig = serde_json::from_str(options)?;
    let lines = std::fs::read_to_string(train)?;
    let examples = examples(train, &lines)?;
    let trained = Trainer::train(&examples, &options)?;
    std::fs::write(model, trained.write().ok_or("a trained model is dense")?)?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "printing scores is what this example is for")]
fn run_predict(model: &str, texts: &str, most: usize) -> Result<(), Failure> {
    let model = Model::read(&std::fs::read(model)?)?;
    let mut scratch = Scratch::default();
    for text in std::fs::read_to_string(texts)?.lines() {
        println!("{}", serde_json::to_string(&model.predict(text, most, &mut scratch))?);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "printing scores is what this example is for")]
fn run_tfidf(options: &str, train: &str, texts: &str) -> Result<(), Failure> {
    let options: linear::TrainConfig = serde_json::from_str(options)?;
    let lines = std::fs::read_to_string(train)?;
    let (positive, negative): (Vec<_>, Vec<_>) =
        examples(train, &lines)?.into_iter().partition(|(label, _)| *label == "__label__1");
    let [positive, negative] =
        [positive, negative].map(|class| class.into_iter().map(|(_, text)| text).collect::<Vec<_>>());
    let model = linear::train(&positive, &negative, &options)?;
    let mut scratch = linear::Scratch::default();
    for text in std::fs::read_to_string(texts)?.lines() {
        println!("{}", model.score(text, &mut scratch));
    }
    Ok(())
}
