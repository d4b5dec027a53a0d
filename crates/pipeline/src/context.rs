//! Everything a task may touch, handed to it: no globals, no environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use orchestrator_core::{Digest, FROZEN_FILES, TaskOutcome};
use orchestrator_job::{InputFile, Job, JobFileError, Plan, StageFile};
use orchestrator_storage::{AllowedRoots, OpenOptions, RelativePath, Store};

use crate::error::TaskError;
use crate::inputs::{self, InputError};
use crate::models::ModelCache;
use crate::resume::{Resume, SEGMENT_BYTES};
use crate::sample::RecordSample;
use crate::shared::Shared;

/// What a worker process lends to every job that it works on.
#[derive(Clone)]
pub struct Host {
    /// Where spilled data may lie while a task runs.
    pub scratch: PathBuf,
    /// Writes the report; it stands in a crate that the pipeline does not know.
    pub reporter: Arc<dyn Reporter>,
    /// Places that jobs may name: nothing else is opened for them.
    pub roots: AllowedRoots,
    /// Models that tasks share, of whatever job.
    pub models: Arc<ModelCache>,
}

/// What all tasks of one job on one worker share.
pub struct JobContext {
    /// The resolved job.
    pub job: Job,
    /// Its plan.
    pub plan: Plan,
    /// The job's output.
    pub output: Store,
    /// What the process lends.
    pub host: Host,
    /// The least of its input, in decoded bytes, that a map task works on between two savepoints. Equal for all workers of
    /// a job: row groups end there, so files have other bytes where it is another.
    pub segment_bytes: u64,
    /// Models, lists and tokenizers as they were when the job was handed in, by URL.
    frozen: BTreeMap<String, InputFile>,
    /// Hashes of the model files and keys that tasks of this job have read, by location: a job keeps what it began with.
    prints: Mutex<BTreeMap<String, Digest>>,
    /// What stages load once for all tasks of the job.
    pub(crate) shared: Shared,
    /// Where not all records are read: which of them.
    pub(crate) sample: Option<RecordSample>,
}

/// The longest list of frozen files: examples may be thousands.
const FROZEN_FILES_LIMIT: u64 = 256 << 20;

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
    /// The list of frozen files is none.
    #[error("`{FROZEN_FILES}` in the output is no list of files")]
    Files(#[from] serde_json::Error),
}

impl JobContext {
    /// Reads the resolved job that the coordinator left in the output.
    pub fn load(output: Store, host: Host) -> Result<Self, LoadError> {
        let files = output.read_all(&RelativePath::new(FROZEN_FILES)?, FROZEN_FILES_LIMIT)?;
        let files: Vec<StageFile> = serde_json::from_slice(&files)?;
        Self::with_files(output, host, files)
    }

    /// Reads the job of a finished run, which needs nothing that only a run in progress does: the list of frozen files may
    /// be gone.
    pub(crate) fn load_finished(output: Store, host: Host) -> Result<Self, LoadError> {
        match output.try_stat(&RelativePath::new(FROZEN_FILES)?)? {
            Some(_) => Self::load(output, host),
            None => Self::with_files(output, host, Vec::new()),
        }
    }

    fn with_files(output: Store, host: Host, files: Vec<StageFile>) -> Result<Self, LoadError> {
        let text = String::from_utf8(orchestrator_storage::read_job(&output)?)?;
        let job = orchestrator_job::parse(&text, "job.yaml")?.job;
        let frozen = files.into_iter().map(|file| (file.file.url.clone(), file.file)).collect();
        let plan = Plan::new(&job);
        Ok(Self {
            job,
            plan,
            output,
            host,
            segment_bytes: SEGMENT_BYTES,
            frozen,
            prints: Mutex::default(),
            shared: Shared::default(),
            sample: None,
        })
    }

    /// The same job, of which a sample of the records is read.
    pub(crate) fn sampling(self, sample: RecordSample) -> Self {
        Self { sample: Some(sample), ..self }
    }

    /// Finds the store of a file that the job file names, after making sure that the file is what it was when the job was
    /// handed in.
    pub fn locate(&self, url: &str) -> Result<(Store, RelativePath), TaskError> {
        let (store, path) = self.host.roots.locate(url, OpenOptions::default())?;
        if let Some(frozen) = self.frozen.get(url) {
            let found = store.try_stat(&path)?;
            if found.as_ref().map(|found| (found.bytes, &found.stamp)) != Some((frozen.bytes, &frozen.stamp))
            {
                return Err(TaskError::InputChanged {
                    url: url.to_owned(),
                    expected: format!("{} bytes, stamp {}", frozen.bytes, frozen.stamp),
                    found: found.map_or_else(
                        || "no file".to_owned(),
                        |found| format!("{} bytes, stamp {}", found.bytes, found.stamp),
                    ),
                });
            }
        }
        Ok((store, path))
    }

    /// Whether a file was there when the job was handed in, as one that the job reads beside documents.
    pub(crate) fn is_frozen(&self, url: &str) -> bool {
        self.frozen.contains_key(url)
    }

    /// The files that a pattern of the job file stood for when the job was handed in, in bytewise order of their URLs.
    /// What has come since is none of them; what has gone is found missing by [`Self::locate`].
    pub(crate) fn named(&self, pattern: &str) -> Result<Vec<String>, InputError> {
        inputs::among(pattern, self.frozen.keys().map(String::as_str))
    }

    /// A stage's model: read and parsed once for all tasks of this process.
    pub fn model<M: Send + Sync + 'static, E: std::fmt::Display>(
        &self,
        stage: &str,
        location: &ModelFile,
        parse: impl FnOnce(&[u8]) -> Result<M, E>,
    ) -> Result<Arc<M>, TaskError> {
        const LIMIT: u64 = 8 << 30;
        let key = location.to_string();
        let (print, model) = self.host.models.get(
            self.print(&key),
            || self.read(location, LIMIT),
            |bytes| {
                parse(bytes).map_err(|error| TaskError::configuration(stage, format!("`model`: {error}")))
            },
        )?;
        self.same(key, print)?;
        Ok(model)
    }

    /// The bytes of a small secret that the job file names. They are kept nowhere.
    pub fn key(&self, location: &str) -> Result<Vec<u8>, TaskError> {
        const LIMIT: u64 = 1 << 20;
        let bytes = self.read(&ModelFile::Location(location.to_owned()), LIMIT)?;
        self.same(location.to_owned(), Digest::of(&bytes))?;
        Ok(bytes)
    }

    fn read(&self, location: &ModelFile, limit: u64) -> Result<Vec<u8>, TaskError> {
        Ok(match location {
            ModelFile::Output(path) => self.output.read_all(&RelativePath::new(path)?, limit)?,
            ModelFile::Location(url) => {
                let (store, path) = self.locate(url)?;
                store.read_all(&path, limit)?
            }
        })
    }

    fn print(&self, location: &str) -> Option<Digest> {
        self.prints.lock().unwrap_or_else(PoisonError::into_inner).get(location).copied()
    }

    /// Refuses a file that is another than the job's earlier tasks here read.
    fn same(&self, location: String, print: Digest) -> Result<(), TaskError> {
        let mut prints = self.prints.lock().unwrap_or_else(PoisonError::into_inner);
        match prints.get(&location) {
            Some(before) if *before != print => Err(TaskError::InputChanged {
                url: location,
                expected: format!("a file with hash {before}"),
                found: format!("one with hash {print}"),
            }),
            Some(_) => Ok(()),
            None => {
                prints.insert(location, print);
                Ok(())
            }
        }
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
    /// Where it goes on, and who hears of its savepoints.
    pub resume: Resume,
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

    /// Sets what was done: an attempt goes on from there.
    pub(crate) fn set(&self, records: u64, bytes: u64) {
        self.records.store(records, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
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
