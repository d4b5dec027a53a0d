//! The attempts that this worker holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use orchestrator_core::{AttemptId, FencingToken};
use orchestrator_pipeline::Progress;
use orchestrator_proto::v1::{AttemptProgress, RankProgress};
use tokio::sync::Notify;

use crate::rank::FromRank;

/// One held attempt.
pub(crate) struct HeldAttempt {
    pub(crate) fencing_token: FencingToken,
    pub(crate) progress: Arc<Progress>,
    /// For a training rank, which takes a gang slot instead of a task slot.
    pub(crate) rank: Option<Arc<HeldRank>>,
    /// Wakes whoever must stop the attempt at once (a rank's process does not look at `progress`).
    pub(crate) stopped: Arc<Notify>,
    /// Asks a rank to leave after its step, with a checkpoint.
    pub(crate) leaving: Arc<Notify>,
}

/// What is known of a held rank.
pub(crate) struct HeldRank {
    /// The GPU that is its alone.
    pub(crate) gpu: Option<u32>,
    /// What its process last said, and when.
    said: Mutex<(RankProgress, Instant)>,
}

impl HeldRank {
    pub(crate) fn new(gpu: Option<u32>) -> Self {
        Self { gpu, said: Mutex::new((RankProgress::default(), Instant::now())) }
    }

    /// Its process said something; `None` where that makes no sense.
    pub(crate) fn heard(&self, message: Option<&FromRank>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (progress, heard) = &mut *said;
        *heard = Instant::now();
        match message {
            Some(FromRank::Progress(place)) => {
                let metrics = std::mem::take(&mut progress.metrics);
                *progress = RankProgress {
                    step: place.step,
                    phase: place.phase.clone(),
                    collective: place.collective,
                    metrics,
                    phase_order: place.order,
                    work: place.work,
                    silent_ms: 0,
                };
            }
            Some(FromRank::Metrics(metrics)) => progress.metrics.clone_from(metrics),
            _ => {}
        }
    }

    fn report(&self) -> RankProgress {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        RankProgress { silent_ms: said.1.elapsed().as_millis() as u64, ..said.0.clone() }
    }
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
        let ranks = attempts.values().filter(|held| held.rank.is_some()).count() as u32;
        (attempts.len() as u32 - ranks, ranks)
    }

    /// The first of so many GPUs that no rank has.
    pub(crate) fn free_gpu(&self, gpus: u32) -> Option<u32> {
        let attempts = self.lock();
        let is_taken = |gpu: u32| {
            attempts.values().any(|held| held.rank.as_ref().is_some_and(|rank| rank.gpu == Some(gpu)))
        };
        (0..gpus).find(|gpu| !is_taken(*gpu))
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
                    rank: held.rank.as_ref().map(|rank| rank.report()),
                }
            })
            .collect()
    }
}
