//! What is wrong is said, with the right exit code, and not on standard output.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Process, Ran, Scene, corpus, eventually};

#[track_caller]
fn says(ran: &Ran, wanted: &[&str]) {
    assert!(ran.stdout.is_empty(), "nothing but results on standard output: {}", ran.stdout);
    for wanted in wanted {
        assert!(ran.stderr.contains(wanted), "`{wanted}` in:\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn a_wrong_key_is_named_with_its_place_and_the_right_one() {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(1, 5)));
    scene.job("wrong", "pipeline:\n  - read: {paths: [a.jsonl]}\n  - claen: {}\n");
    for verb in ["run", "validate", "plan", "submit"] {
        let ran = scene.run(&[verb, "wrong.yaml"]).ended(2);
        says(&ran, &["wrong.yaml:5:", "claen", "clean"]);
    }
    assert!(!scene.path("wrong").exists(), "nothing was made");
}

#[test]
fn wrong_arguments_end_with_two() {
    let scene = Scene::new();
    for arguments in
        [&["run"][..], &["frobnicate"], &["run", "a.yaml", "--workers", "many"], &["run", "absent.yaml"]]
    {
        let ran = scene.run(arguments).ended(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn arguments_that_name_nothing_end_with_two() {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(1, 5)));
    scene.job("job", "pipeline:\n  - read: {paths: [a.jsonl]}\n  - clean: {}\n");
    says(&scene.run(&["jobs", "--token-file", "nofile"]).ended(2), &["nofile", "cannot be read"]);
    says(&scene.run(&["jobs", "--authority", "nofile"]).ended(2), &["nofile", "cannot be read"]);
    for address in ["foo", "foo:7070", "ftp://localhost:7070", ""] {
        let mut command = scene.command(&["jobs"]);
        says(&Ran::of(command.env("ORCHESTRATOR_COORDINATOR", address)).ended(2), &["expected `http://"]);
    }
    says(&scene.run(&["worker", "--coordinator", "foo"]).ended(2), &["`foo` is no address"]);
    for verb in ["jobs", "worker"] {
        let ran = scene.run(&[verb, "--coordinator", "https://localhost:1", "--log", "off"]);
        // A worker of a place that is not loopback would ask for roots first.
        says(&ran.ended(2), &["--authority"]);
    }
    says(&scene.run(&["worker", "--slots", "0", "--gang-slots", "0"]).ended(2), &["--gang-slots"]);
    let named = ["coordinator", "--listen", "127.0.0.1:0", "--state", "made", "--token-file", "tokne"];
    says(&scene.run(&named).ended(2), &["tokne", "cannot be read"]);
    assert!(!scene.path("tokne").exists(), "a slip of the finger is no new secret");
    scene.write("short", "short");
    let short = ["coordinator", "--listen", "127.0.0.1:0", "--state", "made", "--token-file", "short"];
    says(&scene.run(&short).ended(1), &["5 characters", "at least 16"]);
    says(&scene.run(&["trace", "http://a/", "--run", "nowhere"]).ended(2), &["nowhere` is no run"]);
    // A job file alone makes no run of a directory.
    says(&scene.run(&["trace", "http://a/"]).ended(2), &["no stage is finished in `.`", "--run"]);
    says(&scene.run(&["run", "job.yaml", "--output-dir", ""]).ended(2), &["--output-dir"]);
    let ran = scene.run(&["run", "job.yaml", "--output-dir", "job.yaml"]).ended(2);
    says(&ran, &["`--output-dir` names the file `job.yaml`"]);
    assert!(!ran.stderr.contains("job.yaml:2"), "the job file is not to blame: {}", ran.stderr);
}

#[test]
fn values_that_mean_nothing_are_refused() {
    let scene = Scene::new();
    for filter in ["nonsense", "foo=bar=baz"] {
        says(&scene.run(&["schema", "--log", filter]).ended(2), &[filter, "orchestrator_worker=debug"]);
    }
    says(
        &scene.run(&["generate", "--model", "m", "--prompt", "x", "--samples", "0"]).ended(2),
        &["--samples"],
    );
    for temperature in ["-1", "NaN", "hot"] {
        let ran = scene.run(&["generate", "--model", "m", "--prompt", "x", "--temperature", temperature]);
        says(&ran.ended(2), &["--temperature", temperature, "expected 0"]);
    }
    for name in ["", "bad name/../x"] {
        says(&scene.run(&["certs", "made", "--name", name]).ended(2), &[name, "no name of a host"]);
    }
    assert!(!scene.path("made").exists(), "nothing was made");
}

#[test]
fn missing_inputs_are_named() {
    let scene = Scene::new();
    scene.job("none", "pipeline:\n  - read: {paths: [\"nowhere/*.jsonl\"]}\n  - clean: {}\n");
    for verb in ["run", "validate"] {
        says(&scene.run(&[verb, "none.yaml"]).ended(2), &["nowhere/*.jsonl"]);
    }
    scene.write("a.xyz", "what is this");
    scene.job("unknown", "pipeline:\n  - read: {paths: [a.xyz]}\n  - clean: {}\n");
    says(&scene.run(&["run", "unknown.yaml"]).ended(2), &["a.xyz", "format"]);
    scene.write("a.txt", "text");
    scene.job("model", "pipeline:\n  - read: {paths: [a.txt]}\n  - quality: {model: absent.bin}\n");
    says(&scene.run(&["run", "model.yaml"]).ended(2), &["absent.bin", "model"]);
}

#[test]
fn inputs_without_a_record_are_told_from_a_corpus_that_was_dropped() {
    let scene = Scene::new();
    let job = "pipeline:\n  - read: {paths: [a.jsonl]}\n  - clean: {min_characters: 1000}\n  - tokenize: {train: {}}\n";
    scene.write("a.jsonl", "\n\n");
    scene.job("nothing", job);
    says(&scene.run(&["run", "nothing.yaml"]).ended(1), &["the inputs hold no record"]);
    scene.write("a.jsonl", "{\"text\": \"short\"}\n");
    scene.job("dropped", job);
    says(&scene.run(&["run", "dropped.yaml"]).ended(1), &["all were dropped by the stages before it"]);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(1, 5)));
    // A file where a directory should be: not even the superuser, as whom containers test, can write below it.
    scene.write("file", "in the way");
    let job = "name: out\noutput: ./file/out\npipeline:\n  - read: {paths: [a.jsonl]}\n  - clean: {}\n";
    scene.write("out.yaml", job);
    says(&scene.run(&["run", "out.yaml"]).ended(1), &["file/out"]);
}

#[test]
fn no_run_no_job_no_coordinator() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("empty")).expect("a directory");
    for arguments in [
        &["stats", "empty"][..],
        &["inspect", "empty"],
        &["query", "empty", "SELECT 1"],
        &["stats", "absent"],
    ] {
        says(&scene.run(arguments).ended(2), &[arguments[1]]);
    }
    let ran = scene.run(&["jobs", "--coordinator", "http://127.0.0.1:9"]).ended(1);
    says(&ran, &["http://127.0.0.1:9", "orchestrator coordinator"]);
    says(&scene.run(&["inspect", "https://127.0.0.1:9/x.warc.gz"]).ended(1), &["127.0.0.1:9"]);
    let ran = scene.run(&["coordinator", "--listen", "0.0.0.0:0", "--state", "state"]).ended(1);
    says(&ran, &["--certificate", "--insecure", "--allow-root"]);
    let arguments = ["coordinator", "--listen", "0.0.0.0:0", "--state", "state", "--allow-root", "any"];
    let ran = scene.run(&arguments);
    assert_ne!(ran.code, Some(0), "beyond loopback a certificate is demanded");
    says(&ran, &["insecure", "TLS"]);
}

#[test]
fn a_coordinator_that_anybody_can_use_says_so() {
    let scene = Scene::new();
    let said = scene.path("said");
    let log = std::fs::File::create(&said).expect("a file");
    let mut command = scene.command(&[
        "coordinator",
        "--listen",
        "0.0.0.0:0",
        "--state",
        "state",
        "--insecure",
        "--allow-root",
        "any",
    ]);
    let mut coordinator = Process::start(command.stdout(Stdio::null()).stderr(log));
    let said = || std::fs::read_to_string(&said).unwrap_or_default();
    eventually("it listens", Duration::from_secs(20), || said().contains("coordinator on").then_some(()));
    coordinator.terminate();
    coordinator.wait(Duration::from_secs(20));
    assert!(said().contains("warning: --insecure") && !said().contains("state/token"), "{}", said());
}

#[test]
fn no_secret_of_the_environment_reaches_what_a_run_leaves() {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(1, 20)));
    scene.job("secret", "pipeline:\n  - read: {paths: [a.jsonl]}\n  - clean: {}\n");
    let secret = "hunter2-hunter2-hunter2";
    let mut command = scene.command(&["run", "secret.yaml", "--log", "debug"]);
    command.env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_ACCESS_KEY_ID", "nobody");
    let ran = Ran::of(&mut command).ended(0);
    assert!(!ran.stderr.contains(secret));
    let output = scene.output("secret");
    for file in ["job.yaml", "report.html", "report.json", "stages/00-read/manifest.json"] {
        assert!(!output.text(file).contains(secret), "{file}");
    }
}
