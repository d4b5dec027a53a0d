//! A planner and workers small enough to see through, speaking real gRPC to a real coordinator.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use orchestrator_coordinator::{
    Coordinator, CoordinatorOptions, Expansion, Handle, PhaseKind, PhaseSpec, PlanError, PlannedJob,
    PlannedStage, Planner,
};
use orchestrator_core::{Digest, FileKind, FileRecord, StageTally, TaskOutcome};
use orchestrator_proto::v1::jobs_client::JobsClient;
use orchestrator_proto::v1::workers_client::WorkersClient;
use orchestrator_proto::v1::{
    Assignment, Capacity, CommitRequest, HeartbeatRequest, JobState, LeaseRequest, RegisterRequest,
};
use orchestrator_storage::{RelativePath, Store};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

/// Tasks of the first phase.
pub(crate) const TASKS: u32 = 12;

/// Plans `OUTPUT|VARIANT`: a phase of many tasks, then one that adds up what they left.
pub(crate) struct SumPlanner;

impl Planner for SumPlanner {
    fn plan(&self, resolved_job: &str) -> Result<PlannedJob, PlanError> {
        let (output, variant) = resolved_job.split_once('|').ok_or_else(|| PlanError("no `|`".into()))?;
        let phase = |name: &str, fingerprint: String| PhaseSpec {
            name: name.into(),
            kind: PhaseKind::Tasks,
            fingerprint,
        };
        let stage = |name: &str, index: u32| PlannedStage {
            name: name.into(),
            phase: index,
            manifests: vec![format!("stages/{index:02}-{name}/manifest.json")],
            fingerprint: Digest(u128::from(index)),
            inputs: Vec::new(),
        };
        Ok(PlannedJob {
            name: "sum".into(),
            output: output.into(),
            max_attempts: 3,
            yaml: resolved_job.into(),
            frozen: "[]".into(),
            phases: vec![phase("map", "map".into()), phase("sum", format!("sum {variant}"))],
            stages: vec![stage("map", 0), stage("sum", 1)],
            products: Vec::new(),
        })
    }

    fn expand(&self, _: &str, phase: u32, committed: &[Vec<TaskOutcome>]) -> Result<Expansion, PlanError> {
        if phase == 0 {
            let tasks = (0..TASKS).map(|task| format!("0 {task}")).collect();
            return Ok(Expansion { tasks, ..Expansion::default() });
        }
        let sum: u64 = committed[0].iter().filter_map(|outcome| outcome.detail.as_u64()).sum();
        Ok(Expansion { tasks: vec![format!("1 {sum}")], ..Expansion::default() })
    }

    fn differences(&self, before: &str, after: &str) -> Result<Vec<String>, PlanError> {
        Ok(if before == after { Vec::new() } else { vec![format!("`{before}` is now `{after}`")] })
    }

    fn differences_from_yaml(&self, yaml: &str, after: &str) -> Result<Vec<String>, PlanError> {
        self.differences(yaml, after)
    }
}

/// A coordinator in a runtime of its own, so that it can be killed with all that it has begun.
pub(crate) struct Victim {
    state: PathBuf,
    embedded: bool,
    running: Option<(Runtime, Handle)>,
    address: watch::Sender<SocketAddr>,
}

impl Victim {
    pub(crate) fn start(state: &Path, embedded: bool) -> Self {
        let mut victim = Self {
            state: state.to_owned(),
            embedded,
            running: None,
            address: watch::Sender::new(SocketAddr::from(([127, 0, 0, 1], 1))),
        };
        victim.restart();
        victim
    }

    pub(crate) fn restart(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let options = CoordinatorOptions {
            lease_ms: 2_000,
            heartbeat_ms: 200,
            embedded: self.embedded,
            ..CoordinatorOptions::new(&self.state)
        };
        let handle = runtime.block_on(Coordinator::start(options, Arc::new(SumPlanner))).expect("it starts");
        self.address.send_replace(handle.address());
        self.running = Some((runtime, handle));
    }

    /// Drops everything in the middle of what it does.
    pub(crate) fn kill(&mut self) {
        if let Some((runtime, handle)) = self.running.take() {
            std::mem::forget(handle); // nothing is said to its tasks: they vanish with the runtime
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    pub(crate) fn address(&self) -> watch::Receiver<SocketAddr> {
        self.address.subscribe()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address")
        .timeout(Duration::from_secs(5))
        .connect_lazy()
}

pub(crate) fn jobs(address: SocketAddr) -> JobsClient<Channel> {
    JobsClient::new(channel(address))
}

/// A worker that works until it is dropped, through any number of coordinators.
pub(crate) async fn work(name: &str, address: watch::Receiver<SocketAddr>) {
    loop {
        // A broken connection or an unknown session: start again with whoever is there now.
        let current = *address.borrow();
        let _ = work_once(name, current).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn work_once(name: &str, address: SocketAddr) -> Result<(), tonic::Status> {
    let mut client = WorkersClient::new(channel(address));
    let session = register(&mut client, name).await?;
    loop {
        let request = LeaseRequest {
            session: session.clone(),
            worker: name.into(),
            free_slots: 2,
            wait_ms: 500,
            ..LeaseRequest::default()
        };
        let reply = client.lease(request).await?.into_inner();
        for assignment in reply.assignments {
            let outcome = execute(&assignment);
            client.commit(commit(name, &session, &assignment, &outcome)).await?;
        }
        client
            .heartbeat(HeartbeatRequest {
                session: session.clone(),
                worker: name.into(),
                ..Default::default()
            })
            .await?;
    }
}

pub(crate) async fn register(
    client: &mut WorkersClient<Channel>,
    name: &str,
) -> Result<String, tonic::Status> {
    let request = RegisterRequest {
        worker: name.into(),
        capacity: Some(Capacity { slots: 4, ..Capacity::default() }),
        version: "1".into(),
        ..RegisterRequest::default()
    };
    Ok(client.register(request).await?.into_inner().session)
}

pub(crate) fn commit(
    worker: &str,
    session: &str,
    assignment: &Assignment,
    outcome: &TaskOutcome,
) -> CommitRequest {
    CommitRequest {
        session: session.into(),
        worker: worker.into(),
        job: assignment.job.clone(),
        attempt: assignment.attempt,
        fencing_token: assignment.fencing_token,
        outcome: orchestrator_proto::outcome_to_wire(outcome).expect("it is small"),
    }
}

/// Writes one file that depends on the spec alone.
pub(crate) fn execute(assignment: &Assignment) -> TaskOutcome {
    let store = Store::open(&assignment.output).expect("a store");
    let stage = assignment.phase;
    let name = if stage == 0 { "map" } else { "sum" };
    let path = format!("stages/{stage:02}-{name}/part-{:05}.parquet", assignment.task);
    let to = RelativePath::new(format!("{}/{path}", assignment.attempt_path)).expect("a path");
    let written = store.put_atomic(&to, assignment.spec.as_bytes()).expect("put");
    let number: u64 =
        assignment.spec.split_once(' ').and_then(|(_, number)| number.parse().ok()).expect("a number");
    let mut tally = StageTally { stage, records_in: 1, kept: 1, ..StageTally::default() };
    tally.kept_digest.push(u128::from(number));
    let file =
        FileRecord { stage, kind: FileKind::Part, path, rows: 1, bytes: written.bytes, xxh3: written.xxh3 };
    TaskOutcome { files: vec![file], tallies: vec![tally], detail: number.into(), ..TaskOutcome::default() }
}

/// Every file that a reader may look at, with its bytes.
pub(crate) fn results(output: &Path) -> Vec<(String, Vec<u8>)> {
    let store = Store::open(output.to_str().expect("UTF-8")).expect("a store");
    let list = store.list(&RelativePath::root()).expect("a list");
    list.into_iter()
        .filter(|entry| entry.path.as_str().starts_with("stages/"))
        .map(|entry| (entry.path.to_string(), store.read_all(&entry.path, 1 << 20).expect("a file")))
        .collect()
}

pub(crate) async fn state_of(address: SocketAddr, job: &str) -> Option<JobState> {
    let request = orchestrator_proto::v1::DescribeRequest { job: job.into() };
    let detail = jobs(address).describe(request).await.ok()?.into_inner();
    detail.summary.map(|summary| summary.state())
}
