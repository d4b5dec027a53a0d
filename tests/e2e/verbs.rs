//! The verbs that look: at a job file, at a run.

use crate::support::{Scene, corpus};

const JOB: &str = "
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - language: {keep: [en]}
  - dedup: {}
  - pii: {}
  - tokenize: {train: {model: bpe, vocab_size: 400}}
";

fn finished() -> Scene {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(31, 200)));
    scene.job("looked-at", JOB);
    scene.complete("looked-at", 2).check();
    scene
}

#[test]
fn verbs_about_a_job_file_need_no_run() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(31, 20)));
    scene.job("plain", JOB);
    let valid = scene.run(&["validate", "plain.yaml", "--output", "json"]).ended(0).json();
    assert_eq!((&valid["valid"], &valid["inputs"], &valid["stages"]), (&true.into(), &1.into(), &6.into()));
    let plan = scene.run(&["plan", "plain.yaml", "--output", "json"]).ended(0).json();
    assert_eq!(plan["stages"].as_array().map(Vec::len), Some(6));
    assert!(scene.run(&["plan", "plain.yaml"]).ended(0).stdout.contains("read + clean + language"));
    let schema = scene.run(&["schema"]).ended(0).json();
    assert!(schema["$schema"].is_string());
    for shell in ["bash", "zsh", "fish"] {
        let completions = scene.run(&["completions", shell]).ended(0);
        assert!(
            completions.stdout.contains("orchestrator") && completions.stdout.contains("submit"),
            "{shell}"
        );
    }
    assert!(scene.run(&["--version"]).ended(0).stdout.starts_with("orchestrator "));
    assert!(!scene.path("plain").exists(), "nothing was made");
}

#[test]
fn run_prints_one_json_document() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(31, 60)));
    scene.job("json", JOB);
    let result = scene.run(&["run", "json.yaml", "--output", "json"]).ended(0).json();
    assert_eq!(result["state"], "succeeded");
    assert_eq!(result["stages"].as_array().map(Vec::len), Some(6));
}

#[test]
fn stats_say_what_the_manifests_say() {
    let scene = finished();
    let stats = scene.run(&["stats", "looked-at", "--output", "json"]).ended(0).json();
    let manifests = scene.output("looked-at").manifests();
    let stages = stats["stages"].as_array().expect("a list");
    assert_eq!(stages.len(), manifests.len());
    for (stage, manifest) in stages.iter().zip(manifests.values()) {
        assert_eq!(stage["stage"].as_str(), Some(manifest.name.as_str()));
        assert_eq!(stage["records_in"].as_u64(), Some(manifest.records_in), "{}", manifest.name);
        assert_eq!(stage["kept"].as_u64(), Some(manifest.kept), "{}", manifest.name);
    }
    let text = scene.run(&["stats", "looked-at"]).ended(0).stdout;
    assert!(text.contains("too_short") && !text.contains('\u{1b}'), "a pipe gets no colour:\n{text}");
}

#[test]
fn query_answers_sql() {
    let scene = finished();
    let sql = "SELECT rule, COUNT(*) AS n FROM clean_dropped GROUP BY rule ORDER BY rule";
    let answer = scene.run(&["query", "looked-at", sql, "--output", "json"]).ended(0).json();
    let dropped = scene.output("looked-at").manifest("clean").dropped["too_short"];
    assert!(answer.to_string().contains(&dropped.to_string()), "{answer}");
    assert!(scene.run(&["query", "looked-at", sql]).ended(0).stdout.contains("too_short"));
    let wrong = scene.run(&["query", "looked-at", "SELECT * FROM nothing"]).ended(2);
    assert!(wrong.stdout.is_empty() && wrong.stderr.contains("nothing"), "{}", wrong.stderr);
    let change = scene.run(&["query", "looked-at", "DROP TABLE pii"]).ended(2);
    assert!(change.stdout.is_empty() && change.stderr.contains("expected a `SELECT`"), "{}", change.stderr);
}

#[test]
fn trace_follows_kept_and_dropped_documents() {
    let scene = finished();
    let output = scene.output("looked-at");
    let kept = &output.documents("pii")[0];
    let by_id =
        scene.run(&["trace", &kept.id.to_string(), "--run", "looked-at", "--output", "json"]).ended(0).json();
    let url = kept.url.as_deref().expect("a URL");
    let by_url = scene.run(&["trace", url, "--run", "looked-at", "--output", "json"]).ended(0).json();
    assert_eq!(by_id["document"], by_url["document"]);
    assert_eq!(by_id["document"]["record"].as_u64(), Some(kept.record));
    assert!(
        by_id["tokens"].as_array().is_some_and(|places| !places.is_empty()),
        "its place in the shards: {by_id}"
    );
    let dropped = &output.dropped("dedup")[0];
    let text = scene.run(&["trace", &dropped.id.to_string(), "--run", "looked-at"]).ended(0).stdout;
    assert!(text.contains("in favour of") && text.contains(&dropped.reason.value), "{text}");
    let unknown = scene.run(&["trace", &"0".repeat(32), "--run", "looked-at"]).ended(2);
    assert!(unknown.stdout.is_empty());
}

#[test]
fn inspect_shows_every_kind_of_file() {
    let scene = finished();
    let show = |path: &str| {
        scene.run(&["inspect", &format!("looked-at/{path}"), "--output", "json"]).ended(0).json()
    };
    assert_eq!(show("")["stages"].as_array().map(Vec::len), Some(6));
    assert!(show("stages/04-pii/part-00000.parquet")["documents"].as_u64() > Some(0));
    assert_eq!(show("stages/01-clean/dropped-00000.parquet")["rows"][0]["rule"], "too_short");
    assert!(show("stages/04-pii/notes-00000.parquet")["notes"].as_u64() > Some(0));
    let shard = show("tokens/train-00000.bin");
    assert!(shard["tokens"].as_u64() > Some(1_000), "{shard}");
    let rules = &show("stages/01-clean")["dropped"];
    assert!(rules["too_short"].as_u64() > Some(0), "a stage's directory shows its manifest: {rules}");
    assert_eq!(show("stages/01-clean/manifest.json")["dropped"], *rules);
    assert_eq!(show("tokens")["name"], "tokenize");
    assert_eq!(show("tokens/tokenizer.json")["model"], "BPE");
    assert!(show("tokens/train-00000.docs.parquet")["rows"][0]["length"].as_u64() > Some(0));
    let input = scene.run(&["inspect", "corpus/a.jsonl", "--rows", "2", "--output", "json"]).ended(0).json();
    assert_eq!((&input["format"], &input["records"][1]["record"]), (&"jsonl".into(), &1.into()));
    assert!(scene.run(&["inspect", "corpus/a.jsonl"]).ended(0).stdout.contains("jsonl, plain"));
    let ran = scene.run(&["inspect", "absent/a.jsonl"]).ended(2);
    assert!(ran.stderr.contains("absent/a.jsonl` does not exist"), "{}", ran.stderr);
    let url = format!("file://{}", scene.path("looked-at").display());
    assert_eq!(
        scene.run(&["stats", &url]).ended(0).stdout,
        scene.run(&["stats", "looked-at"]).ended(0).stdout
    );
    assert!(scene.run(&["inspect", "looked-at/job.yaml"]).ended(0).stdout.contains("name: looked-at"));
}
