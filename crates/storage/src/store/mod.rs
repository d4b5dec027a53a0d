//! One interface over local directories, S3, Google Cloud Storage and Azure.
//!
//! ```text
//! Store ── root + relative paths ──▶ local:  temporary file → fsync → rename → fsync of the directory
//!                                └─▶ remote: object_store on a small runtime of the store's own; multipart uploads
//! ```
//!
//! Every operation blocks its thread: tasks run on blocking threads and read and write through `std::io`. Async callers
//! use [`Store::run`], which moves a closure to tokio's blocking pool. A remote store drives its requests on its own
//! runtime of two threads, so no caller needs to be, or must not be, inside a runtime.

mod download;
mod local;
mod pace;
mod path;
mod remote;
mod roots;
mod writer;

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use orchestrator_core::Digest;
use xxhash_rust::xxh3::Xxh3;

use self::local::LocalStore;
pub use self::pace::Paces;
pub use self::path::RelativePath;
use self::remote::RemoteStore;
pub use self::roots::{ANY_ROOT, AllowedRoots};
pub use self::writer::{Writer, Written};
use crate::Error;

/// What is known of a stored file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies, relative to the store's root.
    pub path: RelativePath,
    /// Its size.
    pub bytes: u64,
    /// Changes when the file changes: an entity tag, or the modification time where the store has no tags.
    pub stamp: String,
}

/// What a listing found, and what it left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files, sorted bytewise by path.
    pub entries: Vec<Entry>,
    /// What lies there and is no entry; bounded, so not always all of it.
    pub passed_by: Vec<(String, PassedBy)>,
}

/// More than these are not remembered one by one.
const PASSED_BY_MAX: usize = 1_000;

impl Listing {
    fn pass_by(&mut self, path: String, why: PassedBy) {
        if self.passed_by.len() < PASSED_BY_MAX {
            self.passed_by.push((path, why));
        }
    }
}

/// Why a listing left something alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedBy {
    /// A link to a directory: such links can lead in circles.
    LinkedDirectory,
    /// A name that begins with `.tmp-`: files on their way have such names.
    Temporary,
    /// A link to what is not there.
    DanglingLink,
    /// A pipe, a socket or a device.
    NoFile,
}

/// How to open a store, beside its URL.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Reads without credentials, as public data sets on S3 allow.
    pub anonymous: bool,
}

/// A root and everything below it. Clones share one connection.
#[derive(Clone)]
pub struct Store {
    url: Arc<str>,
    backend: Backend,
}

#[derive(Clone)]
enum Backend {
    Local(Arc<LocalStore>),
    Remote(Arc<RemoteStore>),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.url).finish()
    }
}

impl Store {
    /// Opens a path or URL. Credentials come from the environment, as each cloud's own tools read them.
    ///
    /// A local root need not exist: the first write makes it.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::open_with(url, OpenOptions::default())
    }

    /// Opens a path or URL with options.
    pub fn open_with(url: &str, options: OpenOptions) -> Result<Self, Error> {
        let backend = match url.split_once("://") {
            None | Some(("file", _)) => Backend::Local(Arc::new(LocalStore::open(url)?)),
            Some(_) => Backend::Remote(Arc::new(RemoteStore::open(url, options)?)),
        };
        Ok(Self { url: crate::error::redact(url).into(), backend })
    }

    /// The one way to name the place at `url`: links of directories that are there resolved, no empty segments, no slash at
    /// the end, no `file://`.
    pub fn place(url: &str) -> Result<String, Error> {
        let store = Self::open(url)?;
        let Some(path) = store.local_path(&RelativePath::root()) else {
            let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
            let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
            return Ok(format!("{scheme}://{}", segments.join("/")));
        };
        let absolute = std::path::absolute(&path).map_err(|error| Error::io(url, error))?;
        // What is not there yet lies below what is.
        let there = absolute.ancestors().find_map(|there| Some((there, there.canonicalize().ok()?)));
        let place = match there {
            Some((there, resolved)) => match absolute.strip_prefix(there) {
                Ok(rest) if !rest.as_os_str().is_empty() => resolved.join(rest),
                _ => resolved,
            },
            None => absolute,
        };
        let text = place.into_os_string().into_string();
        text.map_err(|_| Error::InvalidUrl {
            url: crate::error::redact(url),
            reason: "it leads to a path that is not UTF-8".to_owned(),
        })
    }

    /// Opens the directory of the file at `url`, and names the file in it.
    pub fn locate(url: &str, options: OpenOptions) -> Result<(Self, RelativePath), Error> {
        let (directory, name) = Self::split(url)?;
        Ok((Self::open_with(directory, options)?, name))
    }

    /// The directory of a file, and the file's name in it.
    fn split(url: &str) -> Result<(&str, RelativePath), Error> {
        let (directory, name) = match url.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some((directory, _)) if directory.ends_with(":/") => {
                return Err(Error::InvalidUrl {
                    url: crate::error::redact(url),
                    reason: "it names no file".to_owned(),
                });
            }
            Some(parts) => parts,
            None => (".", url),
        };
        Ok((directory, RelativePath::new(name)?))
    }

    /// The URL that the store was opened with, without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether files lie on this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.backend, Backend::Local(_))
    }

    /// Where `path` lies on this machine, if it does.
    pub fn local_path(&self, path: &RelativePath) -> Option<std::path::PathBuf> {
        match &self.backend {
            Backend::Local(store) => Some(store.resolve(path)),
            Backend::Remote(_) => None,
        }
    }

    /// Runs blocking work on this store from async code.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => {
                    Err(Error::Unavailable { path: self.url.to_string(), detail: error.to_string() })
                }
            },
        }
    }

    /// Lists all files below the directory `prefix`, sorted bytewise by path. A missing directory is empty.
    pub fn list(&self, prefix: &RelativePath) -> Result<Vec<Entry>, Error> {
        Ok(self.list_where(prefix, &|_| true)?.entries)
    }

    /// Lists like [`Self::list`], and does not look into directories below `prefix` whose path `enter` refuses: what
    /// cannot match need not be readable. Object stores have no directories and list all.
    pub fn list_where(&self, prefix: &RelativePath, enter: &dyn Fn(&str) -> bool) -> Result<Listing, Error> {
        let mut listing = match &self.backend {
            Backend::Local(store) => store.list(prefix, enter),
            Backend::Remote(store) => {
                store.list(prefix).map(|entries| Listing { entries, passed_by: Vec::new() })
            }
        }?;
        listing.entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        listing.passed_by.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(listing)
    }

    /// A path as messages name it: where it lies on this machine, or its URL.
    pub fn name(&self, path: &RelativePath) -> String {
        match &self.backend {
            Backend::Local(store) => store.name(path),
            Backend::Remote(store) => store.name(path),
        }
    }

    /// Looks at one file.
    pub fn stat(&self, path: &RelativePath) -> Result<Entry, Error> {
        match &self.backend {
            Backend::Local(store) => store.stat(path),
            Backend::Remote(store) => store.stat(path),
        }
    }

    /// Looks at one file that may be absent.
    pub fn try_stat(&self, path: &RelativePath) -> Result<Option<Entry>, Error> {
        match self.stat(path) {
            Ok(entry) => Ok(Some(entry)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a whole file of at most `limit` bytes.
    pub fn read_all(&self, path: &RelativePath, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut reader = self.open_reader(path, None)?.take(limit.saturating_add(1));
        reader.read_to_end(&mut bytes).map_err(|error| Error::io(self.name(path), error))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { path: self.name(path), limit });
        }
        Ok(bytes)
    }

    /// Streams a file, or the byte range of it (cut off at its end). Remote reads keep a few MiB in flight.
    pub fn open_reader(
        &self,
        path: &RelativePath,
        range: Option<Range<u64>>,
    ) -> Result<Box<dyn Read + Send>, Error> {
        match &self.backend {
            Backend::Local(store) => store.open_reader(path, range),
            Backend::Remote(store) => store.open_reader(path, range),
        }
    }

    /// Opens a file for seeking. A remote one is first copied to a temporary local file that vanishes when closed.
    pub fn open_seekable(&self, path: &RelativePath) -> Result<std::fs::File, Error> {
        match &self.backend {
            Backend::Local(store) => store.open_file(path),
            Backend::Remote(store) => {
                let mut spool = tempfile::tempfile()
                    .map_err(|error| Error::io(std::env::temp_dir().to_string_lossy(), error))?;
                let mut reader = store.open_reader(path, None)?;
                std::io::copy(&mut reader, &mut spool).map_err(|error| Error::io(self.name(path), error))?;
                std::io::Seek::rewind(&mut spool).map_err(|error| Error::io(self.name(path), error))?;
                Ok(spool)
            }
        }
    }

    /// Starts a file that appears, whole and durable, when the writer is finished; dropped before, it leaves nothing.
    pub fn create_writer(&self, path: &RelativePath) -> Result<Writer, Error> {
        match &self.backend {
            Backend::Local(store) => Writer::local(store, path),
            Backend::Remote(store) => Ok(Writer::remote(Arc::clone(store), path)),
        }
    }

    /// Writes a whole file atomically, over what may be there.
    pub fn put_atomic(&self, path: &RelativePath, bytes: &[u8]) -> Result<Written, Error> {
        let mut writer = self.create_writer(path)?;
        std::io::Write::write_all(&mut writer, bytes).map_err(|error| Error::io(self.name(path), error))?;
        writer.finish()
    }

    /// Writes a whole file unless one is there. Returns whether it was written; of many callers one gets `true`.
    pub fn put_if_absent(&self, path: &RelativePath, bytes: &[u8]) -> Result<bool, Error> {
        let written = match &self.backend {
            Backend::Local(store) => store.put_if_absent(path, bytes),
            Backend::Remote(store) => store.put(path, bytes.to_vec(), object_store::PutMode::Create),
        };
        match written {
            Ok(()) => Ok(true),
            Err(Error::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file only while its stamp is `stamp`. Returns whether it was replaced.
    pub fn put_if_unchanged(&self, path: &RelativePath, bytes: &[u8], stamp: &str) -> Result<bool, Error> {
        let written = match &self.backend {
            Backend::Local(store) => store.put_if_unchanged(path, bytes, stamp),
            Backend::Remote(store) => {
                let version = object_store::UpdateVersion { e_tag: Some(stamp.to_owned()), version: None };
                store.put(path, bytes.to_vec(), object_store::PutMode::Update(version))
            }
        };
        match written {
            Ok(()) => Ok(true),
            Err(Error::Conflict { .. } | Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves a committed file of `bytes` bytes to its final name. May be repeated after a crash at any moment.
    ///
    /// Local: a rename, both directories fsynced. Remote: a copy, checked, then a delete.
    pub fn publish(&self, from: &RelativePath, to: &RelativePath, bytes: u64) -> Result<(), Error> {
        let moved = match &self.backend {
            Backend::Local(store) => store.rename(from, to),
            Backend::Remote(store) => store.rename(from, to),
        };
        match moved {
            // Gone from its old name: an earlier try got through, if the new name has it.
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let there = self.stat(to).map_err(|error| match error {
            Error::NotFound { .. } => Error::NotFound { path: self.name(from) },
            other => other,
        })?;
        if there.bytes == bytes {
            return Ok(());
        }
        Err(Error::Corrupt {
            path: self.name(to),
            detail: format!("expected the {bytes} bytes that were committed, found {}", there.bytes),
        })
    }

    /// Deletes a temporary file that a listing passed by; one that is not there is no error. Only a writer that died has
    /// left it.
    pub fn delete_temporary(&self, path: &str) -> Result<(), Error> {
        let wrong = || Error::InvalidPath {
            path: path.to_owned(),
            reason: "expected a directory and a name that begins with `.tmp-`",
        };
        let (directory, name) = path.rsplit_once('/').ok_or_else(wrong)?;
        if !name.starts_with(path::TEMPORARY) {
            return Err(wrong());
        }
        match &self.backend {
            Backend::Local(store) => store.delete_temporary(&RelativePath::new(directory)?, name),
            Backend::Remote(_) => Ok(()), // object stores show nothing before it is whole
        }
    }

    /// Deletes a file; one that is not there is no error.
    pub fn delete(&self, path: &RelativePath) -> Result<(), Error> {
        let deleted = match &self.backend {
            Backend::Local(store) => store.delete(path),
            Backend::Remote(store) => store.delete(path),
        };
        match deleted {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Deletes everything below a directory, which may be absent. The root itself is refused.
    pub fn delete_prefix(&self, prefix: &RelativePath) -> Result<(), Error> {
        if prefix.as_str().is_empty() {
            return Err(Error::InvalidPath { path: String::new(), reason: "a whole store is never deleted" });
        }
        match &self.backend {
            Backend::Local(store) => store.delete_directory(prefix),
            Backend::Remote(store) => store.delete_prefix(prefix),
        }
    }

    /// Reads a file through and returns its size and xxh3-128.
    pub fn hash(&self, path: &RelativePath) -> Result<Written, Error> {
        let mut reader = self.open_reader(path, None)?;
        let mut hasher = Xxh3::new();
        let mut buffer = vec![0; 128 << 10];
        let mut bytes = 0;
        loop {
            match reader.read(&mut buffer).map_err(|error| Error::io(self.name(path), error))? {
                0 => return Ok(Written { bytes, xxh3: Digest(hasher.digest128()) }),
                count => {
                    hasher.update(&buffer[..count]);
                    bytes += count as u64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
