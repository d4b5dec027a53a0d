//! Inputs that were made to break readers: counted, and never fatal. They lie beside the repository; without them the
//! tests pass and say so.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::io::Read;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Scene, repository};

fn shared(below: &str) -> Option<PathBuf> {
    let path = repository().join("../shared/data").join(below);
    if !path.exists() {
        println!("skipped: ../shared/data/{below} is absent");
        return None;
    }
    Some(path)
}

#[test]
fn broken_web_archives_do_not_end_a_job() {
    let Some(root) = shared("warc") else { return };
    let scene = Scene::new();
    let mut files = 0;
    for directory in std::fs::read_dir(&root).expect("the directory") {
        let directory = directory.expect("an entry").path();
        for file in std::fs::read_dir(&directory).expect("the directory") {
            let path = file.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
            let name = name.trim_end_matches(".bad");
            if [".warc", ".arc", ".wet", ".warc.gz", ".arc.gz", ".wet.gz"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                let source = directory.file_name().and_then(|name| name.to_str()).expect("UTF-8");
                scene.write(&format!("corpus/{source}/{name}"), std::fs::read(&path).expect("an archive"));
                files += 1;
            }
        }
    }
    assert!(files >= 25, "only {files} archives were found");
    let stages = "pipeline:\n  - read: {paths: [\"corpus/**\"]}\n  - clean: {}\n  - dedup: {}\n  - pii: {}\n";
    let mut digests = None;
    for workers in [1, 2] {
        let name = format!("archives-{workers}");
        scene.job(&name, &format!("target_bytes: 64 KiB\nmax_malformed: 1000\n{stages}"));
        let output = scene.complete(&name, workers);
        output.check();
        let read = output.manifest("read");
        assert!(read.kept > 30 && read.dropped["malformed"] > 3, "{} kept, {:?}", read.kept, read.dropped);
        let lost = output.dropped("read");
        let lost = lost.iter().filter(|row| &*row.reason.rule == "malformed");
        assert!(lost.into_iter().all(|row| row.reason.value.starts_with("offset ")));
        let found = output.digests();
        assert_eq!(&found, digests.get_or_insert_with(|| found.clone()));
    }
}

#[test]
fn naughty_strings_go_through_every_stage() {
    let Some(path) = shared("robustness/blns.json") else { return };
    let strings: Vec<String> =
        serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("strings");
    assert!(strings.len() > 400);
    let scene = Scene::new();
    let lines: Vec<String> = strings
        .iter()
        .map(|text| json!({ "text": format!("{text} and then {text}"), "url": text, "id": text }).to_string())
        .collect();
    scene.write("corpus/a.jsonl", lines.join("\n"));
    scene.write("corpus/b.txt", strings.join("\n"));
    scene.write("corpus/c.md", strings.join("\n\n"));
    scene.write("corpus/d.html", format!("<html><body><p>{}</body></html>", strings.join("</p><p>")));
    scene.job(
        "naughty",
        "max_malformed: 1000
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {markdown: strip}
  - language: {keep: [en, de, zh, ja]}
  - filter: {rules: [gopher-repetition, gopher-quality, c4, fineweb]}
  - dedup: {method: minhash}
  - pii: {}
",
    );
    let output = scene.complete("naughty", 2);
    output.check();
    assert_eq!(output.manifest("read").records_in, strings.len() as u64 + 3);
    // Without filters every string reaches the tokenizers, and its own text comes back.
    for model in ["bpe", "wordpiece", "unigram", "word", "character"] {
        let stages = format!(
            "pipeline:\n  - read: {{paths: [corpus/a.jsonl]}}\n  - clean: {{min_characters: 0}}\n  - tokenize: {{train: {{model: {model}, vocab_size: 700}}}}\n"
        );
        scene.job(model, &stages);
        let output = scene.complete(model, 2);
        output.check();
        assert!(output.json("tokens/manifest.json")["kept"].as_u64() > Some(400), "{model}");
        let html = output.text("report.html");
        assert!(!html.contains("<script>alert("), "{model}: the report escapes what it shows");
    }
}

#[test]
fn json_of_the_test_suite_is_counted() {
    let Some(path) = shared("robustness/JSONTestSuite_test_parsing.tar.gz") else { return };
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).expect("a file"))
        .read_to_end(&mut tar)
        .expect("gzip");
    let scene = Scene::new();
    let (mut at, mut lines, mut refused) = (0, Vec::new(), 0u64);
    while at + 512 <= tar.len() {
        let header = &tar[at..at + 512];
        let text = |from: usize, to: usize| {
            String::from_utf8_lossy(&header[from..to]).trim_matches(['\0', ' ']).to_owned()
        };
        let size = usize::from_str_radix(&text(124, 136), 8).unwrap_or(0);
        let name = text(0, 100).rsplit('/').next().unwrap_or_default().to_owned();
        let case = tar[at + 512..(at + 512 + size).min(tar.len())].trim_ascii();
        at += 512 + size.div_ceil(512) * 512;
        if name.rsplit('.').next() != Some("json") || case.contains(&b'\n') || case.is_empty() {
            continue;
        }
        refused += u64::from(name.starts_with("n_"));
        lines.push([b"{\"text\": \"a text of its own\", \"case\": ".as_slice(), case, b"}\n"].concat());
    }
    assert!(refused > 150, "{refused} cases are to be refused");
    scene.write("corpus/a.jsonl", lines.concat());
    scene.job("suite", "max_malformed: 1000\npipeline:\n  - read: {paths: [\"corpus/*\"]}\n  - clean: {}\n");
    let output = scene.complete("suite", 2);
    output.check();
    let read = output.manifest("read");
    assert_eq!(read.records_in, lines.len() as u64, "each line is one record");
    assert!(read.dropped["malformed"] >= refused, "{} of {refused}", read.dropped["malformed"]);
    let first: Value =
        serde_json::from_str(&output.documents("clean")[0].metadata).expect("metadata is JSON");
    assert!(first.get("case").is_some());
}
