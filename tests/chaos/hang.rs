//! A rank that hangs while its worker lives.

use std::time::{Duration, Instant};

use crate::support::daemons::Cluster;
use crate::support::{eventually, signal};
use crate::{PATIENCE, compare, dice, prey, reference, scene};

/// A lease, a heartbeat and some room: it takes seconds.
const LEASE_MS: u64 = 1_500;
const NAMED_WITHIN: Duration = Duration::from_secs(12);

#[test]
fn a_stopped_rank_is_named_and_the_gang_goes_on_without_it() {
    reference();
    let scene = scene();
    let mut dice = dice("hang");
    let mut cluster = Cluster::start(&scene, LEASE_MS, &[]);
    cluster.start_worker("one");
    let job = cluster.client(&["submit", "job.yaml"]).ended(0).stdout.trim().to_owned();
    let ranks = eventually("two ranks run", PATIENCE, || {
        Some(prey::ranks(&cluster.worker_ids())).filter(|ranks| ranks.len() == 2)
    });
    std::thread::sleep(Duration::from_millis(dice.between(0, 300)));
    let stopped = *dice.choose(&ranks);
    signal("STOP", stopped);
    let begun = Instant::now();
    println!("rank process {stopped} is stopped");
    let log = || cluster.client(&["logs", &job]).stdout;
    let line = eventually("the rank is named", NAMED_WITHIN, || {
        log().lines().find(|line| line.contains("nothing was heard of its process")).map(str::to_owned)
    });
    println!("{:?}: {line}", begun.elapsed());
    assert!(line.contains("generation 1 ended: rank ") && line.contains(" on `one` ("), "{line}");
    let state = cluster.reaches(&job, &["succeeded", "failed"], PATIENCE);
    assert_eq!(state, "succeeded", "{}", log());
    // The job ends with its last commit; that its processes are collected is the worker's next act.
    eventually("all ranks are gone, the stopped one too", PATIENCE, || {
        prey::ranks(&cluster.worker_ids()).is_empty().then_some(())
    });
    compare(&scene.output("job"));
}

#[test]
fn a_rank_that_stops_within_a_step_is_named_with_its_place_and_a_cancelled_job_leaves_no_rank() {
    let scene = scene();
    scene.job("long", &crate::JOB.replace("steps: 30", "steps: 100000"));
    let mut cluster = Cluster::start(&scene, LEASE_MS, &[]);
    cluster.start_worker("one");
    let job = cluster.client(&["submit", "long.yaml"]).ended(0).stdout.trim().to_owned();
    let log = || cluster.client(&["logs", &job]).stdout;
    eventually("a checkpoint is published", PATIENCE, || log().contains("checkpoint of step").then_some(()));
    signal("STOP", prey::ranks(&cluster.worker_ids())[0]);
    let line = eventually("the rank is named", NAMED_WITHIN, || {
        log().lines().find(|line| line.contains("nothing was heard of its process")).map(str::to_owned)
    });
    println!("{line}");
    let (stopped, waiting) = line.split_once("waiting for it: rank ").expect("the other rank waits");
    for rank in [stopped, waiting] {
        assert!(rank.contains(" on `one` (step ") && rank.contains(", collective "), "{line}");
    }
    eventually("the gang goes on", PATIENCE, || {
        log().contains("generation 2 takes its 2 seats").then_some(())
    });
    cluster.client(&["cancel", &job]).ended(0);
    eventually("the ranks are gone", PATIENCE, || {
        prey::ranks(&cluster.worker_ids()).is_empty().then_some(())
    });
    assert_eq!(cluster.state(&job).as_deref(), Some("cancelled"));
}

#[test]
fn a_worker_stops_its_ranks_when_its_coordinator_never_returns() {
    let scene = scene();
    scene.job("long", &crate::JOB.replace("steps: 30", "steps: 100000"));
    let mut cluster = Cluster::start(&scene, LEASE_MS, &[]);
    cluster.start_worker("one");
    cluster.client(&["submit", "long.yaml"]).ended(0);
    eventually("two ranks run", PATIENCE, || (prey::ranks(&cluster.worker_ids()).len() == 2).then_some(()));
    // Its connections stay open and nothing answers: worse than a coordinator that is gone.
    signal("STOP", cluster.coordinator_id());
    let begun = Instant::now();
    eventually("the ranks are gone", NAMED_WITHIN, || {
        prey::ranks(&cluster.worker_ids()).is_empty().then_some(())
    });
    println!("stopped after {:?}", begun.elapsed());
}
