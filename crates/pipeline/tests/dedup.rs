//! Duplicates over whole jobs: what stays, what goes and for whom.

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use orchestrator_text::dedup::DedupConfig;
use orchestrator_text::minhash::Hasher;
use serde_json::{Value, json};
use support::{Order, Run, job, run};

/// Words without repetition, so that texts of different `seed`s share no shingle.
fn words(seed: usize, count: usize) -> String {
    let letters = |mut number: usize| {
        let mut word = String::new();
        while number > 0 {
            word.push(char::from(b'a' + (number % 26) as u8));
            number /= 26;
        }
        word
    };
    (0..count).map(|place| letters(1_000_000 + seed * 10_000 + place)).collect::<Vec<_>>().join(" ")
}

fn write(directory: &Path, name: &str, rows: &[Value]) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("its directory");
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(path, lines.join("\n")).expect("an input");
}

/// Twelve originals; of number n there are n near-copies more, each longer by a word.
fn corpus(directory: &Path) {
    let mut rows = Vec::new();
    for copy in 0..12 {
        for original in copy..12 {
            let text = format!("{}{}", words(original, 200), " again".repeat(copy));
            rows.push(json!({"text": text, "original": original, "copy": copy}));
        }
    }
    for (number, rows) in rows.chunks(7).enumerate() {
        write(directory, &format!("in/{number:02}.jsonl"), rows);
    }
}

fn deduplicated(directory: &Path, name: &str, options: &Value, order: Order) -> Result<Run, String> {
    let pattern = format!("{}/in/**/*.jsonl", directory.display());
    let root = directory.join(name);
    let pipeline = json!([{"read": {"paths": [pattern]}}, {"dedup": options}]);
    run(&root, &job(&root, "6 KiB", &pipeline), order)
}

/// (original, copy) of every kept document.
fn kept(run: &Run) -> Vec<(u64, u64)> {
    let of = |document: orchestrator_core::Document| {
        let metadata: Value = serde_json::from_str(&document.metadata).expect("JSON");
        (metadata["original"].as_u64().expect("a number"), metadata["copy"].as_u64().expect("a number"))
    };
    run.documents("dedup").into_iter().map(of).collect()
}

#[test]
fn the_survivor_rule_chooses_and_the_others_name_the_survivor() {
    let directory = tempfile::tempdir().expect("a directory");
    corpus(directory.path());
    for (survivor, expected) in [
        ("first", (0..12).map(|original| (original, 0)).collect::<Vec<_>>()),
        ("longest", (0..12).map(|original| (original, original)).collect()),
    ] {
        let options = json!({"survivor": survivor});
        let run = deduplicated(directory.path(), survivor, &options, Order::FirstToLast).expect("it runs");
        let mut found = kept(&run);
        found.sort_unstable();
        assert_eq!(found, expected, "{survivor}");
        let ids: BTreeSet<String> =
            run.documents("dedup").iter().map(|document| document.id.to_string()).collect();
        let dropped = run.dropped("dedup");
        assert_eq!(dropped.len(), 66);
        assert!(dropped.iter().all(|row| ids.contains(&row.reason.value)), "each names a survivor");
    }
}

#[test]
fn the_better_document_survives_where_scores_say_so() {
    // Scores come with an earlier run's documents; without any, order decides.
    let directory = tempfile::tempdir().expect("a directory");
    corpus(directory.path());
    let options = json!({"survivor": "quality"});
    let run = deduplicated(directory.path(), "quality", &options, Order::FirstToLast).expect("it runs");
    assert!(kept(&run).iter().all(|&(_, copy)| copy == 0));
}

#[test]
fn as_many_stay_as_the_cluster_size_says() {
    let directory = tempfile::tempdir().expect("a directory");
    corpus(directory.path());
    let options = json!({"keep_by_size": {"1": 1, "2": 2, "3": 3, "5": 4, "10": 1}});
    let run = deduplicated(directory.path(), "sizes", &options, Order::FirstToLast).expect("it runs");
    let kept = kept(&run);
    for original in 0..12 {
        let copies: Vec<u64> = kept.iter().filter(|(of, _)| *of == original).map(|&(_, copy)| copy).collect();
        let expected = match original + 1 {
            2 => 2,
            3 | 4 => 3,
            5..=9 => 4,
            _ => 1,
        };
        assert_eq!(copies, (0..expected).collect::<Vec<_>>(), "of {} documents", original + 1);
    }
}

#[test]
fn the_order_of_tasks_changes_no_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    corpus(directory.path());
    for (name, options) in [
        ("minhash", json!({})),
        ("exact", json!({"method": "exact"})),
        ("longest", json!({"survivor": "longest", "keep_by_size": {"4": 2}})),
        ("verified", json!({"verify": 0.8})),
    ] {
        let one = deduplicated(directory.path(), name, &options, Order::FirstToLast).expect("it runs");
        let other = deduplicated(directory.path(), &format!("{name}-reversed"), &options, Order::LastToFirst);
        assert_eq!(one.bytes(), other.expect("it runs").bytes(), "{name}");
    }
}

fn audit(run: &Run) -> orchestrator_storage::clusters::ClusterAudit {
    let path = run.root.join("stages/01-dedup/clusters.json");
    serde_json::from_slice(&std::fs::read(path).expect("the audit")).expect("an audit")
}

#[test]
fn the_audit_tells_sizes_samples_likeness_and_losses() {
    let directory = tempfile::tempdir().expect("a directory");
    corpus(directory.path());
    let run = deduplicated(directory.path(), "audited", &json!({}), Order::FirstToLast).expect("it runs");
    let audit = audit(&run);
    assert_eq!((audit.documents, audit.clusters, audit.duplicates, audit.largest_size), (78, 11, 66, 12));
    let sizes: Vec<_> =
        audit.sizes.iter().map(|range| (range.from, range.to, range.clusters, range.documents)).collect();
    assert_eq!(sizes, [(2, 2, 1, 2), (3, 3, 1, 3), (4, 4, 1, 4), (5, 8, 4, 26), (9, 16, 4, 42)]);
    let largest: Vec<u64> = audit.largest.iter().map(|cluster| cluster.documents).collect();
    assert_eq!(largest, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]);
    let kept: BTreeSet<String> =
        run.documents("dedup").iter().map(|document| document.id.to_string()).collect();
    for cluster in &audit.largest {
        assert!(kept.contains(&cluster.survivor));
        assert_eq!(cluster.samples[0].id, cluster.survivor);
        assert_eq!(cluster.samples[0].jaccard, Some(1.0));
        assert!(cluster.samples.len() > 2 && cluster.samples.iter().all(|sample| !sample.text.is_empty()));
    }
    let similarity = audit.similarity.expect("pairs were compared");
    assert_eq!(similarity.pairs, 66);
    assert!(similarity.mean > 0.9 && similarity.lowest[0].jaccard <= similarity.mean);
    assert_eq!(similarity.tenths.iter().sum::<u64>(), 66);
    assert_eq!(audit.stop, None);
}

#[test]
fn clusters_beyond_a_limit_stop_the_job_before_anything_is_dropped() {
    let directory = tempfile::tempdir().expect("a directory");
    corpus(directory.path());
    let options = json!({"max_cluster": 11});
    let error =
        deduplicated(directory.path(), "large", &options, Order::FirstToLast).err().expect("it stops");
    assert!(error.contains("12 documents") && error.contains("at most 11 (`max_cluster`)"), "{error}");
    assert!(error.contains("stages/01-dedup/clusters.json"), "{error}");
    let stage = directory.path().join("large/stages/01-dedup");
    let left: Vec<_> = std::fs::read_dir(&stage)
        .expect("the evidence")
        .map(|entry| entry.expect("a file").file_name())
        .collect();
    assert_eq!(left, ["clusters.json"]);
    let options = json!({"max_cluster": 12, "max_source_loss": 0.99});
    let error =
        deduplicated(directory.path(), "lossy", &options, Order::FirstToLast).err().expect("it stops");
    assert!(error.contains("expected at most 0.99 of them (`max_source_loss`)"), "{error}");
    let options = json!({"max_cluster": 12, "max_source_loss": 1.0});
    assert!(deduplicated(directory.path(), "allowed", &options, Order::FirstToLast).is_ok());
}

#[test]
fn a_bucket_s_first_document_does_not_part_two_that_are_alike() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = json!({"bands": 1, "rows": 1, "verify": 0.7});
    let options: DedupConfig = serde_json::from_value(config.clone()).expect("options");
    let mut hasher = Hasher::new(&options.minhash());
    // A passage in common, and much that is not: there is one bucket, and the passage decides on it.
    let rows: Vec<Value> = (0..100)
        .map(|attempt| {
            let (common, own) = (words(attempt, 60), words(attempt + 100, 60));
            let first = format!("{common} {}", words(attempt + 200, 60));
            [first, format!("{common} {own}"), format!("{common} {own} end")]
        })
        .find(|texts| {
            let bands: Vec<_> = texts.iter().map(|text| hasher.bands(text)).collect();
            bands[0].is_some() && bands.iter().all(|band| *band == bands[0])
        })
        .expect("one of a hundred passages")
        .map(|text| json!({"text": text}))
        .into();
    write(directory.path(), "in/0.jsonl", &rows[..1]);
    write(directory.path(), "in/1.jsonl", &rows[1..2]);
    write(directory.path(), "in/2.jsonl", &rows[2..]);
    let run = deduplicated(directory.path(), "apart", &config, Order::FirstToLast).expect("it runs");
    let kept: Vec<String> = run.documents("dedup").into_iter().map(|document| document.source).collect();
    assert_eq!(kept, ["0.jsonl", "1.jsonl"], "the third is like the second, and both are unlike the first");
}

#[test]
fn pairs_under_the_wanted_similarity_stay_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    // Half of the words are common: a few bands of two minima agree, the true similarity is about a third.
    let (common, one, other) = (words(1, 200), words(2, 200), words(3, 200));
    let rows = [
        json!({"text": format!("{common} {one}")}),
        json!({"text": format!("{common} {other}")}),
        json!({"text": format!("{common} {other} end")}),
    ];
    write(directory.path(), "in/0.jsonl", &rows[..2]);
    write(directory.path(), "in/1.jsonl", &rows[2..]);
    for (verify, kept) in [(0.2, 1), (0.5, 2), (1.0, 3)] {
        let options = json!({"bands": 40, "rows": 2, "verify": verify});
        let run = deduplicated(directory.path(), &format!("verify-{verify}"), &options, Order::FirstToLast)
            .expect("it runs");
        assert_eq!(run.documents("dedup").len(), kept, "at {verify}");
    }
}
