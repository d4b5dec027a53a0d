//! What two documents must share to be duplicates: the columns of a signature file.

use orchestrator_job::Stage;
use orchestrator_text::minhash::{DedupConfig, Method};

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
    })
}
