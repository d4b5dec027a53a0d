//! The attempts that this worker holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orchestrator_core::{AttemptId, FencingToken};
use orchestrator_pipeline::Progress;
use orchestrator_proto::v1::{AttemptProgress, RankProgress};
use tokio::sync::Notify;

/// One held attempt.
pub(crate) struct HeldAttempt {
    pub(crate) fencing_token: FencingToken,
    /// Whether it is a training rank, which takes a gang slot instead of a task slot.
    pub(crate) is_rank: bool,
    pub(crate) progress: Arc<Progress>,
    /// What a rank last said of itself.
    pub(crate) rank: Arc<Mutex<Option<RankProgress>>>,
    /// Wakes whoever must stop the attempt at once (a rank's process does not look at `progress`).
    pub(crate) stopped: Arc<Notify>,
    /// Asks a rank to leave after its step, with a checkpoint.
    pub(crate) leaving: Arc<Notify>,
}

/// All held attempts, and a bell that rings when one leaves.
#[derive(Default)]
pub(crate) struct Held {
    attempts: Mutex<BTreeMap<AttemptId, HeldAttempt>>,
    pub(crate) freed: Notify,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptId, HeldAttempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, attempt: AttemptId, held: HeldAttempt) {
        self.lock().insert(attempt, held);
    }

    pub(crate) fn remove(&self, attempt: AttemptId) {
        self.lock().remove(&attempt);
        self.freed.notify_waiters();
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.lock().keys().map(|attempt| attempt.0).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// How many task slots and gang slots are taken.
    pub(crate) fn taken(&self) -> (u32, u32) {
        let attempts = self.lock();
        let ranks = attempts.values().filter(|held| held.is_rank).count() as u32;
        (attempts.len() as u32 - ranks, ranks)
    }

    /// Stops the named attempts.
    pub(crate) fn stop(&self, ids: &[u64]) {
        let attempts = self.lock();
        for held in ids.iter().filter_map(|id| attempts.get(&AttemptId(*id))) {
            held.progress.stop();
            held.stopped.notify_one();
        }
    }

    pub(crate) fn stop_all(&self) {
        self.stop(&self.ids());
    }

    /// Asks every rank to leave; tasks are left to end.
    pub(crate) fn leave(&self) {
        for held in self.lock().values() {
            held.leaving.notify_one();
        }
    }

    pub(crate) fn report(&self) -> Vec<AttemptProgress> {
        self.lock()
            .iter()
            .map(|(attempt, held)| {
                let (records, bytes) = held.progress.done();
                AttemptProgress {
                    attempt: attempt.0,
                    fencing_token: held.fencing_token.0,
                    records,
                    bytes,
                    rank: held.rank.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                }
            })
            .collect()
    }
}
