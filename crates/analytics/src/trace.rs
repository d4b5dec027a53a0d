//! One document, followed through the run.
//!
//! ```text
//!  key ──▶ dropped files of every stage ──hit──▶ the stage that ended it; no part is opened
//!   │                 │ miss
//!   │                 └─▶ parts, last stage first ──hit──▶ kept up to there
//!   └──▶ notes, token shards, checkpoints that name its shard
//! ```
//!
//! Dropped files and notes are small, and parts are opened only for what those cannot say; of every file only the
//! columns asked for are read, and the filter goes down into the scan, where row groups without the key are passed over.

use orchestrator_core::DocumentId;
use polars::prelude::{DataFrame, Expr, LazyFrame, col, lit};
use serde::Serialize;

use crate::error::Error;
use crate::lineage::shards_of;
use crate::run::{Run, Stage};
use crate::tables::{Kind, scan, scan_in_pieces, scan_tokens, token_shards};

/// Documents beside the first that share its URL; more are not listed.
const MAX_OTHERS: u32 = 20;
/// Notes of one stage on one document; more are not listed.
const MAX_NOTES: u32 = 1_000;

/// What happened to one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The document.
    pub document: DocumentName,
    /// Other documents with the URL that was asked for.
    pub others: Vec<DocumentName>,
    /// What each stage said, in order; it ends with the stage that dropped the document.
    pub steps: Vec<TraceStep>,
    /// Where its tokens are.
    pub tokens: Vec<TokenPlace>,
    /// Checkpoints that were trained on a shard that holds it.
    pub checkpoints: Vec<String>,
    /// What happened to it in the runs that this one began with (`read: {run, stage}`), in the order of the read steps.
    pub earlier: Vec<Earlier>,
}

/// An earlier run that this one took its documents from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Earlier {
    /// Its output.
    pub run: String,
    /// The stage whose documents were taken.
    pub stage: String,
    /// What happened to the document there.
    pub found: Found,
}

/// What an earlier run says of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Its trace.
    Trace(Box<Trace>),
    /// Why there is none, as a sentence.
    Absent(String),
}

/// Names a document and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DocumentName {
    /// Its id.
    pub id: String,
    /// Its source file.
    pub source: String,
    /// Its record in that file.
    pub record: u64,
    /// Its URL, where known.
    pub url: Option<String>,
}

/// What one stage said of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceStep {
    /// The stage's place in the pipeline.
    pub number: u32,
    /// The stage's name.
    pub stage: String,
    /// What it decided.
    pub verdict: Verdict,
    /// What it edited or found.
    pub notes: Vec<TraceNote>,
}

/// A stage's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The document went on.
    Kept,
    /// The document ended here.
    Dropped {
        /// By which rule.
        rule: String,
        /// The value that broke it.
        value: String,
        /// The document that stands for it, where it is a duplicate.
        survivor: Option<DocumentName>,
    },
    /// Nothing that was written says it: the run stopped before this stage wrote its documents.
    Unknown,
}

/// An edit or a span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceNote {
    /// The rule.
    pub rule: String,
    /// `removed`, `replaced` or `found`.
    pub what: String,
    /// First byte, in the text as it came into the stage.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// A place in a token shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenPlace {
    /// The shard, for example `train-00000`.
    pub shard: String,
    /// The sequence in its index.
    pub sequence: u64,
    /// Where it starts, as the shard's index of documents has it.
    pub offset: u64,
    /// How many tokens it has.
    pub length: u64,
}

/// Runs that were begun with runs are followed so far.
const MOST_RUNS: u32 = 32;

/// Follows the document with the id `key` (32 hexadecimal digits) or the URL `key` through the run.
pub fn trace(run: &Run, key: &str) -> Result<Trace, Error> {
    trace_back(run, key, MOST_RUNS)
}

fn trace_back(run: &Run, key: &str, runs_left: u32) -> Result<Trace, Error> {
    match trace_here(run, key, runs_left) {
        Err(unknown @ Error::UnknownDocument { .. }) => {
            // An earlier run may have dropped it, so that it never came here.
            let found = earlier(run, key, runs_left)?;
            let document = found.iter().find_map(|earlier| match &earlier.found {
                Found::Trace(trace) => Some(trace.document.clone()),
                Found::Absent(_) => None,
            });
            let Some(document) = document else { return Err(unknown) };
            Ok(Trace {
                document,
                others: Vec::new(),
                steps: Vec::new(),
                tokens: Vec::new(),
                checkpoints: Vec::new(),
                earlier: found,
            })
        }
        known_or_broken => known_or_broken,
    }
}

fn trace_here(run: &Run, key: &str, runs_left: u32) -> Result<Trace, Error> {
    let (document, others, end) = if let Ok(id) = key.to_ascii_lowercase().parse::<DocumentId>() {
        let id = id.to_string();
        let (mut found, end) = locate(run, &col("id").eq(lit(id.as_str())), 1)?;
        let document = found.pop().ok_or_else(|| Error::UnknownDocument { kind: "id", key: id })?;
        (document, Vec::new(), end)
    } else {
        let (mut found, _) = locate(run, &col("url").eq(lit(key)), MAX_OTHERS + 1)?;
        if found.is_empty() {
            return Err(Error::UnknownDocument { kind: "URL", key: key.to_owned() });
        }
        let others = found.split_off(1);
        let document = found.remove(0);
        let (_, end) = locate(run, &col("id").eq(lit(document.id.as_str())), 1)?;
        (document, others, end)
    };
    let tokens = token_places(run, &document.id)?;
    let steps = steps(run, &document, &end, !tokens.is_empty())?;
    let checkpoints = checkpoints(run, &tokens)?;
    let earlier = earlier(run, &document.id, runs_left)?;
    Ok(Trace { document, others, steps, tokens, checkpoints, earlier })
}

/// Asks the runs that this one began with; documents keep their ids on the way.
fn earlier(run: &Run, id: &str, runs_left: u32) -> Result<Vec<Earlier>, Error> {
    let mut asked = Vec::new();
    for (place, stage) in run.earlier() {
        let found = if runs_left == 0 {
            Found::Absent("No more runs before this one are followed.".to_owned())
        } else {
            match Run::open(place).and_then(|earlier| trace_back(&earlier, id, runs_left - 1)) {
                Ok(trace) => Found::Trace(Box::new(trace)),
                // Documents may come from another of the runs that were read.
                Err(Error::UnknownDocument { .. }) => {
                    Found::Absent("The earlier run has not seen the document.".to_owned())
                }
                Err(Error::NotARun(_)) => Found::Absent("The earlier run is no longer there.".to_owned()),
                Err(error) => return Err(error),
            }
        };
        asked.push(Earlier { run: place.to_owned(), stage: stage.to_owned(), found });
    }
    Ok(asked)
}

/// How far the files show a document to have come.
enum End {
    /// It ended in the stage of this number.
    Dropped { number: u32, rule: String, value: String },
    /// The stage of this number wrote it.
    Written { number: u32 },
    /// No file names it.
    Nowhere,
}

/// Finds documents, in dropped files first, and how far the first came.
///
/// An id is in one place only, so its search ends with the first hit. A URL may be in many: every dropped file and the
/// last parts are searched, and earlier parts only if all that gave nothing.
fn locate(run: &Run, wanted: &Expr, at_most: u32) -> Result<(Vec<DocumentName>, End), Error> {
    let mut found: Vec<(DocumentName, End)> = Vec::new();
    let left = |found: &Vec<_>| at_most.saturating_sub(found.len() as u32);
    for stage in run.document_stages() {
        for dropped in scan_in_pieces(run, stage, Kind::Dropped) {
            if left(&found) == 0 {
                break;
            }
            let columns = ["id", "source", "record", "url", "rule", "value"].map(col);
            let rows = dropped?.filter(wanted.clone()).select(columns).limit(left(&found)).collect()?;
            for row in 0..rows.height() {
                let (rule, value) = (text(&rows, "rule", row)?, text(&rows, "value", row)?);
                found.push((name(&rows, row)?, End::Dropped { number: stage.number, rule, value }));
            }
        }
    }
    let stages: Vec<_> = run.document_stages().filter(|stage| stage.is_materialised()).collect();
    for (index, stage) in stages.iter().rev().enumerate() {
        if left(&found) == 0 || (index > 0 && !found.is_empty()) {
            break;
        }
        for parts in scan_in_pieces(run, stage, Kind::Parts) {
            if left(&found) == 0 {
                break;
            }
            let rows = named(parts?, wanted, left(&found))?;
            for row in 0..rows.height() {
                found.push((name(&rows, row)?, End::Written { number: stage.number }));
            }
        }
    }
    let mut names = Vec::with_capacity(found.len());
    let mut end = End::Nowhere;
    for (index, (document, its_end)) in found.into_iter().enumerate() {
        names.push(document);
        if index == 0 {
            end = its_end;
        }
    }
    Ok((names, end))
}

fn named(frame: LazyFrame, wanted: &Expr, limit: u32) -> Result<DataFrame, Error> {
    let columns = ["id", "source", "record", "url"].map(col);
    Ok(frame.filter(wanted.clone()).select(columns).limit(limit).collect()?)
}

fn steps(run: &Run, document: &DocumentName, end: &End, has_tokens: bool) -> Result<Vec<TraceStep>, Error> {
    let mut steps = Vec::new();
    let last_written = run.document_stages().filter(|stage| stage.is_materialised()).last();
    // A document in the last parts, and not dropped after them, went on to the end.
    let came_through = match (end, last_written) {
        (End::Written { number }, Some(last)) => *number == last.number,
        (End::Written { .. } | End::Dropped { .. } | End::Nowhere, _) => false,
    };
    for stage in run.document_stages() {
        let verdict = match end {
            End::Dropped { number, rule, value } if *number == stage.number => {
                Verdict::Dropped { rule: rule.clone(), value: value.clone(), survivor: survivor(run, value)? }
            }
            End::Dropped { number, .. } if *number < stage.number => break,
            End::Dropped { .. } => Verdict::Kept,
            End::Written { number } if stage.number <= *number => Verdict::Kept,
            End::Written { .. } | End::Nowhere => {
                let known = has_tokens || (came_through && stage.name != "tokenize");
                if known { Verdict::Kept } else { Verdict::Unknown }
            }
        };
        let notes = notes(run, stage, &document.id)?;
        steps.push(TraceStep { number: stage.number, stage: stage.name.clone(), verdict, notes });
    }
    Ok(steps)
}

/// The document that a value names, if the value is an id.
fn survivor(run: &Run, value: &str) -> Result<Option<DocumentName>, Error> {
    if value.parse::<DocumentId>().is_err() {
        return Ok(None);
    }
    Ok(locate(run, &col("id").eq(lit(value)), 1)?.0.pop())
}

fn notes(run: &Run, stage: &Stage, id: &str) -> Result<Vec<TraceNote>, Error> {
    let Some(frame) = scan(run, stage, Kind::Notes)? else { return Ok(Vec::new()) };
    let columns = ["rule", "what", "start", "end"].map(col);
    let rows = frame.filter(col("id").eq(lit(id))).select(columns).limit(MAX_NOTES).collect()?;
    let note = |row| {
        Ok(TraceNote {
            rule: text(&rows, "rule", row)?,
            what: text(&rows, "what", row)?,
            start: number(&rows, "start", row)?,
            end: number(&rows, "end", row)?,
        })
    };
    (0..rows.height()).map(note).collect()
}

fn token_places(run: &Run, id: &str) -> Result<Vec<TokenPlace>, Error> {
    let Some(frame) = scan_tokens(run, &token_shards(run)?)? else { return Ok(Vec::new()) };
    let rows = frame.filter(col("id").eq(lit(id))).limit(MAX_NOTES).collect()?;
    let place = |row| {
        Ok(TokenPlace {
            shard: text(&rows, "shard", row)?,
            sequence: number(&rows, "sequence", row)?,
            offset: number(&rows, "offset", row)?,
            length: number(&rows, "length", row)?,
        })
    };
    (0..rows.height()).map(place).collect()
}

fn checkpoints(run: &Run, tokens: &[TokenPlace]) -> Result<Vec<String>, Error> {
    let mut names = run.checkpoints()?;
    let mut kept = Vec::new();
    for name in names.drain(..) {
        let shards = shards_of(run, &name)?;
        if tokens.iter().any(|place| shards.contains(&place.shard)) {
            kept.push(name);
        }
    }
    Ok(kept)
}

pub(crate) fn name(rows: &DataFrame, row: usize) -> Result<DocumentName, Error> {
    let url = text(rows, "url", row)?;
    Ok(DocumentName {
        id: text(rows, "id", row)?,
        source: text(rows, "source", row)?,
        record: number(rows, "record", row)?,
        url: (!url.is_empty()).then_some(url),
    })
}

/// A string of a row; null reads as the empty string.
pub(crate) fn text(rows: &DataFrame, column: &str, row: usize) -> Result<String, Error> {
    Ok(rows.column(column)?.get(row)?.get_str().unwrap_or_default().to_owned())
}

/// A whole number of a row; null reads as 0.
pub(crate) fn number(rows: &DataFrame, column: &str, row: usize) -> Result<u64, Error> {
    Ok(rows.column(column)?.get(row)?.extract::<u64>().unwrap_or_default())
}
