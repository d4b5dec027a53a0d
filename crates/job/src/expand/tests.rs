use orchestrator_core::Digest;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::task::{Extent, Split};

fn job(pipeline: &serde_json::Value) -> Job {
    serde_json::from_value(json!({"name": "x", "output": "/out", "target_bytes": 1000, "pipeline": pipeline}))
        .expect("a job")
}

fn input(number: usize, bytes: u64) -> InputFile {
    let source = format!("{number:04}.jsonl");
    InputFile { url: format!("/in/{source}"), source, bytes, stamp: "t".into() }
}

fn file(stage: u32, kind: FileKind, path: String, rows: u64) -> FileRecord {
    FileRecord { stage, kind, path, rows, bytes: rows * 10, xxh3: Digest(7) }
}

fn outcome(files: Vec<FileRecord>) -> TaskOutcome {
    TaskOutcome { files, ..TaskOutcome::default() }
}

/// What an index task would find: cuts every `target` bytes.
fn index_outcome(input: &InputFile, target: u64) -> TaskOutcome {
    let mut splits = Vec::new();
    let mut start = 0;
    while start < input.bytes {
        let end = (start + target).min(input.bytes);
        splits.push(Split {
            input: input.clone(),
            extent: Extent::Bytes { start, end },
            first_record: start / 10,
        });
        start = end;
    }
    TaskOutcome { detail: serde_json::to_value(splits).expect("plain data"), ..TaskOutcome::default() }
}

fn expand_map(job: &Job, inputs: &[InputFile]) -> Vec<TaskSpec> {
    let plan = Plan::new(job);
    let index = expand(job, &plan, 0, inputs, &[]).expect("index");
    let outcomes = index
        .iter()
        .map(|task| match &task.work {
            Work::Index { input, target_bytes, .. } => index_outcome(input, *target_bytes),
            other => panic!("no index task: {other:?}"),
        })
        .collect();
    expand(job, &plan, 1, inputs, &[outcomes]).expect("map")
}

fn splits_of(task: &TaskSpec) -> &[Split] {
    match &task.work {
        Work::Map { input: MapInput::Splits { splits }, .. } => splits,
        other => panic!("no map over splits: {other:?}"),
    }
}

proptest! {
    #[test]
    fn every_byte_is_read_once_and_in_order(sizes in prop::collection::vec(0u64..6000, 1..60)) {
        let job = job(&json!([{"read": {"paths": ["/in/*.jsonl"]}}]));
        let inputs: Vec<InputFile> = (0..).zip(&sizes).map(|(number, &bytes)| input(number, bytes)).collect();
        let tasks = expand_map(&job, &inputs);
        prop_assert_eq!(&tasks, &expand_map(&job, &inputs));
        let mut covered = Vec::new();
        for (number, task) in (0..).zip(&tasks) {
            prop_assert_eq!(task.number, number);
            let splits = splits_of(task);
            prop_assert!(!splits.is_empty() && splits.len() <= splits::MOST_SPLITS);
            let mut bytes = 0;
            for split in splits {
                let (start, end) = match split.extent {
                    Extent::Whole => (0, split.input.bytes),
                    Extent::Bytes { start, end } => (start, end),
                    Extent::RowGroups { .. } | Extent::Carved { .. } => panic!("neither was found"),
                };
                bytes += end - start;
                covered.push((split.input.source.clone(), start, end));
            }
            prop_assert!(splits.len() == 1 || bytes <= 1000);
            prop_assert!(bytes <= 2000);
        }
        let mut covered = covered.into_iter();
        for input in &inputs {
            let mut at = 0;
            loop {
                let (source, start, end) = covered.next().expect("a piece for every byte");
                prop_assert_eq!(&source, &input.source);
                prop_assert_eq!(start, at);
                at = end;
                if at == input.bytes {
                    break;
                }
            }
        }
        prop_assert!(covered.next().is_none());
    }
}

#[test]
fn what_an_index_task_says_is_checked() {
    let job = job(&json!([{"read": {"paths": ["/in/*.jsonl"]}}]));
    let plan = Plan::new(&job);
    let inputs = [input(0, 5000)];
    let split = |start, end, first_record| Split {
        input: inputs[0].clone(),
        extent: Extent::Bytes { start, end },
        first_record,
    };
    let expand = |splits: Vec<Split>| {
        let detail = serde_json::to_value(splits).expect("plain data");
        expand(&job, &plan, 1, &inputs, &[vec![TaskOutcome { detail, ..TaskOutcome::default() }]])
    };
    assert!(expand(vec![split(0, 5000, 0)]).is_ok());
    assert!(expand(vec![split(0, 1000, 0), split(1000, 5000, 9)]).is_ok());
    for (bad, why) in [
        (vec![], "at least one split"),
        (vec![split(0, 4000, 0)], "end at byte 4000 of 5000"),
        (vec![split(0, 1000, 0), split(1001, 5000, 9)], "to start at 1000"),
        (vec![split(0, 1000, 7), split(1000, 5000, 9)], "starts at a record"),
        (vec![Split { input: input(1, 5000), ..split(0, 5000, 0) }], "another input"),
    ] {
        let error = expand(bad).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
    let carved = |offset, first_record, rows| {
        let path = format!("carved-{first_record}.zst");
        let file = PartRef { path, rows, bytes: 1000, xxh3: Digest(7) };
        Split { extent: Extent::Carved { file, offset }, first_record, ..split(0, 0, 0) }
    };
    // Offsets begin anew with each member, records go on.
    assert!(expand(vec![carved(2, 0, 7), carved(90, 7, 2), carved(40, 9, 1)]).is_ok());
    for (bad, why) in [
        (vec![carved(0, 0, 7), carved(90, 6, 2)], "a record of the split before it"),
        (vec![carved(0, 0, 7), carved(90, 8, 2)], "starts at record 8: expected it to start at 7"),
        (vec![carved(0, 0, 0), carved(90, 0, 2)], "has no record"),
        (vec![carved(0, 0, 7), Split { first_record: 7, ..split(0, 5000, 0) }], "splits of one kind"),
    ] {
        let error = expand(bad).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn many_small_files_share_tasks_up_to_a_bound() {
    let job = job(&json!([{"read": {"paths": ["/in/*.jsonl"]}}]));
    let inputs: Vec<InputFile> = (0..10_000).map(|number| input(number, 0)).collect();
    let lengths: Vec<usize> = expand_map(&job, &inputs).iter().map(|task| splits_of(task).len()).collect();
    assert_eq!(lengths, [4096, 4096, 1808]);
}

#[test]
fn a_page_is_never_cut() {
    let job = job(&json!([{"read": {"paths": ["/in/*.html"]}}]));
    let page = InputFile { source: "big.html".into(), url: "/in/big.html".into(), ..input(0, 1 << 30) };
    assert_eq!(expand(&job, &Plan::new(&job), 0, &[page], &[]), Ok(vec![]));
}

/// Walks a job with dedup and tokenize through all its phases, as if every task left what it must.
#[test]
fn barriers_hand_parts_and_verdicts_on() {
    let job = job(&json!([
        {"read": {"paths": ["/in/*.jsonl"]}}, {"dedup": {}}, {"pii": {}}, {"tokenize": {"train": {}}},
        {"train": {"model": {"layers": 1, "heads": 1, "width": 8, "context": 8}, "steps": 1, "world_size": 2}}
    ]));
    let plan = Plan::new(&job);
    let kinds: Vec<&str> = plan.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(kinds, ["index", "map", "bands", "clusters", "map", "prepare", "tokenize", "train", "report"]);
    let inputs = [input(0, 900), input(1, 900)];
    let mut committed = vec![vec![]];
    assert_eq!(expand(&job, &plan, 1, &inputs, &committed).expect("map").len(), 2);
    committed.push(
        (0..2)
            .map(|n| {
                outcome(vec![
                    file(0, FileKind::Part, format!("stages/00-read/part-{n:05}.parquet"), 80),
                    file(1, FileKind::Intermediate, format!("signatures-{n:05}.parquet"), 80),
                ])
            })
            .collect(),
    );
    let bands = expand(&job, &plan, 2, &inputs, &committed).expect("bands");
    assert_eq!(bands.len(), 1, "few documents fit one slice");
    committed.push(vec![outcome(vec![file(1, FileKind::Intermediate, "edges-00000.parquet".into(), 3)])]);
    let clusters = expand(&job, &plan, 3, &inputs, &committed).expect("clusters");
    assert!(matches!(&clusters[0].work, Work::DedupClusters { edges, signatures, .. }
        if edges.len() == 1 && signatures.len() == 2));
    let verdict = |n| file(1, FileKind::Intermediate, format!("verdicts-{n:05}.parquet"), 1);
    committed.push(vec![outcome(vec![verdict(1), verdict(0)])]);
    let map = expand(&job, &plan, 4, &inputs, &committed).expect("map");
    let Work::Map { stages, input: MapInput::Part { part }, parts, verdicts, .. } = &map[1].work else {
        panic!("no map over parts: {:?}", map[1]);
    };
    assert_eq!((stages.as_slice(), parts.as_slice()), (&[1, 2][..], &[2][..]));
    assert_eq!(part.path, "stages/00-read/part-00001.parquet");
    assert!(
        matches!(verdicts, Some(Verdicts::Duplicates { file, index: None }) if file.path == "verdicts-00001.parquet")
    );
    let part =
        |n, rows| outcome(vec![file(2, FileKind::Part, format!("stages/02-pii/part-{n:05}.parquet"), rows)]);
    committed.push(vec![part(0, 80), part(1, 79)]);
    assert_eq!(expand(&job, &plan, 5, &inputs, &committed).expect("prepare").len(), 1);
    committed.push(vec![outcome(vec![file(3, FileKind::Product, "tokens/tokenizer.json".into(), 0)])]);
    assert_eq!(expand(&job, &plan, 6, &inputs, &committed).expect("tokenize").len(), 2);
    committed[4] = vec![part(0, 50), part(1, 49)];
    assert_eq!(expand(&job, &plan, 6, &inputs, &committed).expect("few documents").len(), 1);
    committed.push(vec![]);
    assert_eq!(expand(&job, &plan, 7, &inputs, &committed).expect("a gang is one task").len(), 1);
    committed[4] = vec![part(0, 0), part(1, 0)];
    assert_eq!(
        expand(&job, &plan, 5, &inputs, &committed),
        Err(ExpandError::NoRecords { stage: "tokenize".into() })
    );
    committed[1][0].tallies.push(orchestrator_core::StageTally { records_in: 80, ..Default::default() });
    assert_eq!(
        expand(&job, &plan, 5, &inputs, &committed),
        Err(ExpandError::NoDocuments { stage: "tokenize".into() })
    );
}

/// Slices follow from the number of items and the memory, and every part gets the files of all of them.
#[test]
fn repeats_are_sliced_by_items_and_memory() {
    let job = |memory: &str| {
        job(&json!([
            {"read": {"paths": ["/in/*.jsonl"]}}, {"dedup": {"method": "substring", "memory": memory}}
        ]))
    };
    let inputs = [input(0, 1)];
    let plan = Plan::new(&job("1 GiB"));
    let part = |n: u32| {
        outcome(vec![
            file(0, FileKind::Part, format!("part-{n:05}.parquet"), 10),
            file(1, FileKind::Intermediate, format!("items-{n:05}.bin"), 1_000_000),
        ])
    };
    let mut committed = vec![vec![], (0..4).map(part).collect()];
    let slices = |memory: &str| expand(&job(memory), &plan, 2, &inputs, &committed).map(|tasks| tasks.len());
    assert_eq!(slices("1 GiB"), Ok(1));
    assert_eq!(slices("16 MiB"), Ok(6));
    assert!(matches!(&expand(&job("16 MiB"), &plan, 2, &inputs, &committed).expect("six")[5].work,
        Work::DedupRepeats { stage: 1, partition: 5, partitions: 6, items } if items.len() == 4));
    let error = slices("64 KiB").expect_err("too many").to_string();
    assert!(error.starts_with("`01-dedup` cannot go on: 4000000 items do not fit in 1024 slices"), "{error}");
    committed.push(
        (0..3)
            .map(|n| outcome(vec![file(1, FileKind::Intermediate, format!("repeated-{n:05}.bin"), 0)]))
            .collect(),
    );
    let map = expand(&job("16 MiB"), &plan, 3, &inputs, &committed).expect("map");
    assert_eq!(map.len(), 4);
    assert!(matches!(&map[2].work, Work::Map { verdicts: Some(Verdicts::Repeats { part: 2, files }), .. }
        if files.len() == 3 && files[1].path == "repeated-00001.bin"));
}

#[test]
fn a_missing_verdict_or_phase_is_said() {
    let job = job(&json!([{"read": {"paths": ["/in/*.jsonl"]}}, {"dedup": {}}]));
    let plan = Plan::new(&job);
    assert!(matches!(expand(&job, &plan, 3, &[], &[]), Err(ExpandError::OutOfOrder { phase: 3, .. })));
    assert_eq!(expand(&job, &plan, 1, &[], &[vec![]]), Err(ExpandError::NoInputs));
    let parts = vec![outcome(vec![
        file(0, FileKind::Part, "part-00000.parquet".into(), 1),
        file(1, FileKind::Intermediate, "signatures-00000.parquet".into(), 1),
    ])];
    let committed = [vec![], parts, vec![], vec![outcome(vec![])]];
    let error = expand(&job, &plan, 4, &[input(0, 1)], &committed).expect_err("no verdicts").to_string();
    assert!(error.contains("for 1 parts, found 0"), "{error}");
    let mut committed = committed;
    committed[3][0].detail = json!({"stop": "the largest cluster has 9 documents"});
    let error = expand(&job, &plan, 4, &[input(0, 1)], &committed).expect_err("a stop").to_string();
    assert!(error.starts_with("`01-dedup` drops nothing and stops: the largest cluster has 9"), "{error}");
}

#[test]
fn a_cutoff_reaches_every_part_bit_for_bit() {
    let job = job(&json!([
        {"read": {"paths": ["/in/*.jsonl"]}}, {"quality": {"model": "/quality.bin", "keep_fraction": 0.1}}
    ]));
    let plan = Plan::new(&job);
    let part = |n: u32| {
        outcome(vec![
            file(0, FileKind::Part, format!("part-{n:05}.parquet"), 1),
            file(1, FileKind::Intermediate, format!("scores-{n:05}.parquet"), 1),
        ])
    };
    let detail = serde_json::to_value(ExactF32::from(0.1)).expect("plain data");
    let cutoff = TaskOutcome { detail, ..TaskOutcome::default() };
    let committed = [vec![], vec![part(0), part(1)], vec![cutoff]];
    for task in expand(&job, &plan, 3, &[input(0, 1)], &committed).expect("map") {
        let Work::Map { verdicts: Some(Verdicts::Cutoff { threshold, scores }), .. } = task.work else {
            panic!("no cutoff");
        };
        assert_eq!(scores.path, format!("scores-{:05}.parquet", task.number));
        assert_eq!(threshold.value().map(f32::to_bits), Some(0.1f32.to_bits()));
    }
}

#[test]
fn slices_grow_with_the_documents() {
    assert_eq!(partitions(0, 0), 1);
    assert_eq!(partitions(8_000_000, 0), 1);
    assert_eq!(partitions(100_000_000, 0), 12);
    assert_eq!(partitions(u64::MAX, 0), u32::MAX);
    // What is held beside the pairs of a band makes slices smaller.
    assert_eq!(partitions(100_000_000, 14 * 8), 42);
}

#[test]
fn numbers_are_read_from_names() {
    assert_eq!(number_in_name("a/verdicts-00012.parquet"), Some(12));
    assert_eq!(number_in_name("verdicts-3.parquet.zst"), Some(3));
    assert_eq!(number_in_name("a-1/verdicts"), None);
}

#[test]
fn a_job_stands_so_many_malformed_records() {
    let mut job = job(&json!([{"read": {"paths": ["/in/*.jsonl"]}}, {"dedup": {}}]));
    let (plan, inputs) = (Plan::new(&job), [input(0, 10)]);
    let mut outcome = TaskOutcome::default();
    let mut tally = orchestrator_core::StageTally { records_in: 10, kept: 8, ..Default::default() };
    tally.dropped.insert("malformed".into(), 2);
    outcome.tallies.push(tally);
    let committed = vec![vec![], vec![outcome]];
    let result = |job: &Job| expand(job, &plan, 2, &inputs, &committed);
    job.max_malformed = crate::spec::Portion::Count(2);
    assert!(!matches!(result(&job), Err(ExpandError::TooManyMalformed { .. })));
    job.max_malformed = crate::spec::Portion::Fraction(0.1);
    assert!(matches!(result(&job), Err(ExpandError::TooManyMalformed { malformed: 2, records: 10, .. })));
}
