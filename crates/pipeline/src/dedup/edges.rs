//! Edge files: pairs of places in the global order, 32 bits each, little-endian, in rising order, and nothing else.
//!
//! They are the bulk of what the clusters task reads, and it has to read them all: at eight bytes an edge without a decoder
//! they come in at the speed of the disk. `rows` in the file's record is their number.

use std::io::{Read, Write};
use std::ops::{ControlFlow, Range};

use orchestrator_core::FileKind;
use orchestrator_job::PartRef;
use orchestrator_storage::{RelativePath, Writer};

use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Bytes of an edge.
const EDGE_BYTES: usize = 8;
/// Bytes read or written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes edges to one file of an attempt.
pub(crate) struct EdgeWriter {
    path: String,
    writer: Writer,
    buffer: Vec<u8>,
    edges: u64,
}

impl EdgeWriter {
    /// Starts the file that will be published as `path`.
    pub(crate) fn create(files: &AttemptFiles, path: String) -> Result<Self, TaskError> {
        let writer = files.create(&path)?;
        Ok(Self { path, writer, buffer: Vec::with_capacity(BUFFER_BYTES), edges: 0 })
    }

    /// Adds an edge from a document to one before it; edges come in rising order.
    pub(crate) fn push(&mut self, document: u32, first: u32) -> Result<(), TaskError> {
        self.buffer.extend_from_slice(&document.to_le_bytes());
        self.buffer.extend_from_slice(&first.to_le_bytes());
        self.edges += 1;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        let context = || format!("writing `{}`", self.path);
        self.writer.write_all(&self.buffer).map_err(|error| TaskError::io(context())(error))?;
        self.buffer.clear();
        Ok(())
    }

    /// Edges so far.
    pub(crate) fn edges(&self) -> u64 {
        self.edges
    }

    /// Closes the file and books it.
    pub(crate) fn finish(mut self, files: &mut AttemptFiles, stage: u32) -> Result<(), TaskError> {
        self.flush()?;
        let written = self.writer.finish()?;
        files.record(stage, FileKind::Intermediate, self.path, self.edges, written);
        Ok(())
    }
}

/// Hands every edge of a file to `take`, in order: (document, an earlier document).
pub(crate) fn for_each_edge(
    context: &TaskContext,
    file: &PartRef,
    documents: u32,
    mut take: impl FnMut(u32, u32),
) -> Result<(), TaskError> {
    read_from(context, file, 0, documents, |document, first| {
        take(document, first);
        ControlFlow::Continue(())
    })
}

/// The same for the edges of some documents alone: the file is in order, so their place in it is searched for.
pub(crate) fn for_each_edge_of(
    context: &TaskContext,
    file: &PartRef,
    documents: u32,
    own: &Range<u32>,
    mut take: impl FnMut(u32, u32),
) -> Result<(), TaskError> {
    let path = RelativePath::new(&*file.path)?;
    let (mut low, mut high) = (0, file.rows);
    while high - low > (BUFFER_BYTES / EDGE_BYTES) as u64 {
        let middle = low.midpoint(high);
        let at = middle * EDGE_BYTES as u64;
        let mut document = [0; 4];
        let mut reader = context.job.output.open_reader(&path, Some(at..at + document.len() as u64))?;
        reader.read_exact(&mut document).map_err(TaskError::io(format!("reading `{}`", file.path)))?;
        if u32::from_le_bytes(document) < own.start { low = middle } else { high = middle }
    }
    read_from(context, file, low, documents, |document, first| {
        if document >= own.end {
            return ControlFlow::Break(());
        }
        if document >= own.start {
            take(document, first);
        }
        ControlFlow::Continue(())
    })
}

/// Hands the edges from number `start` on to `take`, until it breaks off.
fn read_from(
    context: &TaskContext,
    file: &PartRef,
    start: u64,
    documents: u32,
    mut take: impl FnMut(u32, u32) -> ControlFlow<()>,
) -> Result<(), TaskError> {
    let path = RelativePath::new(&*file.path)?;
    let bytes = start * EDGE_BYTES as u64..file.rows * EDGE_BYTES as u64;
    let mut reader = context.job.output.open_reader(&path, Some(bytes))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut left = file.rows - start;
    while left > 0 {
        context.progress.check()?;
        let edges = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER_BYTES / EDGE_BYTES);
        let bytes = &mut buffer[..edges * EDGE_BYTES];
        reader.read_exact(bytes).map_err(TaskError::io(format!("reading `{}`", file.path)))?;
        for edge in bytes.as_chunks::<EDGE_BYTES>().0 {
            let edge = u64::from_le_bytes(*edge);
            let (document, first) = (edge as u32, (edge >> 32) as u32);
            if document >= documents || first >= document {
                let message = format!(
                    "an edge from document {document} of {documents} to {first}, expected one before it"
                );
                return Err(TaskError::corrupt(&file.path, message));
            }
            if take(document, first).is_break() {
                return Ok(());
            }
        }
        context.progress.add(edges as u64, bytes.len() as u64);
        left -= edges as u64;
    }
    Ok(())
}
