//! One big split: whoever goes on does so where the one before him was killed.

use std::time::{Duration, Instant};

use crate::support::corpus::{self, Dice};
use crate::support::daemons::Cluster;
use crate::support::{Scene, eventually};

/// A split that takes a while, in one task.
const PAGES: usize = 60_000;

const JOB: &str = "
max_attempts: 100
target_bytes: 1 GiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - dedup: {method: exact}
";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(71, PAGES)));
    scene.job("job", JOB);
    scene.job("whole", JOB);
    scene
}

/// Savepoints that lie in the output: of the map, behind the indexing.
fn segments(scene: &Scene) -> usize {
    let attempts =
        std::fs::read_dir(scene.path("job/.orchestrator/attempts/1/0")).into_iter().flatten().flatten();
    let segments = attempts.filter_map(|attempt| std::fs::read_dir(attempt.path().join("segments")).ok());
    segments
        .flatten()
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|kind| kind == "seg"))
        .count()
}

/// Whether the attempt that runs on a worker went on from a savepoint; none while there is no such attempt.
fn went_on(cluster: &Cluster<'_>, job: &str, worker: &str) -> Option<bool> {
    let ran = cluster.client(&["describe", job, "--output", "json"]);
    let detail = (ran.code == Some(0)).then(|| ran.json())?;
    let running = detail["running"].as_array()?.iter().find(|attempt| attempt["worker"] == worker)?;
    Some(running["doing"].as_str()?.contains("went on from a savepoint"))
}

#[test]
fn a_killed_worker_loses_little_of_a_big_split() {
    let scene = scene();
    scene.run(&["run", "whole.yaml", "--workers", "1"]).ended(0);
    let mut dice = Dice::of_chaos("segments");
    let mut cluster = Cluster::start(&scene, 1_500, &[]);
    cluster.start_worker("one");
    let job = cluster.client(&["submit", "job.yaml"]).ended(0).stdout.trim().to_owned();
    let (mut kills, mut resumed, mut seen) = (0, 0, 0);
    for (dies, takes_over) in [("one", "two"), ("two", "one"), ("one", "two")] {
        // Looked for in the output: a savepoint is left several times a second, and a client takes a while to start.
        let begun = Instant::now();
        while segments(&scene) <= seen && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(2));
        }
        seen = segments(&scene);
        if seen == 0 {
            break; // the phase is published, and its savepoints are gone
        }
        std::thread::sleep(Duration::from_millis(dice.between(0, 200)));
        cluster.kill_worker(dies);
        // Another worker takes over: what there is to go on from lies in the output.
        cluster.start_worker(takes_over);
        kills += 1;
        let next = eventually("the next attempt, or the end", Duration::from_mins(1), || {
            let over =
                cluster.state(&job).is_none_or(|state| ["succeeded", "failed"].contains(&state.as_str()));
            went_on(&cluster, &job, takes_over).or(over.then_some(false))
        });
        resumed += u32::from(next);
    }
    assert!(kills > 0, "the job ended before anybody was killed");
    assert!(resumed > 0, "of {kills} attempts after a kill none went on from a savepoint");
    assert_eq!(cluster.reaches(&job, &["succeeded", "failed"], Duration::from_mins(3)), "succeeded");
    let (whole, disturbed) = (scene.output("whole"), scene.output("job"));
    assert_eq!(disturbed.check().digests(), whole.digests());
    for name in ["stages/01-clean/part-00000.parquet", "stages/02-dedup/part-00000.parquet"] {
        let read = |job: &str| std::fs::read(scene.path(&format!("{job}/{name}"))).expect("a part");
        assert!(read("job") == read("whole"), "{name} has other bytes");
    }
    assert!(!scene.path("job/.orchestrator/attempts/1").exists(), "savepoints go with their phase");
}
