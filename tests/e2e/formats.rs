//! `run` over every input format.

use crate::support::corpus::{self, Page};
use crate::support::{Output, Scene};

const CLEAN: &str = "pipeline:\n  - read: {paths: [\"corpus/**\"]}\n  - clean: {}\n";

/// Texts with their URLs, as a run left them.
fn kept(output: &Output) -> Vec<(String, String)> {
    let documents = output.documents("clean");
    documents.into_iter().map(|document| (document.url.unwrap_or_default(), document.text)).collect()
}

fn expected(pages: &[Page]) -> Vec<(String, String)> {
    pages.iter().map(|page| (page.url.clone(), page.text.clone())).collect()
}

#[test]
fn jsonl_is_read_plain_and_compressed() {
    let pages = corpus::pages(1, 60);
    let plain = corpus::jsonl(&pages);
    let forms = [
        ("plain", "a.jsonl", plain.clone()),
        ("gzip", "a.jsonl.gz", corpus::gzip(&plain)),
        ("members", "a.jsonl.gz", corpus::gzip_members(&plain, 1_000)),
        ("zstandard", "a.jsonl.zst", corpus::zstandard(&plain)),
    ];
    for (name, file, bytes) in forms {
        let scene = Scene::new();
        scene.write(&format!("corpus/{file}"), bytes);
        scene.job(name, CLEAN);
        let output = scene.complete(name, 2);
        output.check();
        assert_eq!(kept(&output), expected(&pages), "{name}");
        let documents = output.documents("clean");
        assert!(documents.iter().enumerate().all(|(place, document)| document.record == place as u64));
        assert!(documents.iter().all(|document| document.source == file));
    }
}

/// Members and frames that end within a record cannot be entered, and tasks share what is carved of them.
#[test]
fn how_a_file_is_cut_changes_no_record_and_no_offset() {
    let pages = corpus::pages(61, 200);
    let mut lines = corpus::jsonl(&pages[..100]);
    lines.extend_from_slice(b"{broken\n\n{\"no_text\": 1}\n");
    lines.extend(corpus::jsonl(&pages[100..]));
    let mut archive = corpus::warc(&pages[..100], false);
    archive.extend_from_slice(b"this is no record\r\n\r\n");
    archive.extend(corpus::warc(&pages[100..], false));
    let half = lines.len() / 2 + 7;
    let frames = [corpus::zstandard(&lines[..half]), corpus::zstandard(&lines[half..])].concat();
    for (name, file, bytes) in [
        ("gzip", "a.jsonl.gz", corpus::gzip_members(&lines, half)),
        ("blocks", "a.jsonl.gz", corpus::gzip_members(&lines, 3_001)),
        ("zstandard", "a.jsonl.zst", frames),
        ("warc", "a.warc.gz", corpus::gzip_members(&archive, 5_003)),
    ] {
        let scene = Scene::new();
        scene.write(&format!("corpus/{file}"), bytes);
        let mut found = Vec::new();
        for (place, target) in ["64 MiB", "3 KiB", "1 KiB"].into_iter().enumerate() {
            let job = format!("{name}{place}");
            scene.job(&job, &format!("target_bytes: {target}\nmax_malformed: 10\n{CLEAN}"));
            let output = scene.complete(&job, 2);
            output.check();
            if place > 0 {
                assert!(output.manifest("clean").files.len() > 1, "{job}: several tasks shared one file");
            }
            let documents =
                output.documents("clean").into_iter().map(|document| (document.record, document.text));
            let dropped = output.dropped("read").into_iter().map(|row| (row.record, row.reason));
            found.push((documents.collect::<Vec<_>>(), dropped.collect::<Vec<_>>()));
        }
        assert!(found[0].1.iter().any(|(_, reason)| reason.rule == "malformed"), "{name}: {:?}", found[0].1);
        assert!(found.iter().all(|each| *each == found[0]), "{name}");
    }
}

#[test]
fn broken_lines_are_counted_with_their_offset() {
    let scene = Scene::new();
    let mut bytes = corpus::jsonl(&corpus::pages(2, 30));
    let offset = bytes.len();
    bytes.extend_from_slice(b"{\"text\": \"no end\n\n{\"no_text\": 1}\n\xff\xfe\n");
    bytes.extend(corpus::jsonl(&corpus::pages(3, 30)));
    scene.write("corpus/a.jsonl", bytes);
    scene.job("broken", &format!("max_malformed: 10\n{CLEAN}"));
    let output = scene.complete("broken", 2);
    output.check();
    let read = output.manifest("read");
    assert_eq!((read.records_in, read.kept, read.dropped["malformed"]), (63, 60, 3));
    let first = &output.dropped("read")[0];
    assert_eq!((first.record, &*first.reason.rule), (30, "malformed"));
    assert!(
        first.reason.value.contains(&offset.to_string()),
        "the value tells the offset: {}",
        first.reason.value
    );
}

#[test]
fn a_compressed_file_without_a_byte_is_counted_as_malformed() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(63, 30)));
    scene.write("corpus/b.jsonl.gz", "");
    scene.write("corpus/c.warc.gz", "");
    scene.write("corpus/d.jsonl.zst", "");
    scene.job("empty", &format!("max_malformed: 3\n{CLEAN}"));
    let output = scene.complete("empty", 2);
    output.check();
    let read = output.manifest("read");
    assert_eq!((read.records_in, read.kept, read.dropped["malformed"]), (33, 30, 3));
    assert!(output.dropped("read").iter().all(|row| row.reason.value.contains("the file is empty")));
}

#[test]
fn too_many_broken_lines_fail_the_job() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", "no JSON\n".repeat(50));
    scene.job("broken", &format!("max_attempts: 1\n{CLEAN}"));
    let ran = scene.run(&["run", "broken.yaml"]).ended(1);
    assert!(ran.stdout.is_empty(), "nothing but results on standard output: {}", ran.stdout);
    assert!(ran.stderr.contains("malformed"), "{}", ran.stderr);
    scene.job("told", &format!("max_attempts: 1\n{CLEAN}"));
    let ran = scene.run(&["run", "told.yaml", "--output", "json"]).ended(1);
    let told = ran.json();
    assert_eq!((&told["state"], &told["name"]), (&"failed".into(), &"told".into()), "{told}");
    assert!(told["error"].as_str().is_some_and(|error| error.contains("malformed")), "{told}");
    assert!(told["quarantined"].is_array(), "{told}");
    assert!(ran.stderr.contains("malformed"), "a person is told as well: {}", ran.stderr);
}

#[test]
fn files_of_text_markdown_and_html_are_one_document_each() {
    let scene = Scene::new();
    let pages = corpus::pages(4, 3);
    scene.write("corpus/a.txt", &pages[0].text);
    scene.write("corpus/b/c.md", "# A title\n\n<!-- a comment -->\n\n[words](https://example.com) here\n");
    scene.write("corpus/d.html", corpus::html(&pages[2]));
    scene.job("files", "pipeline:\n  - read: {paths: [\"corpus/**\"]}\n  - clean: {markdown: strip}\n");
    let output = scene.complete("files", 2);
    output.check();
    let documents = output.documents("clean");
    let sources: Vec<&str> = documents.iter().map(|document| document.source.as_str()).collect();
    assert_eq!(sources, ["a.txt", "b/c.md", "d.html"], "ordered by source");
    assert_eq!(documents[0].text, pages[0].text);
    assert!(documents[1].text.contains("words here") && !documents[1].text.contains("comment"));
    let first = pages[2].text.split("\n\n").next().expect("a paragraph");
    assert!(documents[2].text.contains(first), "the main text is kept: {}", documents[2].text);
    assert!(!documents[2].text.contains("imprint"), "the footer is not: {}", documents[2].text);
}

#[test]
fn warc_responses_become_documents_and_other_records_are_dropped() {
    let pages: Vec<Page> = corpus::pages(5, 40).into_iter().filter(|page| page.text.len() > 250).collect();
    for gzipped in [false, true] {
        let scene = Scene::new();
        let file = if gzipped { "corpus/a.warc.gz" } else { "corpus/a.warc" };
        scene.write(file, corpus::warc(&pages, gzipped));
        scene.job("warc", &format!("target_bytes: 4 KiB\n{CLEAN}"));
        let output = scene.complete("warc", 2);
        output.check();
        let read = output.manifest("read");
        assert_eq!(read.dropped.get("not_a_document"), Some(&1), "the warcinfo record: {:?}", read.dropped);
        assert_eq!(read.kept, pages.len() as u64);
        for (document, page) in output.documents("clean").iter().zip(&pages) {
            assert_eq!(document.url.as_deref(), Some(page.url.as_str()));
            assert_eq!(document.date.as_deref(), Some("2024-01-02T03:04:05Z"));
            let first = page.text.split("\n\n").next().expect("a paragraph");
            assert!(document.text.contains(first), "{} in {}", first, document.text);
        }
    }
}

#[test]
fn parquet_is_read_by_row_groups() {
    let scene = Scene::new();
    let pages = corpus::pages(6, 90);
    scene.write("corpus/a.parquet", corpus::parquet(&pages));
    scene.job("parquet", &format!("target_bytes: 4 KiB\n{CLEAN}"));
    let output = scene.complete("parquet", 2);
    output.check();
    let documents = output.documents("clean");
    let texts: Vec<&str> = documents.iter().map(|document| document.text.as_str()).collect();
    assert_eq!(texts, pages.iter().map(|page| page.text.as_str()).collect::<Vec<_>>());
    assert!(output.manifest("clean").files.len() > 1, "several tasks shared one file");
}

#[test]
fn arrow_is_read_by_record_batches() {
    let pages = corpus::pages(8, 90);
    for (file, stream) in [("a.arrow", false), ("a.feather", false), ("a.arrows", true)] {
        let scene = Scene::new();
        scene.write(&format!("corpus/{file}"), corpus::arrow(&pages, stream));
        scene.job("arrow", &format!("target_bytes: 4 KiB\n{CLEAN}"));
        let output = scene.complete("arrow", 2);
        output.check();
        assert_eq!(kept(&output), expected(&pages), "{file}");
        assert!(output.manifest("clean").files.len() > 1, "several tasks shared one file");
    }
}

#[test]
fn a_schema_without_the_text_is_tried_once() {
    let pages = corpus::pages(62, 5);
    for (file, bytes) in [("a.parquet", corpus::parquet(&pages)), ("a.arrow", corpus::arrow(&pages, false))] {
        let scene = Scene::new();
        scene.write(&format!("corpus/{file}"), bytes);
        scene
            .job("schema", "pipeline:\n  - read: {paths: [\"corpus/*\"], text_field: body}\n  - clean: {}\n");
        let ran = scene.run(&["run", "schema.yaml"]).ended(1);
        for expected in [file, "expected a column `body`", "after 1 attempts"] {
            assert!(ran.stderr.contains(expected), "`{expected}` in {}", ran.stderr);
        }
    }
}

#[test]
fn a_job_begins_with_an_earlier_runs_stage() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(7, 50)));
    scene.job("first", CLEAN);
    let first = scene.complete("first", 2);
    scene.job(
        "second",
        "pipeline:\n  - read: {run: ./first, stage: clean}\n  - clean: {min_characters: 100}\n",
    );
    let second = scene.complete("second", 2);
    second.check();
    assert_eq!(second.manifest("read").records_in, first.manifest("clean").kept);
    let ids: Vec<_> = first.documents("clean").iter().map(|document| document.id).collect();
    assert!(second.documents("clean").iter().all(|document| ids.contains(&document.id)), "ids stay");
    scene.job("third", "pipeline:\n  - read: {run: ./first, stage: read}\n  - clean: {}\n");
    let ran = scene.run(&["run", "third.yaml"]).ended(2);
    assert!(ran.stderr.contains("clean"), "the nearest stage that wrote documents is named: {}", ran.stderr);

    let id = second.documents("clean")[0].id.to_string();
    let trace = || scene.run(&["trace", &id, "--run", "second", "--output", "json"]).ended(0).json();
    let earlier = &trace()["earlier"][0];
    assert_eq!(earlier["stage"], "clean");
    assert_eq!(earlier["found"]["trace"]["document"]["id"].as_str(), Some(&*id), "followed back: {earlier}");
    let text = || scene.run(&["trace", &id, "--run", "second"]).ended(0).stdout;
    assert!(text().contains("before that") && text().contains("a.jsonl"), "{}", text());
    std::fs::rename(scene.path("first"), scene.path("elsewhere")).expect("moved");
    assert!(text().contains("no longer there"), "{}", text());
}

#[test]
fn arc_and_wet_files_are_read() {
    let pages = corpus::pages(8, 30);
    for (name, file, bytes) in [
        ("wet", "a.warc.wet.gz", corpus::wet(&pages)),
        ("arc", "a.arc", corpus::arc(&pages, false)),
        ("arcs", "a.arc.gz", corpus::arc(&pages, true)),
    ] {
        let scene = Scene::new();
        scene.write(&format!("corpus/{file}"), bytes);
        scene.job(name, &format!("target_bytes: 4 KiB\n{CLEAN}"));
        let output = scene.complete(name, 2);
        output.check();
        let read = output.manifest("read");
        assert_eq!(read.dropped.get("not_a_document"), Some(&1), "{name}: the file's own record");
        assert_eq!(read.kept, pages.len() as u64, "{name}: {:?}", read.dropped);
        assert_eq!(kept(&output), expected(&pages), "{name}");
        let documents = output.documents("clean");
        assert!(documents.iter().all(|document| document.date.as_deref() == Some("2024-01-02T03:04:05Z")));
    }
}

#[test]
fn the_options_of_read_do_what_they_say() {
    let scene = Scene::new();
    let pages = corpus::pages(9, 20);
    scene.write("corpus/in/a.jsonl", corpus::jsonl(&pages));
    scene.write("corpus/in/b.data", "{\"body\": \"in another field\"}\n");
    scene.write("corpus/out/c.jsonl", corpus::jsonl(&corpus::pages(10, 5)));
    scene.write("list.txt", "corpus/in/a.jsonl\n\ncorpus/out/c.jsonl\n");
    let read = |name: &str, options: &str| {
        scene
            .job(name, &format!("max_malformed: 100\npipeline:\n  - read: {{{options}}}\n  - clean: {{}}\n"));
        let output = scene.complete(name, 2);
        output.check();
        output
    };
    let sources = |output: &Output| {
        let mut sources: Vec<String> =
            output.documents("clean").into_iter().map(|document| document.source).collect();
        sources.dedup();
        sources
    };
    let excluded = read("excluded", "paths: [\"corpus/**/*.jsonl\"], exclude: [\"corpus/out/*\"]");
    assert_eq!(kept(&excluded), expected(&pages));
    assert_eq!(sources(&excluded), ["in/a.jsonl"], "relative to what the patterns share");
    let rooted = read("rooted", "paths: [\"corpus/in/*.jsonl\"], root: .");
    assert_eq!(sources(&rooted), ["corpus/in/a.jsonl"]);
    let named = read("named", "paths: [corpus/in/b.data], format: jsonl, text_field: body");
    assert_eq!(named.documents("clean")[0].text, "in another field");
    let listed = read("listed", "paths: [\"@list.txt\"]");
    assert_eq!(sources(&listed), ["in/a.jsonl", "out/c.jsonl"]);
    let written = read("written", "paths: [corpus/in/a.jsonl], keep: true");
    assert_eq!(written.documents("read").len(), pages.len(), "its documents are written though it is fused");
    assert!(excluded.manifest("read").files.iter().all(|file| !file.path.as_str().contains("part-")));
}

#[test]
fn a_quality_classifier_is_trained_and_its_threshold_drops() {
    let scene = Scene::new();
    let page = |good: bool, number: usize| Page {
        url: format!("https://example.com/{good}/{number}"),
        text: if good {
            format!(
                "The theorem follows from lemma {number}, and the proof measures the energy of the field."
            )
        } else {
            format!("Click here to buy cheap pills now and win a free prize, offer {number} ends today.")
        },
    };
    let some = |good: bool, numbers: std::ops::Range<usize>| -> Vec<Page> {
        numbers.map(|number| page(good, number)).collect()
    };
    scene.write("good.jsonl", corpus::jsonl(&some(true, 0..40)));
    scene.write("bad.jsonl", corpus::jsonl(&some(false, 0..40)));
    let mixed: Vec<Page> = some(true, 100..120).into_iter().chain(some(false, 100..130)).collect();
    scene.write("corpus/a.jsonl", corpus::jsonl(&mixed));
    let train = "train: {positive: [good.jsonl], negative: [bad.jsonl], dimension: 8, bucket: 1000, epochs: 20, learning_rate: 0.5}";
    let job = |more: &str| {
        format!(
            "pipeline:\n  - read: {{paths: [\"corpus/*\"]}}\n  - quality: {{{train}{more}}}\n  - pii: {{}}\n"
        )
    };
    scene.job("judged", &job(", threshold: 0.5"));
    let output = scene.complete("judged", 2);
    output.check();
    let documents = output.documents("pii");
    assert_eq!(documents.len(), 20);
    for document in &documents {
        assert!(document.text.contains("theorem") && document.quality_score > Some(0.5), "{document:?}");
    }
    let dropped = output.dropped("quality");
    assert_eq!(dropped.len(), 30);
    for row in &dropped {
        let score: f32 = row.reason.value.parse().expect("a score");
        assert!(row.reason.rule == "quality" && score < 0.5, "{row:?}");
    }
    scene.job("scored", &job(""));
    let scored = scene.complete("scored", 1);
    scored.check();
    assert_eq!(scored.documents("pii").len(), 50, "without a threshold documents are only scored");
    assert!(scored.documents("pii").iter().all(|document| document.quality_score.is_some()));
}
