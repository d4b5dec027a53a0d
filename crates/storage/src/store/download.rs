//! Reads of remote objects: chunk by chunk, or in one answer where the server knows no ranges.
//!
//! ```text
//! ranges       GET 0..4 MiB, GET 4..8 MiB, …   each retried by itself, two in flight ─┐
//!                └ not supported ─▶ GET all, what lies before is passed by ───────────┴▶ channel of one ─▶ Read
//! ```

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{Error as RemoteError, GetOptions, ObjectMeta, ObjectStore};
use tokio::sync::mpsc;

use super::remote::Background;
use crate::Error;

/// Bytes fetched by one request of a streaming read.
pub(super) const READ_CHUNK: u64 = 4 << 20;
/// Requests of a streaming read in flight; with the one being read, at most three chunks lie in memory.
const READ_AHEAD: usize = 2;

/// What the store's runtime hands to a reader.
type Chunk = Result<Bytes, RemoteError>;

/// An object that is being read.
pub(super) struct Download {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) location: Path,
    /// What it was when it was looked at; another is refused.
    pub(super) object: ObjectMeta,
}

impl Download {
    /// Sends the bytes of `range` in order, until they end or the reader is dropped. With `in_chunks` the server is asked
    /// for ranges; one that knows none is asked for all of the object, and what lies before is passed by.
    pub(super) async fn send(self, range: Range<u64>, in_chunks: bool, sender: mpsc::Sender<Chunk>) {
        let mut rest = range;
        if in_chunks {
            let mut chunks = self.chunks(rest.clone());
            loop {
                let chunk = match chunks.next().await {
                    None => return,
                    Some(Err(RemoteError::NotSupported { .. })) => break,
                    Some(chunk) => chunk,
                };
                rest.start += chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
                if sender.send(chunk).await.is_err() {
                    return; // the reader was dropped
                }
            }
            if rest.start > 0 {
                tracing::warn!(object = %self.location, passed_by = rest.start, "the server knows no ranges: what lies before is downloaded too");
            }
        }
        if let Err(error) = self.send_from_whole(&rest, &sender).await {
            let _ = sender.send(Err(error)).await;
        }
    }

    /// Each chunk is a request of its own: retried by itself, and refused if the object changed in between.
    fn chunks(&self, range: Range<u64>) -> BoxStream<'static, Chunk> {
        let (store, location) = (Arc::clone(&self.store), self.location.clone());
        let (e_tag, end) = (self.object.e_tag.clone(), range.end);
        stream::iter(range.step_by(READ_CHUNK as usize))
            .map(move |from| {
                let options = GetOptions {
                    range: Some((from..(from + READ_CHUNK).min(end)).into()),
                    if_match: e_tag.clone(),
                    ..GetOptions::default()
                };
                let (store, location) = (Arc::clone(&store), location.clone());
                async move { store.get_opts(&location, options).await?.bytes().await }
            })
            .buffered(READ_AHEAD)
            .boxed()
    }

    /// Sends `range` out of one answer that begins with the object's first byte. No part of it lies in memory but the one
    /// that is being sent.
    async fn send_from_whole(
        &self,
        range: &Range<u64>,
        sender: &mpsc::Sender<Chunk>,
    ) -> Result<(), RemoteError> {
        let options = GetOptions { if_match: self.object.e_tag.clone(), ..GetOptions::default() };
        let found = self.store.get_opts(&self.location, options).await?;
        if !is_same(&found.meta, &self.object) {
            let path = self.location.to_string();
            return Err(RemoteError::Precondition { path, source: "it changed while it was read".into() });
        }
        let mut body = found.into_stream();
        let mut at = 0;
        while at < range.end
            && let Some(part) = body.next().await
        {
            let part = part?;
            let length = part.len() as u64;
            let from = range.start.saturating_sub(at).min(length);
            let to = (range.end - at).min(length);
            at += length;
            if from < to && sender.send(Ok(part.slice(from as usize..to as usize))).await.is_err() {
                return Ok(()); // the reader was dropped
            }
        }
        Ok(())
    }
}

/// Servers without entity tags need not understand a condition either: what they answer with is looked at.
fn is_same(found: &ObjectMeta, expected: &ObjectMeta) -> bool {
    found.size == expected.size
        && found.e_tag == expected.e_tag
        && (found.e_tag.is_some() || found.last_modified == expected.last_modified)
}

/// Hands out chunks that the store's runtime fetches ahead.
pub(super) struct RemoteReader {
    path: String,
    left: u64,
    receiver: mpsc::Receiver<Chunk>,
    chunk: Bytes,
    /// The download goes on when the store is dropped.
    _background: Arc<Background>,
}

impl RemoteReader {
    /// Reads the `length` bytes that are sent to `receiver`; `path` is for messages.
    pub(super) fn new(
        path: String,
        length: u64,
        receiver: mpsc::Receiver<Chunk>,
        background: Arc<Background>,
    ) -> Self {
        Self { path, left: length, receiver, chunk: Bytes::new(), _background: background }
    }
}

impl Read for RemoteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match futures::executor::block_on(self.receiver.recv()) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Err(Error::remote(self.path.as_str(), &error).into_io()),
                None if self.left == 0 => return Ok(0),
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the download ended early")),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}
