use serde_json::json;

use super::*;

fn job(pipeline: &serde_json::Value) -> Job {
    serde_json::from_value(json!({"name": "x", "output": "/out", "pipeline": pipeline})).expect("a job")
}

fn whole() -> Job {
    job(&json!([
        {"read": {"paths": ["/in/*.jsonl"]}}, {"clean": {}}, {"language": {"keep": ["en"]}}, {"filter": {}},
        {"dedup": {}}, {"pii": {}}, {"tokenize": {"train": {}}},
        {"train": {"model": {"layers": 2, "heads": 2, "width": 64, "context": 64}, "steps": 10, "world_size": 2}},
        {"export": {}}
    ]))
}

#[test]
fn a_whole_job() {
    insta::assert_snapshot!(Plan::new(&whole()).render());
}

#[test]
fn a_job_that_only_reads() {
    insta::assert_snapshot!(Plan::new(&job(&json!([{"read": {"paths": ["/in/*.jsonl"]}}]))).render());
}

#[test]
fn every_barrier_ends_a_map_and_starts_one() {
    let plan = Plan::new(&job(&json!([
        {"read": {"paths": ["/in/*.jsonl"], "keep": true}}, {"clean": {}}, {"dedup": {"keep": true}},
        {"quality": {"model": "/quality.bin", "keep_fraction": 0.1}}, {"tokenize": {"train": {}}}
    ])));
    insta::assert_snapshot!(plan.render());
    assert_eq!(plan.map_before(3).map(|phase| phase.stages.clone()), Some(2..3));
    assert_eq!(plan.phase_of_stage(2).map(|phase| phase.index), Some(4));
}

#[test]
fn cutting_what_occurred_before_is_a_barrier_of_its_own() {
    for method in ["paragraph", "substring"] {
        let plan = Plan::new(&job(&json!([
            {"read": {"paths": ["/in/*.jsonl"]}}, {"clean": {}}, {"dedup": {"method": method}}, {"pii": {}}
        ])));
        insta::assert_snapshot!("cutting_what_occurred_before", plan.render());
        assert_eq!(plan.phase_of_stage(2).map(|phase| phase.index), Some(3));
    }
}

#[test]
fn a_job_begins_with_an_earlier_run() {
    let plan = Plan::new(&job(&json!([{"read": {"run": "/runs/x", "stage": "dedup"}}, {"pii": {}}])));
    assert!(plan.phases.iter().all(|phase| phase.kind != PhaseKind::Index));
    insta::assert_snapshot!(plan.render());
}

#[test]
fn phases_partition_the_document_stages() {
    let job = whole();
    let plan = Plan::new(&job);
    let mut seen = Vec::new();
    for phase in &plan.phases {
        if matches!(phase.kind, PhaseKind::Map { .. }) {
            seen.extend(phase.stages.clone());
        }
    }
    assert_eq!(seen, (0..6).collect::<Vec<u32>>());
    let json = serde_json::to_string(&plan).expect("plain data");
    assert_eq!(serde_json::from_str::<Plan>(&json).expect("its own text"), plan);
}
