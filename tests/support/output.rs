//! Reads what a run left, and holds it to the contract.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use orchestrator_core::{Digest, Document, DocumentId, Dropped, Note};
use orchestrator_storage::documents::{DocumentReader, DroppedReader, NotesReader, Projection};
use orchestrator_storage::manifest::StageManifest;
use orchestrator_storage::{RelativePath, Store};
use serde_json::Value;

/// The output of a finished run.
pub(crate) struct Output {
    root: PathBuf,
    store: Store,
}

impl Output {
    pub(crate) fn new(root: PathBuf) -> Self {
        let store = Store::open(root.to_str().expect("UTF-8")).expect("a local store");
        Self { root, store }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub(crate) fn text(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
    }

    pub(crate) fn json(&self, relative: &str) -> Value {
        serde_json::from_str(&self.text(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
    }

    /// The manifests of all stages, by directory.
    pub(crate) fn manifests(&self) -> BTreeMap<String, StageManifest> {
        names(&self.path("stages"))
            .into_iter()
            .map(|name| {
                let path =
                    RelativePath::new(format!("stages/{name}/manifest.json")).expect("a relative path");
                let manifest =
                    StageManifest::read(&self.store, &path).unwrap_or_else(|error| panic!("{error:?}"));
                (name, manifest)
            })
            .collect()
    }

    /// The manifest of the stage with this name.
    #[track_caller]
    pub(crate) fn manifest(&self, name: &str) -> StageManifest {
        let found = self.manifests().into_values().find(|manifest| manifest.name == name);
        found.unwrap_or_else(|| panic!("no stage `{name}`"))
    }

    /// Checks what holds for every run: manifests balance and name files that are as they say, each stage takes in what
    /// the one before kept, files hold as many rows as was counted, nothing unfinished lies about.
    #[track_caller]
    pub(crate) fn check(&self) -> &Self {
        let mut before: Option<u64> = None;
        for (directory, manifest) in self.manifests() {
            assert!(manifest.balances(), "{directory}: in = kept + dropped");
            manifest.verify(&self.store).unwrap_or_else(|error| panic!("{directory}: {error:?}"));
            if matches!(manifest.name.as_str(), "train" | "export") {
                continue;
            }
            if let Some(kept) = before {
                assert_eq!(manifest.records_in, kept, "{directory} takes in what was kept before it");
            }
            before = Some(manifest.kept);
            let dropped: u64 = manifest.dropped.values().sum();
            assert_eq!(
                self.dropped(&manifest.name).len() as u64,
                dropped,
                "{directory}: rows of dropped files"
            );
            let mut by_rule = BTreeMap::new();
            for row in self.dropped(&manifest.name) {
                *by_rule.entry(row.reason.rule.to_string()).or_insert(0) += 1;
            }
            assert_eq!(by_rule, manifest.dropped, "{directory}: counts by rule");
            let parts = Self::files(&manifest, "part-");
            if !parts.is_empty() {
                assert_eq!(
                    self.documents(&manifest.name).len() as u64,
                    manifest.kept,
                    "{directory}: rows of parts"
                );
            }
        }
        for file in ["job.yaml", "report.html", "report.json"] {
            assert!(self.path(file).is_file(), "{file} exists");
        }
        assert!(self.text("report.html").contains("</html>"), "the report is whole");
        self.json("report.json");
        self
    }

    fn files(manifest: &StageManifest, prefix: &str) -> Vec<RelativePath> {
        manifest
            .files
            .iter()
            .filter(|file| file.path.as_str().rsplit('/').next().is_some_and(|name| name.starts_with(prefix)))
            .map(|file| file.path.clone())
            .collect()
    }

    /// The documents of a stage, in order.
    #[track_caller]
    pub(crate) fn documents(&self, stage: &str) -> Vec<Document> {
        let files = Self::files(&self.manifest(stage), "part-");
        let open = |path| DocumentReader::open(&self.store, path, Projection::All).expect("a part");
        files.iter().flat_map(open).map(|row| row.expect("a row of a part")).collect()
    }

    /// What a stage dropped, in order.
    #[track_caller]
    pub(crate) fn dropped(&self, stage: &str) -> Vec<Dropped> {
        let files = Self::files(&self.manifest(stage), "dropped-");
        let open = |path| DroppedReader::open(&self.store, path).expect("a file of dropped records");
        files.iter().flat_map(open).map(|row| row.expect("a row of a dropped file")).collect()
    }

    /// What a stage noted, in order.
    #[track_caller]
    pub(crate) fn notes(&self, stage: &str) -> Vec<(DocumentId, Note)> {
        let files = Self::files(&self.manifest(stage), "notes-");
        let open = |path| NotesReader::open(&self.store, path).expect("a file of notes");
        files.iter().flat_map(open).map(|row| row.expect("a row of a notes file")).collect()
    }

    /// All that must be equal for equal jobs: the digest of every stage, the bytes of every file of rows, token, model
    /// and checkpoint.
    pub(crate) fn digests(&self) -> BTreeMap<String, String> {
        let mut digests: BTreeMap<String, String> = self
            .manifests()
            .into_iter()
            .map(|(directory, manifest)| (directory, manifest.digest.to_string()))
            .collect();
        for top in ["stages", "tokens", "model", "checkpoints"] {
            self.hash_files(top, &mut digests);
        }
        digests
    }

    fn hash_files(&self, directory: &str, digests: &mut BTreeMap<String, String>) {
        for name in names(&self.path(directory)) {
            let relative = format!("{directory}/{name}");
            let path = self.path(&relative);
            if path.is_dir() {
                self.hash_files(&relative, digests);
            } else if name != "manifest.json" && !name.starts_with(".tmp-") {
                // Manifests tell the times of inputs; their digests are compared above. The store shows no file whose
                // writer was killed before it could rename it.
                let bytes = std::fs::read(&path).expect("a file of the run");
                digests.insert(relative, Digest::of(&bytes).to_string());
            }
        }
    }

    /// (step, loss) of every line of `metrics.jsonl` that has both.
    pub(crate) fn losses(&self) -> Vec<(u64, f64)> {
        let text = self.text("metrics.jsonl");
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
            .filter_map(|line| Some((line["step"].as_u64()?, line["loss"].as_f64()?)))
            .collect()
    }
}

/// The names in a directory, sorted; none where there is none.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
