//! Inputs of unequal sizes: a big file feeds many tasks, whatever its form, and small files share one.

mod support;

use std::io::Write as _;
use std::path::Path;

use orchestrator_core::Document;
use orchestrator_storage::documents::{DocumentWriter, RowGroups as _};
use serde_json::json;
use support::{Order, Run, job, run};

/// What one task takes on.
const TARGET: u64 = 20 << 10;

fn texts() -> Vec<String> {
    // Words that do not repeat, so that compression does not make the big file a small one.
    (0..3_000u64)
        .map(|n| {
            format!("text {n} {:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
        })
        .collect()
}

fn write_big(path: &Path, form: &str) -> std::io::Result<()> {
    let lines: Vec<u8> =
        texts().iter().flat_map(|text| format!("{}\n", json!({"text": text})).into_bytes()).collect();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish())
    };
    match form {
        "plain" => std::fs::write(path.join("big.jsonl"), lines),
        "one member" => std::fs::write(path.join("big.jsonl.gz"), gzip(&lines)?),
        "members" => {
            let members: std::io::Result<Vec<_>> = lines
                .split_inclusive(|byte| *byte == b'\n')
                .collect::<Vec<_>>()
                .chunks(20)
                .map(|few| gzip(&few.concat()))
                .collect();
            std::fs::write(path.join("big.jsonl.gz"), members?.concat())
        }
        "frame" => std::fs::write(path.join("big.jsonl.zst"), zstd::encode_all(&lines[..], 1)?),
        "row groups" => {
            let mut writer = DocumentWriter::new(Vec::new()).expect("a writer");
            for (n, text) in (0..).zip(texts()) {
                writer.push(&Document::new("s", n, text)).expect("push");
                if n % 60 == 59 {
                    writer.close_group().expect("close");
                }
            }
            std::fs::write(path.join("big.parquet"), writer.finish().expect("finish"))
        }
        other => panic!("no form `{other}`"),
    }
}

/// Records that each task of the map read.
fn loads(run: &Run) -> Vec<u64> {
    let map =
        run.outcomes.iter().find(|tasks| tasks.iter().any(|task| !task.tallies.is_empty())).expect("a map");
    map.iter().map(|task| task.tallies[0].records_in).collect()
}

fn read(directory: &Path, name: &str, order: Order) -> Run {
    let pattern = format!("{}/in/*", directory.display());
    let root = directory.join(name);
    run(&root, &job(&root, &TARGET.to_string(), &json!([{"read": {"paths": [pattern]}}, {"pii": {}}])), order)
        .expect("it runs")
}

#[test]
fn a_big_file_feeds_many_tasks_with_about_as_much_each() {
    for form in ["plain", "one member", "members", "frame", "row groups"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir_all(directory.path().join("in")).expect("its directory");
        write_big(&directory.path().join("in"), form).expect("an input");
        let whole = read(directory.path(), "a", Order::FirstToLast);
        let loads = loads(&whole);
        assert_eq!(loads.iter().sum::<u64>(), 3_000, "{form}");
        assert!(loads.len() >= 4, "{form}: {loads:?}");
        // The last takes what is left.
        let (most, least) = (loads.iter().max(), loads[..loads.len() - 1].iter().min());
        assert!(most.zip(least).is_some_and(|(most, least)| most <= &(least * 3)), "{form}: {loads:?}");
        let again = read(directory.path(), "b", Order::LastToFirst);
        assert_eq!(again.bytes(), whole.bytes(), "{form}");
    }
}

#[test]
fn small_files_share_tasks() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir_all(directory.path().join("in")).expect("its directory");
    for n in 0..200 {
        let line = format!("{}\n", json!({"text": format!("a small file, number {n}")}));
        std::fs::write(directory.path().join(format!("in/{n:03}.jsonl")), line).expect("an input");
    }
    let loads = loads(&read(directory.path(), "a", Order::FirstToLast));
    assert_eq!((loads.len(), loads.iter().sum::<u64>()), (1, 200), "200 files of 40 bytes are one task");
}
