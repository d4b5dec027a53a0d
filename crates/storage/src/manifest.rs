//! `manifest.json` of a stage: written last, so that a stage without one does not exist.

use std::collections::BTreeMap;

use orchestrator_core::Digest;
use serde::{Deserialize, Serialize};

use crate::{Error, RelativePath, Store};

/// The form of the manifests that this build writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Files that a stage publishes before its manifest, as evidence: one that stopped its job has them and no manifest.
pub const EVIDENCE: [&str; 1] = [crate::clusters::FILE_NAME];

/// The largest manifest that is read.
const MAX_BYTES: u64 = 1 << 30;

/// A committed file of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the output.
    pub path: RelativePath,
    /// Rows in it; 0 where it has none.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// xxh3-128 of its bytes.
    pub xxh3: Digest,
}

/// What a stage read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputEntry {
    /// The source's relative name for raw inputs, the path relative to the output for parts.
    pub path: String,
    /// Its size when the plan was made.
    pub bytes: u64,
    /// Entity tag or modification time of a raw input, hash of a part. Not part of any digest.
    pub stamp: String,
}

/// What a stage did, and the files that it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageManifest {
    /// Form of this file: [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Index of the stage in the pipeline, from 0.
    pub stage: u32,
    /// Its name, as the job file spells it.
    pub name: String,
    /// Its files, in order.
    pub files: Vec<FileEntry>,
    /// What it read, in order.
    pub inputs: Vec<InputEntry>,
    /// Records that came in; always `kept` plus all of `dropped`.
    pub records_in: u64,
    /// Documents that went on.
    pub kept: u64,
    /// Dropped records by rule.
    pub dropped: BTreeMap<String, u64>,
    /// Edits and found spans by rule.
    pub noted: BTreeMap<String, u64>,
    /// Bytes of text that came in.
    pub bytes_in: u64,
    /// Bytes of text that went on.
    pub bytes_kept: u64,
    /// Over content and order, whatever the bounds of the parts.
    pub digest: Digest,
    /// Over inputs, configuration and the code version of the stage: equal fingerprints may be reused.
    pub fingerprint: Digest,
}

impl StageManifest {
    /// Where the manifest of a stage lies: `stages/NN-NAME/manifest.json`.
    pub fn path(stage: u32, name: &str) -> Result<RelativePath, Error> {
        RelativePath::new(format!("stages/{stage:02}-{name}/manifest.json"))
    }

    /// Whether every record that came in is accounted for.
    pub fn balances(&self) -> bool {
        let dropped = self.dropped.values().try_fold(0u64, |sum, &count| sum.checked_add(count));
        dropped.and_then(|dropped| dropped.checked_add(self.kept)) == Some(self.records_in)
    }

    /// Writes the manifest. Equal manifests are equal bytes.
    pub fn write(&self, store: &Store, path: &RelativePath) -> Result<(), Error> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Corrupt { path: store.name(path), detail: error.to_string() })?;
        text.push(b'\n');
        store.put_atomic(path, &text).map(drop)
    }

    /// Reads a manifest and checks its form and its balance; [`StageManifest::verify`] checks the files.
    pub fn read(store: &Store, path: &RelativePath) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let corrupt = |detail: String| Error::Corrupt { path: store.name(path), detail };
        let text = store.read_all(path, MAX_BYTES)?;
        let version: Version = serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?;
        if version.schema_version != SCHEMA_VERSION {
            let found = version.schema_version;
            return Err(corrupt(format!("expected schema version {SCHEMA_VERSION}, found {found}")));
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| corrupt(error.to_string()))?;
        if !manifest.balances() {
            return Err(corrupt("records in are not kept plus dropped".to_owned()));
        }
        Ok(manifest)
    }

    /// Reads every file through and compares sizes and hashes.
    pub fn verify(&self, store: &Store) -> Result<(), Error> {
        self.files.iter().try_for_each(|file| file.verify(store))
    }
}

impl FileEntry {
    /// Compares the stored file with this entry.
    pub fn verify(&self, store: &Store) -> Result<(), Error> {
        let mismatch = |found: String| Error::Mismatch {
            path: store.name(&self.path),
            expected_bytes: self.bytes,
            expected_hash: self.xxh3,
            found,
        };
        let bytes = store.stat(&self.path)?.bytes;
        if bytes != self.bytes {
            return Err(mismatch(format!("{bytes} bytes"))); // no need to read it
        }
        let found = store.hash(&self.path)?;
        if found.xxh3 == self.xxh3 { Ok(()) } else { Err(mismatch(format!("hash {}", found.xxh3))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_back_and_its_files_are_checked() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
        let part = RelativePath::new("stages/00-read/part-00000.parquet").expect("a path");
        let written = store.put_atomic(&part, b"rows").expect("put");
        let mut manifest = StageManifest {
            schema_version: SCHEMA_VERSION,
            stage: 0,
            name: "read".to_owned(),
            files: vec![FileEntry { path: part.clone(), rows: 2, bytes: written.bytes, xxh3: written.xxh3 }],
            inputs: vec![],
            records_in: 5,
            kept: 2,
            dropped: [("malformed".to_owned(), 3)].into(),
            noted: BTreeMap::new(),
            bytes_in: 10,
            bytes_kept: 4,
            digest: Digest(1),
            fingerprint: Digest(2),
        };
        let path = StageManifest::path(0, "read").expect("a path");
        assert_eq!(path.as_str(), "stages/00-read/manifest.json");
        manifest.write(&store, &path).expect("write");
        let back = StageManifest::read(&store, &path).expect("read");
        assert_eq!(back, manifest);
        back.verify(&store).expect("all files are as committed");
        store.put_atomic(&part, b"r0ws").expect("put");
        assert!(matches!(back.verify(&store), Err(Error::Mismatch { .. })));
        manifest.kept = 3;
        manifest.write(&store, &path).expect("write");
        assert!(StageManifest::read(&store, &path).is_err(), "an unbalanced manifest is refused");
        manifest.schema_version = 9;
        manifest.write(&store, &path).expect("write");
        let error = StageManifest::read(&store, &path).expect_err("another version").to_string();
        assert!(error.contains("expected schema version 1"), "{error}");
    }
}
