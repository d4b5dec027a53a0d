//! The same over a coordinator and workers on loopback.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::support::daemons::Cluster;
use crate::support::{Ran, Scene, corpus, eventually};

const PATIENCE: Duration = Duration::from_mins(1);

const JOB: &str = "
target_bytes: 16 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - dedup: {}
  - pii: {}
  - tokenize: {train: {model: bpe, vocab_size: 400}}
";

#[test]
fn a_cluster_leaves_the_bytes_of_an_embedded_run() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl.zst", corpus::zstandard(&corpus::jsonl(&corpus::pages(41, 300))));
    scene.job("embedded", JOB);
    let expected = scene.complete("embedded", 2).digests();
    scene.job("cluster", JOB);
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    cluster.start_worker("one");
    cluster.start_worker("two");

    let ran = cluster.client(&["submit", "cluster.yaml", "--watch"]).ended(0);
    assert!(ran.stdout.contains("dedup") && ran.stdout.contains("report"), "{}", ran.stdout);
    assert_eq!(scene.output("cluster").check().digests(), expected);

    let jobs = cluster.client(&["jobs", "--output", "json"]).ended(0).json();
    assert_eq!((&jobs[0]["state"], &jobs[0]["name"]), (&"succeeded".into(), &"cluster".into()));
    let job = jobs[0]["job"].as_str().expect("an id").to_owned();
    assert!(cluster.client(&["jobs"]).ended(0).stdout.contains(&job));
    let detail = cluster.client(&["describe", &job, "--output", "json"]).ended(0).json();
    let phases = detail["phases"].as_array().expect("phases");
    assert!(phases.iter().all(|phase| phase["state"] == "published"), "{detail}");
    assert!(cluster.client(&["describe", &job]).ended(0).stdout.contains("published"));
    assert!(!cluster.client(&["logs", &job]).ended(0).stdout.is_empty());
    cluster.client(&["watch", &job]).ended(0);
    let workers = cluster.client(&["workers", "--output", "json"]).ended(0).json();
    let mut names: Vec<&str> =
        workers.as_array().expect("a list").iter().filter_map(|w| w["worker"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "two"]);
    let again = cluster.client(&["submit", "cluster.yaml", "--output", "json"]).ended(0).json();
    assert_eq!(again["disposition"], "finished before");

    cluster.worker("one").terminate();
    assert_eq!(cluster.worker("one").wait(PATIENCE), 0, "a worker drains on SIGTERM");
    let left = cluster.client(&["workers", "--output", "json"]).ended(0).json();
    assert_eq!(
        (left.as_array().map(Vec::len), &left[0]["worker"]),
        (Some(1), &"two".into()),
        "one said good-bye"
    );
    assert_eq!(left[0]["state"], "up");

    let said = cluster.client(&["logs", &job]).ended(0).stdout;
    cluster.kill_coordinator();
    cluster.start_coordinator();
    let again = cluster.client(&["logs", &job]).ended(0).stdout;
    assert!(again.starts_with(&said), "what was said outlives the coordinator:\n{said}\n{again}");
}

#[test]
fn only_who_shows_the_token_is_heard() {
    let scene = Scene::new();
    let cluster = Cluster::start(&scene, 4_000, &[]);
    scene.write("wrong", "not the token");
    for file in [None, Some("wrong")] {
        let mut command = cluster.client_command(&["jobs"]);
        match file {
            Some(file) => command.env("ORCHESTRATOR_TOKEN_FILE", scene.path(file)),
            None => command.env_remove("ORCHESTRATOR_TOKEN_FILE"),
        };
        let ran = Ran::of(&mut command);
        assert_ne!(ran.code, Some(0));
        assert!(ran.stdout.is_empty() && ran.stderr.contains("--token-file"), "{}", ran.stderr);
    }
    // A worker reads its token once, and does not ask for ever.
    let address = cluster.address();
    for token in [&[][..], &["--token-file", "wrong"]] {
        let arguments = [&["worker", "--coordinator", &address][..], token].concat();
        let ran = scene.run(&arguments).ended(1);
        assert!(
            ran.stderr.contains("refuses this worker") && ran.stderr.contains("--token-file"),
            "{}",
            ran.stderr
        );
    }
    let mode = std::fs::metadata(scene.path("state/token")).expect("the token").permissions().mode();
    assert_eq!(mode & 0o077, 0, "the token is its owner's alone");
    cluster.client(&["describe", "no-such-job"]).ended(2);
}

#[test]
fn a_job_is_cancelled_and_then_taken_up_again() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(42, 100)));
    scene.job("stopped", JOB);
    // No worker: the job waits for as long as we like.
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    let job = cluster.client(&["submit", "stopped.yaml"]).ended(0).stdout.trim().to_owned();
    assert!(["queued", "running"].contains(&cluster.state(&job).expect("a state").as_str()));
    cluster.client(&["cancel", &job]).ended(0);
    cluster.reaches(&job, &["cancelled"], PATIENCE);
    let detail = cluster.client(&["describe", &job, "--output", "json"]).ended(0).json();
    let phases = detail["phases"].as_array().expect("phases");
    assert!(phases.iter().all(|phase| phase["state"] != "running"), "nothing runs: {detail}");
    let retried = cluster.client(&["retry", &job]).ended(0);
    assert_eq!(retried.stdout.trim(), format!("{job} goes on"));
    eventually("it waits for a worker", PATIENCE, || {
        let detail = cluster.client(&["describe", &job, "--output", "json"]).ended(0).json();
        (detail["waiting"].as_array().is_some_and(|waits| !waits.is_empty())).then(|| {
            assert_eq!(detail["phases"][0]["state"], "waiting", "{detail}");
        })
    });
    cluster.client(&["cancel", &job]).ended(0);
    cluster.reaches(&job, &["cancelled"], PATIENCE);
    let watched = cluster.client(&["watch", &job]).ended(1);
    assert!(watched.stdout.is_empty() && watched.stderr.contains("cancelled"), "{}", watched.stderr);
    let told = cluster.client(&["watch", &job, "--output", "json"]).ended(1).json();
    assert_eq!((&told["job"], &told["state"]), (&job.as_str().into(), &"cancelled".into()), "{told}");
    cluster.start_worker("one");
    cluster.client(&["submit", "stopped.yaml", "--watch"]).ended(0);
    scene.output("stopped").check();
}

#[test]
fn a_quarantined_task_is_tried_again_when_its_cause_is_gone() {
    let scene = Scene::new();
    let good = corpus::jsonl(&corpus::pages(43, 40));
    scene.write("corpus/a.jsonl", &good);
    scene.job("retried", &format!("max_attempts: 1\n{JOB}"));
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    let job = cluster.client(&["submit", "retried.yaml"]).ended(0).stdout.trim().to_owned();
    // The input goes away between plan and task.
    std::fs::rename(scene.path("corpus/a.jsonl"), scene.path("aside")).expect("moved");
    cluster.start_worker("one");
    cluster.reaches(&job, &["failed"], PATIENCE);
    let detail = cluster.client(&["describe", &job, "--output", "json"]).ended(0).json();
    let error = detail["quarantined"][0]["error"].as_str().expect("a quarantined task");
    assert!(error.contains("a.jsonl"), "the input is named: {error}");
    let states: Vec<&str> = detail["phases"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|phase| phase["state"].as_str())
        .collect();
    assert_eq!(states.iter().filter(|state| **state == "failed").count(), 1, "{detail}");
    assert!(!states.contains(&"running"), "{detail}");
    let told = cluster.client(&["watch", &job, "--output", "json"]).ended(1).json();
    assert_eq!((&told["state"], &told["quarantined"]), (&"failed".into(), &detail["quarantined"]), "{told}");
    std::fs::rename(scene.path("aside"), scene.path("corpus/a.jsonl")).expect("moved back");
    let retried = cluster.client(&["retry", &job, "--output", "json"]).ended(0).json();
    assert_eq!(retried["tasks"], 1);
    cluster.reaches(&job, &["succeeded"], PATIENCE);
    scene.output("retried").check();
}

#[test]
fn an_input_that_changes_under_a_job_fails_it_by_name() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(44, 40)));
    scene.job("changed", &format!("max_attempts: 1\n{JOB}"));
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    let job = cluster.client(&["submit", "changed.yaml"]).ended(0).stdout.trim().to_owned();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(45, 41)));
    cluster.start_worker("one");
    let ran = cluster.client(&["watch", &job]).ended(1);
    assert!(ran.stderr.contains("a.jsonl") && ran.stderr.contains("changed"), "{}", ran.stderr);
}
