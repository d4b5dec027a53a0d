//! What the scheduler decided, for people: the last lines of every job, in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use orchestrator_core::JobId;
use orchestrator_proto::v1::LogLine;
use orchestrator_scheduler::Level;
use tokio::sync::watch;

/// Lines kept of each job.
const LINES_MAX: usize = 2_000;

/// The lines of all jobs.
#[derive(Debug)]
pub(crate) struct Logs {
    jobs: Mutex<BTreeMap<JobId, Ring>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    /// Number of the first line that is kept.
    first: u64,
    lines: VecDeque<LogLine>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { jobs: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Logs {
    pub(crate) fn push(&self, job: &JobId, level: Level, text: String) {
        match level {
            Level::Info => tracing::info!(%job, "{text}"),
            Level::Warn => tracing::warn!(%job, "{text}"),
            Level::Error => tracing::error!(%job, "{text}"),
        }
        let unix_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let line = LogLine { unix_ms, level: level.as_str().to_owned(), text };
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = jobs.entry(job.clone()).or_default();
        if ring.lines.len() == LINES_MAX {
            ring.lines.pop_front();
            ring.first += 1;
        }
        ring.lines.push_back(line);
        drop(jobs);
        self.changed.send_modify(|count| *count += 1);
    }

    /// The lines from number `from` on, and the number of the line after them.
    pub(crate) fn read(&self, job: &JobId, from: u64) -> (Vec<LogLine>, u64) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ring) = jobs.get(job) else { return (Vec::new(), from) };
        let skip = from.saturating_sub(ring.first) as usize;
        (ring.lines.iter().skip(skip).cloned().collect(), ring.first + ring.lines.len() as u64)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_make_room_and_readers_go_on_where_they_were() {
        let logs = Logs::default();
        let job = JobId::from("job-0001");
        for number in 0..LINES_MAX + 5 {
            logs.push(&job, Level::Info, number.to_string());
        }
        let (lines, next) = logs.read(&job, 0);
        assert_eq!((lines.len(), lines[0].text.as_str(), next), (LINES_MAX, "5", LINES_MAX as u64 + 5));
        logs.push(&job, Level::Warn, "last".into());
        let (lines, _) = logs.read(&job, next);
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["last"]);
    }
}
