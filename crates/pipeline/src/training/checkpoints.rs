//! Where checkpoints lie: staged under a generation's path, committed under `checkpoints/step-NNNNNNNN`.

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
}

/// Steps of the committed checkpoints, ascending.
pub fn checkpoint_steps(output: &Store) -> Result<Vec<u64>, TaskError> {
    let mut steps: Vec<u64> = output
        .list(&RelativePath::new("checkpoints")?)?
        .iter()
        .filter_map(|entry| {
            let rest = entry.path.as_str().strip_prefix("checkpoints/step-")?;
            rest.strip_suffix(&format!("/{MANIFEST_FILE}"))?.parse().ok()
        })
        .collect();
    steps.sort_unstable();
    Ok(steps)
}

/// Path of the newest committed checkpoint, relative to the output.
pub fn last_checkpoint(output: &Store) -> Result<Option<String>, TaskError> {
    Ok(checkpoint_steps(output)?.last().map(|&step| format!("checkpoints/{}", directory(step))))
}

/// Deletes the checkpoints that the options do not keep. The manifest goes first: half a checkpoint does not exist.
pub fn expire(output: &Store, options: &CheckpointOptions) -> Result<(), TaskError> {
    for step in options.expired(&checkpoint_steps(output)?) {
        let path = RelativePath::new(format!("checkpoints/{}", directory(step)))?;
        output.delete(&path.join(MANIFEST_FILE)?)?;
        output.delete_prefix(&path)?;
    }
    Ok(())
}
