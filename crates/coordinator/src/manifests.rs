//! Composes the manifests of the stages that a phase completes, from committed outcomes alone: no row is read again.

use std::collections::BTreeSet;

use orchestrator_core::{Digest, FileKind, FileRecord, RowDigest, RowHasher, StageTally, TaskOutcome};
use orchestrator_storage::manifest::{FileEntry, InputEntry, SCHEMA_VERSION, StageManifest};
use orchestrator_storage::{Error, RelativePath};

use crate::planner::PlannedJob;

/// The manifests to write when `phase` is published, each with its paths. `outcomes` holds the phases up to it.
pub(crate) fn of_phase(
    job: &PlannedJob,
    phase: u32,
    outcomes: &[Vec<TaskOutcome>],
) -> Result<Vec<(Vec<RelativePath>, StageManifest)>, Error> {
    let mut manifests = Vec::new();
    for (index, stage) in (0..).zip(&job.stages).filter(|(_, stage)| stage.phase == phase) {
        let paths =
            stage.manifests.iter().map(|path| RelativePath::new(path.as_str())).collect::<Result<_, _>>()?;
        manifests.push((paths, of_stage(job, index, outcomes)?));
    }
    Ok(manifests)
}

fn of_stage(job: &PlannedJob, stage: u32, outcomes: &[Vec<TaskOutcome>]) -> Result<StageManifest, Error> {
    let planned = &job.stages[stage as usize];
    let mut sum = StageTally { stage, ..StageTally::default() };
    let mut tallied = false;
    // Outcomes are in order of phases and tasks, which is the global order of records.
    for tally in
        outcomes.iter().flatten().flat_map(|outcome| &outcome.tallies).filter(|tally| tally.stage == stage)
    {
        sum.append(tally);
        tallied = true;
    }
    let files: Vec<&FileRecord> =
        files(outcomes, stage).filter(|file| file.kind != FileKind::Intermediate).collect();
    let digest = if tallied {
        RowDigest::stage(sum.kept_digest, sum.dropped_digest)
    } else {
        content(outcomes, stage).unwrap_or_else(|| digest_of_files(&files))
    };
    Ok(StageManifest {
        schema_version: SCHEMA_VERSION,
        stage,
        name: planned.name.clone(),
        files: files.into_iter().map(entry).collect::<Result<_, _>>()?,
        inputs: inputs(job, stage, outcomes),
        records_in: sum.records_in,
        kept: sum.kept,
        dropped: sum.dropped,
        noted: sum.noted,
        bytes_in: sum.bytes_in,
        bytes_kept: sum.bytes_kept,
        digest,
        fingerprint: planned.fingerprint,
    })
}

fn files(outcomes: &[Vec<TaskOutcome>], stage: u32) -> impl Iterator<Item = &FileRecord> {
    outcomes.iter().flatten().flat_map(|outcome| &outcome.files).filter(move |file| file.stage == stage)
}

fn entry(file: &FileRecord) -> Result<FileEntry, Error> {
    let path = RelativePath::new(file.path.as_str())?;
    Ok(FileEntry { path, rows: file.rows, bytes: file.bytes, xxh3: file.xxh3 })
}

/// All files that the phases up to `phase` left, manifests among them, and the directories that nothing more comes to.
pub(crate) fn places(
    job: &PlannedJob,
    phase: u32,
    outcomes: &[Vec<TaskOutcome>],
) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut wanted: BTreeSet<String> =
        outcomes.iter().flatten().flat_map(|outcome| &outcome.files).map(|file| file.path.clone()).collect();
    let mut complete = BTreeSet::new();
    for stage in &job.stages {
        for manifest in &stage.manifests {
            wanted.insert(manifest.clone());
            let Some((directory, _)) = manifest.rsplit_once('/') else { continue };
            if stage.phase == phase {
                complete.insert(directory.to_owned());
            }
        }
    }
    (wanted, complete)
}

/// What a stage without books (training, export) made, as the task that wrote its files says.
fn content(outcomes: &[Vec<TaskOutcome>], stage: u32) -> Option<Digest> {
    let of_stage = |outcome: &&TaskOutcome| outcome.files.iter().any(|file| file.stage == stage);
    outcomes.iter().flatten().filter(of_stage).find_map(|outcome| outcome.content)
}

/// A stage with neither books nor a content of its own is known by its files.
fn digest_of_files(files: &[&FileRecord]) -> Digest {
    let mut hasher = RowHasher::default();
    for file in files {
        hasher.text(&file.path).bytes(&file.xxh3.0.to_le_bytes());
    }
    Digest(hasher.finish())
}

/// Raw inputs where the plan names some, else the parts of the nearest stage before that has parts.
fn inputs(job: &PlannedJob, stage: u32, outcomes: &[Vec<TaskOutcome>]) -> Vec<InputEntry> {
    for index in (0..=stage).rev() {
        let raw = &job.stages[index as usize].inputs;
        let parts = || files(outcomes, index).filter(|file| file.kind == FileKind::Part);
        if index < stage && parts().next().is_some() {
            return parts()
                .map(|file| InputEntry {
                    path: file.path.clone(),
                    bytes: file.bytes,
                    stamp: file.xxh3.to_string(),
                })
                .collect();
        }
        if !raw.is_empty() {
            return raw.clone();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::PlannedStage;

    #[test]
    fn a_model_is_known_by_its_content_and_not_by_files_that_tell_of_times() {
        let trained = |content: u128, metrics: u128| {
            let file = FileRecord {
                stage: 1,
                kind: FileKind::Product,
                path: "metrics.jsonl".into(),
                rows: 0,
                bytes: 3,
                xxh3: Digest(metrics),
            };
            let first =
                TaskOutcome { files: vec![file], content: Some(Digest(content)), ..TaskOutcome::default() };
            vec![vec![first, TaskOutcome::default()]]
        };
        assert_eq!(content(&trained(1, 7), 1), Some(Digest(1)));
        assert_eq!(content(&trained(1, 8), 1), content(&trained(1, 9), 1));
        assert_ne!(content(&trained(2, 8), 1), content(&trained(1, 8), 1));
        assert_eq!(content(&trained(1, 7), 0), None, "of another stage");
    }

    #[test]
    fn books_are_joined_in_task_order_and_intermediates_stay_out() {
        let task = |number: u64| {
            let mut tally = StageTally { stage: 0, records_in: 2, kept: 1, ..StageTally::default() };
            tally.dropped.insert("short".into(), 1);
            tally.kept_digest.push(u128::from(number));
            tally.dropped_digest.push(u128::from(number + 100));
            let file = |kind, path: &str| FileRecord {
                stage: 0,
                kind,
                path: format!("stages/00-read/{path}-{number:05}"),
                rows: 1,
                bytes: 3,
                xxh3: Digest(7),
            };
            TaskOutcome {
                files: vec![file(FileKind::Part, "part"), file(FileKind::Intermediate, "signatures")],
                tallies: vec![tally],
                ..TaskOutcome::default()
            }
        };
        let job = PlannedJob {
            name: "j".into(),
            output: String::new(),
            max_attempts: 1,
            yaml: String::new(),
            frozen: String::new(),
            phases: Vec::new(),
            products: Vec::new(),
            stages: vec![PlannedStage {
                name: "read".into(),
                phase: 1,
                manifests: vec!["stages/00-read/manifest.json".into()],
                fingerprint: Digest(1),
                inputs: vec![InputEntry { path: "a".into(), bytes: 1, stamp: "t".into() }],
            }],
        };
        let outcomes = vec![Vec::new(), vec![task(1), task(2)]];
        assert!(of_phase(&job, 0, &outcomes).expect("good paths").is_empty());
        let manifests = of_phase(&job, 1, &outcomes).expect("good paths");
        let (_, manifest) = &manifests[0];
        assert!(manifest.balances());
        assert_eq!(
            (manifest.records_in, manifest.kept, manifest.files.len(), manifest.inputs.len()),
            (4, 2, 2, 1)
        );
        let mut rows = [RowDigest::default(); 2];
        for number in [1, 2] {
            rows[0].push(number);
            rows[1].push(number + 100);
        }
        assert_eq!(manifest.digest, RowDigest::stage(rows[0], rows[1]));
    }
}
