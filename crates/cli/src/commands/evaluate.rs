//! `evaluate`: how well a model predicts texts, source by source.

use anyhow::anyhow;
use orchestrator_core::Media;
use orchestrator_model::{Device, Engine, open};
use orchestrator_storage::formats::{self, Input, RawKind, ReaderOptions, Records, Start};
use orchestrator_storage::{OpenOptions, Store};
use orchestrator_text::charset;
use orchestrator_text::tokenizer::Tokenizer;
use orchestrator_train::evaluate::{Evaluator, Score};
use serde_json::{Value, json};

use crate::args::EvaluateArgs;
use crate::commands::model;
use crate::console::{Console, count, table};
use crate::failure::Failure;

/// What was found in one file.
struct Judged {
    source: String,
    score: Score,
    /// Records that are no documents, or broken.
    passed_by: u64,
}

/// Judges a model by files.
pub(crate) fn run(args: &EvaluateArgs, console: &Console) -> Result<(), Failure> {
    // Names that say nothing are refused before a large model is read.
    for source in &args.data {
        format_of(source)?;
    }
    let model::Opened { model, tokenizer } = model::open(&args.model)?;
    let context = args.context.unwrap_or(model.config.context);
    if !(1..=model.config.context).contains(&context) {
        let most = model.config.context;
        return Err(Failure::usage(anyhow!(
            "--context is {context}: expected 1 to {most}, as the model has it"
        )));
    }
    let stride = args.stride.unwrap_or(context);
    let mut engine = open(&model.config, &model.weights, Device::Cpu).map_err(anyhow::Error::from)?;
    let windows = (context, stride, model.config.vocabulary);
    let mut judged = Vec::new();
    for source in &args.data {
        judged.push(judge(&mut *engine, &tokenizer, windows, source, args)?);
    }
    let mut total = Judged { source: "all".to_owned(), score: Score::default(), passed_by: 0 };
    for one in &judged {
        total.score.add(&one.score);
        total.passed_by += one.passed_by;
    }
    if total.score.tokens == 0 {
        return Err(Failure::usage(anyhow!("the data hold no token: expected documents with text")));
    }
    let sources: Vec<Value> = judged.iter().map(Judged::json).collect();
    let value = json!({ "model": args.model, "context": context, "stride": stride, "sources": sources,
        "total": total.json() });
    console.result(&value, || {
        let rows = judged.iter().chain((judged.len() > 1).then_some(&total)).map(Judged::row);
        let header = ["source", "documents", "tokens", "bytes", "loss", "perplexity", "bits per byte"];
        let figures = table(header, &[1, 2, 3, 4, 5, 6], rows.collect());
        match total.passed_by {
            0 => figures,
            passed_by => format!("{figures}\n{} records are no documents or broken", count(passed_by)),
        }
    })
}

/// Judges the model by the documents of one file.
fn judge(
    engine: &mut dyn Engine,
    tokenizer: &Tokenizer,
    (context, stride, vocabulary): (usize, usize, usize),
    source: &str,
    args: &EvaluateArgs,
) -> Result<Judged, Failure> {
    let mut evaluator = Evaluator::new(engine, vocabulary, tokenizer.end_of_text(), (context, stride))
        .map_err(Failure::usage)?;
    let mut encoder = tokenizer.encoder();
    let mut tokens = Vec::new();
    let (mut documents, mut passed_by) = (0, 0);
    for record in records(source, &args.text_field)? {
        if args.limit.is_some_and(|limit| documents >= limit) {
            break;
        }
        let RawKind::Body(body) = record.map_err(Failure::reading)?.kind else {
            passed_by += 1;
            continue;
        };
        if body.media == Media::Html {
            return Err(Failure::usage(anyhow!(
                "`{source}` holds HTML, whose markup would be judged too: expected texts, such as the parts that a job \
                 with a `clean` stage writes"
            )));
        }
        let hints =
            charset::Hints { charset: body.charset.as_deref(), url: body.url.as_deref(), is_html: false };
        let decoded = charset::decode(&body.bytes, hints);
        if decoded.malformed {
            passed_by += 1;
            continue;
        }
        tokens.clear();
        encoder.encode(&decoded.text, &mut tokens).map_err(Failure::usage)?;
        evaluator.document(&tokens, decoded.text.len() as u64).map_err(anyhow::Error::from)?;
        documents += 1;
    }
    let score = evaluator.take().map_err(anyhow::Error::from)?;
    Ok(Judged { source: source.to_owned(), score, passed_by })
}

/// The format that a file's name tells.
fn format_of(source: &str) -> Result<(formats::Format, formats::Compression), Failure> {
    let name = source.rsplit('/').next().unwrap_or(source);
    formats::detect(name).ok_or_else(|| {
        Failure::usage(anyhow!(
            "the format of `{source}` is not known from its name: expected JSONL, Parquet, Arrow, text or Markdown"
        ))
    })
}

/// The records of a file, as the read stage finds them.
fn records(source: &str, text_field: &str) -> Result<Records, Failure> {
    let (format, compression) = format_of(source)?;
    let (store, path) = Store::locate(source, OpenOptions::default()).map_err(Failure::reading)?;
    let input = if format.seeks() {
        Input::Seekable(store.open_seekable(&path).map_err(Failure::reading)?, None)
    } else {
        Input::Stream(store.open_reader(&path, None).map_err(Failure::reading)?)
    };
    let options = ReaderOptions { text_field: text_field.to_owned(), ..ReaderOptions::default() };
    formats::open(source, input, format, compression, Start::default(), &options).map_err(Failure::reading)
}

impl Judged {
    fn json(&self) -> Value {
        let Self { source, score, passed_by } = self;
        json!({ "source": source, "documents": score.documents, "passed_by": passed_by, "tokens": score.tokens,
            "bytes": score.bytes, "loss": score.loss(), "perplexity": score.perplexity(),
            "bits_per_byte": score.bits_per_byte() })
    }

    fn row(&self) -> [String; 7] {
        let score = &self.score;
        let figure = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
        };
        [
            self.source.clone(),
            count(score.documents),
            count(score.tokens),
            count(score.bytes),
            figure(score.loss(), 4),
            figure(score.perplexity(), 3),
            figure(score.bits_per_byte(), 4),
        ]
    }
}
