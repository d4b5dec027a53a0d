//! What can go wrong when a run is read.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds neither a job nor stages.
    #[error("`{}` is no run: expected a directory with `job.yaml` or `stages/`", .0.display())]
    NotARun(PathBuf),
    /// A file could not be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Storage said no.
    #[error(transparent)]
    Storage(#[from] orchestrator_storage::Error),
    /// The answer needs more of a remote run than is copied to this machine at once.
    #[error(
        "the files of `{}` that this needs have {bytes} bytes, more than the {limit} that are fetched at once: ask for fewer tables, or copy the run to this machine", .run.display()
    )]
    CacheLimit {
        /// The run.
        run: PathBuf,
        /// Size of the files.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// A file is larger than any that this program writes.
    #[error("`{}` has {bytes} bytes: expected at most {limit}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// A file is not the JSON that was expected.
    #[error("`{}` is not the JSON that was expected", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Another version of this program wrote the manifest.
    #[error("`{}` has schema version {found}: expected {expected}", .path.display())]
    SchemaVersion {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version this program reads.
        expected: u32,
    },
    /// A manifest names a file that is not there.
    #[error("`{}` is named by the manifest of stage `{stage}` and is not there", .path.display())]
    MissingFile {
        /// The stage.
        stage: String,
        /// The file.
        path: PathBuf,
    },
    /// Runs with more rules than a comparison counts.
    #[error("more than {0} stages and rules: no job of ours has so many")]
    TooManyRules(usize),
    /// A row without a document's id.
    #[error("`{0}` is no document id: expected 32 hexadecimal digits")]
    NoId(String),
    /// Polars refused a file or a query.
    #[error(transparent)]
    Polars(#[from] polars::error::PolarsError),
    /// A statement that asks for nothing.
    #[error("`{0}` would change tables, and a run is only read: expected a `SELECT`")]
    NoQuestion(String),
    /// A query names a table that the run does not have.
    #[error("there is no table `{name}`{hint}: the tables are {}", .tables.join(", "))]
    UnknownTable {
        /// The name in the query.
        name: String,
        /// What is known of a stage whose documents were not written; else empty.
        hint: String,
        /// Every table.
        tables: Vec<String>,
    },
    /// No file of the run holds the document.
    #[error("no stage has seen a document with the {kind} `{key}`")]
    UnknownDocument {
        /// `id` or `URL`.
        kind: &'static str,
        /// What was asked for.
        key: String,
    },
    /// The run has no such checkpoint.
    #[error("there is no checkpoint `{name}`: {}", list_checkpoints(.known))]
    UnknownCheckpoint {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A checkpoint's manifest names no token shard.
    #[error("`{}` names no token shard: expected names such as `tokens/train-00000`", .0.display())]
    NoShards(PathBuf),
    /// A directory without a peer's output.
    #[error("`{path}` holds no output of that project: expected {expected}")]
    NoPeerOutput {
        /// The directory.
        path: String,
        /// What it would hold.
        expected: &'static str,
    },
    /// A record of a peer's file cannot be read.
    #[error(
        "`{path}`, line {line}: {problem}; mend the file or take it away: what cannot be read would count as a difference"
    )]
    PeerRecord {
        /// The file.
        path: String,
        /// The line, of Parquet the row, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A peer's file, or a folder given for it, is not what it should be.
    #[error("`{path}`: {problem}")]
    PeerFile {
        /// The file or folder.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Dolma's documents and attributes alone decide nothing.
    #[error(
        "nothing beside `{0}` tells which documents were kept: expected the mixer's output in the directory, or its \
         configuration (`--mixer`)"
    )]
    NothingDecided(String),
    /// No key finds a peer's documents among ours.
    #[error(
        "none of the first {records} records of `{path}` is in the run, by {by}: expected the output of the same input; ids \
         of a source are known where the read step has `keep: true`"
    )]
    NoKey {
        /// The peer's directory.
        path: String,
        /// The keys.
        by: String,
        /// How many records were looked for.
        records: usize,
    },
    /// No document is on both sides.
    #[error(
        "no document of `{path}` is in the run, by {by}: expected the output of the same input, or another `--by`"
    )]
    NothingInCommon {
        /// The key.
        by: &'static str,
        /// The peer's directory.
        path: String,
    },
    /// The list of differences cannot be written.
    #[error("cannot write the list of differences")]
    Differences(#[source] std::io::Error),
    /// Rows that do not fit into memory cannot be kept on disk.
    #[error("cannot keep sorted rows in `{}`", .path.display())]
    Scratch {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A template failed; only a formatter that fails can cause it.
    #[error("cannot render the report")]
    Render(#[from] askama::Error),
}

fn list_checkpoints(known: &[String]) -> String {
    if known.is_empty() {
        "the run has none".to_owned()
    } else {
        format!("the checkpoints are {}", known.join(", "))
    }
}

impl Error {
    /// Makes the adapter from an I/O error on `path`.
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_owned(), source }
    }
    /// Makes the adapter from an I/O error on a temporary file in `path`.
    pub(crate) fn scratch(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Scratch { path: path.to_owned(), source }
    }
}
