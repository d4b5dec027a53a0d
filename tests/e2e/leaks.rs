//! What the scrubber took out does not come back: a later stage that makes it whole again fails the job.

use crate::support::Scene;

/// A control character in the middle hides the address from `pii`, and `clean` takes it away.
fn scene() -> Scene {
    let scene = Scene::new();
    let texts = ["write to ann@\u{1}corp.example", "write to bob@corp.example", "nothing here"];
    let lines = texts.map(|text| serde_json::json!({ "text": text }).to_string());
    scene.write("corpus/a.jsonl", lines.join("\n"));
    scene
}

const READ: &str = "pipeline:\n  - read: {paths: [\"corpus/**\"]}\n";

#[test]
fn a_span_that_a_later_stage_makes_whole_fails_the_job() {
    let scene = scene();
    for (name, between) in [("fused", ""), ("apart", "  - dedup: {method: exact}\n")] {
        scene.job(name, &format!("{READ}  - pii: {{}}\n{between}  - clean: {{}}\n"));
        let ran = scene.run(&["run", &format!("{name}.yaml"), "--workers", "1"]).ended(1);
        assert!(ran.stderr.contains("bytes 9 to 25") && ran.stderr.contains("`email`"), "{}", ran.stderr);
        assert!(
            !ran.stderr.contains("corp.example"),
            "what leaks does not leak into the log: {}",
            ran.stderr
        );
        assert!(!scene.path(&format!("{name}/report.json")).exists(), "{name}: nothing is finished");
    }
}

#[test]
fn the_right_order_and_the_switch_let_it_pass() {
    let scene = scene();
    scene.job("right", &format!("{READ}  - clean: {{}}\n  - pii: {{}}\n"));
    let output = scene.complete("right", 1);
    let texts: Vec<String> =
        output.check().documents("pii").into_iter().map(|document| document.text).collect();
    assert_eq!(texts, ["write to <EMAIL>", "write to <EMAIL>", "nothing here"]);
    scene.job("off", &format!("{READ}  - pii: {{leak_test: false}}\n  - clean: {{}}\n"));
    let output = scene.complete("off", 1);
    assert_eq!(output.check().documents("clean")[0].text, "write to ann@corp.example");
}
