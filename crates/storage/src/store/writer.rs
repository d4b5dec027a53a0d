//! A file on its way: hashed and counted as it passes, visible only when finished.

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use object_store::{MultipartUpload, PutMode};
use orchestrator_core::Digest;
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;
use xxhash_rust::xxh3::Xxh3;

use super::RelativePath;
use super::local::LocalStore;
use super::remote::RemoteStore;
use crate::Error;

/// Size of a multipart upload's parts. S3 takes 10,000 of them: 156 GiB in one file.
const PART_BYTES: usize = 16 << 20;
/// Parts in flight; with the one being filled, at most three lie in memory.
const PARTS_IN_FLIGHT: usize = 2;

/// Size and hash of a file that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes in it.
    pub bytes: u64,
    /// xxh3-128 of them.
    pub xxh3: Digest,
}

/// Writes one file. [`Writer::finish`] makes it appear; a writer that is dropped leaves nothing visible.
pub struct Writer {
    path: RelativePath,
    hasher: Xxh3,
    bytes: u64,
    sink: Sink,
}

enum Sink {
    // The store's root is all that is needed of it later.
    Local { file: BufWriter<NamedTempFile>, store: Arc<LocalStore> },
    Remote(Upload),
}

impl Writer {
    pub(super) fn local(store: &Arc<LocalStore>, path: &RelativePath) -> Result<Self, Error> {
        let file = BufWriter::with_capacity(256 << 10, store.temporary(path)?);
        Ok(Self::new(path, Sink::Local { file, store: Arc::clone(store) }))
    }

    pub(super) fn remote(store: Arc<RemoteStore>, path: &RelativePath) -> Self {
        let upload =
            Upload { store, path: path.clone(), buffer: Vec::new(), parts: None, in_flight: VecDeque::new() };
        Self::new(path, Sink::Remote(upload))
    }

    fn new(path: &RelativePath, sink: Sink) -> Self {
        Self { path: path.clone(), hasher: Xxh3::new(), bytes: 0, sink }
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file durable and visible under its name.
    pub fn finish(self) -> Result<Written, Error> {
        let Self { path, hasher, bytes, sink } = self;
        match sink {
            Sink::Local { file, store } => {
                let name = || store.name(&path);
                let file = file.into_inner().map_err(|error| Error::io(name(), error.into_error()))?;
                store.persist(file, &path)?;
            }
            Sink::Remote(upload) => upload.finish()?,
        }
        Ok(Written { bytes, xxh3: Digest(hasher.digest128()) })
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.sink {
            Sink::Local { file, store } => {
                file.write(bytes).map_err(|error| Error::io(store.name(&self.path), error).into_io())?
            }
            Sink::Remote(upload) => upload.write(bytes).map_err(Error::into_io)?,
        };
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Local { file, .. } => file.flush(),
            Sink::Remote(_) => Ok(()), // parts are sent when they are full
        }
    }
}

/// A small object goes in one request, a larger one in parts.
struct Upload {
    store: Arc<RemoteStore>,
    path: RelativePath,
    buffer: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
    in_flight: VecDeque<JoinHandle<Result<(), object_store::Error>>>,
}

impl Upload {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        if self.buffer.len() == PART_BYTES {
            self.send_part()?;
        }
        let count = bytes.len().min(PART_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn send_part(&mut self) -> Result<(), Error> {
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.wait_for_one()?;
        }
        if self.parts.is_none() {
            self.parts = Some(self.store.start_upload(&self.path)?);
        }
        if let Some(parts) = &mut self.parts {
            let part = parts.put_part(std::mem::take(&mut self.buffer).into());
            self.in_flight.push_back(self.store.spawn(part));
        }
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<(), Error> {
        match self.in_flight.pop_front().map(futures::executor::block_on) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(Error::remote(self.store.name(&self.path), &error)),
            Some(Err(error)) => {
                Err(Error::Unavailable { path: self.store.name(&self.path), detail: error.to_string() })
            }
        }
    }

    fn finish(mut self) -> Result<(), Error> {
        if self.parts.is_none() {
            let bytes = std::mem::take(&mut self.buffer);
            return self.store.put(&self.path, bytes, PutMode::Overwrite);
        }
        if !self.buffer.is_empty() {
            self.send_part()?;
        }
        while !self.in_flight.is_empty() {
            self.wait_for_one()?;
        }
        let Some(mut parts) = self.parts.take() else { return Ok(()) };
        self.store.wait(&self.path, async move { parts.complete().await.map(drop) })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        for task in &self.in_flight {
            task.abort();
        }
        let path = self.store.name(&self.path);
        self.store.detach(async move {
            if let Err(error) = parts.abort().await {
                let detail = crate::error::redact(&error.to_string());
                tracing::warn!(
                    path,
                    detail,
                    "could not abort an upload: its parts stay until the bucket's lifecycle rule"
                );
            }
        });
    }
}
