//! Which pieces of the inputs a sample is drawn from.
//!
//! ```text
//! inputs ─▶ units: small files whole, big ones in ranges ─▶ the units with the lowest hashes ─▶ records by hash in them
//! ```
//!
//! Every unit has the same chance, and every record of a unit; so every record of the corpus has, whatever source it is
//! in. Nothing of a unit that was not chosen is read, not even its beginning. A range is entered in the middle of a record
//! and read to the end of the record that its end falls into: what begins in it is its own.
//!
//! A compressed file that has no place to be entered at is one unit, however big, and read from end to end. Whether it has
//! one is looked up where the draw hits it, and the draw then repeated with what was found. Lines in members are rare, and to
//! look costs megabytes a file: where there are more such files than a sample needs, they are taken for closed unseen.

use std::collections::BTreeSet;

use orchestrator_job::spec::{Format, ReadConfig};
use orchestrator_job::{Extent, InputFile, Job, Split};
use orchestrator_storage::formats::{Compression, Format as StoredFormat};
use orchestrator_storage::split;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::read::can_be_entered;
use crate::context::JobContext;
use crate::error::TaskError;
use crate::source;

/// Bytes of a big file, as they lie there, that are one unit.
const RANGE_BYTES: u64 = 8 << 20;
/// At least so many units are looked into where there are so many: one tells nothing of the others.
const LEAST_UNITS: usize = 64;
/// So many times the wanted fraction of the units are looked into, and that part of their records taken: what lies side by
/// side is alike, so fewer records of more units tell more.
const SPREAD: f64 = 4.0;

/// A piece of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its input.
    input: InputFile,
    /// Where it begins and ends in the file.
    range: (u64, u64),
}

impl Unit {
    /// Its size as it lies in the input.
    pub(super) fn bytes(&self) -> u64 {
        self.range.1 - self.range.0
    }

    fn is_whole(&self) -> bool {
        self.range == (0, self.input.bytes)
    }

    fn hash(&self, seed: u64) -> u64 {
        let name = format!("{}\0{}", self.input.source, self.range.0);
        xxh3_64_with_seed(name.as_bytes(), seed)
    }

    /// The pieces for the reader; none where no group of rows begins in it.
    pub(super) fn splits(&self, context: &JobContext) -> Result<Vec<Split>, TaskError> {
        let whole = |extent| vec![Split { input: self.input.clone(), extent, first_record: 0 }];
        if self.is_whole() {
            return Ok(whole(Extent::Whole));
        }
        let (start, end) = self.range;
        let read = source::config_of(&context.job)?;
        let (format, _) = source::format(read, &self.input)?;
        if !format.seeks() {
            // No record of the whole file has a number below the offset of the range that it begins in.
            let extent = Extent::Bytes { start, end };
            return Ok(vec![Split { input: self.input.clone(), extent, first_record: start }]);
        }
        let (store, path) = source::open_of(context, &self.input)?;
        let pieces = split::index_rows(&self.input.url, &store.open_seekable(&path)?, format, 1)?;
        let groups = pieces.last().map_or(1, |piece| piece.range.end).max(1);
        // Groups of rows count as equally big, as they do for tasks.
        let place =
            |group: u64| (u128::from(self.input.bytes) * u128::from(group) / u128::from(groups)) as u64;
        let inside = pieces.iter().filter(|piece| (start..end).contains(&place(piece.range.start)));
        let split = |piece: &split::Piece| Split {
            input: self.input.clone(),
            extent: Extent::RowGroups { start: piece.range.start, end: piece.range.end },
            first_record: piece.first_record,
        };
        Ok(inside.map(split).collect())
    }
}

/// Units that were chosen, and what they stand for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    /// The chosen ones, in the order of the inputs.
    pub(super) units: Vec<Unit>,
    /// How many there are.
    pub(super) all: usize,
    /// Their bytes.
    pub(super) all_bytes: u64,
    /// Which part of the records of a chosen unit is taken.
    pub(super) of_records: f64,
    /// Compressed files among them that are one unit though they are big, for they cannot be entered; and their bytes.
    pub(super) closed: (usize, u64),
}

/// Chooses units for a sample of `fraction` of all records.
pub(super) fn choose(
    context: &JobContext,
    inputs: &[InputFile],
    fraction: f64,
    seed: u64,
) -> Result<Choice, TaskError> {
    let read = source::config_of(&context.job)?;
    let mut closed = taken_for_closed(read, inputs)?;
    let mut open: BTreeSet<String> = BTreeSet::new();
    loop {
        let choice = draw(read, inputs, &closed, fraction, seed);
        let before = closed.len();
        for unit in choice.units.iter().filter(|unit| !unit.is_whole()) {
            let (format, compression) = source::format(read, &unit.input)?;
            let url = &unit.input.url;
            if compression == Compression::None
                || format.seeks()
                || open.contains(url)
                || closed.contains(url)
            {
                continue;
            }
            let enters = can_be_entered(context, unit.input.clone(), unit.range.0.max(1))?;
            if enters {
                open.insert(url.clone())
            } else {
                closed.insert(url.clone())
            };
        }
        // Each turn finds a file closed, or is the last.
        if closed.len() == before {
            return Ok(choice);
        }
    }
}

/// Files that are not looked into: big ones of compressed lines, where there are more of them than units are needed.
fn taken_for_closed(read: &ReadConfig, inputs: &[InputFile]) -> Result<BTreeSet<String>, TaskError> {
    let mut found = BTreeSet::new();
    for input in inputs.iter().filter(|input| is_cut(read, input)) {
        let (format, compression) = source::format(read, input)?;
        if format == StoredFormat::Jsonl && compression != Compression::None {
            found.insert(input.url.clone());
        }
    }
    Ok(if found.len() > LEAST_UNITS { found } else { BTreeSet::new() })
}

/// Draws units, where `closed` files are known to be one each.
fn draw(
    read: &ReadConfig,
    inputs: &[InputFile],
    closed: &BTreeSet<String>,
    fraction: f64,
    seed: u64,
) -> Choice {
    let units: Vec<Unit> =
        inputs.iter().flat_map(|input| cut(read, input, closed.contains(&input.url))).collect();
    let all = units.len();
    let all_bytes = units.iter().map(Unit::bytes).sum();
    let wanted = (SPREAD * fraction * all as f64).ceil() as usize;
    let count = wanted.max(LEAST_UNITS).min(all);
    let mut hashed: Vec<(u64, usize)> =
        units.iter().enumerate().map(|(place, unit)| (unit.hash(seed), place)).collect();
    hashed.sort_unstable();
    hashed.truncate(count);
    let mut places: Vec<usize> = hashed.into_iter().map(|(_, place)| place).collect();
    places.sort_unstable();
    let chosen: Vec<Unit> = places.into_iter().filter_map(|place| units.get(place).cloned()).collect();
    let whole = chosen.iter().filter(|unit| closed.contains(&unit.input.url));
    Choice {
        of_records: (fraction * all as f64 / count.max(1) as f64).min(1.0),
        closed: (whole.clone().count(), whole.map(Unit::bytes).sum()),
        units: chosen,
        all,
        all_bytes,
    }
}

/// Whether a file is big enough to be cut into ranges, and of a format that can be.
fn is_cut(read: &ReadConfig, input: &InputFile) -> bool {
    let has_records = read.run.is_none() && read.format_of(&input.source).is_some_and(Format::has_records);
    has_records && input.bytes > 2 * RANGE_BYTES
}

/// The units of one input.
fn cut(read: &ReadConfig, input: &InputFile, is_closed: bool) -> Vec<Unit> {
    let unit = |range| Unit { input: input.clone(), range };
    if is_closed || !is_cut(read, input) {
        return vec![unit((0, input.bytes))];
    }
    let count = input.bytes / RANGE_BYTES;
    let bound = |place: u64| (u128::from(input.bytes) * u128::from(place) / u128::from(count)) as u64;
    (0..count).map(|place| unit((bound(place), bound(place + 1)))).collect()
}

/// How many bytes of inputs the index phase looks through: those of files that are cut for several tasks.
pub(super) fn indexed_bytes(job: &Job, inputs: &[InputFile]) -> u64 {
    let Some((_, read)) = job.read() else { return 0 };
    let is_indexed = |input: &&InputFile| {
        let big = read.run.is_none() && input.bytes > job.target_bytes.0.saturating_mul(2);
        let format = read.format_of(&input.source);
        big && format.is_some_and(|it| it.has_records() && !matches!(it, Format::Parquet | Format::Arrow))
    };
    inputs.iter().filter(is_indexed).map(|input| input.bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(count: usize, ending: &str) -> Vec<InputFile> {
        let input = |number: usize| InputFile {
            url: format!("/corpus/{number:03}.{ending}"),
            source: format!("{number:03}.{ending}"),
            bytes: 100 << 20,
            stamp: String::new(),
        };
        (0..count).map(input).collect()
    }

    #[test]
    fn many_files_of_compressed_lines_are_units_and_few_are_looked_into() {
        let read = ReadConfig::default();
        let closed = |count, ending| taken_for_closed(&read, &inputs(count, ending)).expect("known formats");
        for (count, ending, expected) in [
            (LEAST_UNITS, "jsonl.gz", 0),
            (100, "jsonl.gz", 100),
            (100, "jsonl.zst", 100),
            (100, "warc.gz", 0),
            (100, "jsonl", 0),
            (100, "parquet", 0),
        ] {
            assert_eq!(closed(count, ending).len(), expected, "{count} {ending}");
        }
        let files = inputs(100, "jsonl.gz");
        let choice = draw(&read, &files, &closed(100, "jsonl.gz"), 0.001, 7);
        assert_eq!((choice.all, choice.units.len()), (100, LEAST_UNITS));
        assert!(choice.units.iter().all(Unit::is_whole));
        assert_eq!(choice.closed, (LEAST_UNITS, (LEAST_UNITS as u64) * (100 << 20)));
        assert!((choice.of_records * LEAST_UNITS as f64 / 100.0 - 0.001).abs() < 1e-12);
        assert_eq!(choice, draw(&read, &files, &closed(100, "jsonl.gz"), 0.001, 7));
        let ranges = draw(&read, &inputs(100, "jsonl"), &BTreeSet::new(), 0.001, 7);
        assert_eq!((ranges.all, ranges.closed), (1_200, (0, 0)));
        assert!(ranges.units.len() == LEAST_UNITS && !ranges.units.iter().any(Unit::is_whole));
    }
}
