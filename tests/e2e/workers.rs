//! The same job gives the same bytes, however many workers there are.

use crate::support::{Output, Scene, corpus};

/// Every data stage, with a barrier of each kind.
const WHOLE: &str = "
target_bytes: 16 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - language: {keep: [en]}
  - filter: {rules: [gopher-quality]}
  - dedup: {}
  - pii: {}
  - tokenize: {train: {model: bpe, vocab_size: 600}}
";

#[test]
fn one_two_and_four_workers_leave_equal_bytes() {
    let scene = Scene::new();
    let pages = corpus::pages(11, 300);
    for (number, pages) in pages.chunks(75).enumerate() {
        scene.write(&format!("corpus/{number}.jsonl.gz"), corpus::gzip(&corpus::jsonl(pages)));
    }
    let mut first = None;
    for workers in [1, 2, 4] {
        let name = format!("workers-{workers}");
        scene.job(&name, WHOLE);
        let output = scene.complete(&name, workers);
        output.check();
        let digests = output.digests();
        let reference = first.get_or_insert_with(|| digests.clone());
        assert_eq!(&digests, reference, "{workers} workers");
    }
    says_what_was_done(&scene.output("workers-1"));
}

fn says_what_was_done(output: &Output) {
    assert!(output.manifest("clean").files.len() > 3, "the corpus was split");
    assert_eq!(output.manifest("read").records_in, 300);
    assert!(output.manifest("clean").dropped["too_short"] > 0);
    assert!(output.manifest("language").dropped["language"] > 0);
    let dedup = output.manifest("dedup");
    assert!(dedup.dropped.values().sum::<u64>() > 30, "copies and near-copies: {:?}", dedup.dropped);
    let kept: Vec<_> = output.documents("pii").iter().map(|document| document.id).collect();
    for row in output.dropped("dedup") {
        let survivor = row.reason.value.parse().expect("the value is the survivor's id");
        assert!(kept.contains(&survivor), "{} survives", row.reason.value);
    }
    let documents = output.documents("pii");
    assert!(documents.iter().all(|document| !document.text.contains("@example.com")));
    assert!(documents.iter().any(|document| document.text.contains("<EMAIL>")));
    let notes = output.notes("pii");
    assert!(notes.iter().any(|(_, note)| note.rule == "email"), "{:?}", notes.first());
    assert_eq!(
        output.manifest("pii").noted["email"],
        notes.iter().filter(|(_, note)| note.rule == "email").count() as u64
    );
    let tokens = output.json("tokens/manifest.json");
    assert_eq!(tokens["records_in"].as_u64(), Some(documents.len() as u64));
}

#[test]
fn a_single_large_file_is_shared_among_tasks_and_gives_the_records_of_the_plain_one() {
    let scene = Scene::new();
    let plain = corpus::jsonl(&corpus::pages(12, 250));
    let job = "target_bytes: 12 KiB\npipeline:\n  - read: {paths: [\"FILE\"]}\n  - clean: {}\n";
    let forms = [
        ("plain", "a.jsonl", plain.clone()),
        ("gzip", "a.jsonl.gz", corpus::gzip(&plain)),
        ("members", "b.jsonl.gz", corpus::gzip_members(&plain, 10_000)),
        ("zstandard", "a.jsonl.zst", corpus::zstandard(&plain)),
    ];
    let mut reference: Option<Vec<(u64, String)>> = None;
    for (name, file, bytes) in forms {
        scene.write(file, bytes);
        let mut digests = None;
        for workers in [1, 3] {
            let name = format!("{name}-{workers}");
            scene.job(&name, &job.replace("FILE", file));
            let output = scene.complete(&name, workers);
            output.check();
            let parts = output.manifest("clean").files.len();
            assert!(parts > 1, "{name}: {parts} parts");
            let rows = output.documents("clean").into_iter().map(|document| (document.record, document.text));
            let rows: Vec<_> = rows.collect();
            assert_eq!(&rows, reference.get_or_insert_with(|| rows.clone()), "{name}");
            let found = output.digests();
            assert_eq!(&found, digests.get_or_insert_with(|| found.clone()), "{name}");
        }
    }
}

#[test]
fn a_single_large_file_that_is_cut_off_keeps_what_stands_before_the_damage() {
    let scene = Scene::new();
    let plain = corpus::jsonl(&corpus::pages(12, 250));
    let whole: Vec<&[u8]> = plain.split_inclusive(|&byte| byte == b'\n').collect();
    for (file, bytes) in [("a.jsonl.gz", corpus::gzip(&plain)), ("a.jsonl.zst", corpus::zstandard(&plain))] {
        scene.write(file, &bytes[..bytes.len() * 2 / 3]);
        let mut digests = None;
        for workers in [1, 2, 4] {
            let name = format!("cut-{}-{workers}", file.rsplit('.').next().unwrap_or_default());
            let paths = format!("pipeline:\n  - read: {{paths: [{file}]}}\n  - clean: {{}}\n");
            scene.job(&name, &format!("target_bytes: 12 KiB\nmax_malformed: 1\n{paths}"));
            let output = scene.complete(&name, workers);
            output.check();
            let read = output.manifest("read");
            assert_eq!(read.dropped.get("malformed"), Some(&1), "{name}: one gap: {:?}", read.dropped);
            let lost = &output.dropped("read")[0];
            assert_eq!(lost.record, read.kept, "{name}: the gap follows what was kept");
            // In a file of one member the offset is that of the decoded bytes: where the broken record begins.
            let before: usize = whole[..lost.record as usize].iter().map(|line| line.len()).sum();
            assert!(
                lost.reason.value.contains(&format!("offset {before}:")),
                "{name}: {}",
                lost.reason.value
            );
            assert!(read.kept > 50, "{name}: {} records stand before the damage", read.kept);
            assert!(output.manifest("clean").files.len() > 1, "{name}: several tasks shared it");
            let found = output.digests();
            assert_eq!(&found, digests.get_or_insert_with(|| found.clone()), "{name}");
        }
    }
}

#[test]
fn many_small_files_share_tasks() {
    let scene = Scene::new();
    for (number, page) in corpus::pages(13, 60).iter().enumerate() {
        scene.write(&format!("corpus/{number:03}.txt"), &page.text);
    }
    scene.job(
        "small",
        "target_bytes: 16 KiB\npipeline:\n  - read: {paths: [\"corpus/*.txt\"]}\n  - clean: {}\n",
    );
    let output = scene.complete("small", 2);
    output.check();
    let parts = output.manifest("clean").files.len();
    assert!((2..30).contains(&parts), "{parts} parts of 60 files");
}
