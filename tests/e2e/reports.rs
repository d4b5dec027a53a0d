//! The report of a run whose stages were fused: what was dropped is shown and counted though no file holds it.

use serde_json::Value;

use crate::support::{Scene, corpus};

const JOB: &str = "
target_bytes: 16 KiB
max_malformed: 10
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 90}
  - language: {keep: [en]}
  - filter: {rules: [gopher-quality]}
  - dedup: {}
  - pii: {}
";

#[test]
fn dropped_documents_have_texts_and_lengths_whatever_the_workers() {
    let scene = Scene::new();
    let mut bytes = corpus::jsonl(&corpus::pages(91, 200));
    bytes.extend_from_slice(b"no JSON\n");
    // So many that one of them is a sample of its rule.
    bytes.extend(b"{\"text\": \"<script>alert(1)</script> shown as text\"}\n".repeat(300));
    scene.write("corpus/a.jsonl", bytes);
    let mut reports = Vec::new();
    for workers in [1, 3] {
        scene.job("reported", JOB);
        let output = scene.complete("reported", workers);
        output.check();
        let report = output.json("report.json");
        reports.push((report.clone(), output.text("report.html")));
        let stages = report["stages"].as_array().expect("stages");
        let drops = |stage: &Value| stage["dropped"].as_u64().expect("a number");
        let dropped: u64 = stages.iter().map(drops).sum();
        assert!(stages.iter().filter(|stage| drops(stage) > 0).count() >= 4, "several stages drop: {report}");
        let bins = report["lengths"]["data"]["bins"].as_array().expect("bins");
        let sum = |key: &str| bins.iter().map(|bin| bin[key].as_u64().expect("a number")).sum::<u64>();
        assert_eq!(sum("dropped"), dropped - 1, "every dropped document but the line that is no JSON");
        assert_eq!(sum("kept"), report["headline"]["documents_kept"].as_u64().expect("a number"));
        let samples = report["dropped_samples"]["data"].as_array().expect("samples");
        for sample in samples {
            assert_eq!(sample["text"].is_null(), sample["rule"] == "malformed", "{sample}");
        }
        for stage in stages {
            let shown = samples.iter().filter(|sample| sample["stage"] == stage["stage"]).count();
            assert_eq!(shown > 0, drops(stage) > 0, "samples of {}", stage["stage"]);
        }
        let scripts = &reports.last().expect("just pushed").1;
        assert!(!scripts.contains("<script"), "texts are escaped");
        assert!(scripts.contains("&#60;script&#62;alert(1)"), "and shown");
        std::fs::remove_dir_all(scene.path("reported")).expect("removed");
    }
    assert!(reports[0] == reports[1], "the report does not depend on the number of workers");
}
