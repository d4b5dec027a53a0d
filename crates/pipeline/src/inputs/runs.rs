//! What earlier runs left: the parts of a stage, the index of a dedup stage.

use orchestrator_job::spec::DedupConfig;
use orchestrator_job::{InputFile, Stage};
use orchestrator_storage::manifest::StageManifest;
use orchestrator_storage::{Entry, RelativePath, Store};

use super::{InputError, InputFault, about};

/// The index that the dedup stage of an earlier run left, made with the same options as `config`.
pub fn index_of_run(run: &str, config: &DedupConfig) -> Result<Vec<(String, Entry)>, InputError> {
    let wrong = |message: String| InputError::Index { run: run.to_owned(), message };
    let base = run.trim_end_matches('/');
    let store = Store::open(base)?;
    let text = String::from_utf8(orchestrator_storage::read_job(&store)?)
        .map_err(|_| wrong("its `job.yaml` is not UTF-8".to_owned()))?;
    let job = orchestrator_job::parse(&text, "job.yaml").map_err(|error| wrong(error.to_string()))?.job;
    let mut reason = "it has no finished `dedup` stage with `index: true`".to_owned();
    for (number, stage) in (0u32..).zip(&job.pipeline) {
        let Stage::Dedup(earlier) = stage else { continue };
        if !earlier.index {
            continue;
        }
        if let Some(difference) = config.differs(earlier) {
            reason = format!("{difference}; expected those of this job's `dedup` stage");
            continue;
        }
        let manifest = StageManifest::path(number, "dedup")?;
        if store.try_stat(&manifest)?.is_none() {
            continue;
        }
        let mut files = Vec::new();
        for file in StageManifest::read(&store, &manifest)?.files {
            if file.path.file_name().starts_with("index-") {
                files.push((format!("{base}/{}", file.path.as_str()), store.stat(&file.path)?));
            }
        }
        return Ok(files);
    }
    Err(wrong(reason))
}

/// The parts of a stage of an earlier run, which keep their documents' ids.
pub(super) fn parts_of_run(run: &str, stage: &str) -> Result<Vec<InputFile>, InputFault> {
    let (store, stages) = stages_of_run(run).map_err(about("run"))?;
    if stages.is_empty() {
        let message =
            "no finished stage lies there: expected the output of a job, with `stages/NN-NAME/manifest.json`";
        return Err(about("run")(InputError::Run { run: run.to_owned(), message: message.to_owned() }));
    }
    choose_stage(&store, &stages, run, stage).map_err(about("stage"))
}

/// The finished stages of a run: their directories below `stages/`, and their manifests.
fn stages_of_run(run: &str) -> Result<(Store, Vec<(String, RelativePath)>), InputError> {
    let store = Store::open(run)?;
    let stages = store
        .list(&RelativePath::new("stages")?)?
        .into_iter()
        .filter_map(|entry| {
            let directory = entry.path.as_str().strip_prefix("stages/")?.strip_suffix("/manifest.json")?;
            Some((directory.to_owned(), entry.path))
        })
        .collect();
    Ok((store, stages))
}

fn choose_stage(
    store: &Store,
    stages: &[(String, RelativePath)],
    run: &str,
    stage: &str,
) -> Result<Vec<InputFile>, InputError> {
    let wrong = |message: String| InputError::Run { run: run.to_owned(), message };
    let name_of = |directory: &str| directory.split_once('-').map_or("", |(_, name)| name).to_owned();
    let has_parts = |path: &RelativePath| -> Result<Option<StageManifest>, InputError> {
        let manifest = StageManifest::read(store, path)?;
        let parts = manifest.files.iter().any(|file| file.path.file_name().starts_with("part-"));
        Ok(parts.then_some(manifest))
    };
    let Some(place) =
        stages.iter().position(|(directory, _)| directory == stage || name_of(directory) == stage)
    else {
        let names: Vec<String> = stages.iter().map(|(directory, _)| name_of(directory)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut readable = Vec::new();
        for (directory, path) in stages {
            if has_parts(path)?.is_some() {
                readable.push(format!("`{directory}`"));
            }
        }
        return Err(wrong(format!(
            "it has no finished stage `{stage}`{}; expected one of those that wrote documents: {}",
            orchestrator_job::nearest(stage, &names),
            readable.join(", ")
        )));
    };
    let Some(manifest) = has_parts(&stages[place].1)? else {
        let mut nearest = None;
        for (directory, path) in stages[place..].iter().chain(stages[..place].iter().rev()) {
            if has_parts(path)?.is_some() {
                nearest = Some(directory.clone());
                break;
            }
        }
        let nearest = nearest.unwrap_or_else(|| "none".to_owned());
        return Err(wrong(format!(
            "its stage `{stage}` wrote no documents (set `keep: true` there, in `language` `write: true`); the nearest stage that did: `{nearest}`"
        )));
    };
    let base = run.trim_end_matches('/');
    Ok(manifest
        .files
        .into_iter()
        .filter(|file| file.path.file_name().starts_with("part-"))
        .map(|file| InputFile {
            url: format!("{base}/{}", file.path.as_str()),
            source: file.path.as_str().to_owned(),
            bytes: file.bytes,
            stamp: file.xxh3.to_string(),
        })
        .collect())
}
