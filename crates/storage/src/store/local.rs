//! A directory of this machine. Everything written is whole and durable, or not there.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tempfile::NamedTempFile;

use super::path::TEMPORARY;
use super::{Entry, Listing, PassedBy, RelativePath};
use crate::Error;

/// Directories nested deeper than this are refused: symbolic links could make a tree without end.
const MAX_DEPTH: usize = 64;

pub(super) struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    pub(super) fn open(url: &str) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::InvalidUrl { url: url.to_owned(), reason: reason.to_owned() };
        let root = if url.starts_with("file://") {
            url::Url::parse(url)
                .map_err(|error| invalid(&error.to_string()))?
                .to_file_path()
                .map_err(|()| invalid("a file:// URL needs an absolute path and no host"))?
        } else if url.is_empty() || url.contains('\0') {
            return Err(invalid("the path is empty or holds a NUL"));
        } else {
            PathBuf::from(url)
        };
        // Absolute from the start: a later change of the working directory must not move the store.
        let root = std::path::absolute(&root).map_err(|error| Error::io(url, error))?;
        Ok(Self { root })
    }

    pub(super) fn resolve(&self, path: &RelativePath) -> PathBuf {
        if path.as_str().is_empty() { self.root.clone() } else { self.root.join(path.as_str()) }
    }

    /// A path as errors name it: where it lies on this machine.
    pub(super) fn name(&self, path: &RelativePath) -> String {
        self.resolve(path).to_string_lossy().into_owned()
    }

    /// Lists the files below `prefix`, in the directories that `enter` lets in by their path.
    pub(super) fn list(&self, prefix: &RelativePath, enter: &dyn Fn(&str) -> bool) -> Result<Listing, Error> {
        let mut entries = Listing::default();
        let directory = self.resolve(prefix);
        match fs::metadata(&directory) {
            Ok(metadata) if metadata.is_dir() => walk(&directory, prefix.as_str(), 0, enter, &mut entries)?,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(self.name(prefix), error)),
        }
        Ok(entries)
    }

    pub(super) fn stat(&self, path: &RelativePath) -> Result<Entry, Error> {
        let metadata = fs::metadata(self.resolve(path)).map_err(|error| Error::io(self.name(path), error))?;
        if !metadata.is_file() {
            return Err(Error::NotFound { path: self.name(path) });
        }
        Ok(entry(path.clone(), &metadata))
    }

    pub(super) fn open_file(&self, path: &RelativePath) -> Result<File, Error> {
        File::open(self.resolve(path)).map_err(|error| Error::io(self.name(path), error))
    }

    pub(super) fn open_reader(
        &self,
        path: &RelativePath,
        range: Option<Range<u64>>,
    ) -> Result<Box<dyn Read + Send>, Error> {
        let mut file = self.open_file(path)?;
        let Some(range) = range else {
            return Ok(Box::new(BufReader::with_capacity(128 << 10, file)));
        };
        file.seek(SeekFrom::Start(range.start)).map_err(|error| Error::io(self.name(path), error))?;
        let length = range.end.saturating_sub(range.start);
        Ok(Box::new(BufReader::with_capacity(128 << 10, file.take(length))))
    }

    /// A temporary file in the directory of `path`, so that the rename stays on one file system.
    pub(super) fn temporary(&self, path: &RelativePath) -> Result<NamedTempFile, Error> {
        let directory = parent(&self.resolve(path));
        create_directories(&directory)
            .and_then(|()| tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&directory))
            .map_err(|error| Error::io(self.name(path), error))
    }

    /// Makes a written temporary file durable under its name.
    pub(super) fn persist(&self, file: NamedTempFile, path: &RelativePath) -> Result<(), Error> {
        let failed = |error| Error::io(self.name(path), error);
        let target = self.resolve(path);
        readable_by_all(file.as_file()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&target).map_err(|error| failed(error.error))?;
        sync_directory(&parent(&target)).map_err(failed)
    }

    pub(super) fn put_if_absent(&self, path: &RelativePath, bytes: &[u8]) -> Result<(), Error> {
        let failed = |error| Error::io(self.name(path), error);
        let mut file = self.temporary(path)?;
        file.write_all(bytes).map_err(failed)?;
        readable_by_all(file.as_file()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        let target = self.resolve(path);
        file.persist_noclobber(&target).map_err(|error| failed(error.error))?;
        sync_directory(&parent(&target)).map_err(failed)
    }

    /// Compares and replaces under a lock file, since a file system has no conditional rename.
    pub(super) fn put_if_unchanged(
        &self,
        path: &RelativePath,
        bytes: &[u8],
        stamp: &str,
    ) -> Result<(), Error> {
        let failed = |error| Error::io(self.name(path), error);
        let lock = parent(&self.resolve(path)).join(format!("{TEMPORARY}lock-{}", path.file_name()));
        let lock = File::options().create(true).append(true).open(lock).map_err(failed)?;
        lock.lock().map_err(failed)?; // freed when the handle closes, also by a kill
        if self.stat(path)?.stamp != stamp {
            return Err(Error::Conflict { path: self.name(path) });
        }
        let mut file = self.temporary(path)?;
        file.write_all(bytes).map_err(failed)?;
        self.persist(file, path)
    }

    pub(super) fn rename(&self, from: &RelativePath, to: &RelativePath) -> Result<(), Error> {
        let (source, target) = (self.resolve(from), self.resolve(to));
        create_directories(&parent(&target)).map_err(|error| Error::io(self.name(to), error))?;
        fs::rename(&source, &target).map_err(|error| Error::io(self.name(from), error))?;
        sync_directory(&parent(&target)).map_err(|error| Error::io(self.name(to), error))?;
        sync_directory(&parent(&source)).map_err(|error| Error::io(self.name(from), error))
    }

    pub(super) fn delete(&self, path: &RelativePath) -> Result<(), Error> {
        fs::remove_file(self.resolve(path)).map_err(|error| Error::io(self.name(path), error))
    }

    pub(super) fn delete_temporary(&self, directory: &RelativePath, name: &str) -> Result<(), Error> {
        match fs::remove_file(self.resolve(directory).join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(self.name(directory), error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn delete_directory(&self, prefix: &RelativePath) -> Result<(), Error> {
        match fs::remove_dir_all(self.resolve(prefix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(self.name(prefix), error)),
            _ => Ok(()),
        }
    }
}

/// Gathers the files below a directory.
fn walk(
    directory: &Path,
    prefix: &str,
    depth: usize,
    enter: &dyn Fn(&str) -> bool,
    listing: &mut Listing,
) -> Result<(), Error> {
    let place = || directory.to_string_lossy().into_owned();
    if depth > MAX_DEPTH {
        let detail = format!("directories are nested deeper than {MAX_DEPTH}");
        return Err(Error::Corrupt { path: place(), detail });
    }
    let failed = |error| Error::io(place(), error);
    for item in fs::read_dir(directory).map_err(failed)? {
        let item = item.map_err(failed)?;
        let name = item.file_name();
        let Some(name) = name.to_str().filter(|name| !name.contains('\\')) else {
            tracing::warn!(name = %name.display(), directory = prefix, "passed by a file whose name is not UTF-8 or has a backslash");
            continue;
        };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if name.starts_with(TEMPORARY) {
            listing.pass_by(path, PassedBy::Temporary);
            continue;
        }
        let kind = item.file_type().map_err(failed)?;
        if kind.is_dir() {
            if enter(&path) {
                walk(&item.path(), &path, depth + 1, enter, listing)?;
            }
            continue;
        }
        // Links to files are followed. Those to directories are not, for they can lead in circles.
        match fs::metadata(item.path()) {
            Ok(metadata) if metadata.is_file() => {
                listing.entries.push(entry(RelativePath::new(path)?, &metadata));
            }
            Ok(metadata) if metadata.is_dir() => {
                if enter(&path) {
                    listing.pass_by(path, PassedBy::LinkedDirectory);
                }
            }
            Ok(_) => listing.pass_by(path, PassedBy::NoFile),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // What is no link was deleted between the two calls.
                if kind.is_symlink() {
                    listing.pass_by(path, PassedBy::DanglingLink);
                }
            }
            Err(error) => return Err(Error::io(item.path().to_string_lossy(), error)),
        }
    }
    Ok(())
}

fn entry(path: RelativePath, metadata: &fs::Metadata) -> Entry {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let stamp =
        modified.map_or_else(String::new, |time| format!("{}.{:09}", time.as_secs(), time.subsec_nanos()));
    Entry { path, bytes: metadata.len(), stamp }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

/// Creates what is missing of a directory and makes each new name durable in its parent.
fn create_directories(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = parent(directory);
    create_directories(&above)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    sync_directory(&above)
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Temporary files are private to their maker; finished ones are read by other users' tools, so they get the usual mode.
#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &File) -> io::Result<()> {
    Ok(())
}
