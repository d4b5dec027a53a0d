//! What a user asks of a run, asked of runs written by hand.

mod fixture;

use fixture::{DOCUMENTS, HOSTILE, Output, contaminated_run, data_run, id, trained_run, url};
use orchestrator_analytics::{
    Error, Found, Report, Run, Section, Verdict, checkpoint_documents, query, report, report_html, stats,
    trace,
};
use serde_json::json;

fn gather(output: &Output) -> Report {
    report(&open(output)).expect("a report")
}

fn open(output: &Output) -> Run {
    Run::open(output.url()).expect("a run")
}

#[test]
fn stats_follow_the_manifests() {
    let output = data_run();
    let stats = stats(&open(&output));
    let figures: Vec<_> =
        stats.stages.iter().map(|s| (s.stage.as_str(), s.records_in, s.kept, s.dropped)).collect();
    let expected = [
        ("read", 40, 39, 1),
        ("filter", 39, 34, 5),
        ("dedup", 34, 26, 8),
        ("pii", 26, 26, 0),
        ("tokenize", 26, 26, 0),
    ];
    assert_eq!(figures, expected);
    assert_eq!(stats.stages[2].rules[0].rule, "near_duplicate");
    assert!(stats.stages[1].materialised && !stats.stages[2].materialised);
}

#[test]
fn sql_sees_every_table() {
    let output = trained_run();
    let run = open(&output);
    let sql = "SELECT d.rule, COUNT(*) AS n FROM filter_dropped d GROUP BY d.rule";
    let table = query(&run, sql, 10).expect("an answer");
    assert_eq!(table.rows, [[json!("gopher_short_doc"), json!(5)]]);
    for (sql, value) in [
        ("SELECT COUNT(*) FROM filter", json!(34)),
        ("SELECT COUNT(*) FROM tokens WHERE shard = 'train-00000'", json!(12)),
        ("SELECT MAX(step) FROM metrics", json!(400)),
        ("SELECT kept FROM stages WHERE stage = 'dedup'", json!(26)),
        ("SELECT COUNT(*) FROM pii JOIN tokens ON pii.id = tokens.id", json!(26)),
        ("SELECT COUNT(*) FROM pii_notes", json!(2)),
    ] {
        assert_eq!(query(&run, sql, 10).expect(sql).rows, [[value]], "{sql}");
    }
    // Nothing was dropped there, and that is the answer.
    for sql in ["SELECT id, value FROM pii_dropped WHERE record > 1", "SELECT what FROM filter_notes"] {
        assert!(query(&run, sql, 10).expect(sql).rows.is_empty(), "{sql}");
    }
    let table =
        query(&run, "SELECT id, record, language_score FROM pii ORDER BY record", 3).expect("an answer");
    assert!(table.limited);
    assert_eq!(table.rows[0], [json!(id(6)), json!(6), json!(0.9)]);
    insta::assert_json_snapshot!("query_columns", table.columns);
}

#[test]
fn a_fused_stage_is_an_error_that_names_the_nearest() {
    let output = data_run();
    let error = query(&open(&output), "SELECT * FROM dedup", 10).expect_err("dedup wrote no documents");
    insta::assert_snapshot!(error.to_string());
    let error = query(&open(&output), "SELEC", 10).expect_err("no SQL");
    assert!(matches!(error, Error::Polars(_)), "{error}");
}

#[test]
fn a_statement_that_asks_for_nothing_is_refused() {
    let output = data_run();
    let run = open(&output);
    for sql in [
        "DROP TABLE pii",
        " -- a comment\n/* and\nanother */ drop table pii",
        "CREATE TABLE x AS SELECT * FROM pii",
        "DELETE FROM pii",
        "TRUNCATE TABLE pii",
    ] {
        let error = query(&run, sql, 10).expect_err(sql);
        assert!(matches!(error, Error::NoQuestion(_)) && error.to_string().contains("SELECT"), "{error}");
    }
    let sql = "-- how many\nSELECT count(*) AS n FROM pii";
    assert_eq!(query(&run, sql, 10).expect(sql).rows.len(), 1);
}

#[test]
fn a_dropped_document_is_traced_to_its_survivor() {
    let output = data_run();
    let trace = trace(&open(&output), &id(12)).expect("a trace");
    insta::assert_json_snapshot!("trace_duplicate", trace);
}

#[test]
fn a_kept_document_is_traced_to_its_tokens_and_checkpoints() {
    let output = trained_run();
    let run = open(&output);
    let found = trace(&run, &url(30)).expect("a trace");
    assert_eq!(found, trace(&run, &id(30)).expect("a trace"), "the URL and the id name one document");
    insta::assert_json_snapshot!("trace_kept", found);
    let noted = trace(&run, &id(20)).expect("a trace");
    assert_eq!(noted.steps[3].notes[0].end, 19);
    assert!(noted.steps.iter().all(|step| step.verdict == Verdict::Kept));
}

#[test]
fn a_run_begun_from_a_run_is_followed_back() {
    let first = data_run();
    let second = Output::new();
    let job = |run: &str| {
        format!("name: second\npipeline:\n- read:\n    run: {run}\n    stage: pii\n- pii: {{}}\n")
    };
    second.write("job.yaml", &job(first.path().to_str().expect("UTF-8")));
    let file = fixture::part(&second, "stages/00-read/part-00000.parquet", &[20, 21]);
    fixture::manifest(&second, 0, "read", 2, 2, &json!({}), &[file]);
    let found = trace(&open(&second), &id(20)).expect("a trace");
    assert_eq!((found.steps.len(), found.earlier.len()), (1, 1));
    assert_eq!(
        (&*found.earlier[0].stage, &*found.earlier[0].run),
        ("pii", first.path().to_str().expect("UTF-8"))
    );
    let before = trace(&open(&first), &id(20)).expect("a trace");
    assert_eq!(found.earlier[0].found, Found::Trace(Box::new(before)), "the same as asked there");
    drop(first);
    let found = trace(&open(&second), &id(20)).expect("a trace");
    let Found::Absent(reason) = &found.earlier[0].found else { panic!("the run is gone") };
    assert!(reason.contains("no longer there"), "{reason}");
    second.write("job.yaml", &job(second.path().to_str().expect("UTF-8")));
    assert!(trace(&open(&second), &id(20)).is_ok(), "a run that names itself ends");
}

#[test]
fn unknown_documents_are_said_to_be() {
    let output = data_run();
    for key in ["https://nowhere.example", "00000000000000000000000000000000", "' OR 1=1 --"] {
        let error = trace(&open(&output), key).expect_err(key);
        assert!(matches!(error, Error::UnknownDocument { .. }), "{error}");
    }
}

#[test]
fn a_checkpoint_names_its_documents() {
    let output = trained_run();
    let run = open(&output);
    insta::assert_json_snapshot!(
        "checkpoint",
        checkpoint_documents(&run, "step-00000400", 2).expect("a checkpoint")
    );
    let all = checkpoint_documents(&run, "step-400", 100).expect("the zeros may be left out");
    assert_eq!((all.sources_total, all.sources.len(), all.without_source), (2, 2, 0));
    assert_eq!(all.sources.iter().map(|source| source.documents).sum::<u64>(), all.documents);
    assert_eq!(all.sources.iter().map(|source| source.tokens).sum::<u64>(), all.tokens);
    assert_eq!(all.first_documents.len() as u64, all.documents);
    for name in ["step-00000440", "step-440", "step-", "step-+400", "../x"] {
        let error = checkpoint_documents(&run, name, 2).expect_err(name);
        assert!(matches!(error, Error::UnknownCheckpoint { .. }), "{error}");
    }
}

#[test]
fn the_report_of_a_trained_run() {
    let output = trained_run();
    let mut report = report(&open(&output)).expect("a report");
    let html = report_html(&report).expect("a page");
    assert!(html.contains("id=\"training\"") && html.contains("<path d=\"M56.0 "), "the loss curve is drawn");
    assert!(html.contains("The river</mark> runs past &#60;i&#62;"), "generated text is shown and escaped");
    if let Some(place) = std::env::var_os("REPORT_HTML") {
        std::fs::write(place, &html).expect("a writable place");
    }
    assert_eq!(report.headline.tokens, Some(2_600));
    let Section::Data(training) = &mut report.training else { panic!("the run has metrics") };
    assert_eq!(training.loss.len(), 400, "the torn last line is passed over");
    training.loss.truncate(2);
    training.tokens_per_second.truncate(2);
    // The encoder's version decides the size of a Parquet file.
    report.stages.iter_mut().for_each(|stage| stage.file_bytes = 0);
    insta::assert_json_snapshot!("report", report);
    assert!(!html.contains("not measured"));
    let Section::Data(training) = &mut report.training else { panic!("the run has metrics") };
    (training.validation_loss, training.best_validation) = (Vec::new(), None);
    let html = report_html(&report).expect("a page");
    assert!(
        html.contains("not measured") && html.contains("held-out tokens are fewer"),
        "the reason is told"
    );
}

#[test]
fn hostile_text_stays_text() {
    let output = data_run();
    let mut report = report(&open(&output)).expect("a report");
    let Section::Data(samples) = &mut report.kept_samples else { panic!("the run kept documents") };
    samples[0].text = HOSTILE.to_owned();
    samples[0].url = Some("javascript:alert(1)\"><script>".to_owned());
    let Section::Data(dropped) = &mut report.dropped_samples else { panic!("the run dropped documents") };
    assert!(dropped.iter().filter(|sample| sample.text.is_none()).all(|sample| sample.rule == "malformed"));
    dropped[0].text = Some(format!("<iframe {HOSTILE}"));
    dropped[1].value = HOSTILE.to_owned();
    let html = report_html(&report).expect("a page");
    assert!(!html.contains("<iframe"), "dropped texts are escaped as well");
    assert!(!html.contains("<script"), "no script, from whatever document");
    assert!(html.contains("&#60;script&#62;alert") && html.contains("rivers &#60;b&#62;"));
    assert_eq!(html.matches("</style>").count(), 1);
    for outside in ["http-equiv=\"refresh\"", "src=", "@import", "url("] {
        assert!(!html.contains(outside), "nothing is fetched: {outside}");
    }
}

#[test]
fn a_run_without_training_says_so() {
    let output = data_run();
    let report = report(&open(&output)).expect("a report");
    assert!(matches!(report.training, Section::Absent(_)) && matches!(report.generated, Section::Absent(_)));
    let html = report_html(&report).expect("a page");
    assert!(html.contains("This run has not trained a model"));
    let Section::Data(lengths) = &report.lengths else { panic!("documents were kept") };
    assert_eq!(lengths.bins.iter().map(|bin| bin.kept).sum::<u64>(), DOCUMENTS - 14);
    assert_eq!(
        lengths.bins.iter().map(|bin| bin.dropped).sum::<u64>(),
        13,
        "all but the record that never became a text"
    );
    insta::assert_snapshot!(lengths.missing.as_deref().unwrap_or_default());
}

#[test]
fn an_empty_run_has_a_report() {
    let output = Output::new();
    output.write("job.yaml", "name: nothing\n");
    let run = open(&output);
    let report = report(&run).expect("a report");
    insta::assert_json_snapshot!("empty_report", report);
    assert!(report_html(&report).expect("a page").contains("No stage has been published yet."));
    assert!(stats(&run).stages.is_empty());
}

#[test]
fn what_is_no_run_is_refused() {
    let output = Output::new();
    assert!(matches!(Run::open(output.url()), Err(Error::NotARun(_))));
    let entry = |path: &str| json!({"path": path, "rows": 1, "bytes": 1, "xxh3": "0"});
    let publish = |files: &serde_json::Value| {
        fixture::manifest(&output, 0, "read", 1, 1, &json!({}), std::slice::from_ref(files));
    };
    for path in ["../../etc/passwd", "/etc/passwd"] {
        publish(&entry(path));
        assert!(matches!(Run::open(output.url()), Err(Error::Json { .. })), "{path}");
    }
    output.write("stages/00-read/manifest.json", "{");
    assert!(matches!(Run::open(output.url()), Err(Error::Json { .. })));
    publish(&entry("stages/00-read/part-00000.parquet"));
    let run = open(&output);
    assert!(matches!(query(&run, "SELECT 1", 1), Err(Error::MissingFile { .. })));
    output.write("stages/00-read/part-00000.parquet", "PAR1 but not really");
    assert!(query(&run, "SELECT * FROM read", 1).is_err(), "a broken file is an error, not a panic");
}

#[test]
fn a_report_tells_which_benchmarks_documents_had_text_of() {
    let output = contaminated_run();
    let report = gather(&output);
    let Section::Data(benchmarks) = &report.decontamination else { panic!("{:?}", report.decontamination) };
    let figures: Vec<_> = benchmarks
        .iter()
        .map(|hits| (hits.benchmark.as_str(), hits.dropped, hits.noted, hits.spans, hits.items))
        .collect();
    assert_eq!(figures, [("gsm8k", 7, 0, 0, 4), ("mmlu", 0, 2, 3, 0)]);
    let hits = &benchmarks[0];
    let most: Vec<_> = hits.most.iter().map(|item| (item.item.as_str(), item.documents)).collect();
    assert_eq!(most, [("0", 2), ("1", 2), ("2", 2), ("3", 1)]);
    // 4, 8, …, 24 of 40 are 10, 20, …, 60 per cent, and one has all.
    let bars: Vec<u64> = hits.overlap.iter().map(|bar| bar.documents).collect();
    assert_eq!(bars, [1, 1, 1, 1, 1, 1, 0, 0, 0, 1]);
    assert_eq!((hits.overlap[0].above, hits.overlap[9].to), (0, 100));
    assert_eq!(hits.samples.len(), 3);
    for sample in &hits.samples {
        assert_eq!((sample.marks.len(), sample.marks[0].clone()), (1, 0..8), "{sample:?}");
    }
    let page = report_html(&report).expect("a page");
    for part in [
        "id=\"benchmarks\"",
        "gsm8k",
        "7 documents were dropped for 4 of its items",
        "<mark class=\"hit\">Document</mark>",
        "2 went on",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script"), "texts are escaped in marks too");
    let Section::Absent(reason) = gather(&data_run()).decontamination else {
        panic!("the data run has no such step");
    };
    assert!(reason.contains("no decontaminate step"), "{reason}");
}

#[test]
fn languages_have_documents_and_text() {
    let report = gather(&data_run());
    let Section::Data(languages) = report.languages else { panic!("{:?}", report.languages) };
    let shares: Vec<_> =
        languages.languages.iter().map(|share| (share.language.as_str(), share.documents)).collect();
    assert_eq!(shares.iter().map(|share| share.1).sum::<u64>(), DOCUMENTS - 14, "those that the run keeps");
    assert_eq!(shares[0].0, "en");
    assert!(languages.languages.iter().all(|share| share.bytes > share.documents), "{languages:?}");
}
