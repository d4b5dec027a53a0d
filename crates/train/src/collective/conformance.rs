//! What every implementation of [`Collective`] must do; its tests call [`conformance`].

use std::thread;

use super::{Collective, CollectiveError, reduce};
use crate::{optimizer, tree};

/// Makes the ranks of a group.
pub type MakeGroup<'a> = &'a mut dyn FnMut(usize) -> Vec<Box<dyn Collective>>;

/// Runs every check on groups of several sizes. Panics where one fails: it is for tests.
pub fn conformance(make: MakeGroup<'_>) {
    for world_size in [1, 2, 3, 4] {
        on_every_rank(make(world_size), &exchanges_go_where_they_should);
        on_every_rank(make(world_size), &gathers_and_broadcasts);
        on_every_rank(make(world_size), &large_messages_pass);
        on_every_rank(make(world_size), &sums_follow_the_tree);
    }
    a_lost_peer_is_an_error(make(3));
}

/// Runs a check on a thread per rank.
fn on_every_rank(group: Vec<Box<dyn Collective>>, check: &(dyn Fn(&mut dyn Collective) + Sync)) {
    thread::scope(|scope| {
        for mut collective in group {
            scope.spawn(move || check(&mut *collective));
        }
    });
}

fn done<T>(result: Result<T, CollectiveError>) -> T {
    result.expect("all ranks are alive")
}

fn exchanges_go_where_they_should(collective: &mut dyn Collective) {
    let (rank, world_size) = (collective.rank(), collective.world_size());
    for round in 0..20 {
        let text = |from: usize, to: usize| format!("{from}→{to} in {round}").repeat(to + 1).into_bytes();
        let incoming = done(collective.exchange((0..world_size).map(|to| text(rank, to)).collect()));
        let expected: Vec<Vec<u8>> = (0..world_size).map(|from| text(from, rank)).collect();
        assert_eq!(incoming, expected, "rank {rank} of {world_size}");
    }
    assert!(collective.exchange(vec![Vec::new(); world_size + 1]).is_err(), "one message too many");
}

fn gathers_and_broadcasts(collective: &mut dyn Collective) {
    let (rank, world_size) = (collective.rank(), collective.world_size());
    let all = done(collective.all_gather(vec![rank as u8; rank]));
    assert!(all.iter().enumerate().all(|(from, bytes)| *bytes == vec![from as u8; from]));
    for root in 0..world_size {
        assert_eq!(done(collective.broadcast(root, vec![rank as u8])), [root as u8]);
    }
    done(collective.barrier());
}

fn large_messages_pass(collective: &mut dyn Collective) {
    let (rank, world_size) = (collective.rank(), collective.world_size());
    let size = 5 << 20;
    let incoming = done(collective.exchange(vec![vec![rank as u8; size]; world_size]));
    assert!(incoming.iter().enumerate().all(|(from, bytes)| *bytes == vec![from as u8; size]));
}

/// The sum over ranks has the bits of the sum on one.
fn sums_follow_the_tree(collective: &mut dyn Collective) {
    let (rank, world_size) = (collective.rank(), collective.world_size());
    let (leaves, total) = (7, 100_003);
    let mut leaf = |leaf: usize| {
        let value = |i: usize| 10.0_f32.powi((leaf as i32 * 5 + i as i32) % 9 - 4) * (1.0 + i as f32 / 7.0);
        Ok::<_, ()>((0..total).map(value).collect::<Vec<f32>>())
    };
    let mut add = |a: &mut Vec<f32>, b: Vec<f32>| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    let alone = tree::sum(0..leaves, &mut leaf, &mut add).expect("leaves do not fail");
    let nodes = tree::subtrees(leaves, &tree::owned(leaves, rank, world_size));
    let parts = nodes.into_iter().map(|node| {
        let value = tree::sum(node.clone(), &mut leaf, &mut add).expect("leaves do not fail");
        (node, value)
    });
    let parts = parts.collect();
    let shares = optimizer::shares(total, world_size);
    let share = done(reduce::reduce_scatter(collective, leaves, parts, &shares));
    let mut whole = vec![0.0; total];
    whole[shares[rank].clone()].copy_from_slice(&share);
    done(reduce::all_gather_shares(collective, &shares, &mut whole));
    assert!(whole.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits()), "rank {rank} of {world_size}");
}

fn a_lost_peer_is_an_error(group: Vec<Box<dyn Collective>>) {
    thread::scope(|scope| {
        for mut collective in group {
            scope.spawn(move || {
                done(collective.barrier());
                if collective.rank() == 1 {
                    return;
                }
                // Messages may be under way when a peer goes; soon none are left.
                let lost = (0..3).any(|_| collective.barrier().is_err());
                assert!(lost, "rank {} noticed nothing", collective.rank());
            });
        }
    });
}
