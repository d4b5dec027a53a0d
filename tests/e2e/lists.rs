//! Stages that judge by files of the user's: block lists of addresses, and benchmarks that nothing may be learnt from.

use crate::support::{Output, Scene};

const QUESTION: &str =
    "A farmer has twelve sheep and buys seven more at the market on Monday, but three run away.";

fn scene() -> Scene {
    let scene = Scene::new();
    let page = |url: &str, text: &str| serde_json::json!({ "url": url, "text": text }).to_string() + "\n";
    let quoted = format!("Once it was asked: {} What was the answer?", QUESTION.to_uppercase());
    let pages = [
        page("https://www.fine.example.org/a", "A page that nobody has anything against."),
        page("https://shop.example.com/b", "A page of a domain on the list."),
        page("https://example.net/bad/page?x", "A page beside one on the list."),
        page("https://example.net/bad/page/", "A page on the list."),
        page("https://fine.example.org/winxxbad", "A page with a word in its address."),
        page("https://fine.example.org/c", &quoted),
    ];
    scene.write("pages.jsonl", pages.concat());
    scene.write("ut1/adult/domains", "# of the web\nexample.com\n");
    scene.write("ut1/phishing/urls", "example.net/bad/page\n");
    scene.write("words.txt", "xx-bad\n");
    let item = |question: &str| serde_json::json!({ "question": question, "answer": 16 }).to_string() + "\n";
    scene.write("benchmarks/farm.jsonl", item("How many are left?") + &item(QUESTION));
    scene
}

const JOB: &str = "pipeline:\n  - read: {paths: [pages.jsonl]}\n  - filter:\n      rules: [url]\n      url: \
                   {ut1: [\"ut1/*\"], subwords: [words.txt]}\n  - decontaminate:\n      benchmarks: [{path: \
                   \"benchmarks/*.jsonl\", fields: [question]}]\n";

/// The record, rule and value of everything that a stage dropped.
fn dropped(output: &Output, stage: &str) -> Vec<(u64, String, String)> {
    let rows = output.dropped(stage).into_iter();
    rows.map(|row| (row.record, row.reason.rule.into_owned(), row.reason.value)).collect()
}

#[test]
fn pages_on_lists_and_pages_with_benchmarks_go_with_the_entry_that_they_met() {
    let scene = scene();
    scene.job("lists", JOB);
    let output = scene.complete("lists", 2);
    output.check();
    let expected = |rows: &[(u64, &str, &str)]| -> Vec<(u64, String, String)> {
        rows.iter().map(|&(record, rule, value)| (record, rule.to_owned(), value.to_owned())).collect()
    };
    assert_eq!(
        dropped(&output, "filter"),
        expected(&[
            (1, "domain", "example.com"),
            (3, "url", "example.net/bad/page"),
            (4, "blacklisted_subword", "xxbad"),
        ])
    );
    assert_eq!(
        dropped(&output, "decontaminate"),
        expected(&[(5, "contaminated_farm", "item 1: 6 of 6 n-grams")])
    );
    let kept: Vec<u64> = output.documents("decontaminate").iter().map(|document| document.record).collect();
    assert_eq!(kept, [0, 2]);
}

#[test]
fn a_list_that_is_missing_broken_or_another_one_is_named() {
    let scene = scene();
    scene.job("missing", &JOB.replace("benchmarks/*.jsonl", "benchmarks/*.csv"));
    let refused = scene.run(&["run", "missing.yaml"]).ended(2).stderr;
    assert!(refused.contains("pipeline[2].decontaminate.benchmarks[0].path"), "{refused}");
    assert!(refused.contains("benchmarks/*.csv"), "{refused}");

    scene.job("broken", &JOB.replace("fields: [question]", "fields: [prompt]"));
    let failed = scene.run(&["run", "broken.yaml"]).ended(1).stderr;
    assert!(failed.contains("farm.jsonl`, line 1: has no field `prompt`"), "{failed}");

    scene.job("again", JOB);
    scene.complete("again", 1);
    scene.write("ut1/adult/domains", "example.org\n");
    let refused = scene.run(&["run", "again.yaml"]).ended(2).stderr;
    assert!(refused.contains("ut1/adult/domains"), "{refused}");
}
