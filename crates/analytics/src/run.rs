//! A run, wherever it lies: its job and the manifests of its published stages.

use std::collections::BTreeMap;
use std::path::Path;

use orchestrator_storage::manifest::{SCHEMA_VERSION, StageManifest};
use orchestrator_storage::{RelativePath, Store};
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::files::Files;

/// A published stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its place in the pipeline: the `NN` of its directory.
    pub number: u32,
    /// Its name in the job file, for example `filter`.
    pub name: String,
    /// Its name in SQL: `name`, and `name_2` for the second stage of one name.
    pub table: String,
    /// What it published.
    pub manifest: StageManifest,
}

impl Stage {
    /// How many records ended in this stage.
    pub fn dropped(&self) -> u64 {
        self.manifest.dropped.values().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// Whether documents pass through the stage: up to `tokenize`.
    pub(crate) fn is_of_documents(&self) -> bool {
        !matches!(self.name.as_str(), "train" | "export" | "report")
    }

    /// Whether the stage wrote its documents.
    pub fn is_materialised(&self) -> bool {
        self.files("part-").next().is_some()
    }

    /// The stage's `samples-NNNNN.json`, as paths relative to the output.
    pub(crate) fn samples(&self) -> impl Iterator<Item = &str> {
        let files = self.manifest.files.iter().map(|file| &file.path);
        files.filter(|path| path.file_name().starts_with("samples-")).map(RelativePath::as_str)
    }

    /// The stage's Parquet files whose names start with `prefix`, as paths relative to the output.
    pub(crate) fn files<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let files = self.manifest.files.iter().map(|file| &file.path);
        let wanted = files.filter(move |path| {
            let name = Path::new(path.file_name());
            path.file_name().starts_with(prefix) && name.extension().is_some_and(|e| e == "parquet")
        });
        wanted.map(RelativePath::as_str)
    }
}

/// An output directory, opened: manifests are in memory, tables are scanned when asked for.
#[derive(Debug)]
pub struct Run {
    files: Files,
    name: Option<String>,
    seed: Option<u64>,
    stages: Vec<Stage>,
    /// Steps of the job's pipeline; 0 where `job.yaml` does not tell.
    steps: usize,
    /// Outputs of earlier runs that the job began with, each with the stage it took.
    earlier: Vec<(String, String)>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Job {
    name: Option<String>,
    seed: Option<u64>,
    pipeline: Vec<Value>,
}

impl Job {
    /// The earlier runs that its read steps name.
    fn earlier(&self) -> Vec<(String, String)> {
        let reads = self.pipeline.iter().filter_map(|step| step.get("read"));
        let named = reads.filter_map(|read| Some((read.get("run")?.as_str()?, read.get("stage")?.as_str()?)));
        named.map(|(run, stage)| (run.to_owned(), stage.to_owned())).collect()
    }
}

impl Run {
    /// Opens the output at a path or URL and reads the manifest of every stage that was published.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::open_in(Store::open(url)?, None)
    }

    /// Opens an output; what is fetched of a remote one lies in `scratch` meanwhile, by default where this machine keeps
    /// temporary files.
    pub fn open_in(store: Store, scratch: Option<&Path>) -> Result<Self, Error> {
        let files = Files::open(store, scratch)?;
        let below = files.below("stages")?;
        if below.is_empty() && !files.has("job.yaml")? {
            return Err(Error::NotARun(files.url()));
        }
        // The job file is only asked for its name: one that cannot be read costs the title, not the figures.
        let job = files
            .small("job.yaml")?
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| serde_saphyr::from_str::<Job>(&text).ok())
            .unwrap_or_default();
        let mut stages = Vec::new();
        // Without a manifest the stage was never published.
        for directory in below.iter().filter_map(|path| path.strip_suffix("/manifest.json")) {
            let Some((number, name)) = directory.split_once('-') else { continue };
            let Ok(number) = number.parse() else { continue };
            let path = format!("stages/{directory}/manifest.json");
            let Some(manifest) = files.json::<StageManifest>(&path)? else { continue };
            if manifest.schema_version != SCHEMA_VERSION {
                return Err(Error::SchemaVersion {
                    path: files.name(&path),
                    found: manifest.schema_version,
                    expected: SCHEMA_VERSION,
                });
            }
            stages.push(Stage { number, name: name.to_owned(), table: String::new(), manifest });
        }
        stages.sort_by_key(|stage| stage.number);
        let mut seen = BTreeMap::<String, u32>::new();
        for stage in &mut stages {
            let count = seen.entry(stage.name.clone()).or_default();
            *count += 1;
            stage.table = if *count == 1 { stage.name.clone() } else { format!("{}_{count}", stage.name) };
        }
        let (earlier, steps) = (job.earlier(), job.pipeline.len());
        Ok(Self { files, name: job.name, seed: job.seed, stages, steps, earlier })
    }

    /// The files of the output.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// The job's name, if `job.yaml` gives it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The job's seed, if `job.yaml` gives it.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// Outputs of the earlier runs that the job began with, each with the stage whose documents it took.
    pub fn earlier(&self) -> impl Iterator<Item = (&str, &str)> {
        self.earlier.iter().map(|(run, stage)| (run.as_str(), stage.as_str()))
    }

    /// Published stages in the order of the pipeline.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Whether the last step of the job was published.
    pub fn is_finished(&self) -> bool {
        self.steps > 0 && self.stages.iter().any(|stage| stage.number as usize + 1 == self.steps)
    }

    /// Where a stage's manifest lies, relative to the output.
    pub(crate) fn manifest_path(stage: &Stage) -> String {
        format!("stages/{:02}-{}/manifest.json", stage.number, stage.name)
    }

    /// Published stages that see documents, in order: all up to `tokenize`.
    pub(crate) fn document_stages(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(|stage| stage.is_of_documents())
    }

    /// The last stage that wrote its documents.
    pub(crate) fn last_materialised(&self) -> Option<&Stage> {
        self.stages.iter().rev().find(|stage| stage.is_materialised())
    }

    /// Names of the published checkpoints, lowest step first.
    pub(crate) fn checkpoints(&self) -> Result<Vec<String>, Error> {
        let below = self.files.below("checkpoints")?;
        let names = below.iter().filter_map(|path| path.strip_suffix("/manifest.json"));
        Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }
}
