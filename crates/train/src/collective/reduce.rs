//! Sums of floats over ranks in the canonical order (see [`crate::tree`]), as a scatter of the sum and a gather.

use std::ops::Range;

use orchestrator_model::kernels::optimizer::add_assign;

use super::{Collective, CollectiveError};
use crate::tree::{self, Node};

/// Sums what the ranks hold and leaves each with its share of the sum.
///
/// `parts` are this rank's subtrees of the tree over `leaves`, each as long as all shares together.
pub fn reduce_scatter(
    collective: &mut dyn Collective,
    leaves: usize,
    mut parts: Vec<(Node, Vec<f32>)>,
    shares: &[Range<usize>],
) -> Result<Vec<f32>, CollectiveError> {
    let (rank, world_size) = (collective.rank(), collective.world_size());
    let mut add = |total: &mut Vec<f32>, part: Vec<f32>| add_assign(total, &part);
    if world_size == 1 && parts.len() == 1 {
        return Ok(parts.swap_remove(0).1);
    }
    let outgoing = shares.iter().map(|share| {
        let mut bytes = Vec::with_capacity(parts.len() * share.len() * 4);
        for (_, values) in &parts {
            write_floats(&values[share.clone()], &mut bytes);
        }
        bytes
    });
    let outgoing = outgoing.collect();
    drop(parts);
    let incoming = collective.exchange(outgoing)?;
    let mut received = Vec::new();
    for (from, bytes) in incoming.into_iter().enumerate() {
        let nodes = tree::subtrees(leaves, &tree::owned(leaves, from, world_size));
        let length = shares[rank].len();
        expect_length(from, &bytes, nodes.len() * length * 4)?;
        for (place, node) in nodes.into_iter().enumerate() {
            received.push((node, read_floats(&bytes[place * length * 4..][..length * 4])));
        }
    }
    tree::join(leaves, received, &mut add).ok_or_else(|| CollectiveError::Protocol {
        rank,
        problem: "parts that do not cover the tree".to_owned(),
    })
}

/// Completes `values`, of which each rank holds its share.
pub fn all_gather_shares(
    collective: &mut dyn Collective,
    shares: &[Range<usize>],
    values: &mut [f32],
) -> Result<(), CollectiveError> {
    if collective.world_size() == 1 {
        return Ok(());
    }
    let rank = collective.rank();
    let mut own = Vec::with_capacity(shares[rank].len() * 4);
    write_floats(&values[shares[rank].clone()], &mut own);
    for (from, bytes) in collective.all_gather(own)?.into_iter().enumerate() {
        let into = &mut values[shares[from].clone()];
        expect_length(from, &bytes, into.len() * 4)?;
        into.copy_from_slice(&read_floats(&bytes));
    }
    Ok(())
}

/// Gathers numbers of all ranks into one list, in the order of ranks.
pub fn gather_numbers(collective: &mut dyn Collective, own: &[f64]) -> Result<Vec<f64>, CollectiveError> {
    if collective.world_size() == 1 {
        return Ok(own.to_vec());
    }
    let bytes = own.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut all = Vec::new();
    for (from, bytes) in collective.all_gather(bytes)?.into_iter().enumerate() {
        let (numbers, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            let problem = format!("`{}` bytes: expected whole numbers of eight bytes", bytes.len());
            return Err(CollectiveError::Protocol { rank: from, problem });
        }
        all.extend(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)));
    }
    Ok(all)
}

fn expect_length(rank: usize, bytes: &[u8], expected: usize) -> Result<(), CollectiveError> {
    if bytes.len() == expected {
        return Ok(());
    }
    let problem = format!("`{}` bytes: expected `{expected}`", bytes.len());
    Err(CollectiveError::Protocol { rank, problem })
}

fn write_floats(values: &[f32], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(bytemuck::cast_slice(values));
}

fn read_floats(bytes: &[u8]) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(bytes)
}
