//! SQL over a run: a table for each stage, beside `tokens`, `metrics` and `stages`.

use polars::prelude::{AnyValue, DataFrame, IntoLazy, NamedFrom, Series};
use polars::sql::SQLContext;
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;
use crate::run::Run;
use crate::stats::stats;
use crate::tables::{Kind, empty, scan, scan_tokens, token_files, token_shards};
use crate::training::Metrics;

/// Text in one answer beyond this ends it early: one row may hold a document of 64 MiB.
const MAX_TEXT_BYTES: usize = 256 << 20;

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// Names and types, in order.
    pub columns: Vec<Column>,
    /// Rows of as many values as there are columns: null, a boolean, a number, a string or a list of such.
    pub rows: Vec<Vec<Value>>,
    /// Whether there were more rows than asked for.
    pub limited: bool,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as Polars spells it: `str`, `u64`, `f32`.
    #[serde(rename = "type")]
    pub data_type: String,
}

impl Table {
    /// A value as people read it: strings bare, null as the empty string.
    pub fn text(value: &Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Runs one SQL statement over the run and gives at most `limit` rows.
///
/// Each stage that wrote documents is a table of its name (`filter`; the second of one name `filter_2`), beside
/// `filter_dropped`, `filter_notes` and, where the stage keeps scores, `filter_scores`; `tokens` holds the documents of all token shards, `metrics` the steps of
/// training, `stages` the figures. Files are scanned lazily: only the columns and row groups that the query needs.
pub fn query(run: &Run, sql: &str, limit: usize) -> Result<Table, Error> {
    if let Some(word) = changes_tables(sql) {
        return Err(Error::NoQuestion(word));
    }
    let mut context = SQLContext::new();
    register(run, sql, &context)?;
    let frame = context.execute(sql).or_else(|error| Err(explain(run, error)?))?;
    let limit_rows = u32::try_from(limit).unwrap_or(u32::MAX - 1);
    let frame = frame.limit(limit_rows.saturating_add(1)).collect()?;
    table(&frame, limit_rows as usize)
}

/// Statements that Polars takes and that answer nothing: they change tables of its context, or make some.
const CHANGES: [&str; 8] = ["ALTER", "CREATE", "DELETE", "DROP", "INSERT", "MERGE", "TRUNCATE", "UPDATE"];

/// The first word of a statement that changes tables, in capitals.
fn changes_tables(sql: &str) -> Option<String> {
    let mut rest = sql.trim_start();
    loop {
        let after = match (rest.strip_prefix("--"), rest.strip_prefix("/*")) {
            (Some(comment), _) => comment.split_once('\n'),
            (_, Some(comment)) => comment.split_once("*/"),
            (None, None) => break,
        };
        rest = after.map_or("", |(_, after)| after.trim_start());
    }
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    let word = word.to_ascii_uppercase();
    CHANGES.contains(&word.as_str()).then_some(word)
}

/// Registers the tables of a run. Of a remote run only those whose names the query holds, for their files are fetched
/// here, all at once.
fn register(run: &Run, sql: &str, context: &SQLContext) -> Result<(), Error> {
    let sql = sql.to_ascii_lowercase();
    let shards = token_shards(run)?;
    let wanted = |name: &str| !run.files().is_remote() || sql.contains(&name.to_ascii_lowercase());
    let token_files = if wanted("tokens") { token_files(&shards) } else { Vec::new() };
    let mut files: Vec<&str> = token_files.iter().map(String::as_str).collect();
    let mut stages = Vec::new();
    for stage in run.stages() {
        for kind in Kind::ALL {
            if wanted(&kind.table(stage)) {
                files.extend(stage.files(kind.prefix()));
                stages.push((stage, kind));
            }
        }
    }
    if wanted("metrics") {
        files.push("metrics.jsonl");
    }
    // What is missing is said below, with its stage.
    if run.files().is_remote() {
        run.files().fetch(&files)?;
    }
    for (stage, kind) in stages {
        let frame = match scan(run, stage, kind)? {
            Some(frame) => Some(frame),
            None if stage.is_of_documents() => empty(kind)?.map(IntoLazy::lazy),
            None => None,
        };
        if let Some(frame) = frame {
            context.register(&kind.table(stage), frame);
        }
    }
    if wanted("tokens")
        && let Some(frame) = scan_tokens(run, &shards)?
    {
        context.register("tokens", frame);
    }
    if wanted("metrics")
        && let Some(metrics) = Metrics::read(run)?
    {
        context.register("metrics", metrics.frame()?.lazy());
    }
    context.register("stages", figures(run)?.lazy());
    Ok(())
}

/// The names of all tables, sorted.
fn names(run: &Run) -> Result<Vec<String>, Error> {
    let mut names = vec!["stages".to_owned()];
    for stage in run.stages() {
        let written = Kind::ALL.into_iter().filter(|kind| {
            let is_empty = matches!(kind, Kind::Dropped | Kind::Notes) && stage.is_of_documents();
            is_empty || stage.files(kind.prefix()).next().is_some()
        });
        names.extend(written.map(|kind| kind.table(stage)));
    }
    if !token_shards(run)?.is_empty() {
        names.push("tokens".to_owned());
    }
    if run.files().has("metrics.jsonl")? {
        names.push("metrics".to_owned());
    }
    names.sort();
    Ok(names)
}

fn figures(run: &Run) -> Result<DataFrame, Error> {
    let stages = stats(run).stages;
    let names: Vec<_> = stages.iter().map(|stage| stage.stage.as_str()).collect();
    let digests: Vec<_> = stages.iter().map(|stage| stage.digest.as_str()).collect();
    let number = |pick: fn(&crate::StageFigures) -> u64| stages.iter().map(pick).collect::<Vec<u64>>();
    let columns = vec![
        Series::new("number".into(), number(|s| s.number.into())).into(),
        Series::new("stage".into(), names).into(),
        Series::new("records_in".into(), number(|s| s.records_in)).into(),
        Series::new("kept".into(), number(|s| s.kept)).into(),
        Series::new("dropped".into(), number(|s| s.dropped)).into(),
        Series::new("bytes_in".into(), number(|s| s.bytes_in)).into(),
        Series::new("bytes_kept".into(), number(|s| s.bytes_kept)).into(),
        Series::new("digest".into(), digests).into(),
    ];
    Ok(DataFrame::new(stages.len(), columns)?)
}

/// Turns Polars' "relation was not found" into an error that names the tables, and the nearest written stage.
fn explain(run: &Run, error: polars::error::PolarsError) -> Result<Error, Error> {
    let message = error.to_string();
    let name = message.split_once("relation '").and_then(|(_, rest)| rest.split_once("' was not found"));
    let Some((name, _)) = name else { return Ok(error.into()) };
    let tables = names(run)?;
    let stage = run.stages().iter().find(|stage| stage.table == name);
    let nearest = stage.and_then(|stage| {
        let written = run.stages().iter().filter(|other| other.is_materialised());
        written.min_by_key(|other| other.number.abs_diff(stage.number))
    });
    let hint = match (stage, nearest) {
        (Some(_), Some(nearest)) => {
            format!(
                " (the stage was fused and wrote no documents; the nearest that did is `{}`)",
                nearest.table
            )
        }
        (Some(_), None) => " (the stage wrote no documents)".to_owned(),
        (None, _) => String::new(),
    };
    Ok(Error::UnknownTable { name: name.to_owned(), hint, tables })
}

fn table(frame: &DataFrame, limit: usize) -> Result<Table, Error> {
    let columns = frame.columns().iter();
    let columns =
        columns.map(|c| Column { name: c.name().to_string(), data_type: c.dtype().to_string() }).collect();
    let mut rows = Vec::new();
    let mut text_bytes = 0;
    for index in 0..frame.height().min(limit) {
        let mut row = Vec::with_capacity(frame.width());
        for column in frame.columns() {
            let value = json(&column.get(index)?);
            text_bytes += value.as_str().map_or(0, str::len);
            row.push(value);
        }
        if text_bytes > MAX_TEXT_BYTES {
            break;
        }
        rows.push(row);
    }
    let limited = rows.len() < frame.height();
    Ok(Table { columns, rows, limited })
}

fn json(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(flag) => Value::Bool(*flag),
        AnyValue::String(text) => Value::String((*text).to_owned()),
        AnyValue::StringOwned(text) => Value::String(text.to_string()),
        AnyValue::List(series) => Value::Array(series.iter().map(|item| json(&item)).collect()),
        // `0.1f32` is shown as 0.1, not as the double next to it.
        AnyValue::Float32(number) => number.to_string().parse::<f64>().map_or(Value::Null, Value::from),
        AnyValue::Float64(number) => Value::from(*number),
        AnyValue::UInt64(number) => Value::from(*number),
        other => match other.extract::<i64>() {
            Some(number) if other.is_integer() => Value::from(number),
            _ => Value::String(other.to_string()),
        },
    }
}
