//! Sorts more rows than memory holds.
//!
//! ```text
//! push ─▶ rows in memory ─full─▶ sorted, appended to one temporary file as a run ─finish─▶ merge of all runs
//! ```
//!
//! Memory is bounded by [`HELD`] rows and [`BUFFER_ROWS`] rows of each run: of 10⁹ documents 60 MiB and 90 MiB. What comes
//! out depends on the rows alone, not on where runs ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::fates::Fate;

/// Rows that are sorted in memory.
const HELD: usize = 768 << 10;
/// Rows of a run that are read at once.
const BUFFER_ROWS: usize = 1024;
/// Bytes of a row on disk.
const ROW_BYTES: usize = 48;

/// What one place says of one document. The order of rows is that of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// What the rows of one document have in common.
    pub(crate) key: u128,
    /// Which of them comes first.
    pub(crate) order: u32,
    /// What it says of the document's fate.
    pub(crate) fate: Fate,
    /// The hash of the text, where it tells one.
    pub(crate) text: Option<u64>,
    /// Another key of the document, or the place in the peer's files.
    pub(crate) other: Option<u128>,
}

impl Row {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.order.to_le_bytes());
        out.extend_from_slice(&self.fate.to_le_bytes());
        out.push(u8::from(self.text.is_some()));
        out.push(u8::from(self.other.is_some()));
        out.extend_from_slice(&self.text.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.other.unwrap_or(0).to_le_bytes());
    }

    fn decode(bytes: &[u8; ROW_BYTES]) -> Self {
        let (key, rest) = take::<16>(bytes);
        let (order, rest) = take::<4>(rest);
        let (fate, rest) = take::<2>(rest);
        let (has, rest) = take::<2>(rest);
        let (text, rest) = take::<8>(rest);
        let (other, _) = take::<16>(rest);
        Self {
            key: u128::from_le_bytes(key),
            order: u32::from_le_bytes(order),
            fate: Fate::from_le_bytes(fate),
            text: (has[0] != 0).then(|| u64::from_le_bytes(text)),
            other: (has[1] != 0).then(|| u128::from_le_bytes(other)),
        }
    }
}

/// The first bytes and what comes after them; zeros where there are too few, which a row of fixed size never has.
fn take<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    bytes.split_first_chunk::<N>().map_or(([0; N], &[]), |(first, rest)| (*first, rest))
}

/// Takes rows in any order.
pub(crate) struct Sorter {
    held: Vec<Row>,
    most: usize,
    scratch: PathBuf,
    spill: Option<Spill>,
}

/// Runs on disk.
struct Spill {
    file: File,
    /// First byte and rows of each.
    runs: Vec<(u64, u64)>,
    bytes: u64,
}

impl Sorter {
    /// Starts; what does not fit into memory goes to a file without a name in `scratch`.
    pub(crate) fn new(scratch: Option<&Path>) -> Self {
        Self::holding(HELD, scratch)
    }

    fn holding(most: usize, scratch: Option<&Path>) -> Self {
        let scratch = scratch.map_or_else(std::env::temp_dir, Path::to_owned);
        Self { held: Vec::new(), most, scratch, spill: None }
    }

    /// Takes a row.
    pub(crate) fn push(&mut self, row: Row) -> Result<(), Error> {
        self.held.push(row);
        if self.held.len() >= self.most { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), Error> {
        let failed = Error::scratch(&self.scratch);
        let mut spill = match self.spill.take() {
            Some(spill) => spill,
            None => match tempfile::tempfile_in(&self.scratch) {
                Ok(file) => Spill { file, runs: Vec::new(), bytes: 0 },
                Err(error) => return Err(failed(error)),
            },
        };
        self.held.sort_unstable();
        let mut bytes = Vec::with_capacity(BUFFER_ROWS * ROW_BYTES);
        for rows in self.held.chunks(BUFFER_ROWS) {
            bytes.clear();
            for row in rows {
                row.encode(&mut bytes);
            }
            if let Err(error) = spill.file.write_all(&bytes) {
                return Err(failed(error));
            }
        }
        let rows = self.held.len() as u64;
        spill.runs.push((spill.bytes, rows));
        spill.bytes += rows * ROW_BYTES as u64;
        self.held.clear();
        self.spill = Some(spill);
        Ok(())
    }

    /// All rows, sorted.
    pub(crate) fn finish(mut self) -> Result<Sorted, Error> {
        self.held.sort_unstable();
        let mut runs = vec![Run { rows: self.held, next: 0, left: (0, 0) }];
        let mut file = None;
        if let Some(spill) = self.spill {
            runs.extend(spill.runs.iter().map(|&left| Run { rows: Vec::new(), next: 0, left }));
            file = Some(spill.file);
        }
        let mut sorted = Sorted { file, scratch: self.scratch, runs, heads: BinaryHeap::new() };
        for run in 0..sorted.runs.len() {
            sorted.advance(run)?;
        }
        Ok(sorted)
    }
}

/// One sorted run.
struct Run {
    /// The rows that are in memory.
    rows: Vec<Row>,
    next: usize,
    /// First byte and number of those that are not.
    left: (u64, u64),
}

/// Sorted rows, read once.
pub(crate) struct Sorted {
    file: Option<File>,
    scratch: PathBuf,
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<(Row, usize)>>,
}

impl Sorted {
    /// Puts the next row of a run among the heads.
    fn advance(&mut self, number: usize) -> Result<(), Error> {
        let run = &mut self.runs[number];
        if run.next == run.rows.len() {
            let (at, left) = run.left;
            let Some(file) = self.file.as_mut().filter(|_| left > 0) else { return Ok(()) };
            let count = left.min(BUFFER_ROWS as u64);
            let mut bytes = vec![0; count as usize * ROW_BYTES];
            let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut bytes));
            read.map_err(Error::scratch(&self.scratch))?;
            run.rows.clear();
            run.rows.extend(bytes.as_chunks::<ROW_BYTES>().0.iter().map(Row::decode));
            run.next = 0;
            run.left = (at + bytes.len() as u64, left - count);
        }
        let row = run.rows[run.next];
        run.next += 1;
        self.heads.push(Reverse((row, number)));
        Ok(())
    }
}

impl Iterator for Sorted {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((row, run)) = self.heads.pop()?;
        Some(self.advance(run).map(|()| row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_sorted_however_few_fit_into_memory() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let rows: Vec<Row> = (0..5_000u32)
            .map(|number| Row {
                key: u128::from(random() % 700) << 100,
                order: number % 7,
                fate: (random() % 9) as Fate,
                text: (number % 3 > 0).then_some(random()),
                other: (number % 2 > 0).then_some(u128::from(random()) << 64),
            })
            .collect();
        let mut expected = rows.clone();
        expected.sort_unstable();
        for most in [1, 64, 4_999, 5_000, 9_000] {
            let mut sorter = Sorter::holding(most, None);
            for row in &rows {
                sorter.push(*row).expect("a temporary file");
            }
            let sorted: Result<Vec<Row>, _> = sorter.finish().expect("runs").collect();
            assert_eq!(sorted.expect("rows"), expected, "{most} in memory");
        }
        assert!(Sorter::new(None).finish().expect("nothing").next().is_none());
    }
}
