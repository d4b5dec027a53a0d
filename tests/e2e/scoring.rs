//! Stages that score documents: trained within the job, cut by fraction, the same with any workers.

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
