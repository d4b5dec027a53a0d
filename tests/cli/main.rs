//! What people read, held by snapshots. After a change that is meant: `INSTA_UPDATE=always cargo nextest run cli`, and
//! look at the difference before committing it.

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use insta::assert_snapshot;
use support::daemons::Cluster;
use support::output::names;
use support::{Ran, Scene, corpus, python_tool, repository};

const JOB: &str = "
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - language: {keep: [en]}
  - filter: {rules: [gopher-quality]}
  - dedup: {}
  - pii: {}
  - tokenize: {train: {model: bpe, vocab_size: 400}}
";

fn examples() -> Vec<PathBuf> {
    let directory = repository().join("examples");
    let paths = names(&directory).into_iter().map(|name| directory.join(name));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// The two streams and the exit code, without what differs from machine to machine: where the scene lies, and how wide
/// that makes a table.
fn shown(scene: &Scene, ran: &Ran) -> String {
    let root = scene.path("");
    let root = root.to_str().expect("UTF-8").trim_end_matches('/');
    let text =
        format!("exit code {}\n--- stdout\n{}--- stderr\n{}", ran.code.unwrap_or(-1), ran.stdout, ran.stderr);
    let line = |line: &str| match line.trim_end() {
        rule if rule.starts_with(['─', '═']) => rule.chars().take(3).collect(),
        line => line.replace(root, "SCENE"),
    };
    // Which phases a watcher sees begin and end depends on when it looks.
    let lines = text.lines().filter(|line| !line.starts_with("phase "));
    lines.map(line).collect::<Vec<String>>().join("\n")
}

#[test]
fn every_example_has_a_plan() {
    let scene = Scene::new();
    assert!(!examples().is_empty());
    for example in examples() {
        let name = example.file_stem().expect("a name").to_string_lossy().into_owned();
        let ran = scene.run(&["plan", example.to_str().expect("UTF-8")]).ended(0);
        assert_snapshot!(format!("plan_{name}"), ran.stdout);
    }
}

#[test]
fn help_of_every_verb() {
    let scene = Scene::new();
    let main = scene.run(&["--help"]).ended(0).stdout;
    let verbs =
        main.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut text = main.clone();
    for verb in verbs.filter_map(|line| line.split_whitespace().next()) {
        if verb != "help" {
            write!(text, "\n$ orchestrator {verb} -h\n{}", scene.run(&[verb, "-h"]).ended(0).stdout)
                .expect("a string");
        }
    }
    assert_snapshot!(text);
}

#[test]
fn mistakes_in_a_job_file() {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(1, 3)));
    let mistakes = [
        ("misspelt", "seeed: 7\npipeline:\n  - read: {paths: [a.jsonl]}\n  - dedupe: {metod: minhash}\n"),
        ("order", "pipeline:\n  - clean: {}\n  - read: {paths: [a.jsonl]}\n"),
        ("values", "pipeline:\n  - read: {paths: [a.jsonl]}\n  - dedup: {bands: 0, method: fuzzy}\n"),
        ("no_yaml", "pipeline: [\n"),
        ("no_input", "pipeline:\n  - read: {paths: [\"b*.jsonl\"]}\n"),
    ];
    for (name, job) in mistakes {
        scene.job(name, job);
        let ran = scene.run(&["validate", &format!("{name}.yaml")]).ended(2);
        assert_snapshot!(format!("mistake_{name}"), shown(&scene, &ran));
    }
}

#[test]
fn a_finished_run() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(71, 150)));
    scene.job("shown", JOB);
    assert_snapshot!("validate", shown(&scene, &scene.run(&["validate", "shown.yaml"])));
    assert_snapshot!("run", shown(&scene, &scene.run(&["run", "shown.yaml"])));
    assert_snapshot!("run_again", shown(&scene, &scene.run(&["run", "shown.yaml"])));
    assert_snapshot!("stats", shown(&scene, &scene.run(&["stats", "shown"])));
    let output = scene.output("shown");
    let trace = |id: String| shown(&scene, &scene.run(&["trace", &id, "--run", "shown"]));
    let noted = output.notes("pii").first().expect("a note").0;
    assert_snapshot!("trace_kept", trace(noted.to_string()));
    assert_snapshot!("trace_duplicate", trace(output.dropped("dedup")[0].id.to_string()));
    assert_snapshot!("trace_dropped", trace(output.dropped("clean")[0].id.to_string()));
    let sql = "SELECT rule, COUNT(*) AS n FROM filter_dropped GROUP BY rule ORDER BY rule";
    assert_snapshot!("query", shown(&scene, &scene.run(&["query", "shown", sql])));
    let show = |path: &str| shown(&scene, &scene.run(&["inspect", &format!("shown/{path}"), "--rows", "2"]));
    assert_snapshot!("inspect_documents", show("stages/05-pii/part-00000.parquet"));
    assert_snapshot!("inspect_dropped", show("stages/01-clean/dropped-00000.parquet"));
    assert_snapshot!("inspect_shard", show("tokens/train-00000.idx"));
    scene.job("shown", &JOB.replace("bpe", "unigram").replace("60", "90"));
    assert_snapshot!("run_another", shown(&scene, &scene.run(&["run", "shown.yaml"])));
}

#[test]
fn a_job_over_daemons() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(71, 60)));
    scene.job("described", JOB);
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    cluster.start_worker("one");
    let submitted = cluster.client(&["submit", "described.yaml"]);
    assert_snapshot!("submit", shown(&scene, &submitted));
    let job = submitted.ended(0).stdout.trim().to_owned();
    cluster.reaches(&job, &["succeeded"], Duration::from_mins(1));
    assert_snapshot!("jobs", shown(&scene, &cluster.client(&["jobs"])));
    assert_snapshot!("describe", shown(&scene, &cluster.client(&["describe", &job])));
    assert_snapshot!("describe_unknown", shown(&scene, &cluster.client(&["describe", "nothing-0001"])));
}

#[test]
fn the_reference_of_the_job_file_is_the_one_of_the_types() {
    let reference = Scene::new().run(&["reference"]).ended(0).stdout;
    let path = repository().join("docs/job-file.md");
    let written = std::fs::read_to_string(&path).expect("docs/job-file.md");
    assert!(written == reference, "docs/job-file.md is stale: `orchestrator reference > docs/job-file.md`");
}

#[test]
fn the_schema_takes_every_example() {
    let scene = Scene::new();
    let Some(python) = python_tool("python") else {
        println!("skipped: no Python environment; `.ci/tools` makes one");
        return;
    };
    let schema = scene.write("schema.json", scene.run(&["schema"]).ended(0).stdout);
    let wrong = scene.job("wrong", "pipeline:\n  - read: {paths: [a.jsonl]}\n  - claen: {}\n");
    let check = "import json, sys, jsonschema, yaml\n\
        validator = jsonschema.Draft202012Validator(json.load(open(sys.argv[1])))\n\
        validator.check_schema(validator.schema)\n\
        for path in sys.argv[2:]:\n    validator.validate(yaml.safe_load(open(path)))\n";
    let run = |files: &[PathBuf]| Ran::of(Command::new(&python).args(["-c", check]).arg(&schema).args(files));
    run(&examples()).ended(0);
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(1, 3)));
    let bare = scene.job("bare", "pipeline:\n  - read: {paths: [a.jsonl]}\n  - clean:\n  - pii\n");
    scene.run(&["validate", "bare.yaml"]).ended(0);
    run(&[bare]).ended(0);
    assert!(
        run(&[wrong]).ended(1).stderr.contains("ValidationError"),
        "a wrong key is an error of the schema too"
    );
}
