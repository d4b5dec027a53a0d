//! The `Workers` service.

use std::time::Duration;

use orchestrator_core::{AttemptId, ErrorCode, FencingToken, JobId, StoreLoad, WorkerId};
use orchestrator_proto::v1::workers_server::Workers;
use orchestrator_proto::v1::{
    Assignment, CommitCheckpointReply, CommitCheckpointRequest, CommitReply, CommitRequest, FailReply,
    FailRequest, FailureKind, GangSeat, HeartbeatReply, HeartbeatRequest, JoinGangReply, JoinGangRequest,
    LeaseReply, LeaseRequest, LeaveReply, LeaveRequest, RegisterReply, RegisterRequest, SaveReply,
    SaveRequest, StorePace,
};
use orchestrator_proto::{WAIT_MS_MAX, outcome_from_wire, savepoint_from_wire, savepoint_to_wire, status};
use orchestrator_scheduler::{
    self as scheduler, Answer, AttemptRef, Caller, Capacity, Event, Progress, RankProgress, Registration,
};
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};

use super::misfit;
use crate::desk::Desk;
use crate::publish::attempt_path;

/// The longest name that a worker may have, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Object stores that one call may name.
const STORES_MAX: usize = 256;
/// Attempts that one call may name.
const ATTEMPTS_MAX: usize = 10_000;
/// The longest text of progress that is kept, in bytes.
const PROGRESS_BYTES_MAX: usize = 16 << 10;

pub(crate) struct WorkersService {
    pub(crate) desk: Desk,
    pub(crate) lease_ms: u64,
    pub(crate) heartbeat_ms: u64,
}

#[tonic::async_trait]
impl Workers for WorkersService {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterReply>, Status> {
        let request = request.into_inner();
        check(&request.worker, request.held_attempts.len())?;
        let capacity = request.capacity.unwrap_or_default();
        let registration = Registration {
            worker: WorkerId(request.worker),
            host: request.host,
            capacity: Capacity {
                slots: capacity.slots,
                gang_slots: capacity.gang_slots,
                memory_bytes: capacity.memory_bytes,
                gpus: capacity.gpus,
            },
            held: request.held_attempts.into_iter().map(AttemptId).collect(),
            version: request.version,
            cpu_level: request.cpu_level,
        };
        match self.desk.ask(Event::Register(registration)).await? {
            Answer::Registered { session, lost } => Ok(Response::new(RegisterReply {
                session,
                lease_ms: self.lease_ms,
                heartbeat_ms: self.heartbeat_ms,
                lost_attempts: lost.into_iter().map(|attempt| attempt.0).collect(),
            })),
            _ => Err(misfit()),
        }
    }

    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseReply>, Status> {
        let LeaseRequest { session, worker, free_slots, free_gang_slots: _, wait_ms, draining } =
            request.into_inner();
        let deadline = deadline(wait_ms);
        let mut woken = self.desk.woken.clone();
        loop {
            woken.mark_unchanged();
            let caller = Caller { worker: WorkerId(worker.clone()), session: session.clone() };
            let event = Event::Lease { caller, free_slots, draining };
            let Answer::Leased(assignments) = self.desk.ask(event).await? else {
                return Err(misfit());
            };
            let wait = assignments.is_empty()
                && timeout_at(deadline, woken.changed()).await.is_ok_and(|woken| woken.is_ok());
            if !wait {
                let assignments = assignments.into_iter().map(assignment).collect();
                return Ok(Response::new(LeaseReply { assignments }));
            }
        }
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatReply>, Status> {
        let HeartbeatRequest { session, worker, attempts, draining, stores } = request.into_inner();
        check(&worker, attempts.len())?;
        let attempts = attempts
            .into_iter()
            .map(|attempt| {
                let rank = attempt.rank.map(|rank| RankProgress {
                    step: rank.step,
                    phase: short(rank.phase),
                    collective: rank.collective,
                    metrics: short(rank.metrics),
                    phase_order: rank.phase_order,
                    work: rank.work,
                    silent_ms: rank.silent_ms,
                });
                let progress = Progress { records: attempt.records, bytes: attempt.bytes, rank };
                (AttemptId(attempt.attempt), FencingToken(attempt.fencing_token), progress)
            })
            .collect();
        let caller = Caller { worker: WorkerId(worker), session };
        let stores = stores.into_iter().take(STORES_MAX).filter(|load| load.store.len() <= NAME_BYTES_MAX);
        let stores = stores
            .map(|load| StoreLoad {
                store: load.store,
                requests: load.requests,
                throttled: load.throttled,
                over_ms: load.over_ms,
            })
            .collect();
        match self.desk.ask(Event::Heartbeat { caller, attempts, draining, stores }).await? {
            Answer::Renewed { stop, paces } => {
                let stop = stop.into_iter().map(|attempt| attempt.0).collect();
                // Nothing asks a worker to drain yet but its own signals.
                let paces = paces
                    .into_iter()
                    .map(|pace| StorePace { store: pace.store, interval_us: pace.interval_us })
                    .collect();
                Ok(Response::new(HeartbeatReply { stop, drain: false, paces }))
            }
            _ => Err(misfit()),
        }
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<CommitReply>, Status> {
        let CommitRequest { session, worker, job, attempt, fencing_token, outcome } = request.into_inner();
        let outcome = outcome_from_wire(&outcome).map_err(|error| status(ErrorCode::InvalidInput, error))?;
        let attempt = attempt_ref(session, worker, job, attempt, fencing_token);
        self.desk.ask(Event::Commit { attempt, outcome }).await?;
        Ok(Response::new(CommitReply {}))
    }

    async fn save(&self, request: Request<SaveRequest>) -> Result<Response<SaveReply>, Status> {
        let SaveRequest { session, worker, job, attempt, fencing_token, savepoint } = request.into_inner();
        let savepoint =
            savepoint_from_wire(savepoint).map_err(|error| status(ErrorCode::InvalidInput, error))?;
        let attempt = attempt_ref(session, worker, job, attempt, fencing_token);
        self.desk.ask(Event::Save { attempt, savepoint }).await?;
        Ok(Response::new(SaveReply {}))
    }

    async fn fail(&self, request: Request<FailRequest>) -> Result<Response<FailReply>, Status> {
        let request = request.into_inner();
        let kind = match request.kind() {
            FailureKind::Error | FailureKind::Unspecified => scheduler::FailureKind::Error,
            FailureKind::Permanent => scheduler::FailureKind::Permanent,
            FailureKind::Released => scheduler::FailureKind::Released,
            FailureKind::PeerLost => scheduler::FailureKind::PeerLost,
        };
        let FailRequest { session, worker, job, attempt, fencing_token, kind: _, error } = request;
        let attempt = attempt_ref(session, worker, job, attempt, fencing_token);
        self.desk.ask(Event::Fail { attempt, kind, error }).await?;
        Ok(Response::new(FailReply {}))
    }

    async fn join_gang(&self, request: Request<JoinGangRequest>) -> Result<Response<JoinGangReply>, Status> {
        let JoinGangRequest { session, worker, job, attempt, fencing_token, address, nccl_id, wait_ms } =
            request.into_inner();
        let deadline = deadline(wait_ms);
        let mut woken = self.desk.woken.clone();
        let attempt = attempt_ref(session, worker, job, attempt, fencing_token);
        loop {
            woken.mark_unchanged();
            let event = Event::JoinGang {
                attempt: attempt.clone(),
                address: address.clone(),
                nccl_id: nccl_id.clone(),
            };
            match self.desk.ask(event).await? {
                Answer::Formed { addresses, nccl_id } => {
                    return Ok(Response::new(JoinGangReply { complete: true, addresses, nccl_id }));
                }
                Answer::Waiting => {}
                _ => return Err(misfit()),
            }
            if !timeout_at(deadline, woken.changed()).await.is_ok_and(|woken| woken.is_ok()) {
                return Ok(Response::new(JoinGangReply::default()));
            }
        }
    }

    async fn commit_checkpoint(
        &self,
        request: Request<CommitCheckpointRequest>,
    ) -> Result<Response<CommitCheckpointReply>, Status> {
        let request = request.into_inner();
        let attempt =
            attempt_ref(request.session, request.worker, request.job, request.attempt, request.fencing_token);
        let event = Event::CommitCheckpoint {
            attempt: attempt.clone(),
            step: request.step,
            path: request.path,
            attempt_path: request.attempt_path,
            manifest: request.manifest,
        };
        let mut changed = self.desk.changed.clone();
        let Answer::Checkpoint { phase, mut published } = self.desk.ask(event).await? else {
            return Err(misfit());
        };
        // The trainer may delete older checkpoints once this one exists, so it has to: the reply waits for that. The
        // scheduler holds one checkpoint at a time, and it is this one until it is published or replaced.
        while !published {
            changed.mark_unchanged();
            let (job, step) = (attempt.job.clone(), request.step);
            let look = move |scheduler: &scheduler::Scheduler| {
                let gang = scheduler.state().phase(&job, phase).and_then(|phase| phase.gang.clone());
                gang.and_then(|gang| gang.checkpoint)
                    .is_none_or(|checkpoint| checkpoint.step != step || checkpoint.published)
            };
            published = self.desk.look(look).await?;
            if !published && changed.changed().await.is_err() {
                return Err(status(ErrorCode::Unavailable, "the coordinator is stopping"));
            }
        }
        Ok(Response::new(CommitCheckpointReply {}))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveReply>, Status> {
        let LeaveRequest { session, worker } = request.into_inner();
        let caller = Caller { worker: WorkerId(worker), session };
        self.desk.ask(Event::Leave { caller }).await?;
        Ok(Response::new(LeaveReply {}))
    }
}

fn attempt_ref(session: String, worker: String, job: String, attempt: u64, token: u64) -> AttemptRef {
    AttemptRef {
        caller: Caller { worker: WorkerId(worker), session },
        job: JobId(job),
        attempt: AttemptId(attempt),
        token: FencingToken(token),
    }
}

fn assignment(assignment: scheduler::Assignment) -> Assignment {
    let attempt_path = attempt_path(&assignment.place, assignment.attempt);
    Assignment {
        job: assignment.place.job.0,
        phase: assignment.place.phase,
        task: assignment.place.task,
        attempt: assignment.attempt.0,
        fencing_token: assignment.token.0,
        output: assignment.output,
        attempt_path,
        spec: assignment.spec,
        resume: assignment.resume.as_ref().map(savepoint_to_wire),
        seat: assignment.seat.map(|seat| GangSeat {
            rank: seat.rank,
            world_size: seat.world_size,
            generation: seat.generation,
            resume_from: seat.resume_from,
            gpus: seat.gpus,
        }),
    }
}

fn deadline(wait_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(wait_ms.min(WAIT_MS_MAX))
}

fn check(worker: &str, attempts: usize) -> Result<(), Status> {
    if worker.is_empty() || worker.len() > NAME_BYTES_MAX {
        let text = format!("a worker's name has {} bytes, expected 1 to {NAME_BYTES_MAX}", worker.len());
        return Err(status(ErrorCode::InvalidInput, text));
    }
    if attempts > ATTEMPTS_MAX {
        return Err(status(
            ErrorCode::InvalidInput,
            format!("{attempts} attempts, expected at most {ATTEMPTS_MAX}"),
        ));
    }
    Ok(())
}

fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(PROGRESS_BYTES_MAX));
    text
}
