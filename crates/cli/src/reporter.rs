//! The report task: analytics over the output, written through the attempt like any other result.

use std::path::{Path, PathBuf};

use orchestrator_analytics::{Run, report, report_html};
use orchestrator_core::TaskOutcome;
use orchestrator_pipeline::{Reporter, TaskContext, TaskError};
use orchestrator_storage::{RelativePath, Store};

/// A remote output is copied to this machine for the report; of more than this only the small files are.
const COPY_LIMIT: u64 = 4 << 30;

/// Writes reports with Polars.
pub(crate) struct AnalyticsReporter;

impl Reporter for AnalyticsReporter {
    fn write(&self, context: &TaskContext) -> Result<TaskOutcome, TaskError> {
        let store = &context.job.output;
        let copy;
        let root = if let Some(root) = store.local_path(&RelativePath::root()) {
            root
        } else {
            copy = local_copy(store, &context.job.host.scratch)?;
            copy.path().to_owned()
        };
        let wrong = |error: &dyn std::fmt::Display| TaskError::configuration("report", error);
        let run = Run::open(&root).map_err(|error| wrong(&error))?;
        let report = report(&run).map_err(|error| wrong(&error))?;
        let html = report_html(&report).map_err(|error| wrong(&error))?;
        let json = serde_json::to_string_pretty(&report).map_err(|error| wrong(&error))? + "\n";
        orchestrator_pipeline::write_products(
            context,
            &[("report.html", html.as_bytes()), ("report.json", json.as_bytes())],
        )
    }
}

/// Copies what a report reads.
pub(crate) fn local_copy(store: &Store, scratch: &Path) -> Result<tempfile::TempDir, TaskError> {
    let io = |path: PathBuf| TaskError::io(format!("copying the output to `{}`", path.display()));
    let directory = tempfile::tempdir_in(scratch).map_err(io(scratch.to_owned()))?;
    let mut copied = 0;
    for entry in store.list(&RelativePath::root())? {
        let path = entry.path.as_str();
        let is_large = |extension: &str| path.rsplit('.').next() == Some(extension);
        let is_small = !path.contains("/part-") && !is_large("bin") && !is_large("safetensors");
        if path.starts_with(".orchestrator/") || (!is_small && copied + entry.bytes > COPY_LIMIT) {
            continue;
        }
        copied += entry.bytes;
        let target = directory.path().join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(io(parent.to_owned()))?;
        }
        let mut file = std::fs::File::create(&target).map_err(io(target.clone()))?;
        std::io::copy(&mut store.open_reader(&entry.path, None)?, &mut file).map_err(io(target))?;
    }
    Ok(directory)
}
