//! Item files: the hashes of a part's paragraphs, n-grams or windows, with their places.
//!
//! ```text
//!  chunk: 1024 counts of 32 bits │ items in order of buckets, and of places in each ┐ … │ places of the part, 64 bits
//!                                │ item: 88 bits of hash, 40 of place, little-endian│
//! ```
//!
//! A bucket is the upper ten bits of a hash. A chunk holds at most a million items, so that it is put in order in memory;
//! a slice of the hash space is a range of buckets, and so one range of bytes of every chunk: all slices together read the
//! file once, however many there are. Equal hashes lie in one bucket, and there in order of places.

use std::io::{Read, Write};

use bytes::Bytes;
use orchestrator_core::FileKind;
use orchestrator_job::PartRef;
use orchestrator_storage::{RelativePath, Writer};
use orchestrator_text::dedup::PLACE_MASK;

use super::slice::Slice;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Items of all chunks but the last.
const CHUNK_ITEMS: usize = 1 << 20;
/// Bits of a hash that are its bucket.
const BUCKET_BITS: u32 = 10;
const BUCKETS: usize = 1 << BUCKET_BITS;
/// Bytes of the counts before a chunk's items.
const COUNTS_BYTES: usize = BUCKETS * size_of::<u32>();
/// Bytes of an item.
const ITEM_BYTES: usize = size_of::<u128>();
/// Bytes of all chunks but the last.
const CHUNK_BYTES: u64 = (COUNTS_BYTES + CHUNK_ITEMS * ITEM_BYTES) as u64;
/// Bytes behind the last chunk: how many places the part has.
const PLACES_BYTES: usize = size_of::<u64>();
/// Bytes read or written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// The bucket of an item.
fn bucket(item: u128) -> usize {
    (item >> (u128::BITS - BUCKET_BITS)) as usize
}

/// Items that are kept for a savepoint, none yet: room for the number of places stands before them.
fn empty_group() -> Vec<u8> {
    vec![0; PLACES_BYTES]
}

/// Writes the items of one part.
pub(crate) struct ItemWriter {
    path: String,
    writer: Writer,
    chunk: Vec<u128>,
    /// The chunk in order of buckets.
    sorted: Vec<u128>,
    bytes: Vec<u8>,
    items: u64,
    /// Places of the documents so far.
    places: u64,
    /// Items since the last savepoint, as they came, behind room for the number of places, where somebody asks for savepoints. Chunks do not end with segments:
    /// all but the last are of one size.
    kept: Option<Vec<u8>>,
}

impl ItemWriter {
    /// Starts the file that will be published as `path`.
    pub(crate) fn create(files: &AttemptFiles, path: String) -> Result<Self, TaskError> {
        let writer = files.create(&path)?;
        let (chunk, sorted, bytes) = (Vec::new(), Vec::new(), Vec::new());
        let kept = files.keeps_groups().then(empty_group);
        Ok(Self { path, writer, chunk, sorted, bytes, items: 0, places: 0, kept })
    }

    /// The path that the file will be published to.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// What came since the last call, if it is kept: how many places there are by now, 64 bits, and the items.
    pub(crate) fn take_group(&mut self) -> Option<Bytes> {
        let mut group = std::mem::replace(self.kept.as_mut()?, empty_group());
        group[..PLACES_BYTES].copy_from_slice(&self.places.to_le_bytes());
        Some(group.into())
    }

    /// Adds what an earlier attempt's writer gave away.
    pub(crate) fn append_group(&mut self, group: &Bytes) -> Result<(), TaskError> {
        let wrong = || TaskError::corrupt(&self.path, "items of a savepoint are cut off");
        let (&places, items) = group.split_first_chunk::<PLACES_BYTES>().ok_or_else(wrong)?;
        let (items, rest) = items.as_chunks::<ITEM_BYTES>();
        if !rest.is_empty() {
            return Err(wrong());
        }
        for item in items {
            self.add(u128::from_le_bytes(*item))?;
        }
        self.places = u64::from_le_bytes(places);
        Ok(())
    }

    /// Adds an item of the next document, at a place in it; items come in order of places.
    pub(crate) fn push(&mut self, hash: u128, place: u64) -> Result<(), TaskError> {
        let place = self.places + place;
        let item = (hash & !PLACE_MASK) | (u128::from(place) & PLACE_MASK);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&item.to_le_bytes());
        }
        self.add(item)
    }

    fn add(&mut self, item: u128) -> Result<(), TaskError> {
        self.chunk.push(item);
        self.items += 1;
        if self.chunk.len() == CHUNK_ITEMS { self.flush() } else { Ok(()) }
    }

    /// Goes on to the next document; the one before took so many places.
    pub(crate) fn next_document(&mut self, places: u64) -> Result<(), TaskError> {
        self.places += places;
        if u128::from(self.places) > PLACE_MASK {
            let message = format!("a part has {} places, expected at most {PLACE_MASK}", self.places);
            return Err(TaskError::configuration("dedup", message));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        let mut counts = [0_u32; BUCKETS];
        for &item in &self.chunk {
            counts[bucket(item)] += 1;
        }
        let mut at = [0_usize; BUCKETS];
        for number in 1..BUCKETS {
            at[number] = at[number - 1] + counts[number - 1] as usize;
        }
        self.sorted.clear();
        self.sorted.resize(self.chunk.len(), 0);
        for &item in &self.chunk {
            let at = &mut at[bucket(item)];
            self.sorted[*at] = item;
            *at += 1;
        }
        self.chunk.clear();
        let failed = || TaskError::io(format!("writing `{}`", self.path));
        self.bytes.clear();
        self.bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
        for items in self.sorted.chunks(BUFFER_BYTES / ITEM_BYTES) {
            self.bytes.extend(items.iter().flat_map(|item| item.to_le_bytes()));
            self.writer.write_all(&self.bytes).map_err(failed())?;
            self.bytes.clear();
        }
        Ok(())
    }

    /// Closes the file and books it; its rows are the items.
    pub(crate) fn finish(mut self, files: &mut AttemptFiles, stage: u32) -> Result<(), TaskError> {
        if !self.chunk.is_empty() {
            self.flush()?;
        }
        let failed = TaskError::io(format!("writing `{}`", self.path));
        self.writer.write_all(&self.places.to_le_bytes()).map_err(failed)?;
        let written = self.writer.finish()?;
        files.record(stage, FileKind::Intermediate, self.path, self.items, written);
        Ok(())
    }
}

/// Reads the items of one part that lie in a slice.
pub(crate) struct ItemReader<'a> {
    context: &'a TaskContext,
    file: &'a PartRef,
    path: RelativePath,
    slice: Slice,
    /// Places of the part.
    pub(crate) places: u64,
    buffer: Vec<u8>,
}

impl<'a> ItemReader<'a> {
    /// Opens the items of a part.
    pub(crate) fn open(context: &'a TaskContext, file: &'a PartRef, slice: Slice) -> Result<Self, TaskError> {
        let path = RelativePath::new(&*file.path)?;
        let mut reader = Self { context, file, path, slice, places: 0, buffer: Vec::new() };
        let items_bytes = file.rows * ITEM_BYTES as u64;
        let expected = reader.chunks() * COUNTS_BYTES as u64 + items_bytes + PLACES_BYTES as u64;
        if file.bytes != expected {
            let message = format!("{} bytes with {} items, expected {expected}", file.bytes, file.rows);
            return Err(TaskError::corrupt(&file.path, message));
        }
        reader.read(file.bytes - PLACES_BYTES as u64, PLACES_BYTES)?;
        let (&places, _) =
            reader.buffer.as_chunks::<PLACES_BYTES>().0.split_first().unwrap_or((&[0; 8], &[]));
        reader.places = u64::from_le_bytes(places);
        Ok(reader)
    }

    /// Chunks of the file.
    pub(crate) fn chunks(&self) -> u64 {
        self.file.rows.div_ceil(CHUNK_ITEMS as u64)
    }

    fn read(&mut self, start: u64, bytes: usize) -> Result<(), TaskError> {
        self.context.progress.check()?;
        self.buffer.resize(bytes, 0);
        let range = start..start + bytes as u64;
        let mut reader = self.context.job.output.open_reader(&self.path, Some(range))?;
        let failed = TaskError::io(format!("reading `{}`", self.file.path));
        reader.read_exact(&mut self.buffer).map_err(failed)?;
        self.context.progress.add(0, bytes as u64);
        Ok(())
    }

    /// Hands the hash and the place of every item of a chunk that lies in the slice to `take`: those of equal hashes in
    /// order, and none has a lower place than any of the chunk before.
    pub(crate) fn each(
        &mut self,
        chunk: u64,
        mut take: impl FnMut(u128, u64) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let start = chunk * CHUNK_BYTES;
        self.read(start, COUNTS_BYTES)?;
        let counts: Vec<u64> =
            self.buffer.as_chunks::<4>().0.iter().map(|count| u32::from_le_bytes(*count).into()).collect();
        let buckets = self.slice.buckets(BUCKET_BITS);
        let before: u64 = counts[..buckets.start].iter().sum();
        let mut left: u64 = counts[buckets].iter().sum();
        if before + left > CHUNK_ITEMS as u64 {
            let message =
                format!("chunk {chunk} counts {} items and more, expected {CHUNK_ITEMS}", before + left);
            return Err(TaskError::corrupt(&self.file.path, message));
        }
        let mut at = start + COUNTS_BYTES as u64 + before * ITEM_BYTES as u64;
        while left > 0 {
            let items = left.min((BUFFER_BYTES / ITEM_BYTES) as u64);
            self.read(at, items as usize * ITEM_BYTES)?;
            for item in self.buffer.as_chunks::<ITEM_BYTES>().0 {
                let item = u128::from_le_bytes(*item);
                let place = (item & PLACE_MASK) as u64;
                if place >= self.places {
                    let message = format!("an item at place {place} of {}", self.places);
                    return Err(TaskError::corrupt(&self.file.path, message));
                }
                if self.slice.holds((item >> 64) as u64) {
                    take(item & !PLACE_MASK, place)?;
                }
            }
            at += items * ITEM_BYTES as u64;
            left -= items;
        }
        Ok(())
    }
}
