//! Duplicates across runs, and the evidence that a job leaves when its clusters are beyond belief.

use std::collections::BTreeSet;

use orchestrator_core::Document;

use crate::support::{Scene, corpus};

#[test]
fn new_data_is_compared_with_an_earlier_run_as_if_it_had_been_there() {
    let scene = Scene::new();
    let pages = corpus::pages(31, 200);
    let (old, new) = pages.split_at(120);
    scene.write("1-old/a.jsonl", corpus::jsonl(old));
    // Some of the old come again, among new ones.
    scene.write("2-new/b.jsonl", corpus::jsonl(&[&old[..40], new].concat()));
    let job = |name: &str, inputs: &str, options: &str| {
        let rest = format!(
            "target_bytes: 16 KiB\npipeline:\n  - read: {{paths: [{inputs}]}}\n  - dedup: {{{options}}}\n"
        );
        scene.job(name, &rest);
    };
    let (old, new) = ("\"1-old/*\"", "\"2-new/*\"");
    for (name, options) in [
        ("minhash", "method: minhash"),
        ("exact", "method: exact"),
        ("sizes", "keep_by_size: {1: 1, 2: 2, 4: 3, 9: 1}"),
    ] {
        let (first, both) = (format!("{name}-old"), format!("{name}-both"));
        job(&first, old, &format!("{options}, index: true"));
        let earlier = scene.complete(&first, 2);
        earlier.check();
        job(&both, &format!("{old}, {new}"), options);
        let joint: BTreeSet<u64> = scene
            .complete(&both, 2)
            .documents("dedup")
            .iter()
            .filter(|document| document.source.starts_with("2-new/"))
            .map(|document| document.record)
            .collect();
        let kept: BTreeSet<String> = ids(&earlier.documents("dedup"));
        let mut digests = None;
        for workers in [1, 3] {
            let second = format!("{name}-new-{workers}");
            job(&second, new, &format!("{options}, index: true, against: [\"./{first}\"]"));
            let output = scene.complete(&second, workers);
            output.check();
            let found = output.digests();
            assert_eq!(&found, digests.get_or_insert_with(|| found.clone()), "{name}");
            let documents = output.documents("dedup");
            let records: BTreeSet<u64> = documents.iter().map(|document| document.record).collect();
            if name == "sizes" {
                // What the earlier run dropped does not come back, so that more of the new may stay.
                assert!(joint.is_subset(&records), "{joint:?} of {records:?}");
            } else {
                assert_eq!(records, joint, "{name}");
            }
            let dropped = output.dropped("dedup");
            let against = dropped.iter().filter(|row| kept.contains(&row.reason.value)).count();
            assert!(against >= 20, "{name}: {against} dropped for documents of the earlier run");
            let own = ids(&documents);
            let survivors = dropped.iter().map(|row| &row.reason.value);
            assert!(survivors.into_iter().all(|id| kept.contains(id) || own.contains(id)), "{name}");
        }
    }
    job("other", new, "rows: 5, against: [\"./minhash-old\"]");
    let refused = scene.run(&["run", "other.yaml"]).ended(2);
    assert!(refused.stderr.contains("cannot be compared `against`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("`rows: 8`"), "{}", refused.stderr);
    job("none", new, "against: [\"./other\"]");
    let refused = scene.run(&["run", "none.yaml"]).ended(2);
    assert!(refused.stderr.contains("against[0]"), "{}", refused.stderr);
}

fn ids(documents: &[Document]) -> BTreeSet<String> {
    documents.iter().map(|document| document.id.to_string()).collect()
}

#[test]
fn a_cluster_beyond_the_limit_stops_the_job_with_the_evidence() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(32, 60)));
    let job = |most: u32| {
        let rest =
            format!("pipeline:\n  - read: {{paths: [\"corpus/*\"]}}\n  - dedup: {{max_cluster: {most}}}\n");
        scene.job("limited", &rest);
    };
    job(1);
    let ran = scene.run(&["run", "limited.yaml"]).ended(1);
    for said in ["`01-dedup` drops nothing and stops", "`max_cluster`", "clusters.json", "documents would go"]
    {
        assert!(ran.stderr.contains(said), "`{said}` in:\n{}", ran.stderr);
    }
    let output = scene.output("limited");
    assert!(output.json("stages/01-dedup/clusters.json")["stop"].is_string());
    assert!(!output.path("stages/01-dedup/manifest.json").exists(), "nothing was published of the stage");
    job(1000);
    scene.run(&["run", "limited.yaml", "--reuse"]).ended(0);
    output.check();
    assert!(output.json("stages/01-dedup/clusters.json")["stop"].is_null());
    assert!(output.text("report.html").contains("found before it dropped anything"));
}
