//! Items of a benchmark's files.

use std::io::BufRead;
use std::sync::Arc;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::{Benchmark, is_name};
use crate::files::{FileError, each_line};

/// An item that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) benchmark: u32,
    /// Different n-grams of it.
    pub(super) ngrams: u32,
    row: u64,
    /// The file, where the benchmark has its name from the job file and may have several.
    file: Option<Arc<str>>,
}

impl Item {
    pub(super) fn new(benchmark: u32, file: Option<Arc<str>>, row: u64, ngrams: u32) -> Self {
        Self { benchmark, ngrams, row, file }
    }

    /// How a report names it: its row, behind its file's name where that says more.
    pub(super) fn label(&self) -> String {
        match &self.file {
            Some(file) => format!("{file}:{}", self.row),
            None => self.row.to_string(),
        }
    }
}

/// A file's name without directory and endings.
pub(super) fn stem(file: &str) -> &str {
    let base = file.rsplit(['/', '\\']).next().unwrap_or(file);
    base.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(base)
}

/// The name of the benchmark that a file is of.
pub(super) fn name_of(benchmark: &Benchmark, file: &str) -> Result<String, FileError> {
    let name = benchmark.name.clone().unwrap_or_else(|| stem(file).to_owned());
    if is_name(&name) {
        Ok(name)
    } else {
        Err(FileError::new(
            file,
            format!("makes no name for its benchmark (`{name}`): set `name` beside `path`"),
        ))
    }
}

fn has_ending(file: &str, endings: &[&str]) -> bool {
    let base = file.strip_suffix(".gz").or_else(|| file.strip_suffix(".zst")).unwrap_or(file);
    base.rsplit_once('.')
        .is_some_and(|(_, ending)| endings.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// Calls `take` with the row and the text of every item. Rows are counted from 0 and blank lines are none.
pub(super) fn each_item(
    benchmark: &Benchmark,
    file: &str,
    content: &mut dyn BufRead,
    mut take: impl FnMut(u64, &str) -> Result<(), FileError>,
) -> Result<(), FileError> {
    if has_ending(file, &["parquet", "arrow"]) {
        return Err(FileError::new(
            file,
            "is no text: expected JSONL or plain text, which Parquet can be made into",
        ));
    }
    let is_json = has_ending(file, &["jsonl", "ndjson", "json"]);
    if is_json && benchmark.fields.is_empty() {
        return Err(FileError::new(
            file,
            "is JSONL: expected `fields` beside `path`, such as `[question, answer]`",
        ));
    }
    let mut row = 0;
    each_line(file, content, |number, line| {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let text = if benchmark.fields.is_empty() {
            std::str::from_utf8(line).map_err(|_| FileError::at(file, number, "is not UTF-8"))?.to_owned()
        } else {
            let value: Value = serde_json::from_slice(line)
                .map_err(|error| FileError::at(file, number, format!("is no JSON: {error}")))?;
            let mut text = String::new();
            for field in &benchmark.fields {
                add_field(&value, field, &mut text)
                    .map_err(|message| FileError::at(file, number, message))?;
            }
            text
        };
        // Documents are composed (`clean` sees to it), so what is looked for must be.
        let text = if text.is_ascii() { text } else { text.nfc().collect() };
        take(row, &text)?;
        row += 1;
        Ok(())
    })
}

/// Appends the text of a field; `a.b` is the field `b` of `a`.
fn add_field(value: &Value, field: &str, text: &mut String) -> Result<(), String> {
    let mut found = value;
    for key in field.split('.') {
        found = match found {
            Value::Object(fields) => fields.get(key).ok_or_else(|| {
                let names: Vec<String> = fields.keys().take(20).map(|name| format!("`{name}`")).collect();
                format!("has no field `{field}`: there are {}", names.join(", "))
            })?,
            _ => return Err(format!("has no field `{field}`: what stands before `{key}` is no object")),
        };
    }
    add_text(found, text);
    Ok(())
}

fn add_text(value: &Value, text: &mut String) {
    match value {
        Value::String(string) => {
            text.push_str(string);
            text.push('\n');
        }
        Value::Number(number) => {
            text.push_str(&number.to_string());
            text.push('\n');
        }
        Value::Array(values) => values.iter().for_each(|value| add_text(value, text)),
        Value::Object(fields) => fields.values().for_each(|value| add_text(value, text)),
        Value::Null | Value::Bool(_) => {}
    }
}
