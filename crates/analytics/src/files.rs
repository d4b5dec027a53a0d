//! The files of a run, wherever it lies.
//!
//! ```text
//! local   in place
//! remote  fetched when asked for ─▶ a temporary directory, the longest unused falling when it is full
//! ```
//!
//! Polars has readers of object stores of its own; ours bring the credentials, retries and words of the rest of the
//! program. A table whose files were fetched must be collected before others are asked for: only then may these fall.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use orchestrator_storage::{RelativePath, Store};
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Bytes of a remote run that lie on this machine at once.
const CACHE_BYTES: u64 = 4 << 30;
/// Bytes of a stage's files that are fetched for one scan, where a search goes through all of them.
pub(crate) const SCAN_BYTES: u64 = 256 << 20;
/// No manifest, job file or state that we write comes near this.
const MAX_JSON_BYTES: u64 = 256 << 20;

/// Reads the output of a run.
#[derive(Debug)]
pub(crate) struct Files {
    store: Store,
    /// Where files lie for Polars: the output itself, or the cache.
    root: PathBuf,
    cache: Option<Cache>,
}

#[derive(Debug)]
struct Cache {
    /// Goes with the run.
    _directory: tempfile::TempDir,
    limit: u64,
    held: Mutex<Held>,
}

/// What lies in the cache, the longest unused first.
#[derive(Debug, Default)]
struct Held {
    files: VecDeque<(String, u64)>,
    bytes: u64,
}

impl Files {
    /// Opens an output. A remote one is cached in `scratch`, or where this machine keeps temporary files.
    pub(crate) fn open(store: Store, scratch: Option<&Path>) -> Result<Self, Error> {
        if let Some(root) = store.local_path(&RelativePath::root()) {
            return Ok(Self { store, root, cache: None });
        }
        let scratch = scratch.map_or_else(std::env::temp_dir, Path::to_owned);
        let directory = tempfile::Builder::new().prefix("orchestrator-cache-").tempdir_in(&scratch);
        let directory = directory.map_err(Error::read(&scratch))?;
        let root = directory.path().to_owned();
        let cache = Cache { _directory: directory, limit: CACHE_BYTES, held: Mutex::default() };
        Ok(Self { store, root, cache: Some(cache) })
    }

    /// Where the files lie.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Whether files are fetched before they are read.
    pub(crate) fn is_remote(&self) -> bool {
        self.cache.is_some()
    }

    /// Where a file lies for Polars, once it was fetched.
    pub(crate) fn place(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// What a person calls a file.
    pub(crate) fn name(&self, relative: &str) -> PathBuf {
        if self.is_remote() {
            PathBuf::from(format!("{}/{relative}", self.store.url().trim_end_matches('/')))
        } else {
            self.root.join(relative)
        }
    }

    /// What a person calls the output.
    pub(crate) fn url(&self) -> PathBuf {
        if self.is_remote() { PathBuf::from(self.store.url()) } else { self.root.clone() }
    }

    /// Makes sure that files can be read where [`Files::place`] says, all at once. Gives the first that is missing.
    pub(crate) fn fetch(&self, files: &[&str]) -> Result<Option<PathBuf>, Error> {
        let Some(cache) = &self.cache else {
            let missing = files.iter().map(|file| self.place(file)).find(|place| !place.is_file());
            return Ok(missing);
        };
        let mut held = cache.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = Vec::with_capacity(files.len());
        let mut bytes = 0u64;
        for file in files {
            let path = RelativePath::new(*file)?;
            let Some(entry) = self.store.try_stat(&path)? else { return Ok(Some(self.name(file))) };
            bytes = bytes.saturating_add(entry.bytes);
            wanted.push((*file, path, entry.bytes));
        }
        if bytes > cache.limit {
            return Err(Error::CacheLimit { run: self.url(), bytes, limit: cache.limit });
        }
        // What is wanted is the last to fall.
        let (kept, others): (Vec<_>, Vec<_>) =
            held.files.drain(..).partition(|(name, _)| files.contains(&name.as_str()));
        held.files = others.into();
        wanted.retain(|(name, ..)| !kept.iter().any(|(held, _)| held == name));
        let missing: u64 = wanted.iter().map(|(_, _, bytes)| bytes).sum();
        while held.bytes.saturating_add(missing) > cache.limit
            && let Some((name, bytes)) = held.files.pop_front()
        {
            let place = self.place(&name);
            fs::remove_file(&place).map_err(Error::read(&place))?;
            held.bytes -= bytes;
        }
        held.files.extend(kept);
        for (name, path, bytes) in wanted {
            self.download(name, &path)?;
            held.files.push_back((name.to_owned(), bytes));
            held.bytes = held.bytes.saturating_add(bytes);
        }
        Ok(None)
    }

    fn download(&self, name: &str, path: &RelativePath) -> Result<(), Error> {
        let place = self.place(name);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(Error::read(parent))?;
        }
        let mut reader = self.store.open_reader(path, None)?;
        let mut file = File::create(&place).map_err(Error::read(&place))?;
        io::copy(&mut reader, &mut file).map_err(Error::read(&self.name(name)))?;
        Ok(())
    }

    /// Reads a small file whole; `None` where it is absent.
    pub(crate) fn small(&self, relative: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = RelativePath::new(relative)?;
        let Some(entry) = self.store.try_stat(&path)? else { return Ok(None) };
        if entry.bytes > MAX_JSON_BYTES {
            return Err(Error::TooLarge {
                path: self.name(relative),
                bytes: entry.bytes,
                limit: MAX_JSON_BYTES,
            });
        }
        Ok(Some(self.store.read_all(&path, MAX_JSON_BYTES)?))
    }

    /// Reads a small JSON file; `None` where it is absent.
    pub(crate) fn json<T: DeserializeOwned>(&self, relative: &str) -> Result<Option<T>, Error> {
        let Some(bytes) = self.small(relative)? else { return Ok(None) };
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|source| Error::Json { path: self.name(relative), source })
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, relative: &str) -> Result<bool, Error> {
        Ok(self.store.try_stat(&RelativePath::new(relative)?)?.is_some())
    }

    /// The files below a directory, relative to it, sorted; none where it is absent.
    pub(crate) fn below(&self, directory: &str) -> Result<Vec<String>, Error> {
        let entries = self.store.list(&RelativePath::new(directory)?)?;
        let below =
            |path: RelativePath| path.as_str().strip_prefix(directory)?.strip_prefix('/').map(str::to_owned);
        Ok(entries.into_iter().filter_map(|entry| below(entry.path)).collect())
    }
}
