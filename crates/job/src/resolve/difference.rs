//! In what two jobs differ: what a re-run with another job is refused with.

use std::fmt;

use serde_json::{Map, Value};

use crate::spec::Job;

/// Keys that say how a job runs, not what comes of it: another value is the same job.
const OPERATIONAL: [&str; 3] = ["priority", "max_attempts", "max_malformed"];

/// A key with another value.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Where it stands: `pipeline[3].filter.gopher_quality.gopher_short_doc`.
    pub path: String,
    /// Its value before; none where the key is new.
    pub before: Option<Value>,
    /// Its value after; none where the key is gone.
    pub after: Option<Value>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, before, after } = self;
        match (before, after) {
            (Some(before), Some(after)) => write!(f, "{path}: {before} became {after}"),
            (Some(before), None) => write!(f, "{path}: {before} is gone"),
            (None, Some(after)) => write!(f, "{path}: {after} is new"),
            (None, None) => write!(f, "{path}"),
        }
    }
}

impl Change {
    /// The same key by key, where whole groups of keys came or went.
    pub fn leaves(&self) -> Vec<Self> {
        let empty = Value::Object(Map::new());
        let group = |value: &Option<Value>| match value {
            Some(value) if value.is_object() => Some(value.clone()),
            None | Some(Value::Null) => Some(empty.clone()),
            Some(_) => None,
        };
        let has_group = [&self.before, &self.after].into_iter().flatten().any(Value::is_object);
        let mut leaves = Vec::new();
        if let (true, Some(before), Some(after)) = (has_group, group(&self.before), group(&self.after)) {
            compare(&self.path, Some(&before), Some(&after), &mut leaves);
            return leaves.iter().flat_map(Self::leaves).collect();
        }
        vec![self.clone()]
    }

    /// The stage and the key below its name; none for what is no stage's option.
    pub fn stage_key(&self) -> Option<(usize, &str)> {
        let (number, rest) = self.path.strip_prefix("pipeline[")?.split_once(']')?;
        let (_, key) = rest.strip_prefix('.')?.split_once('.').unwrap_or((rest, ""));
        Some((number.parse().ok()?, key))
    }
}

/// What differs from `before` to `after`, a line a key; empty when they are the same job.
pub fn difference(before: &Job, after: &Job) -> Vec<String> {
    changes(before, after).iter().map(Change::to_string).collect()
}

/// What differs from `before` to `after`, a key each; empty when they are the same job.
pub fn changes(before: &Job, after: &Job) -> Vec<Change> {
    let mut changes = Vec::new();
    let json = |job: &Job| serde_json::to_value(job).expect("a job is plain data");
    let (mut before, mut after) = (json(before), json(after));
    for job in [&mut before, &mut after] {
        if let Value::Object(keys) = job {
            keys.retain(|key, _| !OPERATIONAL.contains(&key.as_str()));
        }
    }
    compare("", Some(&before), Some(&after), &mut changes);
    changes
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, old.get(key), new.get(key), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                compare(&format!("{path}[{index}]"), old.get(index), new.get(index), changes);
            }
        }
        (before, after) if before == after => {}
        (before, after) => {
            changes.push(Change { path: path.to_owned(), before: before.cloned(), after: after.cloned() });
        }
    }
}
