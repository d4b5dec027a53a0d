//! Figures before a job runs, and other thresholds after it: `plan --sample`, scores, `refilter`.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::Value;

use crate::support::{Output, Scene, corpus};

const SCORED: &str = "
target_bytes: 16 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - language: {keep: [en], scores: true}
  - filter: {profile: datatrove, scores: true}
  - pii: {}
";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(81, 150)));
    scene.write("corpus/b.jsonl", corpus::jsonl(&corpus::pages(82, 90)));
    scene
}

/// What became of each document in a stage: the rule that dropped it.
fn dropped(output: &Output, stage: &str) -> BTreeMap<String, String> {
    let rows = output.dropped(stage);
    rows.into_iter().map(|row| (row.id.to_string(), row.reason.rule.into_owned())).collect()
}

/// The stage of an answer of `refilter`.
fn told<'a>(answer: &'a Value, stage: &str) -> &'a Value {
    let stages = answer["stages"].as_array().expect("stages");
    stages.iter().find(|told| told["stage"] == stage).unwrap_or_else(|| panic!("`{stage}` in {answer}"))
}

/// Holds what `refilter` told of a stage to what a run did.
#[track_caller]
fn assert_told(answer: &Value, output: &Output, stage: &str) {
    let (told, manifest) = (told(answer, stage), output.manifest(stage));
    assert_eq!(told["records_in"][1], manifest.records_in, "{told}");
    assert_eq!(told["kept"][1], manifest.kept, "{told}");
    let rules: BTreeMap<String, u64> = told["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .map(|rule| {
            (rule["rule"].as_str().expect("a name").to_owned(), rule["counts"][1].as_u64().expect("a count"))
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(rules, manifest.dropped);
}

#[test]
fn refilter_tells_to_the_document_what_a_run_with_other_thresholds_does() {
    let scene = scene();
    scene.job("scored", SCORED);
    let before = scene.complete("scored", 2);
    for (number, moves) in [
        &["gopher_quality.gopher_short_doc=100"][..],
        &["gopher_repetition.top_2_gram=null", "gopher_repetition.dup_line_frac=0.9", "c4.min_sentences=1"],
        &["c4.min_sentences=14", "fineweb.list_ratio=0.001", "fineweb.line_punct_exclude_zero=true"],
        &["gopher_quality.gopher_enough_stop_words=8", "gopher_quality.gopher_short_doc=null"],
    ]
    .into_iter()
    .enumerate()
    {
        let mut arguments = vec!["refilter".to_owned(), "scored".to_owned()];
        for moved in moves {
            arguments.extend(["--set".to_owned(), format!("filter.{moved}")]);
        }
        arguments.extend(["--changed", "moves.tsv", "--output", "json"].map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let answer = scene.run(&arguments).ended(0).json();
        let mut options = BTreeMap::<&str, Vec<String>>::new();
        for moved in moves {
            let (set, option) = moved.split_once('.').expect("a set");
            options.entry(set).or_default().push(option.replace('=', ": "));
        }
        let options: Vec<String> =
            options.iter().map(|(set, options)| format!("{set}: {{{}}}", options.join(", "))).collect();
        let name = format!("moved-{number}");
        let filter = format!("profile: datatrove, {}, scores: true", options.join(", "));
        scene.job(&name, &SCORED.replace("profile: datatrove, scores: true", &filter));
        let after = scene.complete(&name, 2);
        assert_told(&answer, &after, "filter");
        assert_told(
            &scene.run(&["refilter", "scored", &format!("{name}.yaml"), "--output", "json"]).ended(0).json(),
            &after,
            "filter",
        );
        // The list of changed documents is the difference of the runs.
        let (was, is) = (dropped(&before, "filter"), dropped(&after, "filter"));
        let fate = |fates: &BTreeMap<String, String>, id: &str| {
            fates.get(id).cloned().unwrap_or_else(|| "kept".to_owned())
        };
        let mut expected: Vec<String> = was
            .keys()
            .chain(is.keys())
            .filter(|id| fate(&was, id) != fate(&is, id))
            .map(|id| format!("{id}\tfilter\t{}\t{}", fate(&was, id), fate(&is, id)))
            .collect();
        expected.sort();
        expected.dedup();
        let mut listed: Vec<String> = std::fs::read_to_string(scene.path("moves.tsv"))
            .expect("the list")
            .lines()
            .map(str::to_owned)
            .collect();
        listed.sort();
        assert!(!expected.is_empty(), "{moves:?} moves something");
        assert_eq!(listed, expected, "{moves:?}");
        let stage = told(&answer, "filter");
        let moved =
            ["now_kept", "now_dropped", "other_rule"].map(|key| stage[key].as_u64().expect("a count"));
        assert_eq!(moved.iter().sum::<u64>(), expected.len() as u64);
        // Documents that the stage behind never saw are counted, and those that are gone it loses.
        let behind = told(&answer, "pii");
        assert_eq!(behind["unmeasured"], stage["now_kept"]);
        assert_eq!(
            behind["records_in"][1].as_u64().expect("a count") + moved[0],
            after.manifest("pii").records_in
        );
    }
}

#[test]
fn languages_are_moved_and_what_was_never_measured_is_counted() {
    let scene = scene();
    scene.job("scored", SCORED);
    scene.complete("scored", 2);
    let all = scene.run(&["refilter", "scored", "--set", r#"language.keep=["en","de"]"#, "--output", "json"]);
    let answer = all.ended(0).json();
    scene.job("moved", &SCORED.replace("keep: [en]", "keep: [en, de]"));
    let after = scene.complete("moved", 2);
    assert_told(&answer, &after, "language");
    let (language, filter) = (told(&answer, "language"), told(&answer, "filter"));
    assert!(language["now_kept"].as_u64() > Some(0));
    assert_eq!(filter["unmeasured"], language["now_kept"]);
    // Of a document that is gone earlier, the stages behind are told exactly.
    let none =
        scene.run(&["refilter", "scored", "--set", "language.threshold=0.99", "--output", "json"]).ended(0);
    scene.job("strict", &SCORED.replace("keep: [en]", "keep: [en], threshold: 0.99"));
    let (answer, strict) = (none.json(), scene.complete("strict", 2));
    for stage in ["language", "filter", "pii"] {
        assert_told(&answer, &strict, stage);
    }
}

#[test]
fn scores_change_nothing_but_what_is_written_beside() {
    let scene = scene();
    scene.job("scored", SCORED);
    scene.job("plain", &SCORED.replace(", scores: true", ""));
    let (scored, plain) = (scene.complete("scored", 2), scene.complete("plain", 1));
    let digests = |output: &Output| -> Vec<String> {
        output.manifests().into_values().map(|manifest| manifest.digest.to_string()).collect()
    };
    assert_eq!(digests(&scored), digests(&plain));
    scored.check();
    let files: Vec<_> =
        scored.manifest("filter").files.into_iter().map(|file| file.path.to_string()).collect();
    assert!(files.iter().any(|file| file.contains("/scores-00000.parquet")), "{files:?}");
    let doctor = scene.run(&["doctor", "scored", "--output", "json"]).ended(0).json();
    assert!(doctor["findings"].as_array().expect("findings").is_empty(), "{doctor}");
    let sql = "SELECT count(*) AS n, count(\"gopher_quality.gopher_short_doc\") AS judged FROM filter_scores";
    let rows = scene.run(&["query", "scored", sql, "--output", "json"]).ended(0).json();
    let expected = scored.manifest("filter").records_in;
    assert_eq!((&rows["rows"][0][0], &rows["rows"][0][1]), (&Value::from(expected), &Value::from(expected)));
    let shown = scene.run(&[
        "inspect",
        &format!("scored/{}", files[0].replace("dropped-", "scores-")),
        "--rows",
        "1",
    ]);
    assert!(shown.ended(0).stdout.contains("gopher_repetition.dup_line_frac"));
    // With other thresholds the same is measured.
    scene.job(
        "moved",
        &SCORED.replace("profile: datatrove", "profile: datatrove, gopher_quality: {gopher_short_doc: 90}"),
    );
    scene.complete("moved", 2);
    let diff = scene.run(&["diff", "scored", "moved", "--output", "json"]).ended(0).json();
    assert_eq!(told(&diff, "filter")["measured_otherwise"], 0, "{diff}");
    let other = "profile: datatrove, c4: {min_words_per_line: 8}";
    scene.job("other", &SCORED.replace("profile: datatrove", other));
    scene.complete("other", 2);
    let diff = scene.run(&["diff", "scored", "other", "--output", "json"]).ended(0).json();
    assert!(told(&diff, "filter")["measured_otherwise"].as_u64() > Some(0), "{diff}");
    // A damaged file of scores is no answer.
    let path = scored.path("stages/02-filter/scores-00000.parquet");
    std::fs::copy(scored.path("stages/02-filter/scores-00001.parquet"), &path).expect("another file");
    let refused = scene.run(&["refilter", "scored", "--set", "filter.c4.min_sentences=4"]).ended(1);
    assert!(refused.stderr.contains("do not tell what the run itself did"), "{}", refused.stderr);
    assert!(!scene.run(&["doctor", "scored"]).ended(1).stdout.is_empty());
}

#[test]
fn what_scores_do_not_tell_is_refused_by_name() {
    let scene = scene();
    scene.job("scored", SCORED);
    scene.complete("scored", 2);
    scene.job("plain", &SCORED.replace(", scores: true", ""));
    scene.complete("plain", 2);
    for (run, set, expected) in [
        ("scored", "filter.c4.min_words_per_line=4", "changes texts"),
        ("scored", "filter.c4.filter_policy=false", "changes texts"),
        ("scored", "filter.fineweb.short_line_length=20", "changes what is measured"),
        ("scored", r#"filter.languages=["de"]"#, "which rules judge which documents"),
        ("scored", "pii.action=drop", "no option of a `filter`"),
        ("scored", "filter.profile=dclm", "which rules judge which documents"),
        ("scored", "filter.gopher_quality.gopher_shrt_doc=1", "gopher_shrt_doc"),
        ("scored", "dedup.bands=3", "no stage `dedup`"),
        ("scored", "filter.gopher_quality.gopher_short_doc=50", "nothing to judge again"),
        ("plain", "filter.gopher_quality.gopher_short_doc=40", "scores: true"),
        ("nowhere", "filter.c4.min_sentences=4", "is no run"),
    ] {
        let refused = scene.run(&["refilter", run, "--set", set]).ended(2);
        assert!(refused.stderr.contains(expected), "{set}: `{expected}` in: {}", refused.stderr);
        assert!(refused.stdout.is_empty(), "{set}: {}", refused.stdout);
    }
    scene.run(&["refilter", "scored"]).ended(2);
    scene.run(&["refilter", "scored", "--set", "no assignment"]).ended(2);
}

const PREDICTED: &str = "
target_bytes: 16 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - language: {keep: [en]}
  - filter: {rules: [gopher-quality]}
  - dedup: {method: exact}
  - tokenize: {train: {model: bpe, vocab_size: 300}}
";

/// The stage of a prediction.
fn predicted<'a>(prediction: &'a Value, stage: &str) -> &'a Value {
    let stages = prediction["stages"].as_array().expect("stages");
    stages.iter().find(|told| told["stage"] == stage).unwrap_or_else(|| panic!("`{stage}` in {prediction}"))
}

#[test]
fn a_sample_of_everything_tells_what_the_run_does() {
    let scene = scene();
    scene.job("predicted", PREDICTED);
    let prediction =
        scene.run(&["plan", "predicted.yaml", "--sample", "1", "--output", "json"]).ended(0).json();
    assert!(!scene.path("predicted").exists(), "the job's own output is not touched");
    let output = scene.complete("predicted", 2);
    for (directory, manifest) in output.manifests() {
        let told = predicted(&prediction, &directory);
        for (key, expected) in [("records_in", manifest.records_in), ("kept", manifest.kept)] {
            let value = told[key]["value"].as_f64().expect("a figure");
            assert!((value - expected as f64).abs() < 1e-6, "{directory} {key}: {value} of {expected}");
        }
        let rules: BTreeMap<String, u64> = told["rules"]
            .as_array()
            .expect("rules")
            .iter()
            .map(|rule| {
                (
                    rule["rule"].as_str().expect("a name").to_owned(),
                    rule["dropped"]["value"].as_f64().expect("a figure").round() as u64,
                )
            })
            .collect();
        assert_eq!(rules, manifest.dropped, "{directory}");
    }
    let sql = "SELECT sum(length) FROM tokens";
    let rows = scene.run(&["query", "predicted", sql, "--output", "json"]).ended(0).json();
    let tokens = rows["rows"][0][0].as_u64().expect("a sum");
    let told = prediction["tokens"]["train"].as_f64().expect("tokens")
        + prediction["tokens"]["validation"].as_f64().expect("tokens");
    assert!((told - tokens as f64).abs() < 0.5, "{told} of {tokens}");
    assert!(predicted(&prediction, "04-dedup")["bound"].as_str().expect("a bound").contains("lower bound"));
}

#[test]
fn a_sample_tells_of_the_whole_within_its_bounds_and_always_the_same() {
    let scene = Scene::new();
    for (source, pages) in [(1, 400), (2, 300), (3, 500), (4, 200)] {
        scene.write(&format!("corpus/{source}.jsonl"), corpus::jsonl(&corpus::pages(90 + source, pages)));
    }
    scene.job("predicted", PREDICTED);
    let ask = || {
        scene
            .run(&["plan", "predicted.yaml", "--sample", "0.25", "--workers", "8", "--output", "json"])
            .ended(0)
            .json()
    };
    let prediction = ask();
    let again = ask();
    assert_eq!(prediction["stages"], again["stages"]);
    assert_eq!(prediction["tokens"], again["tokens"]);
    let sample = &prediction["sample"];
    let taken = sample["taken"].as_u64().expect("records");
    assert!((250..450).contains(&taken), "{sample}");
    let output = scene.complete("predicted", 2);
    let (mut held, mut all) = (0, 0);
    for (directory, manifest) in output.manifests() {
        // Behind the duplicates that a sample does not see, figures are bounds.
        if directory.as_str() >= "04" {
            continue;
        }
        let told = predicted(&prediction, &directory);
        let mut figures = vec![(told["kept"].clone(), manifest.kept)];
        for rule in told["rules"].as_array().expect("rules") {
            let count = manifest.dropped.get(rule["rule"].as_str().expect("a name")).copied().unwrap_or(0);
            figures.push((rule["dropped"].clone(), count));
        }
        for (figure, truth) in figures {
            let [low, high] = ["low", "high"].map(|key| figure[key].as_f64().expect("a bound"));
            all += 1;
            held += u32::from((low - 1e-6..=high + 1e-6).contains(&(truth as f64)));
        }
    }
    assert!(all >= 6 && held * 10 >= all * 8, "{held} of {all} intervals hold the truth");
    assert_eq!(prediction["workers"], 8);
    assert!(prediction["cpu_hours"].as_f64() > Some(0.0) || prediction["wall_hours"].as_f64() >= Some(0.0));
    let kept = predicted(&prediction, "04-dedup")["kept"]["value"].as_f64().expect("a figure");
    assert!(
        kept >= output.manifest("dedup").kept as f64 * 0.9,
        "an upper bound, as far as chance goes: {kept}"
    );
    let table = scene.run(&["plan", "predicted.yaml", "--sample", "0.25"]).ended(0).stdout;
    for wanted in ["95 of 100", "too_short", "memory a task", "trained on the sample", "lower bound"] {
        assert!(table.contains(wanted), "`{wanted}` in:\n{table}");
    }
}

#[test]
fn a_big_file_is_sampled_in_ranges() {
    let scene = Scene::new();
    let pages = corpus::pages(95, 3_000);
    let once = corpus::jsonl(&pages);
    let times = (20 << 20) / once.len() + 1;
    scene.write("corpus/big.jsonl", once.repeat(times));
    scene.job("big", "pipeline:\n  - read: {paths: [\"corpus/*\"]}\n  - clean: {min_characters: 60}\n");
    let all = scene.run(&["plan", "big.yaml", "--sample", "1", "--output", "json"]).ended(0).json();
    let records = (pages.len() * times) as f64;
    let is_all =
        |sample: &Value| (sample["records"]["value"].as_f64().expect("a figure") - records).abs() < 1e-3;
    assert!(is_all(&all["sample"]), "every record once: {}", all["sample"]);
    assert!(all["sample"]["units"][1].as_u64() > Some(1), "{}", all["sample"]);
    let some = scene.run(&["plan", "big.yaml", "--sample", "0.02", "--output", "json"]).ended(0).json();
    assert!(is_all(&some["sample"]), "all pieces were looked into: {}", some["sample"]);
    let short = predicted(&some, "01-clean")["rules"][0]["dropped"].clone();
    let truth = predicted(&all, "01-clean")["rules"][0]["dropped"]["value"].as_f64().expect("a figure");
    let [low, high] = ["low", "high"].map(|key| short[key].as_f64().expect("a bound"));
    assert!(low > 0.0 && low < truth * 1.2 && high > truth * 0.8, "{short} of {truth}");
}

/// Lines in an order that no beginning tells of: long ones, then short ones; and how many are short.
fn sorted_lines() -> (Vec<String>, u64) {
    let line = |number: usize, words: usize| {
        let text = format!("page {number}{}", " and the words of it".repeat(words));
        serde_json::json!({ "text": text }).to_string() + "\n"
    };
    let (long, short) = (18_000, 12_000);
    let lines = (0..long).map(|number| line(number, 55)).chain((long..long + short).map(|at| line(at, 1)));
    (lines.collect(), short as u64)
}

/// Members of so many lines, stored as they are: big enough to be cut, and written in no time.
fn stored(lines: &[String], of_member: usize) -> Vec<u8> {
    let member = |lines: &[String]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(lines.concat().as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    lines.chunks(of_member).flat_map(member).collect()
}

#[test]
fn a_big_compressed_file_is_sampled_from_all_of_it() {
    let (lines, short) = sorted_lines();
    let pipeline = "pipeline:\n  - read: {paths: [\"corpus/*\"]}\n  - clean: {min_characters: 60}\n";
    // Without a place to be entered at; with members that begin with a line; and with blocks that do not.
    let blocks: Vec<u8> = {
        let text = lines.concat();
        let blocks: Vec<String> =
            text.as_bytes().chunks(65_280).map(|block| String::from_utf8_lossy(block).into()).collect();
        stored(&blocks, 1)
    };
    for (name, bytes, pieces) in [
        ("stream", stored(&lines, lines.len()), 1),
        ("members", stored(&lines, 500), 2),
        ("blocks", blocks, 1),
    ] {
        let scene = Scene::new();
        scene.write("corpus/sorted.jsonl.gz", &bytes);
        scene.job("big", pipeline);
        let ask = |fraction| {
            let ran = scene.run(&["plan", "big.yaml", "--sample", fraction, "--output", "json"]);
            ran.ended(0).json()
        };
        let told = ask("0.05");
        let sample = &told["sample"];
        assert_eq!(sample["units"], serde_json::json!([pieces, pieces]), "{name}: {sample}");
        assert_eq!(sample["bytes"], serde_json::json!([bytes.len(), bytes.len()]), "{name}: {sample}");
        assert_eq!(sample["seen"], lines.len(), "{name}: every record once: {sample}");
        assert!(sample["taken"].as_u64() < Some(2_000), "{name}: {sample}");
        let dropped = predicted(&told, "01-clean")["rules"][0]["dropped"].clone();
        let [low, high] = ["low", "high"].map(|key| dropped[key].as_f64().expect("a bound"));
        assert!((low..=high).contains(&(short as f64)), "{name}: {dropped} of {short}");
        assert!(low > 0.8 * short as f64 && high < 1.2 * short as f64, "{name}: {dropped}");
        let said = told["notes"].to_string().contains("1 compressed file (");
        assert_eq!(said, pieces == 1, "{name}: {}", told["notes"]);
        assert_eq!(ask("0.05")["stages"], told["stages"], "{name}: always the same");
    }
}

#[test]
fn a_sample_that_cannot_be_is_refused() {
    let scene = scene();
    scene.job("predicted", PREDICTED);
    for fraction in ["0", "-1", "1.5", "much", "nan"] {
        scene.run(&["plan", "predicted.yaml", "--sample", fraction]).ended(2);
    }
    scene.run(&["plan", "predicted.yaml", "--workers", "4"]).ended(2);
    scene.run(&["plan", "predicted.yaml", "--sample", "0.5", "--tokens-per-second", "0"]).ended(2);
    // One record in a million of some hundred: nothing is taken, and that is said.
    let none =
        scene.run(&["plan", "predicted.yaml", "--sample", "0.000001", "--output", "json"]).ended(0).json();
    assert!(none["notes"].to_string().contains("expected a larger `--sample`"), "{none}");
}
