//! `languages`: a stage that names some judges these alone; `tokenize`, after which nothing comes, ends the others.

use std::collections::BTreeSet;

use crate::support::{Scene, corpus};

const JOB: &str = "
target_bytes: 16 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - language: {keep: [en, de], threshold: 0}
  - tokenize: {languages: [LANGUAGE], train: {model: bpe, vocab_size: 400}}
  - train: {model: {layers: 1, heads: 1, width: 8, context: 8}, steps: 1, global_batch: 1}
";

/// 480 pages, of which some are German.
fn scene(name: &str, language: &str) -> Scene {
    let scene = Scene::new();
    for number in 0..4 {
        scene.write(&format!("corpus/{number}.jsonl"), corpus::jsonl(&corpus::pages(50 + number, 120)));
    }
    for workers in [1, 3] {
        scene.job(&format!("{name}-{workers}"), &JOB.replace("LANGUAGE", language));
    }
    scene
}

/// Ids of the documents in the token shards.
fn tokenized(scene: &Scene, output: &str) -> BTreeSet<String> {
    let query = ["query", output, "SELECT DISTINCT id FROM tokens", "--output", "json"];
    let answer = scene.run(&query).ended(0).json();
    let rows = answer["rows"].as_array().expect("rows").clone();
    rows.iter().map(|row| row[0].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn tokens_are_made_of_the_languages_that_the_stage_names() {
    // Of the German ones there are so few that the last tokens are held out and no documents: then one task encodes all.
    for (language, other) in [("en", "de"), ("de", "en")] {
        let scene = scene(language, language);
        let (one, three) = (format!("{language}-1"), format!("{language}-3"));
        let output = scene.complete(&one, 1);
        assert_eq!(output.check().digests(), scene.complete(&three, 3).check().digests());
        let mut documents = output.documents("language");
        documents.retain(|document| document.language.as_deref() == Some(language));
        let wanted: BTreeSet<_> = documents.iter().map(|document| document.id.to_string()).collect();
        assert_eq!(tokenized(&scene, &one), wanted);
        let dropped = output.dropped("tokenize");
        assert!(!dropped.is_empty() && !wanted.is_empty());
        assert!(dropped.iter().all(|row| row.reason.rule == "language" && row.reason.value == other));
        let traced = scene.run(&["trace", &dropped[0].id.to_string(), "--run", &one]).ended(0).stdout;
        let last = traced.lines().find(|line| line.contains("tokenize")).expect("the stage");
        assert!(last.contains("dropped") && last.contains(other), "{traced}");
        scene.run(&["doctor", &one]).ended(0);
    }
}

#[test]
fn a_language_that_nothing_is_in_is_an_error() {
    let scene = scene("none", "ja");
    let ran = scene.run(&["run", "none-1.yaml"]).ended(1);
    assert!(
        ran.stderr.contains("`languages`: none of the ") && ran.stderr.contains("`ja`"),
        "{}",
        ran.stderr
    );
}
