//! One slice of one band: sort the hashes, connect the documents that share one.

use orchestrator_core::TaskOutcome;
use orchestrator_job::{InputFile, PartRef};
use serde_json::json;

use super::edges::EdgeWriter;
use super::keys::{Key, config, keys};
use super::signatures::Signatures;
use super::slice::Slice;
use super::union_find::UnionFind;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Where candidates are verified, a document is compared with so many of the first documents of its bucket, and with so
/// many of those right before it: that is all pairs of a bucket of up to nine documents.
const FIRSTS: usize = 4;
const BEFORE: usize = 4;
/// Candidates of a slice, 256 MiB: what the plan cuts slices for. Once there are so many, a document is compared with the
/// first of its bucket alone.
const MOST_CANDIDATES: usize = 32 << 20;

/// Writes `edges-NNNNN.bin` for slice `partition` of `partitions`; `inputs` are earlier runs' indexes and this run's
/// signatures.
///
/// Buckets become stars around their first documents, and the stars are joined here already: what goes on is a forest,
/// at most one edge a document, in order of documents, whatever the number of bands. Where candidates are verified, they go
/// on as they are, in the same order: a bucket's first alone would not do, for two of its documents may be like each other
/// and not like the first.
pub(crate) fn run(
    context: &TaskContext,
    stage: u32,
    partition: u32,
    partitions: u32,
    inputs: (&[InputFile], &[PartRef]),
) -> Result<TaskOutcome, TaskError> {
    let verify = config(context, stage)?.verify.is_some();
    let directory = context.phase_directory();
    let slice = Slice::new(partition, partitions);
    let signatures = Signatures::open(context, inputs.0, inputs.1)?;
    // Candidates to be verified go on one by one, and nothing is joined.
    let mut forest = UnionFind::new(if verify { 0 } else { signatures.documents });
    let mut candidates = Candidates::default();
    // One band after the other: memory holds the pairs of one band's slice at a time.
    for key in keys(context, stage)? {
        let mut pairs = pairs(context, &signatures, &key, slice)?;
        pairs.sort_unstable();
        if verify {
            candidates.add(&pairs, MOST_CANDIDATES);
        } else {
            stars(&pairs).for_each(|(document, first)| forest.join(document, first));
        }
    }
    let mut files = AttemptFiles::new(context);
    let mut edges = EdgeWriter::create(&files, format!("{directory}/edges-{partition:05}.bin"))?;
    for (document, first) in candidates.pairs.into_iter().chain(forest.members()) {
        edges.push(document, first)?;
    }
    let detail = json!({ "edges": edges.edges(), "not_compared": candidates.left_out });
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

/// Connects every document with the first one of its bucket: a bucket of n gives n − 1 edges, not n². Pairs are sorted.
fn stars(pairs: &[(u128, u32)]) -> impl Iterator<Item = (u32, u32)> {
    buckets(pairs).flat_map(|bucket| {
        let (first, rest) = (bucket[0].1, &bucket[1..]);
        rest.iter().map(move |&(_, document)| (document, first))
    })
}

/// Pairs of equal hashes.
fn buckets(pairs: &[(u128, u32)]) -> impl Iterator<Item = &[(u128, u32)]> {
    pairs.chunk_by(|a, b| a.0 == b.0)
}

/// Pairs of documents to be compared, (later, earlier), sorted, each once.
#[derive(Default)]
struct Candidates {
    pairs: Vec<(u32, u32)>,
    /// Pairs that would have been compared had there been room.
    left_out: u64,
}

impl Candidates {
    /// Adds those of one band. A document is always compared with the first of its bucket.
    fn add(&mut self, band: &[(u128, u32)], most: usize) {
        for bucket in buckets(band) {
            for (place, &(_, document)) in bucket.iter().enumerate().skip(1) {
                let (firsts, rest) = bucket[..place].split_at(place.min(FIRSTS));
                let near = &rest[rest.len().saturating_sub(BEFORE)..];
                self.pairs.push((document, firsts[0].1));
                let others = firsts[1..].iter().chain(near).map(|&(_, earlier)| (document, earlier));
                if self.pairs.len() < most {
                    self.pairs.extend(others);
                } else {
                    self.left_out += others.count() as u64;
                }
            }
        }
        // Copies share every band: most pairs of the next ones are there already.
        self.pairs.sort_unstable();
        self.pairs.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_becomes_a_star_around_its_first_document() {
        let pairs = [(7, 0), (7, 3), (7, 5), (8, 2), (9, 1), (9, 4)];
        assert_eq!(stars(&pairs).collect::<Vec<_>>(), [(3, 0), (5, 0), (4, 1)]);
    }

    #[test]
    fn all_pairs_of_a_small_bucket_are_candidates_and_of_a_large_one_a_bounded_number() {
        let bucket = |size: u32| (0..size).map(|document| (7, document)).collect::<Vec<_>>();
        let of = |pairs: &[(u128, u32)], most| {
            let mut candidates = Candidates::default();
            candidates.add(pairs, most);
            candidates.add(pairs, most);
            candidates
        };
        for size in 0..=9u32 {
            let all: Vec<_> =
                (1..size).flat_map(|later| (0..later).map(move |earlier| (later, earlier))).collect();
            assert_eq!(of(&bucket(size), MOST_CANDIDATES).pairs, all, "{size}");
        }
        let large = of(&bucket(1_000), MOST_CANDIDATES);
        assert!(large.pairs.len() < 8_000 && large.left_out == 0);
        for near in [(999, 0), (999, 3), (999, 995), (999, 998)] {
            assert!(large.pairs.binary_search(&near).is_ok(), "{near:?}");
        }
        assert!(large.pairs.binary_search(&(999, 500)).is_err(), "neither first nor near");
        let crowded = of(&bucket(1_000), 100);
        assert!(crowded.left_out > 0);
        assert!(
            (1..1_000).all(|document| crowded.pairs.binary_search(&(document, 0)).is_ok()),
            "the first always"
        );
    }
}
