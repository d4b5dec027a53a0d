//! Brings committed files to their final names. Each step may be repeated after a crash at any moment.
//!
//! ```text
//!  .orchestrator/attempts/PHASE/TASK/ATTEMPT/stages/03-filter/part-00007.parquet
//!                                            └──────────── final name ─────────┘
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{StreamExt, TryStreamExt};
use orchestrator_core::{AttemptId, ErrorCode, TaskOutcome, gang_metrics};
use orchestrator_scheduler::Place;
use orchestrator_storage::{Error, RelativePath, Store};
use serde::Deserialize;

/// Waits before a failed storage operation is tried again at once. Longer ones are the effect's, which gives its place
/// to others meanwhile.
const QUICK_WAITS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];
/// Files of one task that move at a time.
const FILES_AT_ONCE: usize = 8;
/// Name of the file that makes a checkpoint exist.
const CHECKPOINT_MANIFEST: &str = "manifest.json";

/// Where the ranks of gangs write checkpoints together.
pub(crate) const GANGS: &str = ".orchestrator/gangs";

/// Where all attempts of a phase write.
pub(crate) fn phase_attempts(phase: u32) -> String {
    format!(".orchestrator/attempts/{phase}")
}

/// Where all attempts of a task write.
fn task_attempts(place: &Place) -> String {
    format!("{}/{}", phase_attempts(place.phase), place.task)
}

/// Where an attempt writes.
pub(crate) fn attempt_path(place: &Place, attempt: AttemptId) -> String {
    format!("{}/{attempt}", task_attempts(place))
}

/// Removes what the attempts of a published task left: its savepoints are as large as its results. What a stray attempt
/// writes later goes with the phase.
pub(crate) async fn tidy_task(store: &Store, place: &Place) -> Result<(), Error> {
    let path = RelativePath::new(task_attempts(place))?;
    insist(store, move |store| store.delete_prefix(&path)).await
}

/// Runs a storage operation, and again a few times where that may help at once: not on a full disk.
pub(crate) async fn insist<T: Send + 'static>(
    store: &Store,
    work: impl Fn(&Store) -> Result<T, Error> + Clone + Send + 'static,
) -> Result<T, Error> {
    for wait in QUICK_WAITS {
        let error = match store.run(work.clone()).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if !error.code().is_transient() || error.code() == ErrorCode::Exhausted {
            return Err(error);
        }
        tracing::warn!(store = store.url(), %error, "storage said no; it is tried again");
        tokio::time::sleep(wait).await;
    }
    store.run(work).await
}

/// Moves a task's files to their final names.
pub(crate) async fn task(
    store: &Store,
    place: &Place,
    attempt: AttemptId,
    outcome: &TaskOutcome,
) -> Result<(), Error> {
    let from = RelativePath::new(attempt_path(place, attempt))?;
    let mut moves = Vec::with_capacity(outcome.files.len());
    for file in &outcome.files {
        moves.push((from.join(&file.path)?, RelativePath::new(file.path.as_str())?, file.bytes));
    }
    move_all(store, moves).await
}

/// Moves files, some at a time.
async fn move_all(store: &Store, moves: Vec<(RelativePath, RelativePath, u64)>) -> Result<(), Error> {
    let moves = moves.into_iter().map(|(from, to, bytes)| {
        let store = store.clone();
        async move { insist(&store, move |store| store.publish(&from, &to, bytes)).await }
    });
    futures::stream::iter(moves).buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await
}

/// Removes from directories that are complete what an earlier job left there: it was reused in part, and cut its parts
/// otherwise.
pub(crate) async fn sweep(
    store: &Store,
    wanted: BTreeSet<String>,
    complete: BTreeSet<String>,
) -> Result<(), Error> {
    insist(store, move |store| {
        for directory in &complete {
            for entry in store.list(&RelativePath::new(directory.as_str())?)? {
                if !wanted.contains(entry.path.as_str()) {
                    store.delete(&entry.path)?;
                }
            }
        }
        Ok(())
    })
    .await
}

/// What publication needs to know of a checkpoint's manifest; the rest belongs to the trainer.
#[derive(Debug, Deserialize)]
struct CheckpointManifest {
    files: Vec<CheckpointFile>,
}

#[derive(Debug, Deserialize)]
struct CheckpointFile {
    #[serde(alias = "name")]
    path: String,
    bytes: u64,
}

/// Moves a checkpoint's files to their final names, and writes its manifest last.
pub(crate) async fn checkpoint(store: &Store, from: &str, to: &str, manifest: &str) -> Result<(), Error> {
    let corrupt = |error: serde_json::Error| Error::Corrupt {
        path: format!("{to}/{CHECKPOINT_MANIFEST}"),
        detail: error.to_string(),
    };
    let files: CheckpointManifest = serde_json::from_str(manifest).map_err(corrupt)?;
    let (from, to) = (RelativePath::new(from)?, RelativePath::new(to)?);
    let mut moves = Vec::with_capacity(files.files.len());
    for file in &files.files {
        moves.push((from.join(&file.path)?, to.join(&file.path)?, file.bytes));
    }
    move_all(store, moves).await?;
    let (path, text) = (to.join(CHECKPOINT_MANIFEST)?, manifest.as_bytes().to_vec());
    insist(store, move |store| store.put_atomic(&path, &text).map(drop)).await
}

/// The largest file of metrics that becomes visible before its gang ends.
const METRICS_BYTES_MAX: u64 = 256 << 20;

/// Makes visible what a gang said of its steps up to a checkpoint, so that a training that goes on, or failed, can be looked
/// at. The gang's end publishes all of it in its place.
pub(crate) async fn metrics(store: &Store, checkpoint: &str, step: u64) -> Result<(), Error> {
    let Some(number) = checkpoint.strip_prefix(GANGS).and_then(|rest| rest.split('/').nth(1)) else {
        return Ok(());
    };
    let from = RelativePath::new(gang_metrics(&format!("{GANGS}/{number}"), step))?;
    let to = RelativePath::new("metrics.jsonl")?;
    insist(store, move |store| match store.read_all(&from, METRICS_BYTES_MAX) {
        Ok(text) => store.put_atomic(&to, &text).map(drop),
        // A repeated publication: the gang is at a later checkpoint, or its metrics are larger than is copied.
        Err(Error::NotFound { .. } | Error::TooLarge { .. }) => Ok(()),
        Err(error) => Err(error),
    })
    .await
}

#[cfg(test)]
mod tests {
    use orchestrator_core::{Digest, FileKind, FileRecord, JobId};

    use super::*;

    #[tokio::test]
    async fn a_publication_can_be_repeated_from_any_point() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
        let place = Place { job: JobId::from("j"), phase: 1, task: 2 };
        let names = ["stages/00-read/part-00002.parquet", "stages/00-read/notes-00002.parquet"];
        let put = |path: &str| {
            let path = RelativePath::new(path).expect("a path");
            store.put_atomic(&path, b"rows").expect("put");
        };
        let files = names.map(|path| FileRecord {
            stage: 0,
            kind: FileKind::Part,
            path: path.into(),
            rows: 1,
            bytes: 4,
            xxh3: Digest::of(b"rows"),
        });
        for name in names {
            put(&format!(".orchestrator/attempts/1/2/9/{name}"));
        }
        let outcome = TaskOutcome { files: files.into(), ..TaskOutcome::default() };
        // A crash after the first file: it is gone from the attempt and lies at its name.
        let from = RelativePath::new(format!(".orchestrator/attempts/1/2/9/{}", names[0])).expect("a path");
        let to = RelativePath::new(names[0]).expect("a path");
        store.publish(&from, &to, 4).expect("publish");
        for _ in 0..2 {
            task(&store, &place, AttemptId(9), &outcome).await.expect("publish");
        }
        for name in names {
            assert!(directory.path().join(name).exists());
        }
    }

    #[tokio::test]
    async fn metrics_are_seen_with_their_checkpoint() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
        let at = |step| format!(".orchestrator/gangs/04/generation-000001/step-{step:08}");
        metrics(&store, &at(10), 10).await.expect("there are none yet");
        let seen = directory.path().join("metrics.jsonl");
        assert!(!seen.exists());
        for (step, text) in [(10, "ten"), (20, "twenty")] {
            let path = RelativePath::new(gang_metrics(".orchestrator/gangs/04", step)).expect("a path");
            store.put_atomic(&path, text.as_bytes()).expect("put");
            metrics(&store, &at(step), step).await.expect("copied");
            assert_eq!(std::fs::read_to_string(&seen).expect("it is there"), text);
        }
        metrics(&store, "checkpoints/elsewhere", 20).await.expect("no gang's");
    }

    #[tokio::test]
    async fn a_checkpoint_exists_once_its_manifest_does() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
        let from = ".orchestrator/attempts/3/0/5/checkpoints/step-00000010";
        let manifest = r#"{"step": 10, "files": [{"path": "model.safetensors", "bytes": 3, "xxh3": "0"}]}"#;
        let to = "checkpoints/step-00000010";
        assert!(checkpoint(&store, from, to, manifest).await.is_err(), "a file is missing");
        assert!(!directory.path().join(to).join(CHECKPOINT_MANIFEST).exists());
        let file = RelativePath::new(format!("{from}/model.safetensors")).expect("a path");
        store.put_atomic(&file, b"abc").expect("put");
        for _ in 0..2 {
            checkpoint(&store, from, to, manifest).await.expect("publish");
        }
        assert_eq!(
            std::fs::read_to_string(directory.path().join(to).join(CHECKPOINT_MANIFEST))
                .expect("it is there"),
            manifest
        );
    }
}
