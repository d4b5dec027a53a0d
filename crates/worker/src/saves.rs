//! Tells the coordinator of an attempt's savepoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orchestrator_core::{ErrorCode, Savepoint};
use orchestrator_pipeline::{Progress, SavepointSink};
use orchestrator_proto::v1::{Assignment, SaveRequest};
use orchestrator_proto::{savepoint_from_wire, savepoint_to_wire};
use orchestrator_storage::{Error as StorageError, RelativePath, Store};
use tokio::runtime::Handle;

use crate::service::Shared;

/// A coordinator that does not answer for so long hears of the next savepoint instead.
const PATIENCE: Duration = Duration::from_secs(5);

/// The savepoints of one attempt.
pub(crate) struct Saves {
    shared: Arc<Shared>,
    runtime: Handle,
    job: String,
    attempt: u64,
    fencing_token: u64,
    attempt_path: String,
    progress: Arc<Progress>,
    /// Somebody may go on from a savepoint of this attempt.
    told: AtomicBool,
}

/// Where the coordinator says that an attempt goes on. One that cannot be read is none.
pub(crate) fn resume(assignment: &Assignment) -> Option<Savepoint> {
    let savepoint = assignment.resume.clone()?;
    savepoint_from_wire(Some(savepoint))
        .inspect_err(|error| tracing::warn!(attempt = assignment.attempt, %error, "a savepoint is passed by"))
        .ok()
}

impl Saves {
    /// Call from a thread of the worker's runtime.
    pub(crate) fn new(shared: &Arc<Shared>, assignment: &Assignment, progress: &Arc<Progress>) -> Self {
        Self {
            shared: Arc::clone(shared),
            runtime: Handle::current(),
            job: assignment.job.clone(),
            attempt: assignment.attempt,
            fencing_token: assignment.fencing_token,
            attempt_path: assignment.attempt_path.clone(),
            progress: Arc::clone(progress),
            told: AtomicBool::new(false),
        }
    }

    async fn tell(&self, savepoint: &Savepoint) {
        let request = SaveRequest {
            session: self.shared.session().await,
            worker: self.shared.options.name.0.clone(),
            job: self.job.clone(),
            attempt: self.attempt,
            fencing_token: self.fencing_token,
            savepoint: Some(savepoint_to_wire(savepoint)),
        };
        match tokio::time::timeout(PATIENCE, self.shared.client.clone().save(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(status)) => match orchestrator_proto::error(&status).code {
                ErrorCode::StaleLease | ErrorCode::NotFound => self.progress.stop(),
                ErrorCode::InvalidInput
                | ErrorCode::Conflict
                | ErrorCode::Unauthorized
                | ErrorCode::Exhausted
                | ErrorCode::Unavailable
                | ErrorCode::Internal => {
                    let error = status.message();
                    tracing::debug!(attempt = self.attempt, error, "a savepoint was not taken");
                }
            },
            Err(_) => tracing::debug!(attempt = self.attempt, "nobody answered to a savepoint"),
        }
    }

    /// Deletes what the attempt wrote, but for savepoints that another attempt may go on from.
    pub(crate) fn tidy(&self, store: &Store) -> Result<(), StorageError> {
        let path = RelativePath::new(&*self.attempt_path)?;
        if !self.told.load(Ordering::Relaxed) {
            return store.delete_prefix(&path);
        }
        let segments = format!("{}/segments/", self.attempt_path);
        let files = store.list(&path)?;
        let mut others = files.iter().filter(|entry| !entry.path.as_str().starts_with(&segments));
        others.try_for_each(|entry| store.delete(&entry.path))
    }
}

impl SavepointSink for Saves {
    fn report(&self, savepoint: &Savepoint) {
        // Whether or not an answer comes: the coordinator may have heard it.
        self.told.store(true, Ordering::Relaxed);
        self.runtime.block_on(self.tell(savepoint));
    }
}
