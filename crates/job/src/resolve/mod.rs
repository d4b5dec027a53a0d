//! From a job as written to a job that means the same everywhere: every default written, every path absolute.

mod amend;
mod difference;
mod fingerprint;
mod location;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use difference::{Change, changes, difference};
pub use fingerprint::{fingerprints, stage_version};
pub use location::LocationError;

use crate::parse::{JobFile, JobFileError};
use crate::spec::{Job, Stage};
use crate::task::InputFile;

/// What relative paths and variables stand for; the client's, also when the job runs elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Absolute directory of the job file.
    pub directory: String,
    /// Environment variables; `HOME` is what `~` stands for.
    pub variables: BTreeMap<String, String>,
}

/// A resolved job and the inputs it was planned with, as the coordinator keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolved {
    /// The job.
    pub job: Job,
    /// What the read stage reads, arranged (see [`crate::inputs::arrange`]).
    pub inputs: Vec<InputFile>,
    /// Models, lists and tokenizers that stages read beside documents, frozen like inputs.
    pub files: Vec<StageFile>,
}

/// A file that a stage's configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageFile {
    /// The stage.
    pub stage: u32,
    /// The key that names it, below the stage: `model`.
    pub key: String,
    /// The file; `source` is its name without its directory.
    pub file: InputFile,
}

impl Resolved {
    /// Canonical JSON: what `submit` sends and the journal keeps.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads [`Self::to_json`]'s text.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl JobFile {
    /// Writes every default out and makes every path absolute.
    pub fn resolve(&self, surroundings: &Surroundings) -> Result<Job, JobFileError> {
        let mut job = self.job.clone();
        let mut findings = self.findings();
        match surroundings.locate(&job.output).and_then(writable) {
            Ok(output) => job.output = output,
            Err(error) => findings.note_key("output", error.to_string()),
        }
        for (index, stage) in job.pipeline.iter_mut().enumerate() {
            let name = stage.name();
            for (key, path) in locations(stage) {
                let located = match key.as_str() {
                    excluded if excluded.starts_with("exclude[") => surroundings.locate_exclusion(path),
                    listed if takes_glob(listed) => surroundings.locate_glob(path),
                    _ => surroundings.locate(path),
                };
                match located {
                    Ok(absolute) => *path = absolute,
                    Err(error) => findings.note_stage(index, name, &key, error.to_string()),
                }
            }
            resolve_defaults(stage);
        }
        if findings.is_empty() { Ok(job) } else { Err(findings.into_error()) }
    }
}

/// Whether an output's store can be written.
fn writable(output: String) -> Result<String, LocationError> {
    match output.split_once("://") {
        Some((scheme @ ("http" | "https"), _)) => Err(LocationError::ReadOnly { scheme: scheme.to_owned() }),
        _ => Ok(output),
    }
}

/// Writes out the defaults of a stage that depend on more than its type.
fn resolve_defaults(stage: &mut Stage) {
    match stage {
        Stage::Read(read) if read.run.is_none() && read.root.is_none() => {
            let has_lists = read.paths.iter().any(|path| path.starts_with('@'));
            // The files of a list are known when it is read; their root is found then.
            if !has_lists {
                read.root = Some(crate::inputs::common_root(read.paths.iter().map(String::as_str)));
            }
        }
        Stage::Filter(filter) => filter.resolve(),
        Stage::Train(train) => train.resolve(),
        Stage::Language(language) => language.threshold = Some(language.threshold()),
        _ => {}
    }
}

/// Whether the key of a stage's path takes a glob: what stands in a list does, unless it is an earlier run; all others
/// name one file.
pub fn takes_glob(key: &str) -> bool {
    !key.starts_with("against[") && (key.ends_with(']') || key.ends_with("].path"))
}

/// Every path or URL that a stage names, with its key below the stage.
fn locations(stage: &mut Stage) -> Vec<(String, &mut String)> {
    fn listed<'a>(key: &str, paths: &'a mut [String]) -> impl Iterator<Item = (String, &'a mut String)> {
        paths.iter_mut().enumerate().map(move |(index, path)| (format!("{key}[{index}]"), path))
    }
    fn one<'a>(key: &str, path: Option<&'a mut String>) -> impl Iterator<Item = (String, &'a mut String)> {
        path.map(|path| (key.to_owned(), path)).into_iter()
    }
    match stage {
        Stage::Read(config) => listed("paths", &mut config.paths)
            .chain(listed("exclude", &mut config.exclude))
            .chain(one("root", config.root.as_mut()))
            .chain(one("run", config.run.as_mut()))
            .collect(),
        Stage::Tokenize(config) => one("tokenizer", config.tokenizer.as_mut()).collect(),
        Stage::Language(config) => one("model", config.model.as_mut()).collect(),
        Stage::Pii(config) => one("key_file", config.key_file.as_mut()).collect(),
        Stage::Quality(config) => {
            let (positive, negative) = match &mut config.train {
                Some(train) => (train.positive.as_mut_slice(), train.negative.as_mut_slice()),
                None => Default::default(),
            };
            one("model", config.model.as_mut())
                .chain(listed("train.positive", positive))
                .chain(listed("train.negative", negative))
                .collect()
        }
        Stage::Perplexity(config) => {
            let paths = config.train.as_mut().map(|train| train.paths.as_mut_slice()).unwrap_or_default();
            one("model", config.model.as_mut()).chain(listed("train.paths", paths)).collect()
        }
        Stage::Filter(config) => config.locations(),
        Stage::Decontaminate(config) => config.locations(),
        Stage::Dedup(config) => listed("against", &mut config.against).collect(),
        Stage::Train(config) => one("from", config.from.as_mut()).collect(),
        Stage::Clean(_) | Stage::Mix(_) | Stage::Export(_) => Vec::new(),
    }
}

impl Job {
    /// The job as canonical YAML: `job.yaml` in the output. Equal jobs have equal text.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(self)
    }

    /// Files that stages read beside documents, by stage and key: what a client freezes at submit.
    pub fn stage_files(&self) -> Vec<(u32, String, String)> {
        let mut job = self.clone();
        let mut files = Vec::new();
        for (index, stage) in (0..).zip(&mut job.pipeline) {
            if !matches!(stage, Stage::Read(_)) {
                files.extend(locations(stage).into_iter().map(|(key, path)| (index, key, path.clone())));
            }
        }
        files
    }
}

#[cfg(test)]
mod tests;
