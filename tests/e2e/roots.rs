//! Daemons open nothing for a job outside the roots that their operator allowed.

use std::time::{Duration, Instant};

use crate::support::daemons::Cluster;
use crate::support::{Scene, corpus};

const PATIENCE: Duration = Duration::from_mins(1);

/// The last error of a job that fails.
fn error_of(cluster: &Cluster<'_>, job: &str) -> String {
    assert_eq!(cluster.reaches(job, &["failed", "succeeded"], PATIENCE), "failed");
    cluster.client(&["describe", job, "--output", "json"]).ended(0).stdout
}

#[test]
fn a_worker_refuses_what_lies_outside_its_roots_at_once_and_by_name() {
    let scene = Scene::new();
    for place in ["allowed", "secret"] {
        scene.write(&format!("{place}/a.jsonl"), corpus::jsonl(&corpus::pages(71, 40)));
    }
    std::os::unix::fs::symlink(scene.path("secret/a.jsonl"), scene.path("allowed/link.jsonl"))
        .expect("a link");
    let job = |name: &str, output: &str, input: &str| {
        let text = format!(
            "name: {name}\noutput: ./{output}\npipeline:\n  - read: {{paths: [{input}]}}\n  - clean: {{}}\n"
        );
        scene.write(&format!("{name}.yaml"), text);
    };
    job("inside", "allowed/inside", "allowed/a.jsonl");
    job("outside", "allowed/outside", "secret/a.jsonl");
    job("linked", "allowed/linked", "allowed/link.jsonl");
    job("elsewhere", "elsewhere", "allowed/a.jsonl");
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    let root = scene.path("allowed");
    let root = root.to_str().expect("UTF-8");
    cluster.start_worker_with("fenced", &["--allow-root", root]);

    cluster.client(&["submit", "inside.yaml", "--watch"]).ended(0);
    scene.output("allowed/inside").check();
    for (name, path) in
        [("outside", "secret/a.jsonl"), ("linked", "allowed/link.jsonl"), ("elsewhere", "elsewhere")]
    {
        let begun = Instant::now();
        let id = cluster.client(&["submit", &format!("{name}.yaml")]).ended(0).stdout.trim().to_owned();
        let error = error_of(&cluster, &id);
        assert!(error.contains(path) && error.contains(root) && error.contains("--allow-root"), "{error}");
        // Four attempts would take three and a half seconds of waits alone.
        assert!(error.contains("\"attempts\": 1"), "it is not tried again ({:?}): {error}", begun.elapsed());
    }
}

#[test]
fn a_daemon_beyond_loopback_wants_its_roots() {
    let scene = Scene::new();
    for arguments in [
        &["worker", "--coordinator", "http://192.0.2.1:7070"][..],
        &["coordinator", "--listen", "0.0.0.0:0", "--insecure"],
    ] {
        let ran = scene.run(arguments).ended(2);
        assert!(ran.stderr.contains("--allow-root"), "{}", ran.stderr);
    }
}

#[test]
fn a_coordinator_takes_no_job_with_an_output_outside_its_roots() {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(72, 5)));
    scene.job("job", "pipeline:\n  - read: {paths: [a.jsonl]}\n  - clean: {}\n");
    let allowed = scene.path("allowed");
    let cluster = Cluster::start_with(&scene, 4_000, &["--allow-root", allowed.to_str().expect("UTF-8")]);
    let ran = cluster.client(&["submit", "job.yaml"]).ended(2);
    assert!(ran.stderr.contains("--allow-root") && ran.stderr.contains("allowed"), "{}", ran.stderr);
    assert!(!scene.path("job").exists(), "nothing was made");
}
