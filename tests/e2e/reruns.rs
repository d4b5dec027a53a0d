//! What `run` does with an output that is there: resume, finish, refuse, reuse.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Process, Scene, corpus, eventually};

const JOB: &str = "
target_bytes: 8 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - dedup: {method: exact}
  - pii: {}
";

fn scene(pages: usize) -> Scene {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(21, pages)));
    scene.job("again", JOB);
    scene
}

#[test]
fn a_finished_run_is_not_done_again() {
    let scene = scene(100);
    let output = scene.complete("again", 2);
    let (digests, report) =
        (output.digests(), std::fs::metadata(output.path("report.html")).expect("the report"));
    let ran = scene.run(&["run", "again.yaml", "--workers", "1"]).ended(0);
    assert!(ran.stderr.contains("finished"), "{}", ran.stderr);
    assert!(ran.stdout.contains("dedup"), "the summary is printed again: {}", ran.stdout);
    assert_eq!(output.check().digests(), digests);
    let again = std::fs::metadata(output.path("report.html")).expect("the report");
    assert_eq!(report.modified().expect("a time"), again.modified().expect("a time"), "nothing was written");
}

#[test]
fn a_half_done_run_goes_on() {
    let scene = scene(250);
    scene.job("whole", JOB);
    let whole = scene.complete("whole", 2).digests();
    let mut command = scene.command(&["run", "again.yaml", "--workers", "1"]);
    let mut process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let attempts = scene.path("again/.orchestrator/attempts");
    eventually("the run has begun", Duration::from_secs(20), || attempts.exists().then_some(()));
    process.kill();
    let ran = scene.run(&["run", "again.yaml", "--workers", "2"]).ended(0);
    assert!(ran.stderr.contains("going on") || ran.stderr.contains("finished"), "{}", ran.stderr);
    assert_eq!(scene.output("again").check().digests(), whole);
}

#[test]
fn another_job_in_the_same_output_is_refused_with_the_difference() {
    let scene = scene(100);
    let before = scene.complete("again", 2).digests();
    scene.job("again", &JOB.replace("min_characters: 60", "min_characters: 90"));
    let ran = scene.run(&["run", "again.yaml"]).ended(2);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    for wanted in ["min_characters", "60", "90", "--reuse"] {
        assert!(ran.stderr.contains(wanted), "`{wanted}` in: {}", ran.stderr);
    }
    assert_eq!(scene.output("again").check().digests(), before, "the refused job changed nothing");
}

#[test]
fn reuse_keeps_the_phases_that_are_equal_and_does_the_others_anew() {
    let scene = scene(100);
    let output = scene.complete("again", 2);
    let modified = |path: &str| std::fs::metadata(output.path(path)).expect(path).modified().expect("a time");
    let cleaned = modified("stages/01-clean/part-00000.parquet");
    scene.job("again", &JOB.replace("pii: {}", "pii: {kinds: [email], action: drop}"));
    scene.run(&["run", "again.yaml", "--reuse"]).ended(0);
    output.check();
    assert_eq!(modified("stages/01-clean/part-00000.parquet"), cleaned, "the phase before was kept");
    assert!(output.manifest("pii").dropped.values().sum::<u64>() > 0, "the changed stage was done anew");
    scene.job("fresh", &JOB.replace("pii: {}", "pii: {kinds: [email], action: drop}"));
    assert_eq!(output.digests(), scene.complete("fresh", 2).digests(), "as if it had been done at once");
}

#[test]
fn an_input_that_changed_is_named() {
    let scene = scene(100);
    scene.complete("again", 2);
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(22, 100)));
    let ran = scene.run(&["run", "again.yaml"]).ended(2);
    assert!(ran.stderr.contains("a.jsonl") && ran.stderr.contains("changed"), "{}", ran.stderr);
}

#[test]
fn one_output_has_one_run_at_a_time() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(23, 1_200)));
    scene.job("again", &JOB.replace("8 KiB", "64 KiB").replace("exact", "minhash"));
    let mut command = scene.command(&["run", "again.yaml", "--workers", "1"]);
    let mut first = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let owner = scene.path("again/.orchestrator/owner.json");
    eventually("the first run owns the output", Duration::from_secs(20), || owner.exists().then_some(()));
    let second = scene.run(&["run", "again.yaml", "--workers", "1"]);
    assert_ne!(second.code, Some(0), "{}", second.stderr);
    assert!(!second.stderr.is_empty());
    assert_eq!(first.wait(Duration::from_mins(1)), 0);
    scene.output("again").check();
}

#[test]
fn a_run_that_is_terminated_says_how_to_go_on() {
    let scene = scene(250);
    let said = scene.path("said");
    let mut command = scene.command(&["run", "again.yaml", "--workers", "1"]);
    let log = std::fs::File::create(&said).expect("a file");
    let mut process = Process::start(command.stdout(Stdio::null()).stderr(log));
    let attempts = scene.path("again/.orchestrator/attempts");
    eventually("the run has begun", Duration::from_secs(20), || attempts.exists().then_some(()));
    process.terminate();
    let code = process.wait(Duration::from_secs(20));
    let said = std::fs::read_to_string(said).expect("its words");
    if code != 0 {
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("run the same command again"), "{said}");
    }
    scene.run(&["run", "again.yaml"]).ended(0);
    scene.output("again").check();
}
