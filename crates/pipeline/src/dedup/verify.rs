//! Compares candidates by the true Jaccard similarity of their shingles, where the stage asks for it.
//!
//! One task a part: it takes the candidate edges of the part's documents, block by block of the earlier documents, so that
//! the shingles of one block are all that lies in memory. What is connected already is not compared again: of a cluster of
//! copies each is compared once.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use orchestrator_core::TaskOutcome;
use orchestrator_job::{InputFile, PartRef};
use orchestrator_text::minhash::{Hasher, jaccard};
use serde_json::json;

use super::edges::{EdgeWriter, for_each_edge_of};
use super::keys;
use super::signatures::Signatures;
use super::texts::read_at;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Bytes of shingle hashes of one block of firsts.
const BLOCK_BYTES: usize = 128 << 20;

/// What the task is told to compare.
pub(crate) struct Candidates<'a> {
    /// Number of the part whose documents are compared with the firsts of their buckets.
    pub(crate) part: u32,
    /// Indexes of earlier runs.
    pub(crate) earlier: &'a [InputFile],
    /// All candidate edges.
    pub(crate) edges: &'a [PartRef],
    /// All parts.
    pub(crate) parts: &'a [PartRef],
}

/// Writes `verified-NNNNN.bin`: the edges that are similar enough, in order of documents.
pub(crate) fn run(
    context: &TaskContext,
    stage: u32,
    candidates: &Candidates<'_>,
) -> Result<TaskOutcome, TaskError> {
    let config = keys::config(context, stage)?;
    let threshold = config.verify.ok_or_else(|| {
        TaskError::configuration("dedup", "there is nothing to verify: `verify` is not set")
    })?;
    let mut hasher = Hasher::new(&config.minhash());
    let Signatures { own: run, documents, .. } =
        Signatures::open(context, candidates.earlier, candidates.parts)?;
    let own = places_of(run, candidates.parts, candidates.part)?;
    let pairs = pairs_of(context, candidates.edges, &own, documents)?;
    // The texts of earlier runs are not at hand: what shares a band with one of their documents is taken as it is.
    let (earlier, mut rest) = pairs.split_at(pairs.partition_point(|&(first, _)| first < run));
    let mut similar: Vec<(u32, u32)> = earlier.iter().map(|&(first, document)| (document, first)).collect();
    let mut joined = Joined::default();
    for &(document, first) in &similar {
        joined.join(document, first);
    }
    while !rest.is_empty() {
        let firsts = distinct(rest.iter().map(|&(first, _)| first));
        let mut block = BTreeMap::new();
        let mut bytes = 0;
        read_at(context, candidates.parts, run, &firsts, |place, document| {
            let shingles = hasher.shingle_set(&document.text);
            bytes += 8 * shingles.len();
            block.insert(place, shingles);
            if bytes < BLOCK_BYTES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let last = block.last_key_value().map_or(0, |(&place, _)| place);
        let (now, later) = rest.split_at(rest.partition_point(|&(first, _)| first <= last));
        let mut now: Vec<(u32, u32)> = now.iter().map(|&(first, document)| (document, first)).collect();
        now.sort_unstable();
        let documents = distinct(now.iter().map(|&(document, _)| document));
        let mut edges = now.chunk_by(|a, b| a.0 == b.0);
        read_at(context, candidates.parts, run, &documents, |_, document| {
            let mut shingles = None;
            for edge in edges.next().unwrap_or_default() {
                let Some(first) = block.get(&edge.1) else { continue };
                if joined.are_joined(edge.0, edge.1) {
                    continue;
                }
                let shingles = shingles.get_or_insert_with(|| hasher.shingle_set(&document.text));
                if jaccard(first, shingles) >= threshold {
                    joined.join(edge.0, edge.1);
                    similar.push(*edge);
                }
            }
            ControlFlow::Continue(())
        })?;
        rest = later;
    }
    similar.sort_unstable();
    let mut files = AttemptFiles::new(context);
    let path = format!("{}/verified-{:05}.bin", context.phase_directory(), candidates.part);
    let mut edges = EdgeWriter::create(&files, path)?;
    for &(document, first) in &similar {
        edges.push(document, first)?;
    }
    edges.finish(&mut files, stage)?;
    Ok(TaskOutcome {
        files: files.into_records(),
        detail: json!({ "candidates": pairs.len(), "similar": similar.len() }),
        ..TaskOutcome::default()
    })
}

/// Documents that are connected already, of one task's candidates alone.
#[derive(Default)]
struct Joined(BTreeMap<u32, u32>);

impl Joined {
    /// The earliest document that this one is connected with.
    fn root(&mut self, document: u32) -> u32 {
        let mut root = document;
        while let Some(&parent) = self.0.get(&root) {
            root = parent;
        }
        // The next way is short.
        let mut at = document;
        while let Some(parent) = self.0.get_mut(&at) {
            at = std::mem::replace(parent, root);
            if at == root {
                break;
            }
        }
        root
    }

    fn are_joined(&mut self, one: u32, other: u32) -> bool {
        self.root(one) == self.root(other)
    }

    fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.root(one), self.root(other));
        if one != other {
            self.0.insert(one.max(other), one.min(other));
        }
    }
}

/// The places of a part's documents; `first` is that of the first of all.
fn places_of(first: u32, parts: &[PartRef], part: u32) -> Result<Range<u32>, TaskError> {
    let rows = |parts: &[PartRef]| first + parts.iter().map(|part| part.rows as u32).sum::<u32>();
    let (before, from) = parts.split_at_checked(part as usize).unwrap_or((parts, &[]));
    let this = from
        .first()
        .ok_or_else(|| TaskError::configuration("dedup", format!("there is no part {part} to verify")))?;
    Ok(rows(before)..rows(before) + this.rows as u32)
}

/// The candidate edges of some documents as (first, document), in order, each once.
fn pairs_of(
    context: &TaskContext,
    edges: &[PartRef],
    own: &Range<u32>,
    documents: u32,
) -> Result<Vec<(u32, u32)>, TaskError> {
    let mut pairs = Vec::new();
    for file in edges {
        for_each_edge_of(context, file, documents, own, |document, first| pairs.push((first, document)))?;
    }
    pairs.sort_unstable();
    pairs.dedup();
    Ok(pairs)
}

/// Different values, in order; equal ones stand side by side already.
fn distinct(values: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut distinct: Vec<u32> = values.collect();
    distinct.dedup();
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_connected_is_known_whatever_the_order() {
        let mut joined = Joined::default();
        for (one, other) in [(9, 7), (7, 3), (5, 4), (9, 5), (8, 8)] {
            joined.join(one, other);
        }
        for document in [9, 7, 5, 4, 3] {
            assert_eq!(joined.root(document), 3);
        }
        assert!(joined.are_joined(9, 4) && !joined.are_joined(8, 9) && !joined.are_joined(1, 2));
    }
}
