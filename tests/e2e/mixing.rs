//! `mix`: sources are seen as often as the job says, whatever the number of workers.

use std::collections::BTreeMap;

use orchestrator_core::DocumentId;
use serde_json::Value;

use crate::support::{Scene, corpus};

const JOB: &str = "
target_bytes: 16 KiB
pipeline:
  - read: {paths: [\"corpus/**/*.jsonl\"]}
  - mix:
      groups:
        - {name: often, sources: [\"often/**\"], epochs: 2.5}
        - {name: rare, sources: [\"rare/**\"], epochs: 0.25}
  - tokenize: {train: {model: bpe, vocab_size: 400}}
  - train: {model: {layers: 1, heads: 1, width: 8, context: 8}, steps: 1, global_batch: 1}
";

/// How often each document of a kind of shard is written, by its id.
fn copies(scene: &Scene, kind: &str) -> BTreeMap<DocumentId, u64> {
    let query = format!("SELECT id, count(*) AS n FROM tokens WHERE shard LIKE '{kind}-%' GROUP BY id");
    let answer = scene.run(&["query", "mixed-1", &query, "--output", "json"]).ended(0).json();
    let rows = answer["rows"].as_array().expect("rows").clone();
    let copy = |row: &Value| {
        let id = row[0].as_str().expect("an id").parse().expect("an id");
        (id, row[1].as_u64().expect("a count"))
    };
    rows.iter().map(copy).collect()
}

#[test]
fn sources_are_seen_as_often_as_the_job_says() {
    let scene = Scene::new();
    for (number, name) in (0..).zip(["often", "rare", "plain"]) {
        scene.write(&format!("corpus/{name}/0.jsonl"), corpus::jsonl(&corpus::pages(20 + number, 200)));
    }
    let mut digests = None;
    for workers in [1, 3] {
        let name = format!("mixed-{workers}");
        scene.job(&name, JOB);
        let found = scene.complete(&name, workers).check().digests();
        assert_eq!(digests.get_or_insert_with(|| found.clone()), &found, "{workers} workers");
    }
    let output = scene.output("mixed-1");
    let mixture = output.json("stages/01-mix/mixture.json");
    let names: Vec<_> = mixture["groups"].as_array().expect("groups").iter().map(|g| &g["name"]).collect();
    assert_eq!(names, ["often", "rare", "others"]);

    let (train, validation) = (copies(&scene, "train"), copies(&scene, "validation"));
    let mut seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let documents = output.documents("mix");
    for document in &documents {
        let group = document.source.split('/').next().expect("a directory");
        let copies = match validation.get(&document.id) {
            Some(copies) => {
                assert!(!train.contains_key(&document.id), "held out, and learnt from");
                assert_eq!(*copies, 1, "what is held out is measured once");
                continue;
            }
            None => train[&document.id],
        };
        seen.entry(group).or_default().push(copies);
    }
    assert!(seen["often"].iter().all(|copies| [2, 3].contains(copies)));
    assert!(seen["often"].contains(&2) && seen["often"].contains(&3));
    assert!(seen["rare"].iter().chain(&seen["plain"]).all(|copies| *copies == 1));

    let dropped = output.dropped("mix");
    assert_eq!(documents.len() + dropped.len(), 600);
    assert!((120..180).contains(&dropped.len()), "three quarters of 200: {}", dropped.len());
    assert!(dropped.iter().all(|row| row.source.starts_with("rare/") && row.reason.rule == "not_drawn"));
    assert_eq!(dropped[0].reason.value, "group `rare`, 0.250 epochs");
}
