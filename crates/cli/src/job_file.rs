//! From the path of a job file to a resolved job with frozen inputs.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use orchestrator_job::{
    Findings, InputFile, Job, JobFile, Resolved, Stage, StageFile, Surroundings, decode, takes_glob,
};
use orchestrator_pipeline::inputs;
use orchestrator_pipeline::training::{StoredCheckpoint, adopt, model_file};
use orchestrator_storage::{AllowedRoots, Entry, JOB_BYTES_MAX, OpenOptions, Store};
use orchestrator_text::perplexity::PerplexityStep;
use orchestrator_text::quality::{QualityError, QualityModel, QualityStep};
use orchestrator_text::tokenizer::{Tokenizer, TokenizerError, TokenizerSource};
use orchestrator_text::{fasttext, ngram};
use orchestrator_train::import::{ModelDirectory, open_directory};

use crate::console::Console;
use crate::failure::Failure;

/// Models and tokenizers up to this size are read whole before the work begins; into larger ones the tasks look.
const LOOKED_INTO_BYTES: u64 = 32 << 20;

/// A job and the file that it stands in, to whose places errors point.
pub(crate) struct Loaded {
    file: JobFile,
    pub(crate) job: Job,
}

/// Reads, checks and resolves a job file.
pub(crate) fn load(path: &Path) -> Result<Loaded, Failure> {
    let bytes = read_bounded(path)
        .with_context(|| format!("the job file `{}` cannot be read", path.display()))
        .map_err(Failure::usage)?;
    let name = path.display().to_string();
    let too_large = |error: anyhow::Error| Failure::usage(error.context(format!("`{name}` is too large")));
    check_size(bytes.len() as u64).map_err(too_large)?;
    let file = orchestrator_job::parse(&decode(bytes, &name)?, &name)?;
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
    let job = file.resolve(&surroundings)?;
    let yaml = job.to_yaml().context("the job cannot be written down")?;
    check_size(yaml.len() as u64).map_err(too_large)?;
    Ok(Loaded { file, job })
}

/// A file's bytes, as far as a job may have them, and one more where it has more.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(JOB_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses a job that is larger than what tasks and later commands read of `job.yaml`.
pub(crate) fn check_size(bytes: u64) -> Result<(), anyhow::Error> {
    anyhow::ensure!(
        bytes <= JOB_BYTES_MAX,
        "a job has {JOB_BYTES_MAX} bytes at most, also with every default written out: expected paths with globs, or lists in \
         files of their own, where this one has many entries"
    );
    Ok(())
}

/// A job that cannot begin.
pub(crate) struct Unfrozen {
    pub(crate) failure: Failure,
    /// Whether all that is wrong is that files are not where the job says.
    pub(crate) is_absence: bool,
}

impl From<Unfrozen> for Failure {
    fn from(unfrozen: Unfrozen) -> Self {
        unfrozen.failure
    }
}

/// Freezes what a job reads, and says what was passed by.
pub(crate) fn freeze(loaded: Loaded, console: &Console) -> Result<Resolved, Unfrozen> {
    let Loaded { file, mut job } = loaded;
    let mut findings = file.findings();
    let mut is_absence = true;
    // An output has one name, however it is written: by that the coordinator knows what it holds.
    match Store::place(&job.output) {
        Ok(place) => job.output = place,
        Err(error) => {
            is_absence = false;
            findings.note_key("output", error.to_string());
        }
    }
    if is_file(&job.output) {
        is_absence = false;
        findings.note_key("output", format!("`{}` is a file: expected a directory", job.output));
    }
    let mut inputs = Vec::new();
    if let Some((index, read)) = job.read() {
        if read.run.as_ref().is_some_and(|run| Store::place(run).is_ok_and(|place| place == job.output)) {
            is_absence = false;
            let problem =
                "it is this job's own `output`, which would be written over: expected another `output`";
            findings.note_stage(index as usize, "read", "run", problem.to_owned());
        }
        match inputs::freeze(read, &job.output) {
            Ok(frozen) => {
                frozen.remarks.iter().for_each(|remark| console.note(&format!("note: {remark}")));
                inputs = frozen.files;
            }
            Err(fault) => {
                is_absence &= fault.error.is_absence();
                findings.note_stage(index as usize, "read", &fault.key, in_words(&fault.error));
            }
        }
    }
    let mut files = Vec::new();
    for (stage, key, url) in job.stage_files() {
        let Some(config) = job.pipeline.get(stage as usize) else { continue };
        let found = match config {
            Stage::Dedup(config) => inputs::index_of_run(&url, config).map_err(|error| in_words(&error)),
            _ => find(config.name(), &key, &url),
        };
        match found {
            Ok(found) => {
                if let Err((key, message)) = look_into(config, &key, &url, &found) {
                    is_absence = false;
                    findings.note_stage(stage as usize, config.name(), &key, message);
                }
                files.extend(found.into_iter().map(|(url, entry)| frozen(stage, &key, url, entry)));
            }
            Err(message) => findings.note_stage(stage as usize, config.name(), &key, message),
        }
    }
    if findings.is_empty() {
        adopt_model(&mut job, &mut findings);
        is_absence &= findings.is_empty();
    }
    if !findings.is_empty() {
        return Err(Unfrozen { failure: findings.into_error().into(), is_absence });
    }
    Ok(Resolved { job, inputs, files })
}

/// Writes out what the job trains, where that is a model that it goes on from.
fn adopt_model(job: &mut Job, findings: &mut Findings) {
    for (index, stage) in job.pipeline.iter_mut().enumerate() {
        let Stage::Train(config) = stage else { continue };
        let Some(from) = config.from.clone() else { continue };
        let error = match open_model(&from) {
            Ok(directory) => adopt(config, &directory.config).err().map(|error| (error.key, error.message)),
            Err(message) => Some(("from".to_owned(), message)),
        };
        if let Some((key, message)) = error {
            findings.note_stage(index, "train", &key, message);
        }
    }
}

/// Whether something that is no directory lies where the output shall be.
pub(crate) fn is_file(output: &str) -> bool {
    let local = output.strip_prefix("file://").or((!output.contains("://")).then_some(output));
    local.is_some_and(|path| Path::new(path).is_file())
}

fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

fn frozen(stage: u32, key: &str, url: String, entry: Entry) -> StageFile {
    let source = url.rsplit('/').next().unwrap_or(&url).to_owned();
    StageFile {
        stage,
        key: key.to_owned(),
        file: InputFile { url, source, bytes: entry.bytes, stamp: entry.stamp },
    }
}

/// The files that a key of a stage names.
fn find(stage: &str, key: &str, url: &str) -> Result<Vec<(String, Entry)>, String> {
    match (stage, key) {
        (_, "tokenizer") => return find_tokenizer(url),
        ("train", "from") => return find_model(url),
        _ => {}
    }
    let found = if takes_glob(key) {
        inputs::find(url, &AllowedRoots::any()).map_err(|error| in_words(&error))?
    } else {
        let entry = inputs::stat(url, &AllowedRoots::any()).map_err(|error| in_words(&error))?;
        entry.map(|entry| (url.to_owned(), entry)).into_iter().collect()
    };
    if found.is_empty() {
        return Err(format!("`{url}` does not exist"));
    }
    if key == "model" {
        check_model(stage, url)?;
    }
    Ok(found)
}

/// Looks at a model's first bytes: another file is refused now and not by the first task.
fn check_model(stage: &str, url: &str) -> Result<(), String> {
    let head = || -> Result<Vec<u8>, orchestrator_storage::Error> {
        let (store, path) = Store::locate(url, OpenOptions::default())?;
        let mut head = Vec::new();
        // A failure to read shows as a head that is too short.
        let _ = store.open_reader(&path, Some(0..8))?.take(8).read_to_end(&mut head);
        Ok(head)
    };
    let head = head().map_err(|error| error.to_string())?;
    let checked = match stage {
        "quality" => QualityModel::check_head(&head).map_err(|error| error.to_string()),
        "perplexity" => ngram::Model::check_head(&head).map_err(|error| error.to_string()),
        _ => fasttext::Model::check_head(&head).map_err(|error| error.to_string()),
    };
    checked.map_err(|error| format!("`{url}`: {error}"))
}

/// Whether a stage can use the files that its key names, as far as that is cheaply known; if not, which key is wrong.
fn look_into(stage: &Stage, key: &str, url: &str, found: &[(String, Entry)]) -> Result<(), (String, String)> {
    if found.iter().any(|(_, entry)| entry.bytes > LOOKED_INTO_BYTES) {
        return Ok(());
    }
    let said = |error: &dyn std::error::Error| format!("`{url}`: {}", in_words(error));
    let read = |key: &str| read_all(found).map_err(|error| (key.to_owned(), said(&error)));
    match (stage, key) {
        (Stage::Tokenize(config), "tokenizer") => {
            let is_found = |source: &TokenizerSource| {
                source.paths().into_iter().eq(found.iter().map(|(path, _)| path.as_str()))
            };
            let Some(source) = TokenizerSource::candidates(url).into_iter().find(is_found) else {
                return Ok(());
            };
            match Tokenizer::load(&source, &read("tokenizer")?, &config.end_of_text) {
                Ok(_) => Ok(()),
                Err(error @ TokenizerError::NoEndOfText { .. }) => {
                    Err(("end_of_text".to_owned(), said(&error)))
                }
                Err(error) => Err(("tokenizer".to_owned(), said(&error))),
            }
        }
        (Stage::Quality(config), "model") => match QualityStep::new(config, &read("model")?.concat(), 0) {
            Ok(_) => Ok(()),
            Err(error @ QualityError::UnknownLabel { .. }) => Err(("label".to_owned(), said(&error))),
            Err(error) => Err(("model".to_owned(), said(&error))),
        },
        (Stage::Perplexity(config), "model") => PerplexityStep::new(config, &read("model")?.concat())
            .map(|_| ())
            .map_err(|error| ("model".to_owned(), said(&error))),
        (Stage::Language(config), "model") => match fasttext::Model::read(&read("model")?.concat()) {
            Ok(model) => config.check_labels(&model).map_err(|error| (error.key, error.message)),
            Err(error) => Err(("model".to_owned(), said(&error))),
        },
        _ => Ok(()),
    }
}

fn read_all(found: &[(String, Entry)]) -> Result<Vec<Vec<u8>>, orchestrator_storage::Error> {
    let read = |(url, _): &(String, Entry)| -> Result<Vec<u8>, orchestrator_storage::Error> {
        let (store, path) = Store::locate(url, OpenOptions::default())?;
        store.read_all(&path, LOOKED_INTO_BYTES)
    };
    found.iter().map(read).collect()
}

/// What lies in a model's directory, its tensors aside.
fn open_model(url: &str) -> Result<ModelDirectory, String> {
    let store = Store::open(url).map_err(|error| in_words(&error))?;
    open_directory(&StoredCheckpoint::new(store, ""))
        .map_err(|error| format!("`{url}`: {}", in_words(&error)))
}

/// The files of a model's directory.
fn find_model(url: &str) -> Result<Vec<(String, Entry)>, String> {
    let stat = |name: &String| {
        let file = model_file(url, name);
        let entry = inputs::stat(&file, &AllowedRoots::any()).map_err(|error| in_words(&error))?;
        entry.map(|entry| (file.clone(), entry)).ok_or_else(|| format!("`{file}` does not exist"))
    };
    open_model(url)?.files.iter().map(stat).collect()
}

/// A tokenizer may be a directory: the first of the forms that lie in it whole is the one that will be read.
fn find_tokenizer(url: &str) -> Result<Vec<(String, Entry)>, String> {
    let candidates = TokenizerSource::candidates(url);
    for source in &candidates {
        let mut found = Vec::new();
        for path in source.paths() {
            match inputs::stat(path, &AllowedRoots::any()).map_err(|error| in_words(&error))? {
                Some(entry) => found.push((path.to_owned(), entry)),
                None => break,
            }
        }
        if found.len() == source.paths().len() {
            return Ok(found);
        }
    }
    let expected: Vec<String> =
        candidates.iter().map(|source| format!("`{}`", source.paths().join("` with `"))).collect();
    Err(format!("no tokenizer at `{url}`: expected one of {}", expected.join(", ")))
}
