//! Documents to tokens: choose what is held out, get the tokenizer, encode part by part.
//!
//! ```text
//!  all parts ─▶ prepare: held-out.json (a threshold), tokens/tokenizer.json
//!                  │
//!  a part ─────────┴▶ encode: tokens/train-NNNNN.{bin,idx,docs.parquet}, tokens/validation-NNNNN.…,
//!                             dropped-NNNNN.parquet where documents are of other languages than the stage's
//! ```

mod books;
mod encode;
mod held_out;
mod prepare;

pub(crate) use encode::{Inputs, run as run_tokenize};
pub use held_out::HeldOut;
pub(crate) use prepare::run as run_prepare;

use orchestrator_core::Document;
use orchestrator_job::Stage;
use orchestrator_text::step::applies;
use orchestrator_text::tokenizer::TokenizeConfig;

use crate::context::TaskContext;
use crate::error::TaskError;

/// Where the job's tokenizer lies, relative to the output.
pub const TOKENIZER_PATH: &str = "tokens/tokenizer.json";

fn config(context: &TaskContext, stage: u32) -> Result<&TokenizeConfig, TaskError> {
    match context.job.job.pipeline.get(stage as usize) {
        Some(Stage::Tokenize(config)) => Ok(config),
        _ => Err(TaskError::configuration(
            "tokenize",
            format!("stage {stage} of the job is no tokenize stage"),
        )),
    }
}

/// Whether a document becomes tokens. Those of other languages than the stage's end here.
fn takes(config: &TokenizeConfig, document: &Document) -> bool {
    applies(&config.languages, None, document)
}
