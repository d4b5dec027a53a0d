//! The jobs that this worker has tasks of: parsed, planned and opened once each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use orchestrator_core::JobId;
use orchestrator_pipeline::{Host, JobContext};

/// The most jobs kept open; tasks come job by job, so few are live at once.
const CAPACITY: usize = 8;

/// A job's description cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error(transparent)]
    Storage(#[from] orchestrator_storage::Error),
    #[error("the job file that the coordinator left in the output cannot be used")]
    Job(#[source] orchestrator_pipeline::LoadError),
}

pub(crate) struct JobCache {
    host: Host,
    /// How often everything was forgotten. Kept apart from the jobs, whose lock is held while storage answers.
    epoch: AtomicU64,
    open: Mutex<BTreeMap<(u64, JobId), Arc<JobContext>>>,
}

impl JobCache {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, epoch: AtomicU64::new(0), open: Mutex::default() }
    }

    /// Forgets every job: what their ids stood for may have changed.
    pub(crate) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Opens a job from the resolved job file in its output. Blocks on storage.
    pub(crate) fn open(&self, job: &JobId, output: &str) -> Result<Arc<JobContext>, JobError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.epoch.load(Ordering::Relaxed), job.clone());
        if let Some(context) = open.get(&key) {
            return Ok(Arc::clone(context));
        }
        let store = self.host.roots.open(output)?;
        let context = JobContext::load(store, self.host.clone()).map_err(|error| match error {
            orchestrator_pipeline::LoadError::Storage(error) => JobError::Storage(error),
            other => JobError::Job(other),
        })?;
        let context = Arc::new(context);
        if open.len() >= CAPACITY {
            open.pop_first();
        }
        open.insert(key, Arc::clone(&context));
        Ok(context)
    }
}
