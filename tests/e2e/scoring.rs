//! Stages that score documents: trained within the job, cut by value or by fraction, the same with any workers.

use serde_json::Value;

use crate::support::output::names;
use crate::support::{Output, Scene};

/// Documents that follow a pattern, and as many that do not.
fn corpus() -> String {
    let line = |text: String| serde_json::json!({ "text": text }).to_string() + "\n";
    let good =
        ["the lemma follows from the theorem", "every prime divides the product", "we prove the bound"];
    let bad = ["click here to win prizes", "buy cheap pills now", "free money click now"];
    (0..60)
        .map(|at| line(format!("{} {at}", if at % 2 == 0 { good[at / 2 % 3] } else { bad[at / 2 % 3] })))
        .collect()
}

fn scene() -> Scene {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus());
    let of = |texts: &[&str]| {
        let lines: Vec<String> =
            texts.iter().map(|text| serde_json::json!({ "text": text }).to_string()).collect();
        lines.join("\n")
    };
    scene.write(
        "good.jsonl",
        of(&["the theorem follows from the lemma", "we prove every bound", "the prime product"]),
    );
    scene.write("bad.jsonl", of(&["win cheap prizes", "click here now to buy", "free pills and money"]));
    scene
}

const READ: &str = "target_bytes: 1 KiB\npipeline:\n  - read: {paths: [\"corpus/**\"]}\n";

/// Records of the documents that a stage kept.
fn kept(output: &Output, stage: &str) -> Vec<u64> {
    output.documents(stage).iter().map(|document| document.record).collect()
}

fn even() -> Vec<u64> {
    (0..60).filter(|record| record % 2 == 0).collect()
}

#[test]
fn the_best_fraction_by_a_trained_classifier_is_kept_with_its_scores() {
    let scene = scene();
    let stage = "  - quality: {train: {positive: [good.jsonl], negative: [bad.jsonl], epochs: 50, dimension: 8, \
                 learning_rate: 0.5}, keep_fraction: 0.5}\n";
    let mut digests = Vec::new();
    for workers in [1, 2] {
        let name = format!("fraction-{workers}");
        scene.job(&name, &format!("{READ}{stage}"));
        let output = scene.complete(&name, workers);
        output.check();
        assert_eq!(kept(&output, "quality"), even());
        assert!(output.documents("quality").iter().all(|document| document.quality_score > Some(0.5)));
        let manifest = output.manifest("quality");
        assert_eq!((manifest.kept, manifest.dropped["quality"]), (30, 30));
        let dropped = output.dropped("quality");
        assert!(dropped.iter().all(|row| row.reason.value.parse::<f32>().is_ok_and(|score| score < 0.5)));
        digests.push(manifest.digest);
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn perplexity_cuts_by_value_and_by_fraction() {
    let scene = scene();
    let train = "train: {paths: [good.jsonl], order: 2, smoothing: laplace}";
    for (name, cut) in [("fraction", "keep_fraction: 0.5"), ("value", "max_perplexity: 100")] {
        scene.job(name, &format!("{READ}  - perplexity: {{{train}, {cut}}}\n"));
        let output = scene.complete(name, 2);
        output.check();
        let found: Vec<f64> = output
            .documents("perplexity")
            .iter()
            .map(|document| {
                let metadata: serde_json::Value =
                    serde_json::from_str(&document.metadata).expect("an object");
                metadata["perplexity"].as_f64().expect("a number")
            })
            .collect();
        assert_eq!(kept(&output, "perplexity"), even(), "{name}: {found:?}");
        let worst = found.iter().copied().fold(0.0, f64::max);
        let rule = if name == "value" { "perplexity_too_high" } else { "perplexity" };
        let dropped = output.dropped("perplexity");
        assert!(dropped.iter().all(|row| row.reason.rule == rule));
        assert!(dropped.iter().all(|row| row.reason.value.parse::<f64>().is_ok_and(|value| value > worst)));
    }
}

/// Both kinds of classifiers, trained in one job and given to another.
#[test]
fn a_trained_classifier_is_a_model_for_other_jobs() {
    let scene = scene();
    let of_fasttext = "epochs: 50, dimension: 8, learning_rate: 0.5";
    for (kind, options) in [("fasttext", of_fasttext), ("tfidf", "min_count: 1")] {
        let train = format!(
            "train: {{positive: [good.jsonl], negative: [bad.jsonl], classifier: {kind}, {options}}}, threshold: 0.5"
        );
        scene.job(kind, &format!("{READ}  - quality: {{{train}}}\n"));
        let trained = scene.complete(kind, 2);
        assert_eq!(kept(trained.check(), "quality"), even(), "{kind}");
        let phases = format!("{kind}/.orchestrator/phases");
        let phase = names(&scene.path(&phases)).into_iter().find(|name| name.ends_with("-classifier"));
        let model = format!("{phases}/{}/quality.bin", phase.expect("a phase that trains"));
        let name = format!("{kind}-given");
        scene.job(&name, &format!("{READ}  - quality: {{model: {model}, threshold: 0.5}}\n"));
        let given = scene.complete(&name, 1);
        assert_eq!(given.manifest("quality").digest, trained.manifest("quality").digest, "{kind}");
    }
}

#[test]
fn a_pareto_draw_favours_the_good_and_does_not_depend_on_workers() {
    let scene = scene();
    let train = "train: {positive: [good.jsonl], negative: [bad.jsonl], epochs: 200, dimension: 8, learning_rate: 0.5}";
    let mut digests = Vec::new();
    for workers in [1, 2] {
        let name = format!("pareto-{workers}");
        scene.job(&name, &format!("{READ}  - quality: {{{train}, pareto: 3}}\n"));
        let output = scene.complete(&name, workers);
        let kept = kept(output.check(), "quality");
        let good = kept.iter().filter(|record| *record % 2 == 0).count();
        assert!(good > 20 && (1..15).contains(&(kept.len() - good)), "{kept:?}");
        assert!(output.dropped("quality").iter().all(|row| row.reason.rule == "quality_pareto"));
        digests.push(output.manifest("quality").digest);
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn examples_that_cannot_be_read_fail_the_job_and_are_named() {
    let scene = scene();
    scene.write("good.jsonl", "{\"text\": \"we prove every bound\"}\n{\"text\": broken\n");
    scene.job("broken", &format!("{READ}  - perplexity: {{train: {{paths: [good.jsonl]}}}}\n"));
    let ran = scene.run(&["run", "broken.yaml", "--workers", "1"]).ended(1);
    assert!(ran.stderr.contains("1 of 2 records are malformed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("good.jsonl`, record 1: "), "{}", ran.stderr);
    scene.job(
        "allowed",
        &format!("max_malformed: 1\n{READ}  - perplexity: {{train: {{paths: [good.jsonl]}}}}\n"),
    );
    scene.complete("allowed", 1).check();
}

#[test]
fn thresholds_and_fractions_are_moved_by_stored_scores() {
    let train = "train: {positive: [good.jsonl], negative: [bad.jsonl], epochs: 50, \
                 dimension: 8, learning_rate: 0.5}";
    let scene = scene();
    let job = |cut: &str| format!("{READ}  - quality: {{{train}, {cut}, scores: true}}\n");
    for (before, after, set) in [
        ("threshold: 0.0", "threshold: 0.5", "quality.threshold=0.5"),
        ("keep_fraction: 0.5", "keep_fraction: 0.25", "quality.keep_fraction=0.25"),
    ] {
        assert_moves(&scene, "quality", [&job(before), &job(after)], &[set]);
    }
}

/// Holds what `refilter` tells of a stage, with `sets` moved, to what a run of the second job does.
#[track_caller]
fn assert_moves(scene: &Scene, stage: &str, [before, after]: [&str; 2], sets: &[&str]) {
    for (name, job) in [("before", before), ("after", after)] {
        scene.job(name, job);
        scene.run(&["run", &format!("{name}.yaml"), "--reuse"]).ended(0);
    }
    let sets: Vec<&str> = sets.iter().flat_map(|&set| ["--set", set]).collect();
    let arguments = [&["refilter", "before"], &sets[..], &["--output", "json"]].concat();
    let told = scene.run(&arguments).ended(0).json();
    let told = told["stages"].as_array().and_then(|stages| stages.last()).expect("a stage").clone();
    let (before, after) = (scene.output("before"), scene.output("after"));
    assert_eq!(told["stage"], stage);
    assert_eq!(told["records_in"][1], after.manifest(stage).records_in, "{sets:?}: {told}");
    for (place, output) in [&before, &after].into_iter().enumerate() {
        output.check();
        let manifest = output.manifest(stage);
        assert_eq!(told["kept"][place], manifest.kept, "{sets:?}: {told}");
        for rule in told["rules"].as_array().expect("rules") {
            let dropped = manifest.dropped.get(rule["rule"].as_str().expect("a name"));
            assert_eq!(rule["counts"][place], dropped.copied().unwrap_or(0), "{sets:?}: {told}");
        }
    }
    let moved = ["now_kept", "now_dropped", "other_rule"].map(|key| told[key].as_u64().expect("a count"));
    assert!(moved.iter().sum::<u64>() > 0, "{sets:?}: {told}");
}

#[test]
fn bounds_of_perplexity_are_moved_by_stored_scores() {
    let scene = scene();
    let train = "train: {paths: [good.jsonl], order: 2, smoothing: laplace}";
    let job = |cut: &str| format!("{READ}  - perplexity: {{{train}, {cut}, scores: true}}\n");
    for (before, after, set) in [
        ("max_perplexity: 1000000", "max_perplexity: 100", "perplexity.max_perplexity=100"),
        ("max_perplexity: 100", "max_perplexity: null", "perplexity.max_perplexity=null"),
        ("min_perplexity: 1", "min_perplexity: 20", "perplexity.min_perplexity=20"),
        ("keep_fraction: 0.5", "keep_fraction: 0.25", "perplexity.keep_fraction=0.25"),
    ] {
        assert_moves(&scene, "perplexity", [&job(before), &job(after)], &[set]);
    }
    // What is measured is the score of the document that goes on.
    let output = scene.output("before");
    let sql = "SELECT count(*) AS n, count(perplexity) AS judged FROM perplexity_scores";
    let rows = scene.run(&["query", "before", sql, "--output", "json"]).ended(0).json();
    assert_eq!((&rows["rows"][0][0], &rows["rows"][0][1]), (&60.into(), &60.into()));
    assert!(
        scene.run(&["doctor", "before", "--output", "json"]).ended(0).stdout.contains("\"findings\": []")
    );
    scene.job("plain", &job("keep_fraction: 0.5").replace(", scores: true", ""));
    let plain = scene.complete("plain", 1);
    assert_eq!(plain.manifest("perplexity").digest, output.manifest("perplexity").digest);
    for (run, set, expected) in [
        ("before", "perplexity.tokens=white_space", "changes what is measured"),
        ("plain", "perplexity.keep_fraction=0.25", "scores: true"),
    ] {
        let refused = scene.run(&["refilter", run, "--set", set]).ended(2);
        assert!(refused.stderr.contains(expected), "{set}: {}", refused.stderr);
    }
}

#[test]
fn thresholds_of_decontamination_are_moved_by_stored_scores() {
    let scene = scene();
    let words = |from: usize, to: usize| -> String {
        (from..to).map(|word| format!("word{word}")).collect::<Vec<_>>().join(" ")
    };
    scene.write("benchmarks/long.txt", format!("{}\n{}\n", words(0, 40), words(100, 115)));
    scene.write("benchmarks/short.txt", format!("{}\n{}\n", words(200, 208), words(300, 313)));
    // Much of a long item, all of a short one, both, and nothing.
    let texts = [
        words(0, 30),
        words(5, 17),
        format!("{} and {}", words(0, 22), words(200, 208)),
        words(200, 208),
        format!("so {} ends", words(300, 313)),
        words(400, 450),
        words(100, 114),
    ];
    let lines: Vec<String> =
        texts.iter().map(|text| serde_json::json!({ "text": text }).to_string()).collect();
    scene.write("corpus/a.jsonl", lines.join("\n"));
    let job = |options: &str| {
        format!(
            "{READ}  - decontaminate: {{benchmarks: [{{path: \"benchmarks/*.txt\"}}], ngram: 8, scores: true, {options}}}\n"
        )
    };
    for (before, after, sets) in [
        ("min_ngrams: 1", "min_ngrams: 6", &["decontaminate.min_ngrams=6"][..]),
        ("min_ngrams: 1", "min_share: 0.9", &["decontaminate.min_share=0.9"]),
        (
            "min_ngrams: 30",
            "min_ngrams: 2, min_share: 0.5",
            &["decontaminate.min_ngrams=2", "decontaminate.min_share=0.5"],
        ),
        ("action: drop", "action: note", &["decontaminate.action=note"]),
        ("action: note", "action: drop", &["decontaminate.action=drop"]),
    ] {
        assert_moves(&scene, "decontaminate", [&job(before), &job(after)], sets);
    }
    let other = scene.run(&["refilter", "before", "--set", "decontaminate.ngram=9"]).ended(2);
    assert!(other.stderr.contains("changes what is measured"), "{}", other.stderr);
    let sql = "SELECT ngrams_1, share_1, benchmark_1, ngrams_2, steps, contaminated_long, contaminated_short \
               FROM decontaminate_scores";
    let rows = scene.run(&["query", "before", sql, "--output", "json"]).ended(0).json();
    let third: Vec<f64> =
        rows["rows"][2].as_array().expect("a row").iter().filter_map(Value::as_f64).collect();
    let expected = [15.0, 15.0 / 33.0, 0.0, 1.0, 2.0, 15.0, 1.0];
    let is_near = third.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12);
    assert!(third.len() == expected.len() && is_near, "{rows}");
    assert_eq!(rows["rows"][5], serde_json::json!([null, null, null, null, 0.0, null, null]), "{rows}");
    scene.job("plain", &job("action: drop").replace("scores: true, ", ""));
    let plain = scene.complete("plain", 2);
    assert_eq!(
        plain.manifest("decontaminate").digest,
        scene.output("after").manifest("decontaminate").digest
    );
}
