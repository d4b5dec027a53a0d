//! Files that stages read beside documents stay what they were when the job was handed in, or the job says which did not.

use std::time::Duration;

use crate::support::daemons::Cluster;
use crate::support::{Scene, corpus};

/// A job whose tokenizer the job file names: the one that another job trained.
fn scene_with_a_tokenizer() -> Scene {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(31, 60)));
    for (name, size) in [("small", 300), ("large", 400)] {
        scene.job(
            name,
            &format!(
                "pipeline:\n  - read: {{paths: [a.jsonl]}}\n  - tokenize: {{train: {{model: bpe, vocab_size: {size}}}}}\n"
            ),
        );
        scene.complete(name, 1);
    }
    swap(&scene, "small");
    scene.job("named", "pipeline:\n  - read: {paths: [a.jsonl]}\n  - tokenize: {tokenizer: chosen}\n");
    scene
}

fn swap(scene: &Scene, trained: &str) {
    let bytes = std::fs::read(scene.path(&format!("{trained}/tokens/tokenizer.json"))).expect("a tokenizer");
    scene.write("chosen/tokenizer.json", bytes);
}

#[test]
fn a_finished_run_is_not_taken_for_one_with_another_tokenizer() {
    let scene = scene_with_a_tokenizer();
    let before = scene.complete("named", 1).digests();
    scene.run(&["run", "named.yaml"]).ended(0);
    swap(&scene, "large");
    let refused = scene.run(&["run", "named.yaml"]).ended(2);
    assert!(refused.stderr.contains("chosen/tokenizer.json"), "{}", refused.stderr);
    scene.run(&["run", "named.yaml", "--reuse"]).ended(0);
    assert_ne!(scene.output("named").digests(), before, "tokenized again");
}

#[test]
fn a_tokenizer_that_changes_under_a_job_fails_it_by_name() {
    let scene = scene_with_a_tokenizer();
    let mut cluster = Cluster::start(&scene, 4_000, &[]);
    let id = cluster.client(&["submit", "named.yaml"]).ended(0).stdout.trim().to_owned();
    swap(&scene, "large");
    cluster.start_worker("late");
    assert_eq!(cluster.reaches(&id, &["failed", "succeeded"], Duration::from_mins(1)), "failed");
    let said = cluster.client(&["describe", &id, "--output", "json"]).ended(0).stdout;
    assert!(said.contains("chosen/tokenizer.json"), "{said}");
}
