//! Whether a run is whole: what its manifests name against what lies there.
//!
//! ```text
//!  manifests ─▶ files: there, of that size, with that hash        ─▶ findings
//!           └─▶ books: in = kept + dropped, rows, stage to stage  ─▶ findings
//!  listing − what manifests name ─────────────────────────────────▶ orphans
//! ```

use std::collections::BTreeSet;

use orchestrator_core::Digest;
use orchestrator_storage::manifest::{EVIDENCE, FileEntry};
use orchestrator_storage::{PassedBy, RelativePath};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::run::{Run, Stage};

/// Directories whose files are all ours, so that one which no manifest names is left over. What lies beside them may be
/// somebody's own.
const OURS: [&str; 5] = ["stages", "tokens", "checkpoints", ".orchestrator/attempts", ".orchestrator/gangs"];
/// Where temporary files may have been left besides.
const ALSO_WRITTEN: [&str; 2] = ["model", ".orchestrator"];
/// Files that the publication of a run writes beside those of its stages.
const BESIDE_STAGES: [&str; 2] = ["tokens/manifest.json", "tokens/tokenizer.json"];

/// How far a diagnosis goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every file is read and hashed.
    Hashes,
    /// Files are only asked for their sizes.
    Sizes,
}

/// Something that is not as a manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, or the stage.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A file that nothing names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// Relative to the output.
    pub path: String,
    /// Its size; absent for a temporary file, which no listing counts.
    pub bytes: Option<u64>,
}

/// What was found of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Whether the last step of the job was published. Until then files that no manifest names may be in use.
    pub is_finished: bool,
    /// Files that were compared with their manifest.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, in the order of the pipeline; empty for a healthy run.
    pub findings: Vec<Finding>,
    /// Files that no manifest names, by path.
    pub orphans: Vec<Orphan>,
}

/// Compares a run with its manifests.
pub fn doctor(run: &Run, depth: Depth) -> Result<Diagnosis, Error> {
    let mut diagnosis = Diagnosis {
        is_finished: run.is_finished(),
        files: 0,
        bytes: 0,
        findings: Vec::new(),
        orphans: Vec::new(),
    };
    let mut named = BTreeSet::new();
    for stage in run.stages() {
        named.insert(Run::manifest_path(stage));
        for file in &stage.manifest.files {
            named.insert(file.path.to_string());
            diagnosis.compare(run, file, depth)?;
        }
    }
    diagnosis.check_books(run);
    if named.iter().any(|path| path.starts_with("tokens/")) {
        named.extend(BESIDE_STAGES.map(str::to_owned));
    }
    for name in run.checkpoints()? {
        diagnosis.check_checkpoint(run, &name, &mut named, depth)?;
    }
    diagnosis.orphans = orphans(run, &named)?;
    Ok(diagnosis)
}

impl Diagnosis {
    fn find(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.findings.push(Finding { place: place.into(), problem: problem.into() });
    }

    fn compare(&mut self, run: &Run, file: &FileEntry, depth: Depth) -> Result<(), Error> {
        let store = run.files().store();
        self.files += 1;
        let Some(entry) = store.try_stat(&file.path)? else {
            self.find(file.path.as_str(), "it is not there");
            return Ok(());
        };
        self.bytes += entry.bytes;
        if entry.bytes != file.bytes {
            let problem = format!("it has {} bytes: expected {}", entry.bytes, file.bytes);
            self.find(file.path.as_str(), problem);
        } else if depth == Depth::Hashes {
            let found = store.hash(&file.path)?.xxh3;
            if found != file.xxh3 {
                self.find(file.path.as_str(), format!("its hash is {found}: expected {}", file.xxh3));
            }
        }
        Ok(())
    }

    /// The books of each stage, and what one hands to the next.
    fn check_books(&mut self, run: &Run) {
        for stage in run.stages() {
            let manifest = &stage.manifest;
            let place = Run::manifest_path(stage);
            if !manifest.balances() {
                let problem = format!(
                    "{} records in are not {} kept and {} dropped",
                    manifest.records_in,
                    manifest.kept,
                    stage.dropped()
                );
                self.find(&place, problem);
            }
            let rows = |prefix: &str| rows_of(stage, prefix);
            for (what, prefix, expected) in [
                ("kept documents", "part-", manifest.kept),
                ("dropped records", "dropped-", stage.dropped()),
                ("rows of scores", "scores-", manifest.records_in),
            ] {
                if let Some(found) = rows(prefix)
                    && found != expected
                {
                    self.find(&place, format!("its files hold {found} {what}: expected {expected}"));
                }
            }
        }
        let mut handed = 0u64;
        for stage in run.document_stages() {
            if stage.name == "read" {
                handed = handed.saturating_add(stage.manifest.kept);
                continue;
            }
            if stage.manifest.records_in != handed {
                let problem =
                    format!("{} records came in: the stages before kept {handed}", stage.manifest.records_in);
                self.find(Run::manifest_path(stage), problem);
            }
            handed = stage.manifest.kept;
        }
    }

    fn check_checkpoint(
        &mut self,
        run: &Run,
        name: &str,
        named: &mut BTreeSet<String>,
        depth: Depth,
    ) -> Result<(), Error> {
        let path = format!("checkpoints/{name}/manifest.json");
        named.insert(path.clone());
        let manifest = match run.files().json::<CheckpointManifest>(&path) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.find(path, error.to_string());
                return Ok(());
            }
        };
        for file in manifest.files {
            let Ok(path) = RelativePath::new(format!("checkpoints/{name}/{}", file.path)) else {
                self.find(path.as_str(), format!("it names `{}`, which is no place below it", file.path));
                continue;
            };
            named.insert(path.to_string());
            self.compare(run, &FileEntry { path, rows: 0, bytes: file.bytes, xxh3: file.xxh3 }, depth)?;
        }
        Ok(())
    }
}

/// What a diagnosis needs of a checkpoint's manifest.
#[derive(Deserialize)]
struct CheckpointManifest {
    files: Vec<CheckpointFile>,
}

#[derive(Deserialize)]
struct CheckpointFile {
    path: String,
    bytes: u64,
    xxh3: Digest,
}

/// Rows of the stage's files with such names; none where it has no such files.
fn rows_of(stage: &Stage, prefix: &str) -> Option<u64> {
    let files = stage.manifest.files.iter().filter(|file| file.path.file_name().starts_with(prefix));
    files.map(|file| file.rows).reduce(u64::saturating_add)
}

/// Whether a file tells why its stage stopped the job: no leftover, as long as the stage has no manifest.
fn is_evidence(named: &BTreeSet<String>, path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(directory, name)| {
        EVIDENCE.contains(&name) && !named.contains(&format!("{directory}/manifest.json"))
    })
}

fn orphans(run: &Run, named: &BTreeSet<String>) -> Result<Vec<Orphan>, Error> {
    let store = run.files().store();
    let mut found = BTreeSet::new();
    for directory in OURS.iter().chain(&ALSO_WRITTEN) {
        let listing = store.list_where(&RelativePath::new(*directory)?, &|_| true)?;
        if OURS.contains(directory) {
            let left_over = |path: &str| !named.contains(path) && !is_evidence(named, path);
            let unnamed = listing.entries.iter().filter(|entry| left_over(entry.path.as_str()));
            found.extend(unnamed.map(|entry| (entry.path.to_string(), Some(entry.bytes))));
        }
        let temporary = listing.passed_by.iter().filter(|(_, why)| *why == PassedBy::Temporary);
        // A lock file has a temporary name and stays where it is.
        let left = temporary.filter(|(path, _)| !path.contains("/.tmp-lock-"));
        found.extend(left.map(|(path, _)| (path.clone(), None)));
    }
    Ok(found.into_iter().map(|(path, bytes)| Orphan { path, bytes }).collect())
}
