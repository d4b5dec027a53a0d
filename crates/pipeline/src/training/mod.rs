//! Between the data plane and the trainer: what the job's `train` stage and the token shards mean to it.
//!
//! A rank process (in the worker crate) puts these together with a collective and runs the loop.

mod checkpoints;
mod digest;
mod options;
mod start;
mod tokens;

pub use checkpoints::{StagedCheckpoint, StoredCheckpoint, checkpoint_steps, expire, last_checkpoint};
pub use digest::model_digest;
pub use options::{model_config, train_options};
pub use start::{adopt, initial_weights, model_file};
pub use tokens::{ShardTokens, shard_names};

use orchestrator_storage::{RelativePath, Store};
use orchestrator_text::tokenizer::Tokenizer;

use crate::error::TaskError;
use crate::tokenize::TOKENIZER_PATH;

/// The largest tokenizer that is read back.
const TOKENIZER_LIMIT: u64 = 256 << 20;

/// The tokenizer that a run's tokens were made with.
pub fn tokenizer(output: &Store, end_of_text: &str) -> Result<Tokenizer, TaskError> {
    let bytes = output.read_all(&RelativePath::new(TOKENIZER_PATH)?, TOKENIZER_LIMIT)?;
    Tokenizer::from_json(&bytes, end_of_text).map_err(|error| TaskError::corrupt(TOKENIZER_PATH, error))
}
