//! Parts of documents that occurred before, over whole jobs: what is cut, what stays, and what a filter may do wrong.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use orchestrator_core::{Document, NoteKind};
use orchestrator_storage::repeats::SliceReport;
use serde_json::{Value, json};
use support::{Order, Run, job, run};

/// Documents as files of JSONL, some in each.
fn write(directory: &Path, texts: &[String], per_file: usize) {
    std::fs::create_dir_all(directory.join("in")).expect("a directory");
    for (number, texts) in texts.chunks(per_file).enumerate() {
        let lines: Vec<String> = texts.iter().map(|text| json!({"text": text}).to_string()).collect();
        std::fs::write(directory.join(format!("in/{number:03}.jsonl")), lines.join("\n")).expect("an input");
    }
}

fn deduplicated(directory: &Path, name: &str, options: &Value, order: Order) -> Result<Run, String> {
    let pattern = format!("{}/in/*.jsonl", directory.display());
    let root = directory.join(name);
    run(&root, &job(&root, "32 KiB", &json!([{"read": {"paths": [pattern]}}, {"dedup": options}])), order)
}

/// What each slice says of itself.
fn slices(run: &Run) -> Vec<SliceReport> {
    let read = |number: usize| {
        let path = run.root.join(format!("stages/01-dedup/seen-{number:05}.json"));
        Some(serde_json::from_slice(&std::fs::read(path).ok()?).expect("a report"))
    };
    (0..).map_while(read).collect()
}

/// Documents of some lines of a hundred that there are, each line with six words.
fn lines(documents: usize) -> Vec<String> {
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..documents)
        .map(|document| {
            let known: String = (0..next(6))
                .map(|_| ["this is line ", &next(100).to_string(), " of a hundred\n"].concat())
                .collect();
            format!("{known}a line of document number {document} alone, which nothing else has\nshort\n")
        })
        .collect()
}

#[test]
fn lines_that_occurred_before_are_cut_and_noted() {
    let directory = tempfile::tempdir().expect("a directory");
    let texts = lines(200);
    write(directory.path(), &texts, 20);
    let options = json!({"method": "paragraph", "paragraph": {"unit": "line"}});
    let run = deduplicated(directory.path(), "lines", &options, Order::FirstToLast).expect("it runs");
    let mut seen = BTreeSet::new();
    let documents = run.documents("dedup");
    assert_eq!(documents.len(), 200);
    let mut notes = BTreeMap::<String, Vec<_>>::new();
    for (id, note) in run.notes("dedup") {
        assert_eq!((note.rule.as_ref(), note.kind), ("repeated_line", NoteKind::Removed));
        notes.entry(id.to_string()).or_default().push(note.start as usize..note.end as usize);
    }
    for (text, Document { id, text: left, .. }) in texts.iter().zip(&documents) {
        let is_short = |line: &str| line == "short\n";
        let expected: String = text
            .split_inclusive('\n')
            .filter(|line| is_short(line) || seen.insert((*line).to_owned()))
            .collect();
        assert_eq!(left, &expected);
        let mut again = text.clone();
        for note in notes.remove(&id.to_string()).unwrap_or_default().into_iter().rev() {
            again.replace_range(note, "");
        }
        assert_eq!(left, &again, "a text is what came in without what its notes tell");
    }
    let reports = slices(&run);
    assert_eq!(reports.len(), 1);
    let lines = texts.iter().map(|text| text.lines().count() as u64 - 1).sum::<u64>();
    assert_eq!((reports[0].items, reports[0].different), (lines, seen.len() as u64));
    assert_eq!(reports[0].repeated, lines - seen.len() as u64);
    let filter = reports[0].filter.expect("a filter");
    assert!(filter.rate_reached <= filter.rate_asked, "{filter:?}");
}

#[test]
fn neither_the_order_of_tasks_nor_the_slices_change_a_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), &lines(1500), 10);
    for (name, options, sliced) in [
        ("lines", json!({"method": "paragraph", "paragraph": {"unit": "line"}}), false),
        (
            "ngrams",
            json!({"method": "paragraph", "memory": "64 KiB",
                "paragraph": {"unit": "line", "ngram": 4, "ngram_share": 0.5, "false_positive_rate": 0.0}}),
            true,
        ),
        (
            "filter",
            json!({"method": "paragraph", "memory": "64 KiB",
            "paragraph": {"unit": "line", "ngram": 4, "false_positive_rate": 1e-9}}),
            true,
        ),
        ("words", json!({"method": "substring", "memory": "64 KiB", "substring": {"min_tokens": 10}}), true),
        (
            "characters",
            json!({"method": "substring", "max_cut": 0.9,
            "substring": {"min_tokens": 30, "tokens": "characters", "word_bounds": true}}),
            false,
        ),
    ] {
        let one = deduplicated(directory.path(), name, &options, Order::FirstToLast).expect("it runs");
        let other = deduplicated(directory.path(), &format!("{name}-reversed"), &options, Order::LastToFirst);
        assert_eq!(one.bytes(), other.expect("it runs").bytes(), "{name}");
        assert_eq!(slices(&one).len() > 1, sliced, "{name}: {:?}", slices(&one).first());
        assert!(!one.notes("dedup").is_empty(), "{name}");
        if sliced {
            // Where nothing is taken for what it is not, slices are no part of the result.
            let mut whole = options.clone();
            whole["memory"] = json!("1 GiB");
            let whole = deduplicated(directory.path(), &format!("{name}-whole"), &whole, Order::FirstToLast);
            let whole = whole.expect("it runs");
            assert_eq!(slices(&whole).len(), 1);
            assert_eq!(whole.documents("dedup"), one.documents("dedup"), "{name}");
            assert_eq!(whole.dropped("dedup"), one.dropped("dedup"), "{name}");
        }
    }
}

#[test]
fn a_filter_is_wrong_as_often_as_it_may_be_and_forgets_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    // 24,000 lines that are all different, and then all of them again.
    let line = |number: usize| format!("line number {number} of many that are all different\n");
    let texts: Vec<String> = (0..24_000).map(line).collect();
    let texts: Vec<String> = texts.chunks(100).map(<[String]>::concat).collect();
    write(directory.path(), &[texts.clone(), texts].concat(), 10);
    let options = json!({"method": "paragraph", "memory": "64 KiB",
        "paragraph": {"unit": "line", "false_positive_rate": 0.2}});
    let run = deduplicated(directory.path(), "filtered", &options, Order::FirstToLast).expect("it runs");
    let left: usize = run.documents("dedup").iter().map(|document| document.text.lines().count()).sum();
    assert_eq!(run.dropped("dedup").len(), 240, "nothing is left of the second half");
    let wrong = 24_000 - left;
    // It is sized for all items, of which half are new: it is never as full as it may be, and wrong less often.
    let most = 24_000_f64 * 0.2;
    assert!(wrong > 10 && (wrong as f64) < most + 5.0 * most.sqrt(), "{wrong} of 24000 lines");
    let reports = slices(&run);
    let repeated: u64 = reports.iter().map(|slice| slice.repeated).sum();
    assert_eq!(repeated, 24_000 + wrong as u64);
    for slice in &reports {
        assert!(slice.bytes <= 64 << 10, "{slice:?}");
        let filter = slice.filter.expect("a filter");
        assert!(filter.rate_reached <= 0.2 && filter.rate_reached > 0.0, "{slice:?}");
    }
    let exact = json!({"method": "paragraph", "paragraph": {"unit": "line", "false_positive_rate": 0}});
    let run = deduplicated(directory.path(), "exact", &exact, Order::FirstToLast).expect("it runs");
    let left: usize = run.documents("dedup").iter().map(|document| document.text.lines().count()).sum();
    assert_eq!((left, run.dropped("dedup").len()), (24_000, 240));
    assert!(slices(&run)[0].filter.is_none());
}

#[test]
fn what_does_not_fit_fails_before_anything_is_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let texts: Vec<String> = (0..400).map(|number| format!("{number} ").repeat(10_000)).collect();
    write(directory.path(), &texts, 4);
    let options = json!({"method": "substring", "memory": "64 KiB"});
    let error =
        deduplicated(directory.path(), "large", &options, Order::FirstToLast).err().expect("it stops");
    assert!(error.contains("`01-dedup` cannot go on"), "{error}");
    assert!(
        error.contains("do not fit in 1024 slices of `memory: 65.5 kB`; expected `memory: 1 MiB` or more"),
        "{error}"
    );
}

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/docs_corpus");

/// Some real texts (`../shared/data`), every `step`th of those that are not too long.
fn real(name: &str, step: usize, most: usize) -> Option<Vec<String>> {
    let file = std::fs::File::open(Path::new(DATA).join(name)).ok()?;
    let mut text = String::new();
    zstd::Decoder::new(file).and_then(|mut decoder| decoder.read_to_string(&mut text)).expect("zstd");
    let texts = text.lines().map(|line| {
        let row: Value = serde_json::from_str(line).expect("a row");
        // The reader takes a byte order mark off.
        row["text"].as_str().expect("a text").trim_start_matches('\u{feff}').to_owned()
    });
    Some(texts.filter(|text| text.len() < 20_000).step_by(step).take(most).collect())
}

/// The plain way: the first place of every window, kept whole.
fn reference(texts: &[String], length: usize) -> Vec<String> {
    let texts: Vec<Vec<char>> = texts.iter().map(|text| text.chars().collect()).collect();
    let mut first: HashMap<&[char], (usize, usize)> = HashMap::new();
    let mut left = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let mut goes = vec![false; text.len()];
        for (start, window) in text.windows(length).enumerate() {
            let &mut (document, before) = first.entry(window).or_insert((number, start));
            if document < number || before + length <= start {
                goes[start..start + length].fill(true);
            }
        }
        left.push(text.iter().zip(goes).filter(|(_, goes)| !goes).map(|(c, _)| c).collect());
    }
    left
}

/// Real documentation: nine versions of etcd's in English, PingCAP's in Chinese.
#[test]
fn real_texts_lose_what_a_plain_search_finds() {
    for (name, length) in [("etcd_versioned.jsonl.zst", 200), ("pingcap_docs_cn.jsonl.zst", 60)] {
        let Some(texts) = real(name, 3, 120) else {
            println!("skipped: ../shared/data is absent");
            return;
        };
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), &texts, 7);
        let options = json!({"method": "substring", "min_left": 0, "memory": "4 MiB",
            "substring": {"min_tokens": length, "tokens": "characters"}});
        let run = deduplicated(directory.path(), "real", &options, Order::FirstToLast).expect("it runs");
        let expected = reference(&texts, length);
        let left: BTreeMap<(String, u64), String> = run
            .documents("dedup")
            .into_iter()
            .map(|document| ((document.source, document.record), document.text))
            .collect();
        let mut cut = 0;
        for (place, (text, expected)) in texts.iter().zip(&expected).enumerate() {
            let key = (format!("{:03}.jsonl", place / 7), (place % 7) as u64);
            if expected.trim().is_empty() {
                assert!(!left.contains_key(&key), "{name}: document {place} is dropped");
            } else {
                assert_eq!(left.get(&key), Some(expected), "{name}: document {place}");
            }
            cut += text.len() - expected.len();
        }
        let all: usize = texts.iter().map(String::len).sum();
        println!("{name}: {cut} of {all} bytes occurred before, in {} slices", slices(&run).len());
        assert!(cut * 100 > all, "{name}: {cut} of {all} bytes");
    }
}
