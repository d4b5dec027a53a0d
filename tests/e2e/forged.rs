//! What others may have put where we read: manifests, scores, models, a peer's folder. It is refused or made anew by a clear
//! word; nothing is believed that can be looked up, nothing outside is touched, and nothing panics.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Output, Ran, Scene, corpus};

const JOB: &str = "
target_bytes: 8 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - filter: {rules: [gopher-quality], scores: true}
  - dedup: {method: exact}
";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(71, 60)));
    scene.job("job", JOB);
    scene
}

/// Fails where a command ended by a panic, or said nothing.
#[track_caller]
fn in_words(ran: Ran) -> Ran {
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.is_empty(), "{}", ran.stderr);
    ran
}

/// What somebody does to a manifest.
type Forgery = Box<dyn Fn(&mut Value)>;

/// Changes a manifest as somebody would who knows its form.
fn forge(output: &Output, manifest: &str, change: &dyn Fn(&mut Value)) {
    let mut value = output.json(manifest);
    change(&mut value);
    std::fs::write(output.path(manifest), value.to_string()).expect("a manifest");
}

#[test]
fn forged_manifests_in_a_foreign_output_are_not_reused() {
    let scene = scene();
    let honest = scene.complete("job", 2).digests();
    let victim = scene.write("victim.txt", "not yours");
    let absolute = victim.to_str().expect("UTF-8").to_owned();
    let manifest = "stages/01-filter/manifest.json";
    let output = scene.output("job");
    let path = |to: &str| {
        let to = to.to_owned();
        move |value: &mut Value| value["files"][0]["path"] = to.as_str().into()
    };
    let forgeries: [(&str, Forgery); 9] = [
        ("a path above", Box::new(path("../victim.txt"))),
        ("an absolute path", Box::new(path(&absolute))),
        ("a file that is not there", Box::new(path("stages/01-filter/part-99999.parquet"))),
        ("another size", Box::new(|value| value["files"][0]["bytes"] = json!(u64::MAX))),
        ("books that do not balance", Box::new(|value| value["kept"] = json!(u64::MAX))),
        ("another form", Box::new(|value| value["schema_version"] = json!(2))),
        ("another job's", Box::new(|value| value["fingerprint"] = "0".repeat(32).into())),
        ("no list of files", Box::new(|value| value["files"] = "many".into())),
        ("no manifest", Box::new(|value| *value = json!([[[[]]]]))),
    ];
    for (name, change) in &forgeries {
        // The journal did not come along: the files are all that speaks for the run.
        std::fs::remove_dir_all(output.path(".orchestrator")).expect("the state");
        forge(&output, manifest, change);
        let refused = in_words(scene.run(&["run", "job.yaml"]).ended(2));
        assert!(refused.stderr.contains("--reuse"), "{name}: {}", refused.stderr);
        in_words(scene.run(&["run", "job.yaml", "--reuse"]).ended(0));
        assert_eq!(output.check().digests(), honest, "{name}: made anew");
        assert_eq!(std::fs::read(&victim).expect("it is there"), b"not yours", "{name}");
    }
}

#[test]
fn a_run_that_begins_from_a_forged_one_is_refused() {
    let scene = scene();
    let output = scene.complete("job", 1);
    scene.write("victim.parquet", "not yours");
    scene.job("next", "pipeline:\n  - read: {run: ./job, stage: dedup}\n  - pii: {}\n");
    let manifest = "stages/02-dedup/manifest.json";
    let good = output.text(manifest);
    let changes: [(&str, Value); 4] = [
        ("path", "../victim.parquet".into()),
        ("path", "stages/02-dedup/part-77777.parquet".into()),
        ("xxh3", "f".repeat(32).into()),
        ("bytes", "many".into()),
    ];
    for (place, (key, value)) in changes.into_iter().enumerate() {
        forge(&output, manifest, &|manifest| {
            let files = manifest["files"].as_array_mut().expect("files");
            let part =
                files.iter_mut().find(|file| file["path"].as_str().is_some_and(|it| it.contains("part-")));
            part.expect("a part")[key] = value.clone();
        });
        let ran = in_words(scene.run(&["run", "next.yaml", "--output-dir", &format!("next-{place}")]));
        assert!([Some(1), Some(2)].contains(&ran.code), "{place}: {}", ran.stderr);
        assert!(!scene.path(&format!("next-{place}/report.json")).exists(), "{place}");
        std::fs::write(output.path(manifest), &good).expect("the manifest");
    }
    scene.complete("next", 1).check();
}

#[test]
fn foreign_scores_are_no_answer() {
    let scene = scene();
    let output = scene.complete("job", 2);
    // Another corpus, other rules, and other stages' tables.
    scene.write("others/b.jsonl", corpus::jsonl(&corpus::pages(72, 90)));
    scene.job("other", &JOB.replace("corpus/*", "others/*"));
    let other = scene.complete("other", 2);
    scene.job("rules", &JOB.replace("gopher-quality", "fineweb"));
    let rules = scene.complete("rules", 2);
    let place = output.path("stages/01-filter/scores-00000.parquet");
    let good = std::fs::read(&place).expect("scores");
    let read = |path: &Path| std::fs::read(path).expect("a table");
    let kept = output.path("stages/02-dedup/part-00000.parquet");
    let set = ["refilter", "job", "--set", "filter.gopher_quality.gopher_short_doc=20"];
    for (name, bytes, said) in [
        (
            "of another run",
            read(&other.path("stages/01-filter/scores-00000.parquet")),
            "do not tell what the run",
        ),
        ("of other rules", read(&rules.path("stages/01-filter/scores-00000.parquet")), "expected a column"),
        ("documents", read(&kept), "scores-00000.parquet"),
        ("no table", b"PAR1 and nothing more of it PAR1".to_vec(), "scores-00000.parquet"),
        ("a half", good[..good.len() / 2].to_vec(), "scores-00000.parquet"),
        ("nothing", Vec::new(), "scores-00000.parquet"),
    ] {
        std::fs::write(&place, bytes).expect("a file");
        let ran = in_words(scene.run(&set).ended(1));
        assert!(ran.stdout.is_empty() && ran.stderr.contains(said), "{name}: {}", ran.stderr);
    }
    std::fs::write(&place, &good).expect("the scores");
    scene.run(&set).ended(0);
    // A manifest that leads elsewhere.
    let manifest = "stages/01-filter/manifest.json";
    forge(&output, manifest, &|value| {
        for file in value["files"].as_array_mut().expect("files") {
            if file["path"].as_str().is_some_and(|path| path.contains("scores-")) {
                file["path"] = "../other/stages/01-filter/scores-00000.parquet".into();
            }
        }
    });
    let ran = in_words(scene.run(&set).ended(1));
    assert!(ran.stderr.contains(manifest), "{}", ran.stderr);
}

#[test]
fn a_model_that_promises_a_million_million_ngrams_is_refused_before_the_work() {
    let scene = scene();
    scene.write("huge.arpa", "\\data\\\nngram 1=1000000000000\n\n\\1-grams:\n-1.0\ta\n\\end\\\n");
    for bound in ["", ", max_ngrams: 2000000000000"] {
        let stage = format!("  - perplexity: {{model: huge.arpa, max_perplexity: 9{bound}}}\n");
        scene.job("huge", &format!("pipeline:\n  - read: {{paths: [\"corpus/*\"]}}\n{stage}"));
        let ran = in_words(scene.run(&["run", "huge.yaml"]).ended(2));
        for part in ["huge.yaml:", "perplexity.model", "1000000000000 n-grams"] {
            assert!(ran.stderr.contains(part), "`{part}` in {}", ran.stderr);
        }
        assert!(!scene.path("huge").exists(), "nothing was begun");
    }
}

#[test]
fn a_peer_with_a_thousand_files_is_read_and_a_cut_one_among_them_named() {
    let scene = scene();
    scene.job("ours", &format!("{JOB}  - pii: {{keep: true}}\n").replace("dedup: {", "dedup: {keep: true, "));
    scene.complete("ours", 2);
    let pages = corpus::pages(71, 60);
    for file in 0..1_000 {
        let alone = format!("a page of theirs alone, {file}");
        let text = pages.get(file).map_or(alone.as_str(), |page| page.text.as_str());
        let line = json!({ "id": format!("theirs-{file}"), "text": text }).to_string() + "\n";
        scene.write(&format!("peer/output/{file:05}.jsonl.gz"), gzip(line.as_bytes()));
    }
    let ask = ["compat", "datatrove", "peer", "--run", "ours", "--by", "text", "--output", "json"];
    let told = scene.run(&ask).ended(0).json();
    assert!(told["documents"]["theirs"].as_u64() > Some(900), "{told}");
    let cut = scene.path("peer/output/00777.jsonl.gz");
    let bytes = std::fs::read(&cut).expect("their file");
    std::fs::write(&cut, &bytes[..bytes.len() - 9]).expect("half of it");
    let ran = in_words(scene.run(&ask).ended(1));
    assert!(ran.stdout.is_empty() && ran.stderr.contains("00777.jsonl.gz"), "{}", ran.stderr);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
