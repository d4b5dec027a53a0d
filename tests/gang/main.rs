//! A gang whose gradients go over a fabric: its id is made by rank 0, travels through worker, gRPC and coordinator, and
//! comes to the other ranks with the generation; a lost peer aborts the group. NCCL needs GPUs, so a stand-in takes its
//! place here, behind the same trait: sockets that wait for a lost peer for ever, as NCCL does.
//!
//! The suite has a `main` of its own because its binary is also the rank process: `gang rank LOG`.

#![expect(clippy::print_stdout, reason = "what a test runner expects of a suite")]

mod loopback;
#[path = "../chaos/prey.rs"]
#[allow(dead_code, reason = "this suite looks for ranks alone")]
mod prey;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::{TaskOutcome, WorkerId};
use orchestrator_pipeline::{Host, Reporter, TaskContext, TaskError};
use orchestrator_storage::AllowedRoots;
use orchestrator_worker::{Worker, WorkerOptions};

use loopback::Loopback;
use support::daemons::Cluster;
use support::{Output, Scene, corpus, eventually, signal};

const TEST: &str = "a_fabric_is_joined_by_the_id_of_rank_0_and_aborted_when_a_rank_dies";
const PATIENCE: Duration = Duration::from_mins(2);

const JOB: &str = "
max_attempts: 100
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - tokenize: {train: {model: bpe, vocab_size: 400}}
  - train:
      model: {family: gpt, layers: 2, heads: 2, width: 32, context: 32, dropout: 0.1}
      steps: 60
      global_batch: 4
      micro_batch: 1
      world_size: 2
      validation: {every: 20, fraction: 0.05, sequences: 16}
      checkpoint: {every: 5, keep_last: 2}
";

/// Speaks the protocol of the standard test runner as far as `cargo test` and nextest use it.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    match arguments.as_slice() {
        [first, log] if first == "rank" => {
            let fabric = Loopback::new(Path::new(log));
            return ExitCode::from(orchestrator_worker::run_rank(Arc::new(NoReport), &fabric));
        }
        _ if has("--list") => {
            if !has("--ignored") {
                println!("{TEST}: test");
            }
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if has("--ignored")
        || !(filters.is_empty() || filters.iter().any(|filter| TEST.contains(filter.as_str())))
    {
        return ExitCode::SUCCESS;
    }
    gang();
    println!("test {TEST} ... ok");
    ExitCode::SUCCESS
}

/// The report is another suite's business.
struct NoReport;

impl Reporter for NoReport {
    fn write(&self, _: &TaskContext) -> Result<TaskOutcome, TaskError> {
        Ok(TaskOutcome::default())
    }
}

fn gang() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(61, 80)));
    scene.job("tcp", JOB);
    let expected = trained(&scene.complete("tcp", 2));

    scene.job("fabric", JOB);
    let log = scene.path("fabric.log");
    let mut cluster = Cluster::start(&scene, 3_000, &[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let worker =
        runtime.block_on(async { Worker::start(options(&cluster, &scene, &log)) }).expect("a worker");
    let submitted = cluster.client(&["submit", "fabric.yaml"]).ended(0);
    let job = submitted.stdout.trim().to_owned();
    let output = scene.output("fabric");
    eventually("a checkpoint", PATIENCE, || output.path("checkpoints/step-00000005").exists().then_some(()));
    let ranks = prey::ranks(&[std::process::id()]);
    signal("KILL", *ranks.last().expect("the gang trains"));
    let state = cluster.reaches(&job, &["succeeded", "failed"], PATIENCE);
    let said = std::fs::read_to_string(&log).expect("the ranks' log");
    assert_eq!(state, "succeeded", "{said}");
    runtime.block_on(worker.stop());
    cluster.kill_coordinator();
    assert_eq!(trained(&output), expected, "the bytes of a gang over TCP");
    let ids = ids(&said);
    assert!(ids.len() >= 2, "the generation after the kill has an id of its own:\n{said}");
    assert!(ids.values().any(|ranks| ranks == "0 1"), "both ranks join by one id:\n{said}");
    assert!(said.contains("aborted"), "the survivor was let go:\n{said}");
}

/// What training left.
fn trained(output: &Output) -> (BTreeMap<String, String>, Vec<(u64, f64)>) {
    let mut digests = output.digests();
    digests.retain(|name, _| name.starts_with("checkpoints/") || name.starts_with("tokens/"));
    assert!(digests.keys().any(|name| name.starts_with("checkpoints/step-00000060")), "{digests:?}");
    (digests, output.losses())
}

/// For each id, the ranks that joined by it.
fn ids(said: &str) -> BTreeMap<&str, String> {
    let mut joined: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in said.lines() {
        if let ["joined", rank, id] = line.split(' ').collect::<Vec<_>>().as_slice() {
            joined.entry(id).or_default().push(rank);
        }
    }
    joined
        .into_iter()
        .map(|(id, mut ranks)| {
            ranks.sort_unstable();
            (id, ranks.join(" "))
        })
        .collect()
}

fn options(cluster: &Cluster<'_>, scene: &Scene, log: &Path) -> WorkerOptions {
    let binary = std::env::current_exe().expect("this binary");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let token = std::fs::read_to_string(scene.path("state/token")).expect("the coordinator's token");
    WorkerOptions {
        coordinator: cluster.address(),
        token: Some(token.trim().to_owned()),
        authority: None,
        name: WorkerId("fabric".to_owned()),
        host: "127.0.0.1".to_owned(),
        slots: 1,
        gang_slots: 2,
        memory_bytes: 0,
        gpus: 0,
        lends: Host {
            scratch: scene.path("scratch"),
            reporter: Arc::new(NoReport),
            roots: AllowedRoots::new(&[text(&scene.path(""))]).expect("a root"),
            models: Arc::default(),
        },
        keeps_pace: true,
        rank_command: vec![text(&binary), "rank".to_owned(), text(log)],
    }
}
