//! Files of repeated places: of every part, the places in one slice that occurred before, in rising order.
//!
//! ```text
//!  places of part 0, of part 1, … (64 bits each, counted from the part's first) │ where each part's begin, and the end
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{Read, Write};

use orchestrator_core::FileKind;
use orchestrator_job::PartRef;
use orchestrator_storage::{RelativePath, Store, Writer};

use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Bytes of a place, and of where a part begins.
const NUMBER_BYTES: usize = size_of::<u64>();
/// Bytes written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes that all slices' files together are read with, and those of one file at least and at most.
const READ_BYTES: usize = 8 << 20;
const LEAST_READ: usize = 8 << 10;
const MOST_READ: usize = 256 << 10;

/// Writes the repeated places of one slice.
pub(crate) struct RepeatedWriter {
    path: String,
    writer: Writer,
    buffer: Vec<u8>,
    starts: Vec<u64>,
    /// Places so far.
    pub(crate) places: u64,
}

impl RepeatedWriter {
    /// Starts the file that will be published as `path`.
    pub(crate) fn create(files: &AttemptFiles, path: String) -> Result<Self, TaskError> {
        Ok(Self { writer: files.create(&path)?, path, buffer: Vec::new(), starts: Vec::new(), places: 0 })
    }

    /// Goes on to the next part.
    pub(crate) fn next_part(&mut self) {
        self.starts.push(self.places);
    }

    /// Adds places of the part, in order.
    pub(crate) fn extend(&mut self, places: &[u64]) -> Result<(), TaskError> {
        self.places += places.len() as u64;
        for places in places.chunks(BUFFER_BYTES / NUMBER_BYTES) {
            self.buffer.extend(places.iter().flat_map(|place| place.to_le_bytes()));
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        let failed = TaskError::io(format!("writing `{}`", self.path));
        self.writer.write_all(&self.buffer).map_err(failed)?;
        self.buffer.clear();
        Ok(())
    }

    /// Closes the file and books it; its rows are the places.
    pub(crate) fn finish(mut self, files: &mut AttemptFiles, stage: u32) -> Result<(), TaskError> {
        self.next_part();
        self.buffer.extend(self.starts.iter().flat_map(|start| start.to_le_bytes()));
        self.flush()?;
        let written = self.writer.finish()?;
        files.record(stage, FileKind::Intermediate, self.path, self.places, written);
        Ok(())
    }
}

/// The repeated places of one part, of all slices, in rising order.
pub(crate) struct Repeated {
    sources: Vec<Source>,
    /// The next place of every source that has one.
    next: BinaryHeap<Reverse<(u64, usize)>>,
}

/// What is to be read of one slice's file. There may be a thousand of them, so the file is open only while a piece of it
/// is read.
struct Source {
    store: Store,
    path: RelativePath,
    /// Number of the file's place that is read next, and of the one after the part's last.
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    places: std::vec::IntoIter<u64>,
    read_bytes: usize,
}

impl Repeated {
    /// Opens the places of part `part` in the files of all slices.
    pub(crate) fn open(context: &TaskContext, files: &[PartRef], part: u32) -> Result<Self, TaskError> {
        let read_bytes = (READ_BYTES / files.len().max(1)).clamp(LEAST_READ, MOST_READ);
        let (mut sources, mut next) = (Vec::new(), BinaryHeap::new());
        for file in files {
            let Some(mut source) = Source::open(context, file, part, read_bytes)? else { continue };
            if let Some(place) = source.next()? {
                next.push(Reverse((place, sources.len())));
                sources.push(source);
            }
        }
        Ok(Self { sources, next })
    }

    /// Whether a place is repeated; places are asked for in rising order.
    pub(crate) fn holds(&mut self, place: u64) -> Result<bool, TaskError> {
        let Some(&Reverse((next, source))) = self.next.peek() else { return Ok(false) };
        if next > place {
            return Ok(false);
        }
        let source_of = &mut self.sources[source];
        if next < place {
            let message =
                format!("place {next} is repeated, but nothing of the part has it; {place} comes next");
            return Err(TaskError::corrupt(source_of.path.as_str(), message));
        }
        let after = source_of.next()?;
        if after.is_some_and(|after| after <= next) {
            return Err(TaskError::corrupt(
                source_of.path.as_str(),
                format!("place {next} does not come before the next"),
            ));
        }
        self.next.pop();
        self.next.extend(after.map(|after| Reverse((after, source))));
        Ok(true)
    }

    /// Passes by the places before `place`.
    pub(crate) fn skip_to(&mut self, place: u64) -> Result<(), TaskError> {
        while let Some(&Reverse((next, _))) = self.next.peek()
            && next < place
        {
            self.holds(next)?;
        }
        Ok(())
    }

    /// Makes sure that every repeated place was asked for.
    pub(crate) fn finish(&self) -> Result<(), TaskError> {
        match self.next.peek() {
            None => Ok(()),
            Some(Reverse((place, source))) => {
                let message = format!("place {place} is repeated, but the part ends before it");
                Err(TaskError::corrupt(self.sources[*source].path.as_str(), message))
            }
        }
    }
}

impl Source {
    /// `None` where the part has no place in the file.
    fn open(
        context: &TaskContext,
        file: &PartRef,
        part: u32,
        read_bytes: usize,
    ) -> Result<Option<Self>, TaskError> {
        let path = RelativePath::new(&*file.path)?;
        let output = &context.job.output;
        let number = NUMBER_BYTES as u64;
        let at = (file.rows + u64::from(part)) * number;
        let mut bounds = [[0; NUMBER_BYTES]; 2];
        if at + 2 * number > file.bytes {
            return Err(TaskError::corrupt(&file.path, format!("it ends before part {part}")));
        }
        let failed = || TaskError::io(format!("reading `{}`", file.path));
        output
            .open_reader(&path, Some(at..at + 2 * number))?
            .read_exact(bounds.as_flattened_mut())
            .map_err(failed())?;
        let [start, end] = bounds.map(u64::from_le_bytes);
        if start > end || end > file.rows {
            let message = format!("part {part} has the places {start} to {end} of {}", file.rows);
            return Err(TaskError::corrupt(&file.path, message));
        }
        if start == end {
            return Ok(None);
        }
        let (buffer, places) = (Vec::new(), Vec::new().into_iter());
        Ok(Some(Self { store: output.clone(), path, next: start, end, buffer, places, read_bytes }))
    }

    fn next(&mut self) -> Result<Option<u64>, TaskError> {
        if let Some(place) = self.places.next() {
            return Ok(Some(place));
        }
        if self.next == self.end {
            return Ok(None);
        }
        let places = (self.end - self.next).min((self.read_bytes / NUMBER_BYTES) as u64);
        self.buffer.resize(places as usize * NUMBER_BYTES, 0);
        let number = NUMBER_BYTES as u64;
        let range = self.next * number..(self.next + places) * number;
        let failed = TaskError::io(format!("reading `{}`", self.path.as_str()));
        self.store.open_reader(&self.path, Some(range))?.read_exact(&mut self.buffer).map_err(failed)?;
        self.next += places;
        let numbers =
            self.buffer.as_chunks::<NUMBER_BYTES>().0.iter().map(|number| u64::from_le_bytes(*number));
        self.places = numbers.collect::<Vec<_>>().into_iter();
        Ok(self.places.next())
    }
}
