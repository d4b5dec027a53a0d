//! In what two jobs differ: what a re-run with another job is refused with.

use serde_json::Value;

use crate::spec::Job;

/// Keys that say how a job runs, not what comes of it: another value is the same job.
const OPERATIONAL: [&str; 3] = ["priority", "max_attempts", "max_malformed"];

/// What differs from `before` to `after`, a line a key; empty when they are the same job.
pub fn difference(before: &Job, after: &Job) -> Vec<String> {
    let mut lines = Vec::new();
    let json = |job: &Job| serde_json::to_value(job).expect("a job is plain data");
    let (mut before, mut after) = (json(before), json(after));
    for job in [&mut before, &mut after] {
        if let Value::Object(keys) = job {
            keys.retain(|key, _| !OPERATIONAL.contains(&key.as_str()));
        }
    }
    compare("", Some(&before), Some(&after), &mut lines);
    lines
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, lines: &mut Vec<String>) {
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, old.get(key), new.get(key), lines);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                compare(&format!("{path}[{index}]"), old.get(index), new.get(index), lines);
            }
        }
        (Some(old), Some(new)) if old == new => {}
        (Some(old), Some(new)) => lines.push(format!("{path}: {old} became {new}")),
        (Some(old), None) => lines.push(format!("{path}: {old} is gone")),
        (None, Some(new)) => lines.push(format!("{path}: {new} is new")),
        (None, None) => {}
    }
}
