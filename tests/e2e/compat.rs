//! `compat`: runs beside what datatrove and Dolma themselves made of the same pages (`tests/peers/make.py`).

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Ran, Scene, repository};

const READ: &str = "pipeline:\n  - read: {paths: [\"corpus/*\"], keep: true}\n";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory of the repository") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn peers() -> PathBuf {
    repository().join("tests/peers")
}

/// A finished run over the pages, and a copy of the peers' output that a test may damage.
fn scene(steps: &str) -> Scene {
    let scene = Scene::new();
    for part in ["corpus", "datatrove", "dolma"] {
        copy(&peers().join(part), &scene.path(part));
    }
    std::fs::copy(peers().join("mixer.json"), scene.path("mixer.json")).expect("a copy");
    scene.job("ours", &format!("{READ}{steps}"));
    scene.run(&["run", "ours.yaml"]).ended(0);
    scene
}

fn compat(scene: &Scene, arguments: &[&str]) -> Ran {
    scene.run(&[&["compat"], arguments, &["--run", "ours"]].concat())
}

fn found(scene: &Scene, arguments: &[&str]) -> Value {
    compat(scene, &[arguments, &["--output", "json"]].concat()).ended(0).json()
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {value}"))
}

#[test]
fn datatrove_and_its_profile_agree() {
    let filter = "  - filter: {rules: [gopher-repetition, gopher-quality, c4, fineweb]}\n";
    let scene = scene(&format!("{filter}  - dedup: {{hash: sha1-64}}\n"));
    let all = found(&scene, &["datatrove", "datatrove", "--minhash-input", "output"]);
    assert_eq!(all["by"], "id");
    assert_eq!((number(&all, "/documents/in_both"), number(&all, "/documents/ours")), (33, 33));
    assert_eq!(number(&all, "/documents/theirs"), 33);
    assert_eq!(all["verdicts"]["agreement"], 1.0, "{all}");
    assert_eq!(number(&all, "/verdicts/both_kept"), 17);
    assert_eq!((number(&all, "/verdicts/both_dropped"), number(&all, "/verdicts/same_reason")), (16, 16));
    assert_eq!((number(&all, "/texts/equal"), number(&all, "/texts/differ")), (17, 0));
    let stated = all["stated"].as_array().expect("their figures");
    assert_eq!(stated.len(), 13);
    assert!(stated.iter().all(|one| one["stated"] == one["found"]), "{stated:?}");

    // Without what MinHash says, two documents are kept by them alone.
    let filtered = found(&scene, &["datatrove", "datatrove", "--differences", "differences.jsonl"]);
    assert_eq!(number(&filtered, "/verdicts/only_we_dropped"), 2);
    let lines = std::fs::read_to_string(scene.path("differences.jsonl")).expect("a list");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!((&line["difference"], &line["theirs"]), (&"verdict".into(), &"kept".into()), "{line}");
        assert_eq!(line["ours"], "dedup: duplicate");
        let place = line["place"].as_str().expect("a place");
        assert!(["output/00000.jsonl.gz:18", "output/00000.jsonl.gz:19"].contains(&place), "{place}");
        let id = line["id"].as_str().expect("our id");
        assert!(scene.run(&["trace", id, "--run", "ours"]).ended(0).stdout.contains("dropped"));
    }
    let text = compat(&scene, &["datatrove", "datatrove"]).ended(0).stdout;
    for part in ["joined by id with datatrove", "only we dropped", "filter: dup_line_frac", "100.0 %"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn documents_are_joined_by_any_key_that_both_know() {
    let scene = scene("  - filter: {rules: [gopher-repetition, gopher-quality]}\n");
    for by in ["id", "url"] {
        let all = found(&scene, &["datatrove", "datatrove", "--by", by]);
        assert_eq!(number(&all, "/documents/in_both"), 33, "{by}");
        // C4 and FineWeb's rules are theirs alone here.
        assert_eq!(
            (number(&all, "/verdicts/only_they_dropped"), number(&all, "/verdicts/same_reason")),
            (4, 10),
            "{by}"
        );
    }
    // A copy has the text of the original, and the text that C4 left of what it dropped is no text of ours.
    let all = found(&scene, &["datatrove", "datatrove", "--by", "text"]);
    assert_eq!((number(&all, "/documents/ours"), number(&all, "/documents/ours_repeated")), (32, 1));
    assert!(number(&all, "/documents/in_both") > 25, "{all}");
    let ran = compat(&scene, &["datatrove", "datatrove", "--by", "record"]).ended(2);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("by record"), "{}", ran.stderr);
}

#[test]
fn folders_can_be_told() {
    let scene = scene("  - filter: {rules: [gopher-repetition, gopher-quality, c4, fineweb]}\n");
    let kept = found(&scene, &["datatrove", "datatrove", "--kept", "output"]);
    assert_eq!(kept["verdicts"]["agreement"], 1.0);
    let one = ["datatrove", "datatrove", "--kept", "output", "--removed", "removed/3_c4"];
    assert_eq!(number(&found(&scene, &one), "/documents/theirs"), 22, "19 kept and 3 removed");
    for option in ["--kept", "--removed", "--minhash-input"] {
        let ran = compat(&scene, &["datatrove", "datatrove", option, "outptu"]).ended(1);
        assert!(ran.stderr.contains("`outptu`"), "{}", ran.stderr);
    }
}

#[test]
fn dolma_and_its_profile_agree() {
    let scene = scene("  - filter: {profile: dolma}\n");
    let all = found(&scene, &["dolma", "dolma", "--mixer", "mixer.json"]);
    assert_eq!((number(&all, "/documents/in_both"), number(&all, "/documents/theirs")), (33, 33));
    assert_eq!(all["verdicts"]["agreement"], 1.0, "{all}");
    assert_eq!(number(&all, "/verdicts/same_reason"), number(&all, "/verdicts/both_dropped"), "{all}");
    assert!(number(&all, "/verdicts/both_dropped") >= 8);
    assert_eq!((number(&all, "/texts/differ"), number(&all, "/contradictions")), (0, 0), "{all}");
    assert_eq!(number(&all, "/texts/equal"), number(&all, "/verdicts/both_kept"));

    // The mixer's output says what went, and its configuration why.
    let silent = found(&scene, &["dolma", "dolma"]);
    assert_eq!(silent["verdicts"]["agreement"], 1.0);
    assert_eq!(number(&silent, "/verdicts/same_reason"), 0);
    std::fs::remove_dir_all(scene.path("dolma/mixed")).expect("removed");
    let decided = found(&scene, &["dolma", "dolma", "--mixer", "mixer.json"]);
    assert_eq!(decided["verdicts"]["agreement"], 1.0, "the configuration decides alone");
    assert_eq!(number(&decided, "/texts/unknown"), number(&decided, "/verdicts/both_kept"));
    let ran = compat(&scene, &["dolma", "dolma"]).ended(2);
    assert!(ran.stderr.contains("--mixer"), "{}", ran.stderr);
}

#[test]
fn broken_files_of_a_peer_are_named_with_the_line() {
    let scene = scene("  - filter: {rules: [gopher-quality]}\n");
    let page = |id: &str| format!("{{\"id\":\"{id}\",\"text\":\"A page.\"}}\n");
    let refused = |files: &[(&str, Vec<u8>)], parts: &[&str]| {
        let _ = std::fs::remove_dir_all(scene.path("broken"));
        for (name, bytes) in files {
            scene.write(&format!("broken/{name}"), bytes);
        }
        let ran =
            compat(&scene, &["datatrove", "broken", "--by", "id", "--differences", "list.jsonl"]).ended(1);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
        for part in parts {
            assert!(ran.stderr.contains(part), "`{part}` in {}", ran.stderr);
        }
        assert!(!scene.path("list.jsonl").exists(), "no half a list");
    };
    let file = "output/00000.jsonl";
    let lines = |second: &str| vec![(file, (page("good-0") + second).into_bytes())];
    refused(&lines("{\"id\":\"good-1\",\"te"), &["broken/output/00000.jsonl`, line 2: invalid JSON"]);
    refused(&lines("{\"text\":\"no name\"}\n"), &["line 2: expected a field `id`"]);
    refused(&lines("[1]\n"), &["line 2: expected a JSON object"]);
    refused(&lines("\u{1}\n"), &["line 2"]);

    let whole = std::fs::read(scene.path("datatrove/output/00000.jsonl.gz")).expect("their output");
    let cut = whole[..whole.len() / 2].to_vec();
    refused(&[("output/00000.jsonl.gz", cut)], &["broken/output/00000.jsonl.gz`, line "]);
    let parquet = "removed/2_gopher_quality/000_00000.parquet";
    let whole = std::fs::read(scene.path(&format!("datatrove/{parquet}"))).expect("their output");
    refused(
        &[(parquet, whole[..whole.len() - 9].to_vec())],
        &["000_00000.parquet`, line 1: no Parquet file"],
    );
    refused(
        &[(file, page("good-0").into()), ("stats.json", b"[{\"stats\": {\"dropped_x\": \"many\"}}]".into())],
        &["stats.json"],
    );

    std::fs::create_dir_all(scene.path("empty")).expect("a directory");
    let ran = compat(&scene, &["datatrove", "empty"]).ended(2);
    assert!(ran.stderr.contains("`.jsonl.gz`"), "{}", ran.stderr);
    let ran = compat(&scene, &["dolma", "absent"]).ended(2);
    assert!(ran.stderr.contains("absent"), "{}", ran.stderr);
    scene.write("other/output/0.jsonl", page("of another corpus"));
    let ran = compat(&scene, &["datatrove", "other"]).ended(2);
    assert!(
        ran.stderr.contains("none of the first 1 records") && ran.stderr.contains("keep: true"),
        "{}",
        ran.stderr
    );
}

#[test]
fn attributes_go_line_by_line_with_their_documents() {
    let scene = scene("  - filter: {profile: dolma}\n");
    let attributes = |id: &str| format!("{{\"id\":\"{id}\",\"attributes\":{{}}}}\n");
    let page = |id: &str| format!("{{\"id\":\"{id}\",\"text\":\"A page.\",\"source\":\"town\"}}\n");
    scene.write("pair/documents/a.json", page("good-0") + &page("good-1"));
    for (lines, problem) in [
        (attributes("good-0"), "line 2: it ends here: expected the attributes of document `good-1`"),
        (
            attributes("good-0") + &attributes("good-2"),
            "line 2: expected the attributes of document `good-1`, found `good-2`",
        ),
        (
            attributes("good-0") + &attributes("good-1") + &attributes("good-2"),
            "line 3: attributes of `good-2`",
        ),
        (attributes("good-0") + &page("good-1"), "line 2: expected an object `attributes`"),
    ] {
        scene.write("pair/attributes/gopher/a.json", lines);
        let ran = compat(&scene, &["dolma", "pair", "--mixer", "mixer.json"]).ended(1);
        assert!(ran.stderr.contains(problem), "{problem} in {}", ran.stderr);
        assert!(ran.stderr.contains("pair/attributes/gopher/a.json`"), "{}", ran.stderr);
    }
}
