//! From the path of a job file to a resolved job with frozen inputs.

use std::path::Path;

use anyhow::Context;
use orchestrator_job::{InputFile, Job, Resolved, StageFile, Surroundings};
use orchestrator_pipeline::inputs;
use orchestrator_storage::{AllowedRoots, Entry};
use orchestrator_text::tokenizer::TokenizerSource;

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

/// Freezes the models, examples and tokenizers that a stage names. A tokenizer may be a directory, or more than one file.
fn freeze_files(stage: u32, key: &str, url: &str) -> Result<Vec<StageFile>, Failure> {
    let found = if key == "tokenizer" { tokenizer_files(url)? } else { find(url)? };
    if found.is_empty() {
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

/// The files that a pattern names, for whoever hands the job in.
fn find(pattern: &str) -> Result<Vec<(String, Entry)>, Failure> {
    inputs::find(pattern, &AllowedRoots::any()).map_err(Failure::usage)
}

/// The files of the first kind of tokenizer that is there, as the tokenize stage will choose it.
fn tokenizer_files(location: &str) -> Result<Vec<(String, Entry)>, Failure> {
    let candidates = TokenizerSource::candidates(location);
    for source in &candidates {
        let mut files = Vec::new();
        for path in source.paths() {
            files.extend(find(path)?);
        }
        if files.len() == source.paths().len() {
            return Ok(files);
        }
    }
    let expected: Vec<String> = candidates.iter().map(|source| source.paths().join(" with ")).collect();
    Err(Failure::usage(anyhow::anyhow!(
        "no tokenizer at `{location}`: expected one of {}",
        expected.join(", ")
    )))
}
