//! Where checkpoints lie: staged under a generation's path, committed under `checkpoints/step-NNNNNNNN`.

use std::collections::BTreeSet;

use orchestrator_core::ErrorCode;
use orchestrator_storage::{Error as StorageError, RelativePath, Store};
use orchestrator_train::checkpoint::{MANIFEST_FILE, directory};
use orchestrator_train::options::CheckpointOptions;
use orchestrator_train::{CheckpointSink, CheckpointSource, TrainError};

use crate::error::TaskError;

/// A file of a checkpoint that is read back whole.
const FILE_LIMIT: u64 = 1 << 40;

#[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
fn observed(error: StorageError) -> TrainError {
    match error.code() {
        ErrorCode::Exhausted => TrainError::NoRoom(error.to_string()),
        _ => TrainError::Observer(error.to_string()),
    }
}

/// Takes a rank's files of a checkpoint that is not committed yet.
pub struct StagedCheckpoint {
    store: Store,
    path: String,
}

impl StagedCheckpoint {
    /// Writes below `path`, relative to the output.
    pub fn new(store: Store, path: String) -> Self {
        Self { store, path }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.store.put_atomic(&RelativePath::new(format!("{}/{name}", self.path))?, bytes).map(drop)
    }
}

impl CheckpointSink for StagedCheckpoint {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        self.write(name, bytes).map_err(|error| {
            if error.code() == ErrorCode::Exhausted {
                // What is staged of a step goes when it cannot be had whole: the next try would find still less room.
                let _ = RelativePath::new(&*self.path).and_then(|path| self.store.delete_prefix(&path));
            }
            observed(error)
        })
    }
}

/// Reads the files of a committed checkpoint, or of any directory below a store.
pub struct StoredCheckpoint {
    store: Store,
    path: String,
}

impl StoredCheckpoint {
    /// Reads below `path`, relative to the store; empty for its root.
    pub fn new(store: Store, path: impl Into<String>) -> Self {
        Self { store, path: path.into() }
    }
}

impl CheckpointSource for StoredCheckpoint {
    fn get(&self, name: &str) -> Result<Vec<u8>, TrainError> {
        let unusable = |error: orchestrator_storage::Error| TrainError::Checkpoint(error.to_string());
        let base = RelativePath::new(&*self.path).map_err(unusable)?;
        let path = base.join(name).map_err(unusable)?;
        self.store.read_all(&path, FILE_LIMIT).map_err(unusable)
    }

    fn contains(&self, name: &str) -> Result<bool, TrainError> {
        let unusable = |error: orchestrator_storage::Error| TrainError::Checkpoint(error.to_string());
        let path = RelativePath::new(&*self.path).and_then(|base| base.join(name)).map_err(unusable)?;
        Ok(self.store.try_stat(&path).map_err(unusable)?.is_some())
    }
}

/// Steps of the committed checkpoints, ascending.
pub fn checkpoint_steps(output: &Store) -> Result<Vec<u64>, TaskError> {
    Ok(look(output)?.0)
}

/// Steps of the committed checkpoints, and of directories that have files and no manifest; both ascending.
fn look(output: &Store) -> Result<(Vec<u64>, Vec<u64>), TaskError> {
    let (mut committed, mut all) = (BTreeSet::new(), BTreeSet::new());
    for entry in output.list(&RelativePath::new("checkpoints")?)? {
        let rest = entry.path.as_str().strip_prefix("checkpoints/step-");
        let Some((step, file)) = rest.and_then(|rest| rest.split_once('/')) else { continue };
        let Ok(step) = step.parse::<u64>() else { continue };
        all.insert(step);
        if file == MANIFEST_FILE {
            committed.insert(step);
        }
    }
    let halves = all.difference(&committed).copied().collect();
    Ok((committed.into_iter().collect(), halves))
}

/// Path of the newest committed checkpoint, relative to the output.
pub fn last_checkpoint(output: &Store) -> Result<Option<String>, TaskError> {
    Ok(checkpoint_steps(output)?.last().map(|&step| format!("checkpoints/{}", directory(step))))
}

/// Deletes the checkpoints that the options do not keep. The manifest goes first: half a checkpoint does not exist, and what
/// is left of one after a crash goes too. No publication is under way of a step before the newest.
pub fn expire(output: &Store, options: &CheckpointOptions) -> Result<(), TaskError> {
    let (committed, halves) = look(output)?;
    let newest = committed.last().copied().unwrap_or(0);
    let mut gone = options.expired(&committed);
    gone.extend(halves.into_iter().filter(|&step| step < newest));
    for step in gone {
        let path = RelativePath::new(format!("checkpoints/{}", directory(step)))?;
        output.delete(&path.join(MANIFEST_FILE)?)?;
        output.delete_prefix(&path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_left_of_an_old_checkpoint_goes_too() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
        let put = |step: u64, file: &str| {
            let path = RelativePath::new(format!("checkpoints/{}/{file}", super::directory(step)));
            store.put_atomic(&path.expect("a path"), b"x").expect("put");
        };
        for step in [10, 20, 30] {
            put(step, "model.safetensors");
            put(step, MANIFEST_FILE);
        }
        // Killed between the manifest of one and its other files; another is on its way.
        put(5, "model.safetensors");
        put(40, "model.safetensors");
        let options = CheckpointOptions { keep_last: 1, ..CheckpointOptions::default() };
        expire(&store, &options).expect("deleted");
        let left: Vec<String> = store
            .list(&RelativePath::root())
            .expect("a list")
            .into_iter()
            .map(|entry| entry.path.to_string())
            .collect();
        assert_eq!(
            left,
            [
                "checkpoints/step-00000030/manifest.json",
                "checkpoints/step-00000030/model.safetensors",
                "checkpoints/step-00000040/model.safetensors",
            ]
        );
    }
}
