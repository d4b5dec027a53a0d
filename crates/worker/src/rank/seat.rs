//! The worker's side of a rank: starts the process, joins the gang for it, carries its words to the coordinator.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::{AttemptId, ErrorCode, FencingToken};
use orchestrator_job::{TaskSpec, Work};
use orchestrator_pipeline::Progress;
use orchestrator_proto::v1::{Assignment, CommitCheckpointRequest, FailureKind, GangSeat, JoinGangRequest};
use tokio::sync::Notify;

use crate::execute::{FULL_PAUSE, Failure, commit, give_back};
use crate::held::{HeldAttempt, HeldRank};
use crate::rank::process::RankProcess;
use crate::rank::{FailedKind, FromRank, Start, ToRank};
use crate::service::{Shared, recover};

/// How long one `JoinGang` call waits for the rest of the gang.
const JOIN_WAIT: Duration = Duration::from_secs(10);

/// Runs one rank to its end and tells the coordinator. It counts as held from this call on.
pub(crate) fn take(shared: Arc<Shared>, assignment: Assignment) -> impl Future<Output = ()> + Send {
    let id = AttemptId(assignment.attempt);
    let stopped = Arc::new(Notify::new());
    let leaving = Arc::new(Notify::new());
    let progress = Arc::new(Progress::default());
    let gpus = assignment.seat.as_ref().map_or(0, |seat| seat.gpus);
    let gpu = if gpus > 0 { shared.held.free_gpu(shared.options.gpus) } else { None };
    let rank = Arc::new(HeldRank::new(gpu));
    shared.held.insert(
        id,
        HeldAttempt {
            fencing_token: FencingToken(assignment.fencing_token),
            progress,
            rank: Some(Arc::clone(&rank)),
            stopped: Arc::clone(&stopped),
            leaving: Arc::clone(&leaving),
        },
    );
    async move {
        match run(&shared, &assignment, &rank, &stopped, &leaving).await {
            Ok(outcome) => commit(&shared, &assignment, &outcome).await,
            Err(failure) => give_back(&shared, &assignment, failure).await,
        }
        shared.held.remove(id);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand in errors and texts they just made")]
pub(crate) fn failure(kind: FailureKind, error: impl ToString) -> Failure {
    Failure { kind, error: error.to_string(), pause: None }
}

async fn run(
    shared: &Arc<Shared>,
    assignment: &Assignment,
    rank: &Arc<HeldRank>,
    stopped: &Notify,
    leaving: &Notify,
) -> Result<orchestrator_core::TaskOutcome, Failure> {
    let seat = assignment.seat.clone().unwrap_or_default();
    let spec: TaskSpec = serde_json::from_str(&assignment.spec).map_err(|error| {
        failure(FailureKind::Permanent, format!("the task's description cannot be read: {error}"))
    })?;
    let Work::Train { stage } = spec.work else {
        return Err(failure(FailureKind::Permanent, "only training runs as a gang"));
    };
    if seat.gpus > 0 && rank.gpu.is_none() {
        let error =
            format!("the rank was given a GPU, and all {} of this worker are taken", shared.options.gpus);
        return Err(failure(FailureKind::Error, error));
    }
    let mut process = RankProcess::start(shared, Arc::clone(rank))?;
    let start = Start { gpu: rank.gpu, ..start(shared, assignment, &seat, stage) };
    process.send(&ToRank::Start(Box::new(start))).await?;
    loop {
        let message = tokio::select! {
            message = process.receive() => message?,
            () = stopped.notified() => return Err(process.stop().await),
            () = leaving.notified() => {
                process.send(&ToRank::Stop).await?;
                continue;
            }
        };
        match message {
            FromRank::Listening { port, nccl_id } => {
                let address = format!("{}:{port}", shared.options.host);
                let peers = tokio::select! {
                    peers = join(shared, assignment, address, nccl_id) => peers?,
                    () = stopped.notified() => return Err(process.stop().await),
                };
                process.send(&peers).await?;
            }
            FromRank::Progress(_) | FromRank::Metrics(_) => {} // noted as they were read
            FromRank::Joined { over, because } => {
                let because = because.unwrap_or_default();
                tracing::info!(
                    job = assignment.job,
                    rank = seat.rank,
                    generation = seat.generation,
                    over,
                    because,
                    "the gang is joined"
                );
            }
            FromRank::Checkpoint { step, path, attempt_path, manifest } => {
                // The coordinator may be away, or wait for room in storage: for as long as the lease is ours, we wait.
                tokio::select! {
                    committed = commit_checkpoint(shared, assignment, step, path, attempt_path, manifest) => committed?,
                    () = stopped.notified() => return Err(process.stop().await),
                }
                process.send(&ToRank::CheckpointCommitted { step }).await?;
            }
            FromRank::Done { outcome } => return Ok(*outcome),
            FromRank::Failed { kind, error } => {
                let pause = (kind == FailedKind::NoRoom).then_some(FULL_PAUSE);
                return Err(Failure { pause, ..failure(kind.into(), error) });
            }
        }
    }
}

fn start(shared: &Shared, assignment: &Assignment, seat: &GangSeat, stage: u32) -> Start {
    Start {
        output: assignment.output.clone(),
        attempt_path: assignment.attempt_path.clone(),
        stage,
        rank: seat.rank,
        world_size: seat.world_size,
        generation: seat.generation,
        resume_from: seat.resume_from.clone(),
        host: shared.options.host.clone(),
        scratch: shared.options.lends.scratch.to_string_lossy().into_owned(),
        roots: shared.options.lends.roots.names(),
        gpu: None,
    }
}

impl From<FailedKind> for FailureKind {
    fn from(kind: FailedKind) -> Self {
        match kind {
            FailedKind::Error => Self::Error,
            FailedKind::Permanent => Self::Permanent,
            FailedKind::PeerLost => Self::PeerLost,
            // A full disk is no attempt's fault.
            FailedKind::Released | FailedKind::NoRoom => Self::Released,
        }
    }
}

/// Waits until the whole gang has joined.
async fn join(
    shared: &Arc<Shared>,
    assignment: &Assignment,
    address: String,
    nccl_id: Vec<u8>,
) -> Result<ToRank, Failure> {
    loop {
        let request = JoinGangRequest {
            session: shared.session().await,
            worker: shared.options.name.0.clone(),
            job: assignment.job.clone(),
            attempt: assignment.attempt,
            fencing_token: assignment.fencing_token,
            address: address.clone(),
            nccl_id: nccl_id.clone(),
            wait_ms: JOIN_WAIT.as_millis() as u64,
        };
        match shared.client.clone().join_gang(request).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                if reply.complete {
                    return Ok(ToRank::Peers { addresses: reply.addresses, nccl_id: reply.nccl_id });
                }
            }
            Err(status) => {
                let error = orchestrator_proto::error(&status);
                if error.code == ErrorCode::StaleLease || error.code == ErrorCode::InvalidInput {
                    return Err(failure(FailureKind::Released, error.message));
                }
                recover(shared, &status).await;
            }
        }
    }
}

async fn commit_checkpoint(
    shared: &Arc<Shared>,
    assignment: &Assignment,
    step: u64,
    path: String,
    attempt_path: String,
    manifest: String,
) -> Result<(), Failure> {
    loop {
        let request = CommitCheckpointRequest {
            session: shared.session().await,
            worker: shared.options.name.0.clone(),
            job: assignment.job.clone(),
            attempt: assignment.attempt,
            fencing_token: assignment.fencing_token,
            step,
            path: path.clone(),
            attempt_path: attempt_path.clone(),
            manifest: manifest.clone(),
        };
        match shared.client.clone().commit_checkpoint(request).await {
            Ok(_) => return Ok(()),
            Err(status) => {
                let error = orchestrator_proto::error(&status);
                match error.code {
                    ErrorCode::Conflict | ErrorCode::Exhausted | ErrorCode::Unavailable => {
                        recover(shared, &status).await;
                    }
                    ErrorCode::StaleLease | ErrorCode::NotFound => {
                        return Err(failure(FailureKind::Released, error.message));
                    }
                    ErrorCode::InvalidInput | ErrorCode::Unauthorized | ErrorCode::Internal => {
                        return Err(failure(FailureKind::Error, error.message));
                    }
                }
            }
        }
    }
}
