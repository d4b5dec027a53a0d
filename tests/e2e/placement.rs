//! What workers offer and tasks take, priorities, owners: over daemons.

use std::time::Duration;

use serde_json::Value;

use crate::support::daemons::Cluster;
use crate::support::{Ran, Scene, corpus, eventually};

/// How long a small job may take at most.
const PATIENCE: Duration = Duration::from_mins(1);

const JOB: &str = "
target_bytes: 16 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - dedup: {}
";

fn scene(pages: usize) -> Scene {
    let scene = Scene::new();
    for (number, pages) in corpus::pages(61, pages).chunks(20).enumerate() {
        scene.write(&format!("corpus/{number:03}.jsonl"), corpus::jsonl(pages));
    }
    scene
}

fn submit(cluster: &Cluster, arguments: &[&str]) -> String {
    let mut all = vec!["submit"];
    all.extend(arguments);
    cluster.client(&all).ended(0).stdout.trim().to_owned()
}

fn describe(cluster: &Cluster, job: &str) -> Value {
    cluster.client(&["describe", job, "--output", "json"]).ended(0).json()
}

/// Waits until a job is said to wait for something with `text` in it, and gives all of it.
#[track_caller]
fn waits(cluster: &Cluster, job: &str, text: &str) -> String {
    eventually(&format!("{job} waits for `{text}`"), PATIENCE, || {
        let waiting = describe(cluster, job)["waiting"].to_string();
        waiting.contains(text).then_some(waiting)
    })
}

#[test]
fn a_task_too_large_for_every_worker_waits_with_a_word_until_one_comes() {
    let scene = scene(40);
    scene.job("large", JOB);
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    let job = submit(&cluster, &["large.yaml"]);
    waits(&cluster, &job, "waits for a worker: none is there");
    cluster.start_worker_with("small", &["--memory", "64 MiB"]);
    let waiting = waits(&cluster, &job, "can hold one of its tasks");
    assert!(waiting.contains("67.1 MB of memory"), "{waiting}");
    assert!(cluster.client(&["describe", &job]).ended(0).stdout.contains("waits  phase"));
    eventually("the log says it too", PATIENCE, || {
        let log = cluster.client(&["logs", &job]).ended(0).stdout;
        log.contains("can hold one of its tasks").then_some(())
    });
    cluster.start_worker_with("large", &["--memory", "4 GiB"]);
    cluster.reaches(&job, &["succeeded"], PATIENCE);
    assert_eq!(describe(&cluster, &job)["waiting"], Value::Array(Vec::new()));
    let workers = cluster.client(&["workers", "--output", "json"]).ended(0).json();
    assert_eq!(workers[0]["worker"], "large");
    assert_eq!(
        (&workers[0]["memory_bytes"], &workers[0]["memory_taken_bytes"]),
        (&(4_u64 << 30).into(), &0.into())
    );
    assert!(cluster.client(&["workers"]).ended(0).stdout.contains("0 B/4.3 GB"));
    scene.output("large").check();
}

#[test]
fn ranks_that_ask_for_gpus_are_not_put_where_there_are_none() {
    let scene = scene(60);
    let train = "  - tokenize: {train: {model: bpe, vocab_size: 400}}
  - train: {model: {family: gpt, layers: 1, heads: 1, width: 8, context: 16}, steps: 1, device: cuda}
";
    scene.job("gpu", &format!("{JOB}{train}"));
    let ran = scene.run(&["run", "gpu.yaml"]).ended(2);
    assert!(ran.stderr.contains("device: cuda") && ran.stderr.contains("--gpus"), "{}", ran.stderr);
    assert!(!scene.path("gpu").exists(), "nothing was made");
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    cluster.start_worker("one");
    let job = submit(&cluster, &["gpu.yaml"]);
    let waiting = waits(&cluster, &job, "1 GPU");
    assert!(waiting.contains("(train)") && waiting.contains("those that are there hold 0"), "{waiting}");
    cluster.client(&["cancel", &job]).ended(0);
    cluster.reaches(&job, &["cancelled"], PATIENCE);
}

#[test]
fn a_job_with_a_higher_priority_goes_first() {
    let scene = scene(1_000);
    scene.job("low", JOB);
    scene.job("high", &JOB.replace("corpus/*", "corpus/000*"));
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    let low = submit(&cluster, &["low.yaml"]);
    let high = submit(&cluster, &["high.yaml", "--priority", "5"]);
    assert_eq!(describe(&cluster, &high)["priority"], 5);
    cluster.start_worker("one");
    cluster.reaches(&high, &["succeeded"], PATIENCE);
    let state = cluster.state(&low).expect("a state");
    assert!(["queued", "running"].contains(&state.as_str()), "the first job is {state}");
    cluster.client(&["cancel", &low]).ended(0);
}

#[test]
fn an_output_has_one_coordinator() {
    let scene = scene(20);
    scene.job("owned", JOB);
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    let job = submit(&cluster, &["owned.yaml"]);
    let refused = |ran: Ran| {
        assert!(ran.stderr.contains("belongs to another coordinator"), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("process") && ran.stderr.contains("journal.sqlite"),
            "where: {}",
            ran.stderr
        );
    };
    refused(scene.run(&["run", "owned.yaml", "--state", "other"]).ended(2));
    cluster.start_worker("one");
    cluster.reaches(&job, &["succeeded"], PATIENCE);
    refused(scene.run(&["run", "owned.yaml"]).ended(2));
    scene.output("owned").check();
}

#[test]
fn what_is_open_to_others_is_warned_of() {
    let scene = Scene::new();
    let says = |arguments: &[&str], wanted: &str| {
        let log = scene.path("open.log");
        let mut command = scene.command(arguments);
        command.stderr(std::fs::File::create(&log).expect("a log"));
        let _running = crate::support::Process::start(&mut command);
        eventually(&format!("`{wanted}` is said"), PATIENCE, || {
            std::fs::read_to_string(&log).unwrap_or_default().contains(wanted).then_some(())
        });
    };
    let open =
        ["coordinator", "--listen", "0.0.0.0:0", "--insecure", "--state", "open", "--allow-root", "any"];
    says(&open, "anybody who reaches the port can run jobs");
    let shared = scene.write("shared-token", "a-token-of-enough-letters");
    std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("a mode");
    let guarded =
        ["coordinator", "--listen", "127.0.0.1:0", "--state", "guarded", "--token-file", "shared-token"];
    says(&guarded, "others can read the token in `shared-token`: expected mode 0600");
}
