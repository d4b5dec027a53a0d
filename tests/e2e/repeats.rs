//! Parts of documents that occurred before, cut by whole commands.

use orchestrator_core::Document;

use crate::support::{Scene, corpus};

/// Pages with a notice that all of them have, and a paragraph that every fourth has.
fn pages(scene: &Scene) {
    let mut pages = corpus::pages(41, 240);
    for (number, page) in pages.iter_mut().enumerate() {
        page.text
            .push_str("\n\nThis notice stands under every single page of the whole site, word for word.");
        if number % 4 == 0 {
            let shared = (0..40).map(|word| format!("word{word}")).collect::<Vec<_>>().join(" ");
            let paragraph = format!("\n\nNumber {number}: {shared} and that was all");
            page.text.push_str(&paragraph);
        }
    }
    for (number, pages) in pages.chunks(60).enumerate() {
        scene.write(&format!("corpus/{number}.jsonl.gz"), corpus::gzip(&corpus::jsonl(pages)));
    }
}

fn job(scene: &Scene, name: &str, options: &str) {
    let rest = format!(
        "target_bytes: 8 KiB\npipeline:\n  - read: {{paths: [\"corpus/*\"]}}\n  - clean: {{}}\n  - dedup: {{{options}}}\n  - pii: {{}}\n"
    );
    scene.job(name, &rest);
}

#[test]
fn repetitions_are_cut_alike_by_any_number_of_workers() {
    let scene = Scene::new();
    pages(&scene);
    for (method, options, rule, slices) in [
        ("paragraph", "method: paragraph, keep: true", "repeated_paragraph", false),
        (
            "ngram",
            "method: paragraph, memory: 64 KiB, paragraph: {unit: line, ngram: 5, false_positive_rate: 0.000001}",
            "repeated_line",
            true,
        ),
        (
            "substring",
            "method: substring, memory: 64 KiB, substring: {min_tokens: 12}, keep: true",
            "repeated_substring",
            true,
        ),
    ] {
        let mut first = None;
        for workers in [1, 2, 4] {
            let name = format!("{method}-{workers}");
            job(&scene, &name, options);
            let output = scene.complete(&name, workers);
            output.check();
            let digests = output.digests();
            assert_eq!(&digests, first.get_or_insert_with(|| digests.clone()), "{name}");
        }
        let output = scene.output(&format!("{method}-1"));
        assert_eq!(output.path("stages/02-dedup/seen-00001.json").exists(), slices, "{method}");
        let notes = output.notes("dedup");
        assert!(notes.len() > 100 && notes.iter().all(|(_, note)| note.rule == rule), "{method}");
        assert_eq!(output.manifest("dedup").noted[rule], notes.len() as u64);
        for (rule, count) in &output.manifest("dedup").dropped {
            assert!(["too_little_left", "mostly_repeated"].contains(&rule.as_str()) && *count > 0, "{rule}");
        }
        let holds =
            |document: &&Document| document.text.contains("This notice stands under every single page");
        let documents = output.documents("pii");
        if method != "ngram" {
            assert_eq!(documents.iter().filter(holds).count(), 1);
        }
        // A document that lost something tells so, and what.
        let (id, _) = notes.last().expect("notes");
        let trace = scene.run(&["trace", &id.to_string(), "--run", &format!("{method}-1")]).ended(0);
        assert!(trace.stdout.contains(rule), "{}", trace.stdout);
        assert!(output.text("report.json").contains(rule), "{method}");
        assert!(output.text("report.html").contains("occurred before"), "{method}");
    }
}

#[test]
fn a_job_that_cannot_keep_its_promise_does_not_begin() {
    let scene = Scene::new();
    pages(&scene);
    job(&scene, "expected", "method: substring, memory: 1 MiB, expected_items: 1000000000");
    let refused = scene.run(&["run", "expected.yaml"]).ended(2);
    assert!(refused.stderr.contains("expected_items"), "{}", refused.stderr);
    assert!(refused.stderr.contains("expected `memory: 20 MiB` or more"), "{}", refused.stderr);
    job(&scene, "other", "method: minhash, paragraph: {unit: line}");
    let refused = scene.run(&["run", "other.yaml"]).ended(2);
    assert!(refused.stderr.contains("it is for `method: paragraph`"), "{}", refused.stderr);
}
