//! Seeded simulation of workers, people and a coordinator that crashes: invariants hold after every step, every job
//! ends, no task commits twice, and the same seed gives the same trace.

mod world;

use world::World;

#[test]
fn every_job_ends_and_invariants_hold() {
    for seed in 0..150 {
        let world = World::run(seed);
        assert!(world.ended(), "seed {seed}: jobs are left: {}", world.summary());
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 7, 42] {
        assert_eq!(World::run(seed).trace(), World::run(seed).trace(), "seed {seed}");
    }
}
