//! The worker's life: register, lease, heartbeat, drain.
//!
//! ```text
//!            ┌──────── Lease (long poll) ◀── a slot is free
//!  Register ─┤                └─▶ Assignment ─▶ execute.rs (data) or rank/seat.rs (training)
//!            └──────── Heartbeat, every heartbeat_ms ─▶ stop these attempts; drain
//!  Leave, when nothing is held any more
//! ```
//!
//! A worker trusts only how much time has passed since the coordinator last answered a heartbeat: after two thirds of
//! the lease without an answer it stops what it does, because by the whole lease its tasks belong to others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use orchestrator_core::{ErrorCode, StorePace};
use orchestrator_proto::is_unknown_session;
use orchestrator_proto::v1::{
    Assignment, Capacity, HeartbeatRequest, LeaseRequest, LeaveRequest, RegisterReply, RegisterRequest,
    StoreLoad,
};
use orchestrator_storage::Paces;
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::client::{Client, ConnectError, advice, client};
use crate::held::Held;
use crate::jobs::JobCache;
use crate::options::WorkerOptions;
use crate::{execute, rank};

/// How long one `Lease` call waits for work.
const LEASE_WAIT: Duration = Duration::from_secs(5);
/// Pause between attempts to reach a coordinator that does not answer.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between attempts to register; the first is `RECONNECT_PAUSE`, and each is twice the one before.
const REGISTER_PAUSE_MAX: Duration = Duration::from_secs(8);
/// How often it is said that a coordinator still does not take this worker.
const TOLD_AGAIN: Duration = Duration::from_mins(1);
/// How long a worker that goes waits for the answer to its good-bye: without it the coordinator finds out by itself.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);

/// What every part of a running worker shares.
pub(crate) struct Shared {
    pub(crate) options: WorkerOptions,
    pub(crate) client: Client,
    pub(crate) held: Held,
    pub(crate) jobs: JobCache,
    session: RwLock<Session>,
    draining: AtomicBool,
    /// Set once the coordinator has refused this worker's token.
    refused: OnceLock<Refused>,
    /// Ends calls for more tasks that wait: nobody will work on what they bring.
    abandon: CancellationToken,
}

/// The coordinator does not accept this worker's token. A worker reads its token once, so trying again cannot help.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the coordinator `{coordinator}` refuses this worker: {said}; name the file with the token of that coordinator with \
     `--token-file`"
)]
pub struct Refused {
    coordinator: String,
    said: String,
}

#[derive(Clone, Default)]
struct Session {
    id: String,
    lease: Duration,
    heartbeat: Duration,
}

impl Shared {
    pub(crate) async fn session(&self) -> String {
        self.session.read().await.id.clone()
    }

    /// How long a call about an attempt may be retried before the attempt is another's.
    pub(crate) async fn lease(&self) -> Duration {
        self.session.read().await.lease
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.held.freed.notify_waiters();
    }

    /// Ends all of this worker where the coordinator refused its token.
    fn heed_refusal(&self, status: &Status) {
        if is_unknown_session(status) || orchestrator_proto::error(status).code != ErrorCode::Unauthorized {
            return;
        }
        let (coordinator, said) = (self.options.coordinator.clone(), status.message().to_owned());
        // The first word of it stands.
        let _ = self.refused.set(Refused { coordinator, said });
        self.drain();
        self.abandon.cancel();
        self.held.stop_all();
    }
}

/// A worker that runs until it is drained.
pub struct Worker;

/// Speaks to a running worker.
pub struct Handle {
    shared: Arc<Shared>,
    service: tokio::task::JoinHandle<Result<(), Refused>>,
}

impl Worker {
    /// Starts a worker. It keeps trying to reach its coordinator until it is drained.
    pub fn start(options: WorkerOptions) -> Result<Handle, ConnectError> {
        let shared = Arc::new(Shared {
            client: client(&options)?,
            jobs: JobCache::new(options.lends.clone()),
            options,
            held: Held::default(),
            session: RwLock::default(),
            draining: AtomicBool::new(false),
            refused: OnceLock::new(),
            abandon: CancellationToken::new(),
        });
        let service = tokio::spawn(run(Arc::clone(&shared)));
        Ok(Handle { shared, service })
    }
}

impl Handle {
    /// Waits until the coordinator refuses this worker; for ever, if it never does.
    pub async fn refused(&mut self) -> Refused {
        match (&mut self.service).await {
            Ok(Err(refused)) => refused,
            // Only who drains or stops it, with this handle, ends it otherwise.
            Ok(Ok(())) | Err(_) => std::future::pending().await,
        }
    }

    /// Takes no more tasks, finishes the held ones, and returns. Ranks leave after a step, with a checkpoint.
    pub async fn drain(self) {
        self.shared.drain();
        self.shared.held.leave();
        let _ = self.service.await;
    }

    /// Gives every held attempt back and returns; a call for more tasks that is on its way is dropped.
    pub async fn stop(self) {
        self.shared.drain();
        self.shared.abandon.cancel();
        self.shared.held.stop_all();
        let _ = self.service.await;
    }
}

/// What a lease loop asks for. Tasks and seats are asked for apart: a call that waits is never cut off because a slot
/// was freed, or an assignment on its way back would be lost until its lease ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Tasks,
    Seats,
}

async fn run(shared: Arc<Shared>) -> Result<(), Refused> {
    if register(&shared).await {
        let heartbeats = tokio::spawn(heartbeats(Arc::clone(&shared)));
        tokio::join!(leases(&shared, Wanted::Tasks), leases(&shared, Wanted::Seats));
        heartbeats.abort();
    }
    if let Some(refused) = shared.refused.get() {
        return Err(refused.clone());
    }
    leave(&shared).await;
    Ok(())
}

/// Says good-bye, so that nobody waits for this worker's silence to last.
async fn leave(shared: &Arc<Shared>) {
    let session = shared.session().await;
    if session.is_empty() {
        return;
    }
    let request = LeaveRequest { session, worker: shared.options.name.0.clone() };
    let mut client = shared.client.clone();
    if let Ok(Err(status)) = tokio::time::timeout(LEAVE_PATIENCE, client.leave(request)).await {
        tracing::debug!(error = %status.message(), "the coordinator was not told that this worker leaves");
    }
}

/// Asks for work while there is room for some, and sees what it got to its end.
async fn leases(shared: &Arc<Shared>, wanted: Wanted) {
    let mut attempts = JoinSet::new();
    while !shared.is_draining() {
        while attempts.try_join_next().is_some() {}
        let freed = shared.held.freed.notified();
        // The bell does not ring twice: whoever drained before we listened is seen here.
        if shared.is_draining() {
            break;
        }
        let (tasks, ranks) = shared.held.taken();
        let (free_slots, free_gang_slots) = match wanted {
            Wanted::Tasks => (shared.options.slots.saturating_sub(tasks), 0),
            Wanted::Seats => (0, shared.options.gang_slots.saturating_sub(ranks)),
        };
        if free_slots + free_gang_slots == 0 {
            // Draining rings the same bell.
            freed.await;
            continue;
        }
        let leased = tokio::select! {
            leased = lease(shared, free_slots, free_gang_slots) => leased,
            () = shared.abandon.cancelled() => break,
        };
        for assignment in leased {
            spawn(shared, &mut attempts, assignment);
        }
    }
    while attempts.join_next().await.is_some() {}
}

fn spawn(shared: &Arc<Shared>, attempts: &mut JoinSet<()>, assignment: Assignment) {
    let shared = Arc::clone(shared);
    if assignment.seat.is_some() {
        attempts.spawn(rank::seat::take(shared, assignment));
    } else {
        attempts.spawn(execute::attempt(shared, assignment));
    }
}

/// Registers until the coordinator answers; false where that came to no end.
async fn register(shared: &Arc<Shared>) -> bool {
    let mut pause = RECONNECT_PAUSE;
    let mut told: Option<(String, Instant)> = None;
    loop {
        let Err(status) = try_register(shared).await else { return true };
        let drained = shared.held.freed.notified();
        if shared.is_draining() {
            return false;
        }
        let said = why(&status);
        if told.as_ref().is_none_or(|(before, at)| *before != said || at.elapsed() >= TOLD_AGAIN) {
            tracing::warn!(
                worker = %shared.options.name, coordinator = shared.options.coordinator, error = said,
                "the coordinator does not take this worker yet; trying on"
            );
            told = Some((said, Instant::now()));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = drained => {}
        }
        pause = (pause * 2).min(REGISTER_PAUSE_MAX);
    }
}

/// A failed call in words, with its causes.
fn why(status: &Status) -> String {
    let mut text = status.message().to_owned();
    if let Some(cause) = std::error::Error::source(status) {
        text = format!("{text}: {}", execute::chain(cause));
    }
    text + advice(status)
}

/// Registers; stops attempts that the coordinator says are no longer this worker's. An error is the coordinator's, or that
/// it did not answer.
async fn try_register(shared: &Arc<Shared>) -> Result<(), Status> {
    let options = &shared.options;
    let request = RegisterRequest {
        worker: options.name.0.clone(),
        host: options.host.clone(),
        capacity: Some(Capacity {
            slots: options.slots,
            memory_bytes: options.memory_bytes,
            gpus: options.gpus,
            gang_slots: options.gang_slots,
        }),
        held_attempts: shared.held.ids(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cpu_level: crate::cpu_level().to_owned(),
    };
    match shared.client.clone().register(request).await {
        Ok(reply) => {
            let RegisterReply { session, lease_ms, heartbeat_ms, lost_attempts } = reply.into_inner();
            shared.held.stop(&lost_attempts);
            // A coordinator with a new journal gives the same ids to other jobs.
            shared.jobs.forget();
            *shared.session.write().await = Session {
                id: session,
                lease: Duration::from_millis(lease_ms),
                heartbeat: Duration::from_millis(heartbeat_ms.max(10)),
            };
            tracing::info!(worker = %options.name, "registered");
            Ok(())
        }
        Err(status) => {
            shared.heed_refusal(&status);
            Err(status)
        }
    }
}

async fn lease(shared: &Arc<Shared>, free_slots: u32, free_gang_slots: u32) -> Vec<Assignment> {
    let request = LeaseRequest {
        session: shared.session().await,
        worker: shared.options.name.0.clone(),
        free_slots,
        free_gang_slots,
        wait_ms: LEASE_WAIT.as_millis() as u64,
        draining: false,
    };
    match shared.client.clone().lease(request).await {
        Ok(reply) => reply.into_inner().assignments,
        Err(status) => {
            recover(shared, &status).await;
            Vec::new()
        }
    }
}

/// Tells the coordinator that this worker lives, and stops what it holds once that was not acknowledged for two thirds
/// of the lease, counted from when the acknowledged call was made: the coordinator counts from when it heard it. No call
/// is waited for any longer, so that whoever waits for the coordinator meanwhile (a checkpoint, a gang) is bounded too.
async fn heartbeats(shared: Arc<Shared>) {
    let mut acknowledged = Instant::now();
    loop {
        let Session { id, lease, heartbeat } = shared.session.read().await.clone();
        tokio::time::sleep(heartbeat).await;
        let patience = lease * 2 / 3;
        let left = patience.saturating_sub(acknowledged.elapsed());
        // What was held is stopped by then: now a slow answer is better than none.
        let limit = if left.is_zero() { patience.max(heartbeat) } else { left };
        let asked = Instant::now();
        if tokio::time::timeout(limit, beat(&shared, id)).await.unwrap_or(false) {
            acknowledged = asked;
        } else if acknowledged.elapsed() >= patience && !shared.held.is_empty() {
            tracing::warn!(
                "no answer from the coordinator for two thirds of the lease: stopping what is held"
            );
            shared.held.stop_all();
        }
    }
}

/// One heartbeat, or a registration where the coordinator does not know this session. Tells whether it answered.
async fn beat(shared: &Arc<Shared>, session: String) -> bool {
    let keeps_pace = shared.options.keeps_pace;
    let loads = if keeps_pace { Paces::of_process().take_loads() } else { Vec::new() };
    let stores = loads.into_iter().map(|load| StoreLoad {
        store: load.store,
        requests: load.requests,
        throttled: load.throttled,
        over_ms: load.over_ms,
    });
    let request = HeartbeatRequest {
        session,
        worker: shared.options.name.0.clone(),
        attempts: shared.held.report(),
        draining: shared.is_draining(),
        stores: stores.collect(),
    };
    match shared.client.clone().heartbeat(request).await {
        Ok(reply) => {
            let reply = reply.into_inner();
            shared.held.stop(&reply.stop);
            if keeps_pace {
                let paces = reply.paces.into_iter();
                let paces = paces.map(|pace| StorePace { store: pace.store, interval_us: pace.interval_us });
                Paces::of_process().set(&paces.collect::<Vec<_>>());
            }
            if reply.drain {
                shared.drain();
            }
            true
        }
        Err(status) if is_unknown_session(&status) => match try_register(shared).await {
            Ok(()) => true,
            Err(status) => {
                tracing::debug!(error = why(&status), "the coordinator does not take this worker again yet");
                false
            }
        },
        Err(status) => {
            shared.heed_refusal(&status);
            false
        }
    }
}

/// Waits a moment after a failed call. The heartbeat loop registers again where that is needed.
pub(crate) async fn recover(shared: &Arc<Shared>, status: &Status) {
    tracing::debug!(error = %status.message(), "a call to the coordinator failed");
    let pause =
        if is_unknown_session(status) { shared.session.read().await.heartbeat } else { RECONNECT_PAUSE };
    tokio::time::sleep(pause).await;
}
