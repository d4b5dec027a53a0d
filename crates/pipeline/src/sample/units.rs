//! Which pieces of the inputs a sample is drawn from.
//!
//! ```text
//! inputs ─▶ units: small files whole, big ones in ranges ─▶ the units with the lowest hashes ─▶ records by hash in them
//! ```
//!
//! Every unit has the same chance, and every record of a unit; so every record of the corpus has, whatever source it is
//! in. Nothing of a unit that was not chosen is read, not even its beginning. A range is entered in the middle of a record
//! and read to the end of the record that its end falls into: what begins in it is its own.

use orchestrator_job::spec::{Format, ReadConfig};
use orchestrator_job::{Extent, InputFile, Job, Split};
use orchestrator_storage::formats::{Compression, Format as StoredFormat};
use orchestrator_storage::split;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::read::last_byte;
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
    /// Whether it is read to where reading stops, for no record behind its end tells where that is.
    is_closed: bool,
}

impl Unit {
    /// Its size as it lies in the input.
    pub(super) fn bytes(&self) -> u64 {
        let end = if self.is_closed { last_byte(self.range.1, &self.input) } else { self.range.1 };
        end - self.range.0
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
    /// Compressed files that are one unit though they are big, for they cannot be entered.
    pub(super) closed: usize,
}

/// Chooses units for a sample of `fraction` of all records.
pub(super) fn choose(
    context: &JobContext,
    inputs: &[InputFile],
    fraction: f64,
    seed: u64,
) -> Result<Choice, TaskError> {
    let read = source::config_of(&context.job)?;
    let units: Vec<Unit> = inputs.iter().flat_map(|input| cut(read, input)).collect();
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
    let mut choice = Choice {
        of_records: (fraction * all as f64 / count.max(1) as f64).min(1.0),
        units: chosen,
        all,
        all_bytes,
        closed: 0,
    };
    choice.open(context, read)?;
    Ok(choice)
}

impl Choice {
    /// Of ranges of a compressed file that has no place to be entered at, its beginning stands for all: whatever is behind could only
    /// be reached by decompressing all before it.
    fn open(&mut self, context: &JobContext, read: &ReadConfig) -> Result<(), TaskError> {
        let mut closed: Vec<String> = Vec::new();
        let mut open: Vec<String> = Vec::new();
        for unit in &mut self.units {
            let (format, compression) = source::format(read, &unit.input)?;
            if unit.is_whole() || compression == Compression::None || format.seeks() {
                continue;
            }
            let url = &unit.input.url;
            if !open.contains(url) && !closed.contains(url) {
                // Members of compressed lines may begin within a line, and nothing tells.
                let enters = format != StoredFormat::Jsonl
                    && super::read::can_be_entered(context, unit.input.clone(), unit.range.0.max(1))?;
                if enters { open.push(url.clone()) } else { closed.push(url.clone()) }
            }
            if closed.contains(url) {
                (unit.range, unit.is_closed) = ((0, unit.bytes()), true);
            }
        }
        self.closed = closed.len();
        // Several ranges of one such file are its one beginning.
        self.units.dedup_by(|one, two| one.is_closed && two.is_closed && one.input == two.input);
        Ok(())
    }
}

/// The units of one input.
fn cut(read: &ReadConfig, input: &InputFile) -> Vec<Unit> {
    let has_records = read.run.is_none() && read.format_of(&input.source).is_some_and(Format::has_records);
    let unit = |range| Unit { input: input.clone(), range, is_closed: false };
    if !has_records || input.bytes <= 2 * RANGE_BYTES {
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
