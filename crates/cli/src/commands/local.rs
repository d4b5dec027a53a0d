//! Verbs that need nothing but the job file.

use std::path::Path;

use clap::CommandFactory;
use serde_json::json;

use crate::args::Cli;
use crate::console::{Console, count};
use crate::failure::Failure;
use crate::job_file;

/// Checks a job file and its inputs.
pub(crate) fn validate(path: &Path, console: &Console) -> Result<(), Failure> {
    let resolved = job_file::freeze(job_file::load(path)?, console)?;
    let bytes: u64 = resolved.inputs.iter().map(|input| input.bytes).sum();
    let value = json!({
        "valid": true, "name": resolved.job.name, "stages": resolved.job.pipeline.len(),
        "inputs": resolved.inputs.len(), "bytes": bytes,
    });
    console.result(&value, || {
        format!(
            "`{}` is valid: {} stages, {} input files, {}",
            resolved.job.name,
            resolved.job.pipeline.len(),
            count(resolved.inputs.len() as u64),
            orchestrator_core::units::ByteSize(bytes)
        )
    })
}

/// Prints the JSON Schema of the job file.
pub(crate) fn schema(console: &Console) -> Result<(), Failure> {
    let schema = serde_json::to_string_pretty(&orchestrator_job::schema()).map_err(anyhow::Error::from)?;
    console.text(&(schema + "\n"))
}

/// Prints the reference of the job file.
pub(crate) fn reference(console: &Console) -> Result<(), Failure> {
    console.text(&orchestrator_job::reference())
}

/// Prints a shell's completions.
pub(crate) fn completions(shell: clap_complete::Shell, console: &Console) -> Result<(), Failure> {
    let mut command = Cli::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "orchestrator", &mut script);
    console.text(&String::from_utf8_lossy(&script))
}
