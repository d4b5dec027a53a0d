//! A coordinator and two workers.

use std::time::{Duration, Instant};

use crate::support::daemons::Cluster;
use crate::support::signal;
use crate::{PATIENCE, compare, dice, prey, reference, scene};

/// How many times somebody is killed.
const KILLS: u32 = 7;

#[test]
fn workers_ranks_and_the_coordinator_are_killed_and_started_again() {
    reference();
    let scene = scene();
    let mut dice = dice("cluster");
    // A lost worker is noticed after a lease; short ones keep the test short.
    let mut cluster = Cluster::start(&scene, 1_500, &[]);
    cluster.start_worker("one");
    cluster.start_worker("two");
    let job = cluster.client(&["submit", "job.yaml"]).ended(0).stdout.trim().to_owned();
    let begun = Instant::now();
    let mut kills = 0;
    for _ in 0..KILLS {
        let moment = prey::moment(&mut dice, &scene.path("job"), 1_200);
        if cluster.state(&job).as_deref() == Some("succeeded") {
            break;
        }
        let ranks = prey::ranks(&cluster.worker_ids());
        let killed = match dice.between(0, 4) {
            0 => {
                cluster.kill_coordinator();
                std::thread::sleep(Duration::from_millis(dice.between(0, 500)));
                cluster.start_coordinator();
                "the coordinator".to_owned()
            }
            1 if !ranks.is_empty() => {
                let rank = *dice.choose(&ranks);
                signal("KILL", rank);
                format!("rank process {rank}")
            }
            _ => {
                let name = *dice.choose(&["one", "two"]);
                cluster.kill_worker(name);
                std::thread::sleep(Duration::from_millis(dice.between(0, 500)));
                cluster.start_worker(name);
                format!("worker {name}")
            }
        };
        kills += 1;
        println!("{:?}: killed {killed} {moment}", begun.elapsed());
    }
    assert!(kills > 0, "the job ended before anybody was killed");
    let state = cluster.reaches(&job, &["succeeded", "failed"], PATIENCE);
    let log = || cluster.client(&["logs", &job]).stdout;
    assert_eq!(state, "succeeded", "{}", log());
    compare(&scene.output("job"));
}
