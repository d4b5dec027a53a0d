//! Runs a job's phases in this process, one task after another, as the coordinator and a worker would.

#![allow(dead_code, reason = "each suite is a crate of its own and uses its part of this")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orchestrator_core::{Document, Dropped, FROZEN_FILES, FileKind, Note, TaskOutcome};
use orchestrator_job::{Job, Plan, TaskSpec, expand};
use orchestrator_pipeline::{
    Host, JobContext, Progress, Reporter, Resume, SEGMENT_BYTES, TaskContext, TaskError, inputs,
};
use orchestrator_storage::documents::{DocumentReader, DroppedReader, NotesReader, Projection};
use orchestrator_storage::{AllowedRoots, RelativePath, Store};
use serde_json::{Value, json};

/// Writes no report: it stands in a crate that the pipeline does not know.
struct NoReport;

impl Reporter for NoReport {
    fn write(&self, _: &TaskContext) -> Result<TaskOutcome, TaskError> {
        Ok(TaskOutcome::default())
    }
}

/// In which order the tasks of a phase run; no result may depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    FirstToLast,
    LastToFirst,
}

/// A finished job's output.
pub(crate) struct Run {
    pub(crate) root: PathBuf,
    store: Store,
    pub(crate) outcomes: Vec<Vec<TaskOutcome>>,
    pub(crate) plan: Plan,
}

/// A job whose output is `root`, over JSONL files.
pub(crate) fn job(root: &Path, target_bytes: &str, pipeline: &Value) -> Job {
    let job = json!({"name": "job", "output": root, "target_bytes": target_bytes, "pipeline": pipeline});
    serde_json::from_value(job).expect("a job")
}

/// Runs one task: what it leaves lies under the attempt's path that its outcome comes with.
pub(crate) type Runner<'a> =
    &'a mut dyn FnMut(&Arc<JobContext>, u32, &TaskSpec) -> Result<(String, TaskOutcome), String>;

/// Runs all phases; the error is that of the task or of the expansion that failed.
pub(crate) fn run(root: &Path, job: &Job, order: Order) -> Result<Run, String> {
    run_segmented(root, job, order, SEGMENT_BYTES)
}

/// The same with segments of so many bytes.
pub(crate) fn run_segmented(root: &Path, job: &Job, order: Order, segment_bytes: u64) -> Result<Run, String> {
    run_with(root, job, order, segment_bytes, &mut |shared, phase, spec| {
        let attempt_path = format!(".orchestrator/attempts/{phase}/{}/1", spec.number);
        let context = TaskContext {
            job: Arc::clone(shared),
            attempt_path: attempt_path.clone(),
            phase,
            progress: Arc::new(Progress::default()),
            resume: Resume::default(),
        };
        let outcome = orchestrator_pipeline::run(&context, spec).map_err(|error| error.to_string())?;
        Ok((attempt_path, outcome))
    })
}

/// Runs all phases with segments of so many bytes, each task by `runner`.
pub(crate) fn run_with(
    root: &Path,
    job: &Job,
    order: Order,
    segment_bytes: u64,
    runner: Runner<'_>,
) -> Result<Run, String> {
    let plan = Plan::new(job);
    let store = Store::open(root.to_str().expect("UTF-8")).expect("a local store");
    let host = Host {
        scratch: root.join("scratch"),
        reporter: Arc::new(NoReport),
        roots: AllowedRoots::any(),
        models: Arc::default(),
    };
    let (_, read) = job.read().expect("a read stage");
    let frozen = inputs::freeze(read, &job.output).map_err(|fault| fault.error.to_string())?.files;
    let text = job.to_yaml().map_err(|error| error.to_string())?;
    for (path, text) in [("job.yaml", text.as_str()), (FROZEN_FILES, "[]")] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("its directory");
        std::fs::write(path, text).expect("the job");
    }
    let mut shared = JobContext::load(store.clone(), host).map_err(|error| error.to_string())?;
    shared.segment_bytes = segment_bytes;
    let shared = Arc::new(shared);
    let mut outcomes: Vec<Vec<TaskOutcome>> = Vec::new();
    for phase in &plan.phases {
        let specs =
            expand(&shared.job, &plan, phase.index, &frozen, &outcomes).map_err(|error| error.to_string())?;
        let mut done = vec![TaskOutcome::default(); specs.len()];
        let mut numbers: Vec<usize> = (0..specs.len()).collect();
        if order == Order::LastToFirst {
            numbers.reverse();
        }
        for number in numbers {
            let (attempt_path, outcome) = runner(&shared, phase.index, &specs[number])?;
            done[number] = outcome;
            for file in &done[number].files {
                let to = root.join(&file.path);
                std::fs::create_dir_all(to.parent().expect("a directory")).expect("its directory");
                std::fs::rename(root.join(&attempt_path).join(&file.path), to).expect("the file it named");
            }
        }
        outcomes.push(done);
    }
    Ok(Run { root: root.to_owned(), store, outcomes, plan })
}

impl Run {
    /// Every file of a kind that a stage left, in order.
    fn files(&self, stage: &str, kind: FileKind) -> Vec<RelativePath> {
        let stage = self.plan.stages.iter().find(|planned| planned.name == stage).expect("a stage").index;
        let files = self.outcomes.iter().flatten().flat_map(|outcome| &outcome.files);
        files
            .filter(|file| file.stage == stage && file.kind == kind)
            .map(|file| RelativePath::new(&*file.path).expect("a relative path"))
            .collect()
    }

    pub(crate) fn documents(&self, stage: &str) -> Vec<Document> {
        let files = self.files(stage, FileKind::Part);
        let open = |path| DocumentReader::open(&self.store, path, Projection::All).expect("a part");
        files.iter().flat_map(open).map(|row| row.expect("a document")).collect()
    }

    pub(crate) fn dropped(&self, stage: &str) -> Vec<Dropped> {
        let files = self.files(stage, FileKind::Dropped);
        let open = |path| DroppedReader::open(&self.store, path).expect("a dropped file");
        files.iter().flat_map(open).map(|row| row.expect("a row")).collect()
    }

    pub(crate) fn notes(&self, stage: &str) -> Vec<(orchestrator_core::DocumentId, Note)> {
        let files = self.files(stage, FileKind::Notes);
        let open = |path| NotesReader::open(&self.store, path).expect("a notes file");
        files.iter().flat_map(open).map(|row| row.expect("a row")).collect()
    }

    /// Every file that a task left, with its bytes' hash, for comparisons.
    pub(crate) fn bytes(&self) -> Vec<(String, String)> {
        let files = self.outcomes.iter().flatten().flat_map(|outcome| &outcome.files);
        files.map(|file| (file.path.clone(), file.xxh3.to_string())).collect()
    }
}
