//! Reading a sample: the records of a unit, of which some go on by a hash of their ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use orchestrator_core::DocumentId;
use orchestrator_job::{Extent, InputFile, Split};
use orchestrator_storage::formats::{self, Compression, Format, Input, RawKind, RawRecord, Records, Start};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::context::JobContext;
use crate::error::TaskError;
use crate::source;

/// Behind the end of a range so much is read at most, to end its last record and to find the next.
const BEHIND_BYTES: u64 = 16 << 20;

/// Which records of a unit are taken, and what was seen of it.
#[derive(Debug)]
pub(crate) struct RecordSample {
    seed: u64,
    /// Hashes up to this are taken.
    most: u64,
    seen: AtomicU64,
    taken: AtomicU64,
    fed_ns: AtomicU64,
}

/// Which records of an input are taken, for readers that spare the others.
pub(crate) struct SampledInput {
    job: Arc<JobContext>,
    source: String,
}

impl SampledInput {
    /// Of a job that is sampled.
    pub(crate) fn new(job: &Arc<JobContext>, input: &InputFile) -> Self {
        Self { job: Arc::clone(job), source: input.source.clone() }
    }
}

impl formats::Choice for SampledInput {
    fn takes(&self, ordinal: u64) -> bool {
        let id = DocumentId::derive(&self.source, ordinal);
        self.job.sample.as_ref().is_none_or(|sample| sample.would_take(id))
    }

    fn understood(&self, time: Duration) {
        // To understand a record is a part of what is done with those that are taken.
        if let Some(sample) = &self.job.sample {
            sample.count_time(time);
        }
    }
}

/// What was seen of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its records.
    pub(super) records: u64,
    /// Those of them that were taken.
    pub(super) taken: u64,
    /// Nanoseconds that the stages had them.
    pub(super) fed_ns: u64,
}

impl RecordSample {
    /// Takes `part` of the records.
    pub(super) fn new(part: f64, seed: u64) -> Self {
        let most = if part >= 1.0 { u64::MAX } else { (part * u64::MAX as f64) as u64 };
        Self { seed, most, seen: AtomicU64::new(0), taken: AtomicU64::new(0), fed_ns: AtomicU64::new(0) }
    }

    /// Counts a record; says whether it is taken.
    pub(crate) fn takes(&self, id: DocumentId) -> bool {
        self.seen.fetch_add(1, Ordering::Relaxed);
        let takes = self.would_take(id);
        self.taken.fetch_add(u64::from(takes), Ordering::Relaxed);
        takes
    }

    fn would_take(&self, id: DocumentId) -> bool {
        xxh3_64_with_seed(&id.0.to_be_bytes(), self.seed) <= self.most
    }

    /// Runs the stages on a record that is taken, and counts the time.
    pub(crate) fn timed<T>(&self, run: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = run();
        self.count_time(begun.elapsed());
        done
    }

    fn count_time(&self, time: Duration) {
        self.fed_ns.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// What was seen since the last time that was asked.
    pub(super) fn since(&self) -> Seen {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Seen { records: take(&self.seen), taken: take(&self.taken), fed_ns: take(&self.fed_ns) }
    }
}

/// Where reading of a range that ends at `end` stops.
fn last_byte(end: u64, input: &InputFile) -> u64 {
    end.saturating_add(BEHIND_BYTES).min(input.bytes)
}

/// The records that begin in a range of bytes which may begin and end anywhere. They are numbered from the range's start:
/// which number they have in their file only the records before them would tell.
pub(crate) fn range(
    context: &Arc<JobContext>,
    split: &Split,
    (start, end): (u64, u64),
    take: impl FnMut(RawRecord) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let read = source::config_of(&context.job)?;
    let (format, compression) = source::format(read, &split.input)?;
    let (store, path) = source::open_of(context, &split.input)?;
    let last = last_byte(end, &split.input);
    let is_plain_lines = is_plain_lines(format, compression);
    let from = first_byte(is_plain_lines, start);
    let stream = Input::Stream(store.open_reader(&path, Some(from..last))?);
    let begin = Start { ordinal: split.first_record, offset: from };
    let options = source::reader_options(read);
    let choice = Box::new(SampledInput::new(context, &split.input));
    let name = &split.input.url;
    let records = formats::open_chosen(name, stream, format, compression, begin, &options, choice)?;
    that_begin_in(records, is_plain_lines, (start, end), last == split.input.bytes, take)
}

/// Whether a file is entered at its lines, and not at members or at records of an archive.
fn is_plain_lines(format: Format, compression: Compression) -> bool {
    format == Format::Jsonl && compression == Compression::None
}

/// Where reading of a range that begins at `start` begins. Whether a line begins there the byte before it tells.
fn first_byte(is_plain_lines: bool, start: u64) -> u64 {
    if is_plain_lines { start.saturating_sub(1) } else { start }
}

/// Of records that are read from `start` on, or a byte before, those that begin before `end`. `to_end` says whether reading stops at the end
/// of the file, and nowhere before.
fn that_begin_in(
    records: Records,
    is_plain_lines: bool,
    (start, end): (u64, u64),
    to_end: bool,
    mut take: impl FnMut(RawRecord) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    // What is before the first record of an archive, or the first member, is a gap to its reader; of lines only the offset tells.
    let mut begun = start == 0 || is_plain_lines;
    // A record that the end of what is read may have cut is only known to be whole by the next.
    let mut held: Option<RawRecord> = None;
    for record in records {
        let record = record?;
        if record.enterable && record.offset >= end {
            return held.map_or(Ok(()), take);
        }
        if record.offset < start || !begun && matches!(record.kind, RawKind::Malformed { .. }) {
            continue;
        }
        begun = true;
        if let Some(whole) = held.replace(record) {
            take(whole)?;
        }
    }
    match held {
        Some(record) if to_end => take(record),
        _ => Ok(()),
    }
}

/// Whether a record of a compressed file can be found from `start` on, without what is before. Of lines that is so where
/// members begin with one: of a member that begins within a line nothing tells.
pub(super) fn can_be_entered(context: &JobContext, input: InputFile, start: u64) -> Result<bool, TaskError> {
    let end = start.saturating_add(1);
    let split = Split { input, extent: Extent::Bytes { start, end }, first_record: start };
    let read = source::config_of(&context.job)?;
    let (format, compression) = source::format(read, &split.input)?;
    let (store, path) = source::open_of(context, &split.input)?;
    let last = last_byte(start, &split.input);
    let stream = store.open_reader(&path, Some(start..last))?;
    if format == Format::Jsonl {
        return Ok(formats::members_begin_lines(&split.input.url, stream, start, compression)?);
    }
    let stream = Input::Stream(stream);
    let begin = Start { ordinal: 0, offset: start };
    let options = source::reader_options(read);
    let records = formats::open(&split.input.url, stream, format, compression, begin, &options)?;
    for record in records {
        match record {
            Ok(record) if matches!(record.kind, RawKind::Malformed { .. }) => {}
            Ok(_) => return Ok(true),
            // Nothing that begins a member: the reader has said all that it can.
            Err(orchestrator_storage::Error::Corrupt { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use orchestrator_storage::formats::ReaderOptions;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).expect("memory")
    }

    fn line(number: usize) -> Vec<u8> {
        let text = format!("record {number} {}", "word ".repeat(number * 7 % 90));
        format!("{{\"text\": \"{text}\"}}\n").into_bytes()
    }

    fn warc(number: usize) -> Vec<u8> {
        let block = format!("record {number} {}", "word ".repeat(number * 7 % 90));
        format!(
            "WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{block}\r\n\r\n",
            block.len()
        )
        .into_bytes()
    }

    /// The texts of the records that begin in each range of `size` bytes, range after range.
    fn in_ranges(
        bytes: &[u8],
        format: Format,
        compression: Compression,
        size: u64,
        behind: u64,
    ) -> Vec<String> {
        let all = bytes.len() as u64;
        let mut found = Vec::new();
        for start in (0..all).step_by(size as usize) {
            let end = (start + size).min(all);
            let last = (end + behind).min(all);
            let is_plain_lines = is_plain_lines(format, compression);
            let from = first_byte(is_plain_lines, start);
            let piece = Cursor::new(bytes[from as usize..last as usize].to_vec());
            let begin = Start { ordinal: start, offset: from };
            let options = ReaderOptions::default();
            let input = Input::Stream(Box::new(piece));
            let records = formats::open("x", input, format, compression, begin, &options).expect("a reader");
            that_begin_in(records, is_plain_lines, (start, end), last == all, |record| {
                let RawKind::Body(body) = record.kind else { panic!("{:?}", record.kind) };
                found.push(String::from_utf8(body.bytes).expect("UTF-8"));
                Ok(())
            })
            .expect("memory");
        }
        found
    }

    #[test]
    fn ranges_wherever_they_begin_hold_every_record_once() {
        let expected: Vec<String> = (0..300)
            .map(|number| {
                format!("record {number} {}", "word ".repeat(number * 7 % 90)).trim_end().to_owned()
            })
            .collect();
        let lines: Vec<Vec<u8>> = (0..300).map(line).collect();
        let archive: Vec<Vec<u8>> = (0..300).map(warc).collect();
        let each = |records: &[Vec<u8>]| records.iter().flat_map(|record| gzip(record)).collect::<Vec<u8>>();
        let members = |pack: fn(&[u8]) -> Vec<u8>| -> Vec<u8> {
            lines.chunks(7).flat_map(|lines| pack(&lines.concat())).collect()
        };
        for (bytes, format, compression) in [
            (lines.concat(), Format::Jsonl, Compression::None),
            (archive.concat(), Format::Wet, Compression::None),
            (each(&archive), Format::Wet, Compression::Gzip),
            (each(&lines), Format::Jsonl, Compression::Gzip),
            (members(gzip), Format::Jsonl, Compression::Gzip),
            (members(zstd), Format::Jsonl, Compression::Zstd),
        ] {
            // The last two begin where a record begins.
            let tenth = |records: &[Vec<u8>]| records[..10].concat().len() as u64;
            for size in [777, 4_096, 10_001, tenth(&lines), tenth(&archive)] {
                let found: Vec<String> = in_ranges(&bytes, format, compression, size, 4_000)
                    .iter()
                    .map(|text| text.trim_end().to_owned())
                    .collect();
                assert_eq!(found, expected, "{format} {compression}, ranges of {size} bytes");
            }
        }
    }

    #[test]
    fn which_records_are_taken_hangs_on_their_ids_and_the_seed_alone() {
        let taken = |part, seed| {
            let sample = RecordSample::new(part, seed);
            let ids: Vec<u64> =
                (0..10_000).filter(|&record| sample.takes(DocumentId::derive("a.jsonl", record))).collect();
            let seen = sample.since();
            assert_eq!((seen.records, seen.taken), (10_000, ids.len() as u64));
            assert_eq!(sample.since(), Seen::default());
            ids
        };
        let tenth = taken(0.1, 1);
        assert!((900..1_100).contains(&tenth.len()), "{}", tenth.len());
        assert_eq!(tenth, taken(0.1, 1));
        assert_ne!(tenth, taken(0.1, 2));
        assert_eq!(taken(1.0, 1).len(), 10_000);
        assert!(tenth.iter().all(|id| taken(0.2, 1).contains(id)), "a larger sample holds the smaller one");
    }
}
