//! One slice of one band: sort the hashes, connect the documents that share one.

use orchestrator_core::TaskOutcome;
use orchestrator_job::PartRef;
use serde_json::json;

use super::document_count;
use super::keys::{Key, keys};
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::table::{TableReader, TableWriter};

/// A range of hashes, the same one in every band.
#[derive(Clone, Copy, Debug)]
struct Slice {
    number: u32,
    count: u32,
}

impl Slice {
    /// Whether a hash belongs here. Hashes are uniform, so equal ranges hold about equally many.
    fn holds(self, hash: u64) -> bool {
        ((u128::from(hash) * u128::from(self.count)) >> 64) as u32 == self.number
    }
}

/// Writes `edges-NNNNN.parquet` for slice `partition` of `partitions`.
pub(crate) fn run(
    context: &TaskContext,
    stage: u32,
    partition: u32,
    partitions: u32,
    signatures: &[PartRef],
) -> Result<TaskOutcome, TaskError> {
    document_count(signatures)?;
    let directory = context.phase_directory();
    let slice = Slice { number: partition, count: partitions.max(1) };
    let mut files = AttemptFiles::new(context);
    let mut edges = TableWriter::create(
        &files,
        format!("{directory}/edges-{partition:05}.parquet"),
        false,
        &["document".to_owned(), "first".to_owned()],
    )?;
    let mut count = 0_u64;
    // One band after the other: memory holds the pairs of one band's slice at a time.
    for key in keys(context, stage)? {
        for (document, first) in stars(pairs(context, signatures, &key, slice)?) {
            edges.push(0, [Some(u64::from(document)), Some(u64::from(first))])?;
            count += 1;
        }
    }
    edges.finish(&mut files, stage)?;
    Ok(TaskOutcome {
        files: files.into_records(),
        detail: json!({ "edges": count }),
        ..TaskOutcome::default()
    })
}

/// Reads one key of every document: (hash, place in the global order) where the hash lies in the slice.
fn pairs(
    context: &TaskContext,
    signatures: &[PartRef],
    key: &Key,
    slice: Slice,
) -> Result<Vec<(u128, u32)>, TaskError> {
    let mut pairs = Vec::new();
    let mut first = 0;
    let columns: Vec<&str> = key.columns.iter().map(String::as_str).collect();
    for part in signatures {
        let mut document = first;
        for rows in TableReader::open(&context.job.output, &part.path, &columns)? {
            let rows = rows?;
            context.progress.check()?;
            context.progress.add(rows.len() as u64, 8 * rows.len() as u64);
            let mut push = |high: Option<u64>, low: Option<u64>| {
                if let (Some(high), Some(low)) = (high, low)
                    && slice.holds(high)
                {
                    pairs.push((u128::from(high) << 64 | u128::from(low), document));
                }
                document += 1;
            };
            match columns.as_slice() {
                [high, low] => {
                    rows.numbers(high)?.zip(rows.numbers(low)?).for_each(|(high, low)| push(high, low));
                }
                columns => {
                    for column in columns {
                        rows.numbers(column)?.for_each(|hash| push(hash, Some(0)));
                    }
                }
            }
        }
        first += part.rows as u32;
    }
    Ok(pairs)
}

/// Connects every document with the first one of its bucket: a bucket of n gives n − 1 edges, not n².
fn stars(mut pairs: Vec<(u128, u32)>) -> impl Iterator<Item = (u32, u32)> {
    pairs.sort_unstable();
    let mut bucket = None;
    pairs.into_iter().filter_map(move |(hash, document)| match bucket {
        Some((open, first)) if open == hash => Some((document, first)),
        _ => {
            bucket = Some((hash, document));
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_becomes_a_star_around_its_first_document() {
        let pairs = vec![(7, 3), (9, 1), (7, 0), (9, 4), (8, 2), (7, 5)];
        assert_eq!(stars(pairs).collect::<Vec<_>>(), [(3, 0), (5, 0), (4, 1)]);
    }

    #[test]
    fn every_hash_lies_in_exactly_one_slice() {
        for hash in [0, 1, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
            let holders = (0..7).filter(|&number| Slice { number, count: 7 }.holds(hash));
            assert_eq!(holders.count(), 1, "{hash}");
        }
    }
}
