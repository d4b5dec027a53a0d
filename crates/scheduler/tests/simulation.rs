//! Seeded simulation of workers, people and a coordinator that crashes: invariants hold after every step, every job
//! ends, no task commits twice, and the same seed gives the same trace.

mod world;

use world::World;

#[test]
fn every_job_ends_and_invariants_hold() {
    let mut traces = String::new();
    for seed in 0..200 {
        let world = World::run(seed);
        assert!(world.ended(), "seed {seed}: jobs are left: {}", world.summary());
        traces.push_str(world.trace());
    }
    // A simulation in which something never happens would prove nothing about it.
    for fact in [
        "JobSubmitted",
        "PhaseExpanded",
        "Leased",
        "Doubled",
        "Saved",
        "Committed",
        "Published",
        "PhasePublished",
        "AttemptEnded",
        "GangSeated",
        "GangFormed",
        "GenerationEnded",
        "GangBlamed",
        "CheckpointCommitted",
        "CheckpointPublished",
        "JobFailed",
        "JobCancelled",
        "JobRetried",
        "quarantined: true",
        "cost: Loss",
        "cost: Failure",
        "did not join in time",
        "nothing was heard of its process",
        "hangs: it did not get on",
        "gpus: 1",
        "generation: 3",
    ] {
        assert!(traces.contains(fact), "`{fact}` never happened");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 7, 42] {
        assert_eq!(World::run(seed).trace(), World::run(seed).trace(), "seed {seed}");
    }
}
