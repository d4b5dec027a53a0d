//! What two documents must share to be duplicates: the columns of a signature file.

use orchestrator_job::Stage;
use orchestrator_text::dedup::{DedupConfig, Method, Survivor};

use crate::context::TaskContext;
use crate::error::TaskError;

/// One key: documents with equal values in all its columns are duplicates. Two columns are halves of 128 bits.
pub(crate) struct Key {
    pub(crate) columns: Vec<String>,
}

/// The settings of a dedup stage.
pub(crate) fn config(context: &TaskContext, stage: u32) -> Result<&DedupConfig, TaskError> {
    match context.job.job.pipeline.get(stage as usize) {
        Some(Stage::Dedup(config)) => Ok(config),
        _ => Err(TaskError::configuration("dedup", format!("stage {stage} of the job is no dedup stage"))),
    }
}

/// The keys of a dedup stage: the text's hash, or one hash a band.
pub(crate) fn keys(context: &TaskContext, stage: u32) -> Result<Vec<Key>, TaskError> {
    let config = config(context, stage)?;
    Ok(match config.method {
        Method::Exact => vec![Key { columns: vec!["text_high".to_owned(), "text_low".to_owned()] }],
        Method::Minhash => {
            (0..config.bands).map(|band| Key { columns: vec![format!("band_{band:02}")] }).collect()
        }
        Method::Paragraph | Method::Substring => {
            return Err(TaskError::configuration("dedup", "its method compares no whole documents"));
        }
    })
}

/// The column by which the survivor of a cluster is chosen, where order alone does not decide.
pub(crate) const RANK: &str = "rank";

/// The column of an index that is 1 where the document stayed, 0 where another stayed for it.
pub(crate) const KEPT: &str = "kept";

/// The columns of a signature file beside the document's id: every key's, then the rank where there is one.
pub(crate) fn columns(context: &TaskContext, stage: u32) -> Result<Vec<String>, TaskError> {
    let mut columns: Vec<String> = keys(context, stage)?.into_iter().flat_map(|key| key.columns).collect();
    if config(context, stage)?.survivor != Survivor::First {
        columns.push(RANK.to_owned());
    }
    Ok(columns)
}
