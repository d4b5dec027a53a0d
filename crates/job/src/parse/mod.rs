//! From text to a job, with every mistake named: file, line, column, key path, what was expected, the nearest name.
//!
//! ```text
//! text ──serde-saphyr──▶ tree with places ──▶ types ──▶ rules between stages ──▶ Job
//!                          ▲                   │ a mismatch: noted, taken out of the tree
//!                          └───────────────────┘ and tried again, so that one run finds many
//! ```

mod fault;
mod report;
mod rules;
mod tree;
mod value;

use serde::Deserialize;

pub use report::{JobFileError, Problem};
pub use tree::{Position, Segment};

use self::fault::Fault;
use self::tree::{Node, Value, parse_path, render_path};
use crate::spec::Job;

/// A job file is written by hand; what is longer is none.
const MOST_BYTES: usize = 1 << 20;
/// More mistakes than these help no one at once.
const MOST_PROBLEMS: usize = 20;
/// Keys without which there is no job.
const REQUIRED: [&str; 3] = ["name", "output", "pipeline"];

/// A job as a file has it: valid, not yet resolved.
#[derive(Clone, Debug)]
pub struct JobFile {
    /// The job.
    pub job: Job,
    source: Source,
}

/// The text of a job file and where its keys stand.
#[derive(Clone, Debug)]
struct Source {
    file: String,
    text: String,
    tree: Node,
}

/// Reads a job file; `file` is its name for messages.
pub fn parse(text: &str, file: &str) -> Result<JobFile, JobFileError> {
    let tree = read_tree(text, file)?;
    let mut findings =
        Findings { source: Source { file: file.to_owned(), text: text.to_owned(), tree }, found: vec![] };
    match findings.read_job() {
        Some(job) if findings.found.is_empty() => Ok(JobFile { job, source: findings.source }),
        _ => Err(findings.into_error()),
    }
}

impl JobFile {
    /// Starts a list of what is wrong with this file's job beyond what parsing sees.
    pub(crate) fn findings(&self) -> Findings {
        Findings { source: self.source.clone(), found: Vec::new() }
    }
}

fn read_tree(text: &str, file: &str) -> Result<Node, JobFileError> {
    let fail = |at: Position, message: String| JobFileError {
        file: file.to_owned(),
        problems: vec![Problem::new(text, at, String::new(), message, None)],
    };
    if text.len() > MOST_BYTES {
        let message = format!("the file has {} bytes: expected at most {MOST_BYTES}", text.len());
        return Err(fail(Position { line: 1, column: 1 }, message));
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
        budget: serde_saphyr::budget! { max_depth: 32, max_nodes: 50_000, max_aliases: 200, max_documents: 2 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map_or(Position { line: 1, column: 1 }, Position::from);
        fail(at, syntax_message(error.without_snippet()))
    })
}

/// What broke the text, in our words where the parser speaks to programmers.
fn syntax_message(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            return format!("the key `{key}` stands here twice");
        }
        serde_saphyr::Error::MultipleDocuments { .. } => {
            return "a second document starts here: expected one".to_owned();
        }
        _ => {}
    }
    // The place stands before the message already.
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.split(" at line ").next().unwrap_or(first);
    first.trim_start_matches("error: ").trim().to_owned()
}

/// What is wrong with one file, as it is found.
pub(crate) struct Findings {
    source: Source,
    found: Vec<(Vec<Segment>, Problem)>,
}

impl Findings {
    /// Notes what is wrong with the value at `path`.
    pub(crate) fn note(&mut self, path: Vec<Segment>, message: String, help: Option<String>) {
        let at = self.source.tree.locate(&path);
        self.note_at(at, path, message, help);
    }

    /// Notes what is wrong with the key `key` of the stage at `index`.
    pub(crate) fn note_stage(&mut self, index: usize, name: &str, key: &str, message: String) {
        let mut path =
            vec![Segment::Key("pipeline".into()), Segment::Index(index), Segment::Key(name.into())];
        path.extend(parse_path(key));
        self.note(path, message, None);
    }

    fn note_at(&mut self, at: Position, path: Vec<Segment>, message: String, help: Option<String>) {
        let told = self.found.iter().any(|(known, _)| known.starts_with(&path));
        if !told && self.found.len() < MOST_PROBLEMS {
            let problem = Problem::new(&self.source.text, at, render_path(&path), message, help);
            self.found.push((path, problem));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_error(self) -> JobFileError {
        let mut problems: Vec<Problem> = self.found.into_iter().map(|(_, problem)| problem).collect();
        problems.sort_by_key(|problem| problem.at);
        JobFileError { file: self.source.file, problems }
    }

    /// Takes a job from the tree: as much of it as can be had when something is wrong with the rest.
    fn read_job(&mut self) -> Option<Job> {
        let mut tree = self.source.tree.clone();
        let job = loop {
            match Job::deserialize(&tree) {
                Ok(job) => break job,
                Err(fault) => {
                    let path = self.note_fault(fault, &tree);
                    // What cannot be taken out by itself goes with what is around it.
                    if !(1..=path.len()).rev().any(|length| tree.remove(&path[..length])) {
                        return None;
                    }
                }
            }
        };
        let indices = pipeline_indices(&tree);
        rules::check(&job, &indices, self);
        Some(job)
    }

    /// Notes a fault and says what to take out of the tree before the next try.
    fn note_fault(&mut self, fault: Fault, tree: &Node) -> Vec<Segment> {
        let Fault { message, help, at, path, missing } = fault;
        let at = at.filter(|at| at.line > 0).unwrap_or_else(|| self.source.tree.locate(&path));
        let Some(key) = missing else {
            self.note_at(at, path.clone(), message, help);
            return path;
        };
        let mut missing_keys = vec![key];
        if path.is_empty() {
            let has = |key: &str| matches!(&tree.value, Value::Map(all) if all.iter().any(|entry| entry.key == key));
            missing_keys = REQUIRED.into_iter().filter(|key| !has(key)).collect();
        }
        for key in missing_keys {
            let mut path = path.clone();
            path.push(Segment::Key(key.to_owned()));
            self.note_at(at, path, format!("the key `{key}` is missing"), help.clone());
        }
        path
    }
}

/// Which stages of the file the job still has.
fn pipeline_indices(tree: &Node) -> Vec<usize> {
    let Value::Map(entries) = &tree.value else { return Vec::new() };
    match entries.iter().find(|entry| entry.key == "pipeline").map(|entry| &entry.node.value) {
        Some(Value::List(items)) => items.iter().map(|(index, _)| *index).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
