//! What lies in an output of which the journal knows nothing: nothing, somebody else's files, or a run whose state is gone or
//! was not moved along.

use orchestrator_core::Digest;
use orchestrator_storage::manifest::StageManifest;
use orchestrator_storage::{Error, RelativePath, Store};

use crate::planner::PlannedJob;

/// Names that a run writes at the top of its output, beside its directory of state.
const FILES: [&str; 5] = ["job.yaml", "report.html", "report.json", "metrics.jsonl", "samples.jsonl"];
/// The same of directories.
const DIRECTORIES: [&str; 4] = ["stages", "tokens", "checkpoints", "model"];
/// Written at the very end of a job.
const LAST: &str = "report.json";

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing that the job would write over.
    Nothing,
    /// This, without the manifest of any stage: no run of ours left it.
    Foreign(&'static str),
    /// The stages of a run.
    Run {
        /// Its `job.yaml`, if there is one.
        yaml: Option<String>,
        /// Whether all stages of the job that was asked about stand, each with its fingerprint, and its report.
        is_finished: bool,
    },
}

/// Looks. What lies beside the names that a run writes is nobody's business.
pub(crate) fn look(store: &Store, planned: &PlannedJob) -> Result<Found, Error> {
    let stages = store.list(&RelativePath::new("stages")?)?;
    let file = |name: &str| Ok::<_, Error>(store.try_stat(&RelativePath::new(name)?)?.is_some());
    if !stages.iter().any(|entry| entry.path.file_name() == "manifest.json") {
        for name in FILES {
            if file(name)? {
                return Ok(Found::Foreign(name));
            }
        }
        for name in DIRECTORIES {
            if !store.list(&RelativePath::new(name)?)?.is_empty() {
                return Ok(Found::Foreign(name));
            }
        }
        return Ok(Found::Nothing);
    }
    let yaml = orchestrator_storage::try_read_job(store)?;
    let yaml = yaml.map(|yaml| String::from_utf8_lossy(&yaml).into_owned());
    let mut is_finished = file(LAST)?;
    for stage in &planned.stages {
        for manifest in &stage.manifests {
            let path = RelativePath::new(manifest.as_str())?;
            is_finished = is_finished && stands(store, &path, stage.fingerprint)?;
        }
    }
    Ok(Found::Run { yaml, is_finished })
}

/// Whether a stage with this fingerprint stands: a manifest that says so, and the files that it names, in their sizes. Anyone
/// may have left it; one that cannot be read is as none.
fn stands(store: &Store, path: &RelativePath, fingerprint: Digest) -> Result<bool, Error> {
    if store.try_stat(path)?.is_none() {
        return Ok(false);
    }
    let manifest = match StageManifest::read(store, path) {
        Ok(manifest) => manifest,
        Err(Error::Corrupt { .. } | Error::TooLarge { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    if manifest.fingerprint != fingerprint {
        return Ok(false);
    }
    for file in &manifest.files {
        if store.try_stat(&file.path)?.is_none_or(|found| found.bytes != file.bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orchestrator_storage::manifest::{FileEntry, SCHEMA_VERSION};

    use super::*;
    use crate::planner::PlannedStage;

    fn planned() -> PlannedJob {
        PlannedJob {
            name: "job".to_owned(),
            output: String::new(),
            max_attempts: 1,
            yaml: String::new(),
            frozen: String::new(),
            phases: Vec::new(),
            stages: vec![PlannedStage {
                name: "read".to_owned(),
                phase: 0,
                manifests: vec!["stages/00-read/manifest.json".to_owned()],
                fingerprint: Digest(7),
                inputs: Vec::new(),
            }],
            products: Vec::new(),
        }
    }

    fn manifest(fingerprint: u128) -> StageManifest {
        StageManifest {
            schema_version: SCHEMA_VERSION,
            stage: 0,
            name: "read".to_owned(),
            files: Vec::new(),
            inputs: Vec::new(),
            records_in: 0,
            kept: 0,
            dropped: BTreeMap::new(),
            noted: BTreeMap::new(),
            bytes_in: 0,
            bytes_kept: 0,
            digest: Digest(0),
            fingerprint: Digest(fingerprint),
        }
    }

    #[test]
    fn a_run_is_told_from_what_somebody_left() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
        let put = |path: &str| {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, "x").expect("a file");
        };
        let found = || look(&store, &planned()).expect("it can be looked at");
        put("notes.txt");
        put(".orchestrator/owner.json");
        assert_eq!(found(), Found::Nothing);
        put("model/weights");
        assert_eq!(found(), Found::Foreign("model"));
        put("job.yaml");
        assert_eq!(found(), Found::Foreign("job.yaml"));
        for (fingerprint, report, is_finished) in [(7, false, false), (7, true, true), (8, true, false)] {
            let path = StageManifest::path(0, "read").expect("a path");
            manifest(fingerprint).write(&store, &path).expect("it can be written");
            if report {
                put("report.json");
            }
            assert_eq!(found(), Found::Run { yaml: Some("x".to_owned()), is_finished });
        }
        // A manifest is a claim: what it names must be there.
        let path = StageManifest::path(0, "read").expect("a path");
        let part = RelativePath::new("stages/00-read/part-00000.parquet").expect("a path");
        for (bytes, is_finished) in [(7, false), (1, true)] {
            let entry = FileEntry { path: part.clone(), rows: 1, bytes, xxh3: Digest(1) };
            let claim = StageManifest { files: vec![entry], ..manifest(7) };
            claim.write(&store, &path).expect("it can be written");
            if is_finished {
                put(part.as_str());
            }
            assert_eq!(found(), Found::Run { yaml: Some("x".to_owned()), is_finished });
        }
        for damaged in ["", "{}", "[1]", "{\"schema_version\": 99}"] {
            std::fs::write(directory.path().join(path.as_str()), damaged).expect("a file");
            assert_eq!(found(), Found::Run { yaml: Some("x".to_owned()), is_finished: false }, "{damaged}");
        }
    }
}
