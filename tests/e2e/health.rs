//! `doctor`, `gc` and `diff`.

use std::fs;

use crate::support::{Scene, corpus, tiny_training};

const DATA: &str = "
pipeline:
  - read: {paths: [\"a.jsonl\"]}
  - clean: {}
  - dedup: {method: minhash}
";

fn ran() -> Scene {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(95, 60)));
    scene.job("job", &format!("{DATA}{}", tiny_training(300, 1, &[])));
    scene.complete("job", 2);
    scene
}

#[test]
fn a_run_is_whole_until_something_happens_to_it() {
    let scene = ran();
    let healthy = scene.run(&["doctor", "job", "--output", "json"]).ended(0).json();
    assert_eq!(healthy["findings"], serde_json::json!([]), "{healthy}");
    assert_eq!(healthy["orphans"], serde_json::json!([]), "{healthy}");
    assert_eq!(healthy["is_finished"], true);
    assert!(healthy["files"].as_u64() > Some(8), "{healthy}");

    let place = |below: &str| scene.path(&format!("job/{below}"));
    let part = "stages/01-clean/part-00000.parquet";
    let mut bytes = fs::read(place(part)).expect("a part");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(place(part), &bytes).expect("written");
    let checkpoint = "checkpoints/step-00000004/model.safetensors";
    let weights = fs::read(place(checkpoint)).expect("a checkpoint");
    fs::write(place(checkpoint), &weights[..weights.len() - 1]).expect("written");
    fs::remove_file(place("tokens/train-00000.idx")).expect("it was there");
    let books = "stages/02-dedup/manifest.json";
    let text = fs::read_to_string(place(books)).expect("a manifest");
    let mut manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    manifest["kept"] = (manifest["kept"].as_u64().expect("a number") + 1).into();
    fs::write(place(books), manifest.to_string()).expect("written");

    let ran = scene.run(&["doctor", "job", "--output", "json"]).ended(1);
    let places: Vec<_> = ran.json()["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| finding["place"].as_str().expect("a place").to_owned())
        .collect();
    for damaged in [part, checkpoint, "tokens/train-00000.idx", books] {
        assert!(places.iter().any(|place| place == damaged), "{damaged} in {places:?}");
    }
    // The size is as it was.
    let fast = scene.run(&["doctor", "job", "--fast"]).ended(1);
    assert!(!fast.stdout.contains(part) && fast.stdout.contains(checkpoint), "{}", fast.stdout);
}

#[test]
fn what_is_left_over_is_listed_and_then_deleted() {
    let scene = ran();
    let left = [
        ".orchestrator/attempts/0/1/7/stages/00-read/part-00000.parquet",
        "checkpoints/step-00000099/model.safetensors",
        "stages/01-clean/.tmp-abc",
        "stages/01-clean/part-00009.parquet",
    ];
    let digests = scene.output("job").digests();
    for path in left {
        scene.write(&format!("job/{path}"), "left over");
    }
    scene.write("job/notes-of-mine.txt", "not ours");
    let listed = scene.run(&["gc", "job", "--output", "json"]).ended(0).json();
    let paths: Vec<_> =
        listed["orphans"].as_array().expect("a list").iter().map(|orphan| &orphan["path"]).collect();
    assert_eq!(paths, left);
    assert!(left.iter().all(|path| scene.path(&format!("job/{path}")).exists()), "they are only listed");
    scene.run(&["gc", "job", "--delete"]).ended(0);
    assert!(!left.iter().any(|path| scene.path(&format!("job/{path}")).exists()));
    assert!(!scene.path("job/.orchestrator/attempts").exists());
    assert!(scene.path("job/notes-of-mine.txt").exists());
    assert_eq!(scene.output("job").check().digests(), digests);
    scene.run(&["doctor", "job"]).ended(0);

    fs::remove_file(scene.path("job/stages/05-export/manifest.json")).expect("it was there");
    let refused = scene.run(&["gc", "job", "--delete"]).ended(2);
    assert!(refused.stderr.contains("not finished"), "{}", refused.stderr);
    scene.write("job/stages/01-clean/part-00009.parquet", "in use, perhaps");
    let listed = scene.run(&["gc", "job", "--output", "json"]).ended(0).json();
    assert_eq!(listed["is_finished"], false);
    let paths: Vec<_> =
        listed["orphans"].as_array().into_iter().flatten().map(|orphan| &orphan["path"]).collect();
    assert!(paths.contains(&&"stages/01-clean/part-00009.parquet".into()), "{paths:?}");
    assert!(scene.run(&["gc", "job"]).ended(0).stdout.contains("none is deleted"));
}

#[test]
fn two_runs_differ_by_what_was_changed_in_the_job() {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(95, 60)));
    let job = |least: u32| {
        format!(
            "pipeline:\n  - read: {{paths: [a.jsonl]}}\n  - clean: {{min_characters: {least}}}\n  - dedup: {{}}\n"
        )
    };
    for (name, least) in [("one", 1), ("same", 1), ("strict", 700)] {
        scene.job(name, &job(least));
        scene.complete(name, 2);
    }
    let equal = scene.run(&["diff", "one", "same"]).ended(0);
    assert!(equal.stdout.starts_with("no difference: "), "{}", equal.stdout);
    let found = scene.run(&["diff", "one", "strict", "--output", "json"]).ended(0).json();
    let clean = &found["stages"][1];
    assert_eq!((&clean["stage"], &clean["same_digest"]), (&"clean".into(), &false.into()));
    assert_eq!(found["stages"][0]["same_digest"], true);
    let [one, strict] = ["one", "strict"].map(|name| scene.output(name).manifests()["01-clean"].clone());
    let lost = one.kept - strict.kept;
    assert!(lost > 0, "the bound drops some");
    let moved: u64 = found["transitions"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|transition| transition["to"] == "clean: too_short")
        .map(|transition| transition["documents"].as_u64().expect("a number"))
        .sum();
    assert_eq!(moved, lost, "{found}");
    let text = scene.run(&["diff", "one", "strict"]).ended(0).stdout;
    assert!(text.contains("clean: too_short") && text.contains(" → "), "{text}");
}
