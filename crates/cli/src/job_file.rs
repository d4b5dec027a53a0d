//! From the path of a job file to a resolved job with frozen inputs.

use std::path::Path;

use anyhow::Context;
use orchestrator_job::{InputFile, Job, Resolved, StageFile, Surroundings};
use orchestrator_pipeline::inputs;
use orchestrator_storage::AllowedRoots;

use crate::failure::Failure;

/// Reads, checks and resolves a job file.
pub(crate) fn load(path: &Path) -> Result<Job, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the job file `{}` cannot be read", path.display()))
        .map_err(Failure::usage)?;
    let file = orchestrator_job::parse(&text, &path.display().to_string())?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
        .canonicalize()
        .context("the directory of the job file cannot be found")?;
    let surroundings = Surroundings {
        directory: directory.to_string_lossy().into_owned(),
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
    };
    Ok(file.resolve(&surroundings)?)
}

/// Freezes what a job reads.
pub(crate) fn freeze(job: Job) -> Result<Resolved, Failure> {
    let inputs = match job.read() {
        Some((_, read)) => inputs::freeze(read).map_err(Failure::usage)?,
        None => Vec::new(),
    };
    let files = job
        .stage_files()
        .into_iter()
        .map(|(stage, key, url)| freeze_files(stage, &key, &url))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Resolved { job, inputs, files: files.into_iter().flatten().collect() })
}

/// Freezes the models, examples and tokenizers that a stage names. A tokenizer may be a directory, whose file is chosen
/// when it is read.
fn freeze_files(stage: u32, key: &str, url: &str) -> Result<Vec<StageFile>, Failure> {
    let found = inputs::find(url, &AllowedRoots::any()).map_err(Failure::usage);
    let found = if key == "tokenizer" { found.unwrap_or_default() } else { found? };
    if found.is_empty() && key != "tokenizer" {
        return Err(Failure::usage(anyhow::anyhow!(
            "`{key}` of stage {stage} names `{url}`, which does not exist"
        )));
    }
    Ok(found
        .into_iter()
        .map(|(url, entry)| {
            let source = url.rsplit('/').next().unwrap_or(&url).to_owned();
            let file = InputFile { url, source, bytes: entry.bytes, stamp: entry.stamp };
            StageFile { stage, key: key.to_owned(), file }
        })
        .collect())
}
