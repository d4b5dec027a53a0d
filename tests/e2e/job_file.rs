//! What is wrong with a job, beyond its file's text, is said with file, line, column and key; what can be known before the
//! work is known before it.

use orchestrator_text::fasttext::{TrainConfig, Trainer};

use crate::support::{Scene, corpus};

/// Validates a job and expects these words, with the place of the key.
#[track_caller]
fn refused(scene: &Scene, pipeline: &str, wanted: &[&str]) {
    scene.job("wrong", pipeline);
    for verb in ["validate", "run"] {
        let ran = scene.run(&[verb, "wrong.yaml"]).ended(2);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
        for wanted in wanted {
            assert!(ran.stderr.contains(wanted), "`{wanted}` in:\n{}", ran.stderr);
        }
    }
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(1, 20)));
    scene
}

#[test]
fn every_mistake_has_a_place_and_a_key() {
    let scene = scene();
    scene.write("c.bin", "what is this");
    std::fs::create_dir(scene.path("directory")).expect("a directory");
    let read = |paths: &str| format!("pipeline:\n  - read:\n      paths: [{paths}]\n");
    for (paths, wanted) in [
        ("a.jsonl, \"b*.jsonl\"", "matches no file"),
        ("a.jsonl, directory", "is a directory"),
        ("a.jsonl, c.bin", "set `format`"),
        ("a.jsonl, \"{a\"", "is no glob"),
    ] {
        refused(&scene, &read(paths), &["wrong.yaml:5:", "pipeline[0].read.paths[1]: ", wanted]);
    }
    let one = "pipeline:\n  - read: {paths: [a.jsonl], exclude: [\"*\"]}\n";
    refused(&scene, one, &["wrong.yaml:4:", "pipeline[0].read.exclude: "]);
    let run = "pipeline:\n  - read: {run: ./nowhere, stage: dedup}\n";
    refused(&scene, run, &["wrong.yaml:4:", "pipeline[0].read.run: ", "no finished stage"]);
    let root = "pipeline:\n  - read: {paths: [a.jsonl], root: /nowhere}\n";
    refused(&scene, root, &["wrong.yaml:4:", "pipeline[0].read.root: "]);
    let after = |stage: &str| format!("pipeline:\n  - read: {{paths: [a.jsonl]}}\n  - {stage}\n");
    for (stage, key, wanted) in [
        ("quality: {model: absent.bin}", "quality.model", "does not exist"),
        ("quality: {model: a.jsonl}", "quality.model", "not a fastText model"),
        ("tokenize: {tokenizer: absent.json}", "tokenize.tokenizer", "no tokenizer at"),
        ("tokenize: {tokenizer: absent}", "tokenize.tokenizer", "tokenizer.model"),
    ] {
        refused(&scene, &after(stage), &["wrong.yaml:5:", &format!("pipeline[1].{key}: "), wanted]);
    }
}

#[test]
fn models_and_tokenizers_are_looked_into_before_the_work() {
    let scene = scene();
    scene.write("broken.json", "no JSON");
    scene.write("endless.json", r#"{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}"#);
    let examples = [("__label__hq", "a lemma and a proof"), ("__label__lq", "click here to buy")].repeat(4);
    let options = TrainConfig { dimension: 4, bucket: 10, ..TrainConfig::default() };
    let model = Trainer::train(&examples, &options).expect("two labels").write().expect("a dense model");
    scene.write("cut.bin", &model[..model.len() - 9]);
    scene.write("m.bin", model);
    let after = |stage: &str| format!("pipeline:\n  - read: {{paths: [a.jsonl]}}\n  - {stage}\n");
    for (stage, key, wanted) in [
        ("tokenize: {tokenizer: broken.json}", "tokenize.tokenizer", "broken.json`: tokenizer is no JSON"),
        ("tokenize: {tokenizer: endless.json}", "tokenize.end_of_text", "no token `<|endoftext|>`"),
        ("quality: {model: m.bin, label: __label__zz}", "quality.label", "expected one of `__label__"),
        ("quality: {model: cut.bin}", "quality.model", "cut.bin`: "),
        ("language: {keep: [en], model: cut.bin}", "language.model", "cut.bin`: "),
    ] {
        refused(&scene, &after(stage), &["wrong.yaml:5:", &format!("pipeline[1].{key}: "), wanted]);
    }
    scene.job("right", &after("quality: {model: m.bin}"));
    scene.run(&["validate", "right.yaml"]).ended(0);
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_the_work() {
    let scene = scene();
    let job =
        |output: &str| format!("name: x\noutput: {output}\npipeline:\n  - read: {{paths: [a.jsonl]}}\n");
    for (output, wanted) in [("https://host/out", "can be read and not written"), ("a.jsonl", "is a file")] {
        scene.write("wrong.yaml", job(output));
        let ran = scene.run(&["validate", "wrong.yaml"]).ended(2);
        assert!(ran.stderr.contains("wrong.yaml:2:") && ran.stderr.contains("output: "), "{}", ran.stderr);
        assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    }
}

#[test]
fn a_job_file_that_is_no_text_is_refused_with_the_place() {
    let scene = scene();
    scene.write("wrong.yaml", b"name: x\noutput: \xff\n");
    let ran = scene.run(&["validate", "wrong.yaml"]).ended(2);
    assert!(ran.stderr.contains("wrong.yaml:2:9: ") && ran.stderr.contains("0xff"), "{}", ran.stderr);
}

#[test]
fn an_output_below_the_inputs_does_not_become_one() {
    let scene = scene();
    scene.job("again", "pipeline:\n  - read: {paths: [\"**/*.json*\"]}\n  - clean: {}\n");
    scene.complete("again", 1);
    let ran = scene.run(&["run", "again.yaml"]).ended(0);
    assert!(ran.stderr.contains("finished"), "{}", ran.stderr);
}

#[test]
fn a_bound_on_malformed_records_can_be_raised_on_the_job_that_it_failed() {
    let scene = Scene::new();
    let mut lines = corpus::jsonl(&corpus::pages(1, 40));
    lines.extend_from_slice(&b"{no json\n".repeat(10));
    scene.write("a.jsonl", lines);
    let job = |most: u32| {
        format!("max_malformed: {most}\npipeline:\n  - read: {{paths: [a.jsonl]}}\n  - clean: {{}}\n")
    };
    scene.job("raised", &job(3));
    let ran = scene.run(&["run", "raised.yaml"]).ended(1);
    assert!(ran.stderr.contains("malformed"), "{}", ran.stderr);
    scene.job("raised", &job(30));
    let ran = scene.run(&["run", "raised.yaml"]).ended(0);
    assert!(ran.stderr.contains("going on"), "{}", ran.stderr);
    assert_eq!(scene.output("raised").check().dropped("read").len(), 10);
    assert!(scene.output("raised").text("job.yaml").contains("max_malformed: 30"));
}

#[test]
fn credentials_are_not_in_what_is_said_of_them() {
    let scene = Scene::new();
    for (output, secret) in [
        ("s3://AKIA:hunter2@bucket/x", "hunter2"),
        ("s3://bucket/x?token=SEKRIT", "SEKRIT"),
        ("gs://bucket/x?X-Goog-Signature=SEKRIT", "SEKRIT"),
    ] {
        scene.write(
            "secret.yaml",
            format!("name: a\noutput: {output}\npipeline:\n  - read: {{paths: [a]}}\n"),
        );
        let ran = scene.run(&["validate", "secret.yaml"]).ended(2);
        assert!(ran.stderr.contains("credentials"), "{}", ran.stderr);
        assert!(!ran.stderr.contains(secret), "{}", ran.stderr);
    }
}

#[test]
fn a_job_that_later_commands_could_not_read_is_refused_when_it_is_handed_in() {
    let scene = scene();
    let job = "pipeline:\n  - read: {paths: [a.jsonl]}\n";
    scene.job("large", &format!("# {}\n{job}", "x".repeat(5 << 20)));
    // Small as a file, and large with every path made absolute.
    let grown = format!("{}/grown", ["a-directory-with-a-long-name"; 6].join("/"));
    let paths = "x, ".repeat(40_000);
    let text = format!("name: grown\noutput: grown\npipeline:\n  - read: {{paths: [{paths}x]}}\n");
    scene.write(&format!("{grown}.yaml"), text);
    for name in ["large", grown.as_str()] {
        let file = format!("{name}.yaml");
        for verb in ["validate", "plan", "run"] {
            let ran = scene.run(&[verb, &file]).ended(2);
            assert!(ran.stdout.is_empty(), "{}", ran.stdout);
            for wanted in [file.as_str(), "too large", "4194304 bytes at most"] {
                assert!(ran.stderr.contains(wanted), "{verb} {name}: `{wanted}` in {:.400}", ran.stderr);
            }
        }
        assert!(!scene.path(name).exists(), "nothing was begun");
    }
    // One that lies in an output is no run's of ours, and is not read whole.
    scene.write("foreign/job.yaml", format!("{job}# {}\n", "x".repeat(5 << 20)));
    let ran = scene.run(&["refilter", "foreign", "--set", "filter.c4.min_sentences=4"]).ended(2);
    assert!(ran.stderr.contains("job.yaml") && ran.stderr.contains("4194304"), "{:.400}", ran.stderr);
}
