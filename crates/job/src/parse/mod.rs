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

pub use fault::nearest;
pub use report::{JobFileError, Problem};
pub use tree::{Position, Segment};

use self::fault::Fault;
use self::tree::{Node, Value, parse_path, render_path};
use crate::spec::Job;

/// A job file is written by hand; what is longer is none.
const MOST_BYTES: usize = 1 << 20;
/// More mistakes than these help no one at once.
const MOST_PROBLEMS: usize = 20;
/// Lists and mappings within each other.
const MOST_DEPTH: usize = 32;
/// Values in all.
const MOST_VALUES: usize = 50_000;
/// Uses of `*name`.
const MOST_ALIASES: usize = 200;
/// Values that all uses of `*name` stand for.
const MOST_REPEATED: usize = 10_000;
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

impl Source {
    /// The plain word that stands at a place.
    fn word(&self, at: Position) -> String {
        let line = self.text.lines().nth(at.line.saturating_sub(1) as usize).unwrap_or_default();
        let rest = line.chars().skip(at.column.saturating_sub(1) as usize);
        rest.take_while(|c| !c.is_whitespace() && !matches!(c, ',' | ']' | '}')).collect()
    }
}

/// Reads a job file; `file` is its name for messages.
pub fn parse(text: &str, file: &str) -> Result<JobFile, JobFileError> {
    let tree = read_tree(text, file)?;
    let mut findings =
        Findings { source: Source { file: file.to_owned(), text: text.to_owned(), tree }, found: vec![] };
    findings.note_repeated_keys();
    findings.note_not_finite();
    match findings.read_job() {
        Some(job) if findings.found.is_empty() => Ok(JobFile { job, source: findings.source }),
        _ => Err(findings.into_error()),
    }
}

/// Reads a job file's bytes as text, or says where they are none.
pub fn decode(bytes: Vec<u8>, file: &str) -> Result<String, JobFileError> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let byte = error.as_bytes().get(valid.len()).copied().unwrap_or_default();
        let text = String::from_utf8_lossy(valid);
        let line = text.bytes().filter(|&byte| byte == b'\n').count() as u64 + 1;
        let column = text.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
        let message = format!("the byte 0x{byte:02x} is no UTF-8: expected text in UTF-8");
        let problem = Problem::new(&text, Position { line, column }, String::new(), message, None);
        JobFileError { file: file.to_owned(), problems: vec![problem] }
    })
}

impl JobFile {
    /// Starts a list of what is wrong with this file's job beyond what parsing sees.
    pub fn findings(&self) -> Findings {
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
        // Passed on to the tree, which names them with their path; so are `.nan` and `.inf`.
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_REPEATED },
        budget: serde_saphyr::budget! {
            max_depth: MOST_DEPTH, max_nodes: MOST_VALUES, max_aliases: MOST_ALIASES, max_documents: 2
        },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map_or(Position { line: 1, column: 1 }, Position::from);
        fail(at, syntax_message(error.without_snippet()))
    })
}

/// What broke the text, in our words where the parser speaks to programmers.
fn syntax_message(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as E;
    let repeated =
        format!("`*NAME` stands for too much: expected at most {MOST_REPEATED} values in all uses of it");
    match error {
        E::AliasError { error, .. } | E::WithSnippet { error, .. } => return syntax_message(error),
        E::MultipleDocuments { .. } => return "a second document starts here: expected one".to_owned(),
        E::AliasReplayLimitExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. }
        | E::AliasReplayCounterOverflow { .. } => return repeated,
        E::MergeKeyNotAllowed { .. } => {
            return "`<<` is not taken here: write the keys out, or repeat a whole value with `*NAME`"
                .to_owned();
        }
        E::Budget { breach, .. } => return too_much(breach),
        _ => {}
    }
    // The place stands before the message already.
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.split(" at line ").next().unwrap_or(first);
    // The scanner counts brackets before there is a tree whose depth could be bounded.
    if first.contains("recursion limit exceeded") {
        return too_deep();
    }
    first.trim_start_matches("error: ").trim().to_owned()
}

fn too_deep() -> String {
    format!("lists and keys are nested too deep: expected at most {MOST_DEPTH} within each other")
}

/// Which bound on the size of a job file was passed.
fn too_much(breach: &serde_saphyr::budget::BudgetBreach) -> String {
    use serde_saphyr::budget::BudgetBreach as Breach;
    match breach {
        Breach::Depth { .. } => too_deep(),
        Breach::Nodes { .. } | Breach::Events { .. } => {
            format!("the file has too many values: expected at most {MOST_VALUES}")
        }
        Breach::Aliases { .. } | Breach::Anchors { .. } | Breach::AliasAnchorRatio { .. } => {
            format!("`&NAME` and `*NAME` are used too often: expected at most {MOST_ALIASES} uses")
        }
        Breach::Documents { .. } => "a second document starts here: expected one".to_owned(),
        _ => "the file is larger than any job: expected fewer or shorter values".to_owned(),
    }
}

/// What is wrong with one file, as it is found: each with its place and key path.
pub struct Findings {
    source: Source,
    found: Vec<(Vec<Segment>, Problem)>,
}

impl Findings {
    /// Notes what is wrong with the value at `path`.
    pub(crate) fn note(&mut self, path: Vec<Segment>, message: String, help: Option<String>) {
        let at = self.source.tree.locate(&path);
        self.note_at(at, path, message, help);
    }

    /// Notes every key that stands twice in one mapping, and takes the later ones out.
    fn note_repeated_keys(&mut self) {
        for (path, at, first) in self.source.tree.take_repeated() {
            let Some(Segment::Key(key)) = path.last() else { continue };
            let message = format!("the key `{key}` stands here twice: the first is in line {}", first.line);
            self.note_at(at, path, message, None);
        }
    }

    /// Notes every number that is none or has no end as the file writes it, and takes it out.
    fn note_not_finite(&mut self) {
        for (path, at) in self.source.tree.not_finite() {
            let message = format!("expected a finite number, found `{}`", self.source.word(at));
            self.note_at(at, path.clone(), message, None);
            self.source.tree.remove(&path);
        }
    }

    /// Notes what is wrong with a key of the job itself.
    pub fn note_key(&mut self, key: &str, message: String) {
        self.note(vec![Segment::Key(key.to_owned())], message, None);
    }

    /// Notes what is wrong with the key `key` (`paths[1]`, `train.positive[0]`) of the stage `name` at `index`.
    pub fn note_stage(&mut self, index: usize, name: &str, key: &str, message: String) {
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

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All that was found, in the order of the file.
    pub fn into_error(self) -> JobFileError {
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
