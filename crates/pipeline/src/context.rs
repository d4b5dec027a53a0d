//! Everything a task may touch, handed to it: no globals, no environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use orchestrator_core::TaskOutcome;
use orchestrator_job::{Job, JobFileError, Plan};
use orchestrator_storage::{OpenOptions, RelativePath, Store};

use crate::error::TaskError;

/// What all tasks of one job on one worker share.
pub struct JobContext {
    /// The resolved job.
    pub job: Job,
    /// Its plan.
    pub plan: Plan,
    /// The job's output.
    pub output: Store,
    /// Where spilled data may lie while a task runs.
    pub scratch: PathBuf,
    /// Writes the report; it stands in a crate that the pipeline does not know.
    pub reporter: Arc<dyn Reporter>,
    /// Model files by location, read once for all tasks of the job.
    models: Mutex<BTreeMap<String, Arc<[u8]>>>,
}

/// The largest job file that is read.
const JOB_FILE_LIMIT: u64 = 4 << 20;

/// A job's description cannot be read from its output.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Storage said no.
    #[error(transparent)]
    Storage(#[from] orchestrator_storage::Error),
    /// The resolved job file is none.
    #[error("`job.yaml` in the output is no resolved job file")]
    Job(#[from] JobFileError),
    /// The resolved job file is no text.
    #[error("`job.yaml` in the output is not UTF-8")]
    Encoding(#[from] std::string::FromUtf8Error),
}

impl JobContext {
    /// Reads the resolved job that the coordinator left in the output.
    pub fn load(output: Store, scratch: PathBuf, reporter: Arc<dyn Reporter>) -> Result<Self, LoadError> {
        let text = String::from_utf8(output.read_all(&RelativePath::new("job.yaml")?, JOB_FILE_LIMIT)?)?;
        let job = orchestrator_job::parse(&text, "job.yaml")?.job;
        let plan = Plan::new(&job);
        Ok(Self::new(job, plan, output, scratch, reporter))
    }

    /// Puts together what the tasks of a job share.
    pub fn new(job: Job, plan: Plan, output: Store, scratch: PathBuf, reporter: Arc<dyn Reporter>) -> Self {
        Self { job, plan, output, scratch, reporter, models: Mutex::default() }
    }

    /// The bytes of a model file: a location of the job file, or a path relative to the output.
    pub fn model(&self, location: &ModelFile) -> Result<Arc<[u8]>, TaskError> {
        const LIMIT: u64 = 8 << 30;
        let key = location.to_string();
        let mut models = self.models.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(bytes) = models.get(&key) {
            return Ok(Arc::clone(bytes));
        }
        let bytes: Arc<[u8]> = match location {
            ModelFile::Output(path) => self.output.read_all(&RelativePath::new(path)?, LIMIT)?.into(),
            ModelFile::Location(url) => {
                let (store, path) = Store::locate(url, OpenOptions::default())?;
                store.read_all(&path, LIMIT)?.into()
            }
        };
        models.insert(key, Arc::clone(&bytes));
        Ok(bytes)
    }
}

/// Where a model file lies.
#[derive(Clone, Debug)]
pub enum ModelFile {
    /// Made by an earlier phase: a path relative to the output.
    Output(String),
    /// Named in the job file: an absolute path or URL.
    Location(String),
}

impl std::fmt::Display for ModelFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Output(path) => write!(f, "output:{path}"),
            Self::Location(url) => f.write_str(url),
        }
    }
}

/// Writes `report.html` and `report.json` of a run.
pub trait Reporter: Send + Sync {
    /// Writes the report's files through `context` and names them.
    fn write(&self, context: &TaskContext) -> Result<TaskOutcome, TaskError>;
}

/// What one attempt at a task may touch.
pub struct TaskContext {
    /// What it shares with the job's other tasks.
    pub job: Arc<JobContext>,
    /// Where it writes, relative to the output.
    pub attempt_path: String,
    /// The phase it belongs to, an index into the plan's phases.
    pub phase: u32,
    /// How far it is, and whether it must stop.
    pub progress: Arc<Progress>,
}

impl TaskContext {
    /// Where files go that only later phases read, relative to the output.
    pub fn phase_directory(&self) -> String {
        self.job.plan.phases.get(self.phase as usize).map_or_else(
            || format!(".orchestrator/phases/{:02}", self.phase),
            orchestrator_job::Phase::directory,
        )
    }

    /// The name of a stage (`filter`) by its index.
    pub fn stage_name(&self, stage: u32) -> &str {
        self.job.plan.stages.get(stage as usize).map_or("?", |stage| stage.name.as_str())
    }

    /// The directory of a stage (`stages/03-filter`), relative to the output.
    pub fn stage_directory(&self, stage: u32) -> String {
        let directory =
            self.job.plan.stages.get(stage as usize).map_or("?", |stage| stage.directory.as_str());
        format!("stages/{directory}")
    }
}

/// Counters that the worker reads while the task runs, and the word to stop.
#[derive(Debug, Default)]
pub struct Progress {
    records: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Adds to what was done.
    pub fn add(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records and bytes done so far.
    pub fn done(&self) -> (u64, u64) {
        (self.records.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Tells the task to stop at its next record.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the task was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// An error if the task was told to stop.
    pub fn check(&self) -> Result<(), TaskError> {
        if self.is_stopped() { Err(TaskError::Stopped) } else { Ok(()) }
    }
}
