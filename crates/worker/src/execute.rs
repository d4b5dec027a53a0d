//! One attempt at a data task: run it on a blocking thread, then commit it or give it back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator_core::{AttemptId, ErrorCode, FencingToken, JobId, TaskOutcome};
use orchestrator_job::TaskSpec;
use orchestrator_pipeline::{Progress, Resume, TaskContext, TaskError};
use orchestrator_proto::is_unknown_session;
use orchestrator_proto::v1::{Assignment, CommitRequest, FailRequest, FailureKind};
use tokio::sync::Notify;

use crate::held::HeldAttempt;
use crate::saves::{self, Saves};
use crate::service::{Shared, recover};

/// How an attempt ended without an outcome.
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) error: String,
    /// How long the worker keeps to itself before it gives the attempt back.
    pub(crate) pause: Option<Duration>,
}

/// How long a task waits before it is tried again on a full disk.
pub(crate) const FULL_PAUSE: Duration = Duration::from_secs(10);

impl Failure {
    fn of(error: &(dyn std::error::Error + 'static), code: ErrorCode) -> Self {
        let kind = match code {
            // A full disk is nobody's fault and no attempt's: the task waits for room, see `attempt`.
            ErrorCode::StaleLease | ErrorCode::Exhausted => FailureKind::Released,
            ErrorCode::InvalidInput | ErrorCode::Unauthorized => FailureKind::Permanent,
            ErrorCode::NotFound | ErrorCode::Conflict | ErrorCode::Unavailable | ErrorCode::Internal => {
                FailureKind::Error
            }
        };
        Self { kind, error: chain(error), pause: (code == ErrorCode::Exhausted).then_some(FULL_PAUSE) }
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Runs an assignment to its end and tells the coordinator. It counts as held from this call on: a call for more tasks
/// that was made with every slot taken would wait, and not hear that one of them is free again.
pub(crate) fn attempt(shared: Arc<Shared>, assignment: Assignment) -> impl Future<Output = ()> + Send {
    let id = AttemptId(assignment.attempt);
    let progress = Arc::new(Progress::default());
    shared.held.insert(
        id,
        HeldAttempt {
            fencing_token: FencingToken(assignment.fencing_token),
            progress: Arc::clone(&progress),
            rank: None,
            stopped: Arc::new(Notify::new()),
            leaving: Arc::new(Notify::new()),
        },
    );
    async move {
        let work = {
            let (shared, assignment) = (Arc::clone(&shared), assignment.clone());
            // A panic is a bug of ours; it fails the attempt by name instead of taking the worker down.
            tokio::task::spawn_blocking(move || {
                std::panic::catch_unwind(AssertUnwindSafe(|| run(&shared, &assignment, &progress)))
            })
        };
        let result = match work.await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => {
                Err(Failure { kind: FailureKind::Error, error: panic_text(panic.as_ref()), pause: None })
            }
            Err(error) => Err(Failure { kind: FailureKind::Error, error: error.to_string(), pause: None }),
        };
        match result {
            Ok(outcome) => commit(&shared, &assignment, &outcome).await,
            Err(failure) => give_back(&shared, &assignment, failure).await,
        }
        shared.held.remove(id);
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    format!("the task panicked, which is a bug of the orchestrator: {text}")
}

fn run(
    shared: &Arc<Shared>,
    assignment: &Assignment,
    progress: &Arc<Progress>,
) -> Result<TaskOutcome, Failure> {
    let spec: TaskSpec = serde_json::from_str(&assignment.spec).map_err(|error| Failure {
        kind: FailureKind::Permanent,
        error: format!("the task's description cannot be read: {error}"),
        pause: None,
    })?;
    let job = shared.jobs.open(&JobId(assignment.job.clone()), &assignment.output).map_err(|error| {
        let code = match &error {
            crate::jobs::JobError::Storage(error) => error.code(),
            crate::jobs::JobError::Job(_) => ErrorCode::InvalidInput,
        };
        Failure::of(&error, code)
    })?;
    let saves = Arc::new(Saves::new(shared, assignment, progress));
    let context = TaskContext {
        job,
        attempt_path: assignment.attempt_path.clone(),
        phase: spec.phase,
        progress: Arc::clone(progress),
        resume: Resume { from: saves::resume(assignment), sink: Some(Arc::clone(&saves) as _) },
    };
    let result = orchestrator_pipeline::run(&context, &spec);
    if result.is_err() {
        // Nobody will read what a failed attempt wrote, but its savepoints; what stays after a crash is `gc`'s.
        let _ = saves.tidy(&context.job.output);
    }
    result.map_err(|error: TaskError| Failure::of(&error, error.code()))
}

/// Asks for the commit until there is an answer or the lease must be over.
pub(crate) async fn commit(shared: &Arc<Shared>, assignment: &Assignment, outcome: &TaskOutcome) {
    let outcome = match orchestrator_proto::outcome_to_wire(outcome) {
        Ok(outcome) => outcome,
        Err(error) => {
            let failure = Failure { kind: FailureKind::Error, error: error.to_string(), pause: None };
            return give_back(shared, assignment, failure).await;
        }
    };
    let deadline = deadline(shared).await;
    loop {
        let request = CommitRequest {
            session: shared.session().await,
            worker: shared.options.name.0.clone(),
            job: assignment.job.clone(),
            attempt: assignment.attempt,
            fencing_token: assignment.fencing_token,
            outcome: outcome.clone(),
        };
        match shared.client.clone().commit(request).await {
            Ok(_) => return,
            Err(status) => match orchestrator_proto::error(&status).code {
                ErrorCode::StaleLease | ErrorCode::NotFound => {
                    tracing::info!(
                        attempt = assignment.attempt,
                        "the commit came too late: the task is another's"
                    );
                    return;
                }
                ErrorCode::InvalidInput | ErrorCode::Internal | ErrorCode::Unauthorized => {
                    let failure =
                        Failure { kind: FailureKind::Error, error: status.message().to_owned(), pause: None };
                    return give_back(shared, assignment, failure).await;
                }
                ErrorCode::Conflict | ErrorCode::Exhausted | ErrorCode::Unavailable => {
                    if Instant::now() > deadline {
                        return;
                    }
                    recover(shared, &status).await;
                }
            },
        }
    }
}

/// Tells the coordinator that this attempt is over. If it cannot be told, the lease runs out by itself.
pub(crate) async fn give_back(shared: &Arc<Shared>, assignment: &Assignment, failure: Failure) {
    let Assignment { job, phase, task, attempt, .. } = assignment;
    if let Some(pause) = failure.pause {
        // Of the crate and not of this module: `run` leaves what this module says to the coordinator, which says nothing of
        // tasks that are given back.
        tracing::warn!(
            target: "orchestrator_worker",
            job, phase, task, attempt, error = failure.error,
            "a task waits for room and is then tried again by itself"
        );
        tokio::time::sleep(pause).await;
    } else {
        tracing::warn!(
            job,
            phase,
            task,
            attempt,
            error = failure.error,
            "an attempt ended without an outcome"
        );
    }
    let deadline = deadline(shared).await;
    loop {
        let request = FailRequest {
            session: shared.session().await,
            worker: shared.options.name.0.clone(),
            job: assignment.job.clone(),
            attempt: assignment.attempt,
            fencing_token: assignment.fencing_token,
            kind: failure.kind.into(),
            error: failure.error.clone(),
        };
        let Err(status) = shared.client.clone().fail(request).await else { return };
        // A coordinator that restarted does not know the session until the heartbeats have registered it again.
        let again = orchestrator_proto::error(&status).code.is_transient() || is_unknown_session(&status);
        if !again || Instant::now() > deadline {
            return;
        }
        recover(shared, &status).await;
    }
}

async fn deadline(shared: &Arc<Shared>) -> Instant {
    // A coordinator that restarts gives every lease whole again, so one lease more than ours is worth waiting for.
    Instant::now() + (shared.lease().await * 2).max(Duration::from_secs(5))
}
