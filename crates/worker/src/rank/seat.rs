//! The worker's side of a rank: starts the process, joins the gang for it, carries its words to the coordinator.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use orchestrator_core::{AttemptId, ErrorCode, FencingToken};
use orchestrator_job::{TaskSpec, Work};
use orchestrator_pipeline::Progress;
use orchestrator_proto::v1::{
    Assignment, CommitCheckpointRequest, FailureKind, GangSeat, JoinGangRequest, RankProgress,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Notify;

use crate::execute::{Failure, commit, give_back};
use crate::held::HeldAttempt;
use crate::rank::{FailedKind, FromRank, Start, ToRank};
use crate::service::{Shared, recover};

/// How long a rank that was told to stop may take for its last checkpoint before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long one `JoinGang` call waits for the rest of the gang.
const JOIN_WAIT: Duration = Duration::from_secs(10);

/// Runs one rank to its end and tells the coordinator. It counts as held from this call on.
pub(crate) fn take(shared: Arc<Shared>, assignment: Assignment) -> impl Future<Output = ()> + Send {
    let id = AttemptId(assignment.attempt);
    let stopped = Arc::new(Notify::new());
    let leaving = Arc::new(Notify::new());
    let progress = Arc::new(Progress::default());
    let rank = Arc::new(Mutex::new(None));
    shared.held.insert(
        id,
        HeldAttempt {
            fencing_token: FencingToken(assignment.fencing_token),
            is_rank: true,
            progress,
            rank: Arc::clone(&rank),
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
fn failure(kind: FailureKind, error: impl ToString) -> Failure {
    Failure { kind, error: error.to_string(), pause: None }
}

async fn run(
    shared: &Arc<Shared>,
    assignment: &Assignment,
    progress: &Mutex<Option<RankProgress>>,
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
    let mut process = RankProcess::start(shared)?;
    process.send(&ToRank::Start(Box::new(start(shared, assignment, &seat, stage)))).await?;
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
            FromRank::Progress { step, phase, collective, metrics } => {
                let metrics = metrics.unwrap_or_default();
                let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                // Metrics come with the step's last message alone; the ones after must not wipe them.
                let metrics = match progress.take() {
                    Some(before) if metrics.is_empty() => before.metrics,
                    _ => metrics,
                };
                *progress = Some(RankProgress { step, phase, collective, metrics });
            }
            FromRank::Checkpoint { step, path, attempt_path, manifest } => {
                commit_checkpoint(shared, assignment, step, path, attempt_path, manifest).await?;
                process.send(&ToRank::CheckpointCommitted { step }).await?;
            }
            FromRank::Done { outcome } => return Ok(*outcome),
            FromRank::Failed { kind, error } => return Err(failure(kind.into(), error)),
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
        scratch: shared.options.scratch.to_string_lossy().into_owned(),
        gpus: shared.options.gpus,
    }
}

impl From<FailedKind> for FailureKind {
    fn from(kind: FailedKind) -> Self {
        match kind {
            FailedKind::Error => Self::Error,
            FailedKind::Permanent => Self::Permanent,
            FailedKind::PeerLost => Self::PeerLost,
            FailedKind::Released => Self::Released,
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

/// A running rank process and the two pipes to it.
struct RankProcess {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl RankProcess {
    fn start(shared: &Shared) -> Result<Self, Failure> {
        let lost =
            |what: &str| failure(FailureKind::Error, format!("a rank process could not be started: {what}"));
        let [program, arguments @ ..] = shared.options.rank_command.as_slice() else {
            return Err(lost("no command is set"));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| lost(&format!("`{program}`: {error}")))?;
        let input = child.stdin.take().ok_or_else(|| lost("no standard input"))?;
        let output = child.stdout.take().ok_or_else(|| lost("no standard output"))?;
        Ok(Self { child, input, output: BufReader::new(output).lines() })
    }

    async fn send(&mut self, message: &ToRank) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(message).map_err(|error| failure(FailureKind::Error, error))?;
        line.push(b'\n');
        match self.input.write_all(&line).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended().await),
        }
    }

    async fn receive(&mut self) -> Result<FromRank, Failure> {
        match self.output.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line).map_err(|error| {
                failure(FailureKind::Error, format!("a rank said something else than a message: {error}"))
            }),
            Ok(None) | Err(_) => Err(self.ended().await),
        }
    }

    /// The process is gone without a word: says how.
    async fn ended(&mut self) -> Failure {
        let how = match tokio::time::timeout(STOP_GRACE, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it closed its output and hangs".to_owned(),
        };
        failure(FailureKind::Error, format!("the rank process ended without an outcome: {how}"))
    }

    /// Asks the process to leave, and kills it if it does not.
    async fn stop(mut self) -> Failure {
        let _ = self.send(&ToRank::Stop).await;
        if tokio::time::timeout(STOP_GRACE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        failure(FailureKind::Released, "the rank was told to stop")
    }
}
