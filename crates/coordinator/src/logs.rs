//! What the scheduler decided, for people: the last lines of every job, in memory and in `logs/JOB.jsonl` beside the
//! journal, so that they outlive the coordinator.
//!
//! A file that has grown to the bound becomes `JOB.1.jsonl`, in the place of an older one. Lines are not synced: the
//! journal decides, and these only tell. A line that cannot be written is told in the coordinator's own log.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use orchestrator_core::JobId;
use orchestrator_proto::v1::LogLine;
use orchestrator_scheduler::Level;
use tokio::sync::watch;

/// Lines kept of each job.
const LINES_MAX: usize = 2_000;
/// The longest text that is kept in a file, in bytes.
const TEXT_MAX: usize = 8 << 10;

/// The lines of all jobs.
#[derive(Debug)]
pub(crate) struct Logs {
    jobs: Mutex<BTreeMap<JobId, Ring>>,
    directory: Option<PathBuf>,
    /// Whether whoever started this process says at the end why a job failed, and needs no word of it before.
    is_told: bool,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    /// Number of the first line that is kept.
    first: u64,
    lines: VecDeque<LogLine>,
    /// Lines in the current file.
    in_file: usize,
}

impl Default for Logs {
    /// Keeps lines in memory alone.
    fn default() -> Self {
        Self { jobs: Mutex::default(), directory: None, is_told: false, changed: watch::Sender::new(0) }
    }
}

impl Ring {
    fn push(&mut self, line: LogLine) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.first += 1;
        }
        self.lines.push_back(line);
    }

    /// Reads what an earlier coordinator left of a job.
    fn read(directory: &Path, job: &JobId) -> Self {
        let mut ring = Self::default();
        for name in [older(job), current(job)] {
            ring.in_file = 0;
            let Ok(file) = File::open(directory.join(name)) else { continue };
            // A line that is no line of ours was cut by a crash.
            for line in BufReader::new(file).lines().map_while(Result::ok) {
                ring.in_file += 1;
                if let Some(line) = line_of(&line) {
                    ring.push(line);
                }
            }
        }
        ring
    }
}

fn current(job: &JobId) -> String {
    format!("{job}.jsonl")
}

fn older(job: &JobId) -> String {
    format!("{job}.1.jsonl")
}

fn line_of(text: &str) -> Option<LogLine> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let word = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
    Some(LogLine { unix_ms: value.get("unix_ms")?.as_u64()?, level: word("level")?, text: word("text")? })
}

fn write(directory: &Path, job: &JobId, ring: &mut Ring, line: &LogLine) -> io::Result<()> {
    if ring.in_file >= LINES_MAX {
        fs::rename(directory.join(current(job)), directory.join(older(job)))?;
        ring.in_file = 0;
    }
    let text = &line.text[..line.text.floor_char_boundary(TEXT_MAX)];
    let value = serde_json::json!({ "unix_ms": line.unix_ms, "level": line.level, "text": text });
    let mut file = File::options().create(true).append(true).open(directory.join(current(job)))?;
    file.write_all(format!("{value}\n").as_bytes())?;
    ring.in_file += 1;
    Ok(())
}

impl Logs {
    /// Keeps lines in `directory` too, and reads what lies there of `jobs`.
    pub(crate) fn open<'a>(directory: PathBuf, jobs: impl Iterator<Item = &'a JobId>) -> Self {
        if let Err(error) = fs::create_dir_all(&directory) {
            tracing::warn!(directory = %directory.display(), %error, "the logs of jobs are kept in memory alone");
            return Self::default();
        }
        let jobs = jobs.map(|job| (job.clone(), Ring::read(&directory, job))).collect();
        Self { jobs: Mutex::new(jobs), directory: Some(directory), ..Self::default() }
    }

    /// Leaves errors to whoever started this process.
    pub(crate) fn told_by_others(self, is_told: bool) -> Self {
        Self { is_told, ..self }
    }

    pub(crate) fn push(&self, job: &JobId, level: Level, text: String) {
        match level {
            Level::Info => tracing::info!(%job, "{text}"),
            Level::Warn => tracing::warn!(%job, "{text}"),
            Level::Error if self.is_told => tracing::info!(%job, "{text}"),
            Level::Error => tracing::error!(%job, "{text}"),
        }
        let unix_ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let line = LogLine { unix_ms, level: level.as_str().to_owned(), text };
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = jobs.entry(job.clone()).or_default();
        if let Some(directory) = &self.directory
            && let Err(error) = write(directory, job, ring, &line)
        {
            tracing::warn!(%job, %error, "a line of the job's log could not be written");
        }
        ring.push(line);
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
    #[test]
    fn lines_outlive_the_coordinator_and_files_are_bounded() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let job = JobId::from("job-0001");
        let open = || Logs::open(directory.path().join("logs"), [&job].into_iter());
        let texts = |logs: &Logs| logs.read(&job, 0).0.into_iter().map(|line| line.text).collect::<Vec<_>>();
        let logs = open();
        logs.push(&job, Level::Warn, "a \"line\"\nof two".into());
        drop(logs);
        // A crash in the middle of a line.
        let file = directory.path().join("logs/job-0001.jsonl");
        File::options()
            .append(true)
            .open(&file)
            .expect("it is there")
            .write_all(b"{\"unix_")
            .expect("a line");
        let logs = open();
        assert_eq!(texts(&logs), ["a \"line\"\nof two"]);
        for number in 0..3 * LINES_MAX {
            logs.push(&job, Level::Info, number.to_string());
        }
        let files = fs::read_dir(directory.path().join("logs")).expect("a directory").count();
        assert_eq!(files, 2);
        assert_eq!(texts(&open()), texts(&logs));
    }
}
