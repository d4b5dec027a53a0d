//! What the effects of a job wait for: a full disk, storage that does not answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orchestrator_core::JobId;

/// Texts of one job that one answer names; the others are counted.
const NAMED_MAX: usize = 3;

type Texts = BTreeMap<u64, String>;

/// All waits, by job.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    jobs: Mutex<(u64, BTreeMap<JobId, Texts>)>,
}

/// One wait, which ends with this.
#[derive(Debug)]
pub(crate) struct Wait {
    waits: Arc<Waits>,
    job: JobId,
    number: u64,
}

impl Waits {
    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<JobId, Texts>)> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a wait; tells whether it is the only one of its job.
    pub(crate) fn enter(self: &Arc<Self>, job: &JobId, text: String) -> (Wait, bool) {
        let mut all = self.lock();
        all.0 += 1;
        let number = all.0;
        let texts = all.1.entry(job.clone()).or_default();
        texts.insert(number, text);
        let first = texts.len() == 1;
        (Wait { waits: Arc::clone(self), job: job.clone(), number }, first)
    }

    /// What a job waits for, in words.
    pub(crate) fn of(&self, job: &JobId) -> Vec<String> {
        let all = self.lock();
        let Some(texts) = all.1.get(job) else { return Vec::new() };
        let mut named: Vec<String> = texts.values().take(NAMED_MAX).cloned().collect();
        if texts.len() > NAMED_MAX {
            named.push(format!("and {} more wait for storage", texts.len() - NAMED_MAX));
        }
        named
    }
}

impl Wait {
    /// Says what is waited for now.
    pub(crate) fn say(&self, text: String) {
        if let Some(texts) = self.waits.lock().1.get_mut(&self.job) {
            texts.insert(self.number, text);
        }
    }

    /// Ends the wait; tells whether it was the last of its job.
    pub(crate) fn leave(self) -> bool {
        let (job, waits) = (self.job.clone(), Arc::clone(&self.waits));
        drop(self);
        !waits.lock().1.contains_key(&job)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut all = self.waits.lock();
        if let Some(texts) = all.1.get_mut(&self.job) {
            texts.remove(&self.number);
            if texts.is_empty() {
                all.1.remove(&self.job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_named_counted_and_end() {
        let waits = Arc::new(Waits::default());
        let job = JobId::from("j");
        let (first, alone) = waits.enter(&job, "a".into());
        assert!(alone);
        let others: Vec<Wait> = (0..4).map(|_| waits.enter(&job, "b".into()).0).collect();
        first.say("c".into());
        assert_eq!(waits.of(&job), ["c", "b", "b", "and 2 more wait for storage"]);
        drop(others);
        assert!(first.leave());
        assert!(waits.of(&job).is_empty());
    }
}
