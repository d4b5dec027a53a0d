//! One slice of one band: sort the hashes, connect the documents that share one.

use orchestrator_core::TaskOutcome;
use orchestrator_job::{InputFile, PartRef};
use serde_json::json;

use super::edges::EdgeWriter;
use super::keys::{Key, config, keys};
use super::signatures::Signatures;
use super::union_find::UnionFind;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

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

/// Writes `edges-NNNNN.bin` for slice `partition` of `partitions`; `inputs` are earlier runs' indexes and this run's
/// signatures.
///
/// Buckets become stars around their first documents, and the stars are joined here already: what goes on is a forest,
/// at most one edge a document, in order of documents, whatever the number of bands. Where candidates are verified, all
/// stars go on as they are, in the same order.
pub(crate) fn run(
    context: &TaskContext,
    stage: u32,
    partition: u32,
    partitions: u32,
    inputs: (&[InputFile], &[PartRef]),
) -> Result<TaskOutcome, TaskError> {
    let verify = config(context, stage)?.verify.is_some();
    let directory = context.phase_directory();
    let slice = Slice { number: partition, count: partitions.max(1) };
    let signatures = Signatures::open(context, inputs.0, inputs.1)?;
    // Candidates to be verified go on one by one, and nothing is joined.
    let mut forest = UnionFind::new(if verify { 0 } else { signatures.documents });
    let mut candidates = Vec::new();
    // One band after the other: memory holds the pairs of one band's slice at a time.
    for key in keys(context, stage)? {
        let stars = stars(pairs(context, &signatures, &key, slice)?);
        if verify {
            candidates.extend(stars);
        } else {
            stars.for_each(|(document, first)| forest.join(document, first));
        }
    }
    candidates.sort_unstable();
    candidates.dedup();
    let mut files = AttemptFiles::new(context);
    let mut edges = EdgeWriter::create(&files, format!("{directory}/edges-{partition:05}.bin"))?;
    for (document, first) in candidates.into_iter().chain(forest.members()) {
        edges.push(document, first)?;
    }
    let detail = json!({ "edges": edges.edges() });
    edges.finish(&mut files, stage)?;
    Ok(TaskOutcome { files: files.into_records(), detail, ..TaskOutcome::default() })
}

/// Reads one key of every document: (hash, place in the global order) where the hash lies in the slice.
fn pairs(
    context: &TaskContext,
    signatures: &Signatures,
    key: &Key,
    slice: Slice,
) -> Result<Vec<(u128, u32)>, TaskError> {
    let mut pairs = Vec::new();
    let columns: Vec<&str> = key.columns.iter().map(String::as_str).collect();
    signatures.for_each(context, &columns, |first, rows| {
        let mut document = first;
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
        Ok(())
    })?;
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
