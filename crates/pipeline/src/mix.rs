//! The mix stage's barrier: sizes of the groups become epochs; and the mixture for those who draw documents by it.

use orchestrator_core::{FileKind, TaskOutcome};
use orchestrator_job::PartRef;
use orchestrator_job::spec::MixConfig;
use orchestrator_storage::RelativePath;
use orchestrator_text::mix::{GroupSize, Groups, Mixer, Mixture};

use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::table::TableReader;

/// Columns of a size table; its rows are the groups, in order.
pub(crate) const COLUMNS: [&str; 2] = ["documents", "bytes"];
/// The largest `mixture.json`.
const MIXTURE_LIMIT: u64 = 16 << 20;

fn config(context: &TaskContext) -> Result<&MixConfig, TaskError> {
    let stage = context.job.job.mix();
    stage.map(|(_, config)| config).ok_or_else(|| TaskError::configuration("mix", "the job has no mix stage"))
}

/// The job's groups.
pub(crate) fn groups(context: &TaskContext) -> Result<Groups, TaskError> {
    Groups::new(config(context)?).map_err(|error| TaskError::configuration("mix", error))
}

/// Reads a committed mixture.
pub(crate) fn mixer(context: &TaskContext, file: &PartRef) -> Result<Mixer, TaskError> {
    let bytes = context.job.output.read_all(&RelativePath::new(&*file.path)?, MIXTURE_LIMIT)?;
    let mixture: Mixture =
        serde_json::from_slice(&bytes).map_err(|error| TaskError::corrupt(&file.path, error))?;
    Mixer::new(config(context)?, mixture).map_err(|error| TaskError::configuration("mix", error))
}

/// Sums the groups' sizes and writes `mixture.json`.
pub(crate) fn run(context: &TaskContext, stage: u32, sizes: &[PartRef]) -> Result<TaskOutcome, TaskError> {
    let mut totals = vec![GroupSize::default(); groups(context)?.count()];
    for part in sizes {
        context.progress.check()?;
        let mut group = 0;
        for rows in TableReader::open(&context.job.output, &part.path, &COLUMNS)? {
            let rows = rows?;
            let [documents, bytes] = COLUMNS.map(|column| rows.numbers(column));
            for (documents, bytes) in documents?.zip(bytes?) {
                let total = totals.get_mut(group).ok_or_else(|| {
                    TaskError::corrupt(&part.path, "more rows than the job has groups of documents")
                })?;
                total.documents += documents.unwrap_or_default();
                total.bytes += bytes.unwrap_or_default();
                group += 1;
            }
        }
        context.progress.add(group as u64, 0);
    }
    let mixture = Mixture::decide(config(context)?, context.job.job.seed, &totals);
    let path = format!("{}/mixture.json", context.stage_directory(stage));
    let mut text =
        serde_json::to_string_pretty(&mixture).map_err(|error| TaskError::corrupt(&path, error))?;
    text.push('\n');
    let mut files = AttemptFiles::new(context);
    files.write(stage, FileKind::Product, path, 0, text.as_bytes())?;
    let detail = serde_json::to_value(&mixture).map_err(|error| TaskError::configuration("mix", error))?;
    Ok(TaskOutcome { files: files.into_records(), detail, ..TaskOutcome::default() })
}
