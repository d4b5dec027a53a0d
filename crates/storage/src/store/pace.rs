//! How fast this process may ask each object store, as its cluster has agreed.
//!
//! ```text
//!  every request, each retry too ─▶ gate of its store ─ waits for its turn ─▶ HTTP ─▶ answer: 429 or 503 is counted
//!                                      ▲ interval                                └ counts ─▶ heartbeat ─▶ coordinator
//!                                      └──────────────────────── share of the pace ◀──────────────┘
//! ```
//!
//! A throttled request is repeated by the object-store client, with a back-off of its own; but each client only knows of
//! itself, and the retries of many workers are what keeps a store throttling. See `docs/decisions/storage-pace.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use orchestrator_core::{StoreLoad, StorePace};

/// The longest time between two requests that is obeyed: whatever is said, work goes on.
const INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Stores that a process is paced for; one that asks more of them is not paced for the others.
const STORES_MAX: usize = 256;

/// The gates of all stores that a process asks.
#[derive(Default)]
pub struct Paces {
    gates: Mutex<BTreeMap<String, Arc<Gate>>>,
}

/// A process has one identity for a store, however many handles of it are open: so it has one gate for each.
static OF_PROCESS: LazyLock<Paces> = LazyLock::new(Paces::default);

impl Paces {
    /// Those of this process.
    pub fn of_process() -> &'static Self {
        &OF_PROCESS
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Gate>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gate of a store.
    pub(super) fn gate(&self, store: &str) -> Arc<Gate> {
        let mut gates = self.lock();
        if let Some(gate) = gates.get(store) {
            return Arc::clone(gate);
        }
        let gate = Arc::new(Gate::default());
        if gates.len() < STORES_MAX {
            gates.insert(store.to_owned(), Arc::clone(&gate));
        }
        gate
    }

    /// What was asked since the last call, of stores that were asked anything.
    pub fn take_loads(&self) -> Vec<StoreLoad> {
        let now = Instant::now();
        let gates = self.lock();
        let loads = gates.iter().map(|(store, gate)| gate.take_load(store, now));
        loads.filter(|load| load.requests > 0).collect()
    }

    /// Sets how fast stores may be asked. Those that are not named may be asked as fast as they answer.
    pub fn set(&self, paces: &[StorePace]) {
        let now = Instant::now();
        for (store, gate) in self.lock().iter() {
            let pace = paces.iter().find(|pace| pace.store == *store);
            let interval = pace.map_or(Duration::ZERO, |pace| Duration::from_micros(pace.interval_us));
            gate.set(interval.min(INTERVAL_MAX), now);
        }
    }
}

/// Lets requests to one store pass, one by one.
#[derive(Debug)]
pub(super) struct Gate {
    requests: AtomicU64,
    throttled: AtomicU64,
    turns: Mutex<Turns>,
}

#[derive(Debug)]
struct Turns {
    interval: Duration,
    /// When the next request may pass.
    next: Instant,
    /// When the counts were last taken.
    told: Instant,
}

impl Default for Gate {
    fn default() -> Self {
        let now = Instant::now();
        let turns = Turns { interval: Duration::ZERO, next: now, told: now };
        Self { requests: AtomicU64::new(0), throttled: AtomicU64::new(0), turns: Mutex::new(turns) }
    }
}

impl Gate {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a request that comes now may pass.
    fn turn(&self, now: Instant) -> Instant {
        let mut turns = self.turns();
        let turn = turns.next.max(now);
        turns.next = turn + turns.interval;
        turn
    }

    fn set(&self, interval: Duration, now: Instant) {
        let mut turns = self.turns();
        turns.interval = interval;
        // Those who wait keep their turns; whoever comes next need not wait for a slower pace of before.
        turns.next = turns.next.min(now + interval);
    }

    fn take_load(&self, store: &str, now: Instant) -> StoreLoad {
        let told = std::mem::replace(&mut self.turns().told, now);
        StoreLoad {
            store: store.to_owned(),
            requests: self.requests.swap(0, Ordering::Relaxed),
            throttled: self.throttled.swap(0, Ordering::Relaxed),
            over_ms: u64::try_from(now.saturating_duration_since(told).as_millis()).unwrap_or(u64::MAX),
        }
    }

    async fn pass(&self) {
        let now = Instant::now();
        let turn = self.turn(now);
        if turn > now {
            tokio::time::sleep_until(turn.into()).await;
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes HTTP clients that pass through a gate.
pub(super) struct PacedConnector(pub(super) Arc<Gate>);

impl fmt::Debug for PacedConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PacedConnector")
    }
}

impl HttpConnector for PacedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(PacedClient { gate: Arc::clone(&self.0), client }))
    }
}

#[derive(Debug)]
struct PacedClient {
    gate: Arc<Gate>,
    client: HttpClient,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for PacedClient {
    // What the trait's macro makes of an `async fn`.
    fn call<'life0, 'async_trait>(&'life0 self, request: HttpRequest) -> Answer<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            self.gate.pass().await;
            let answer = self.client.execute(request).await?;
            // Too many requests, and what S3 calls `SlowDown` and Azure `ServerBusy`.
            if matches!(answer.status().as_u16(), 429 | 503) {
                self.gate.throttled.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_wait_for_their_turns_and_a_new_pace_counts_at_once() {
        let paces = Paces::default();
        let gate = paces.gate("s3://bucket");
        let now = Instant::now();
        assert_eq!((gate.turn(now), gate.turn(now)), (now, now), "nothing was said yet");
        let second = StorePace { store: "s3://bucket".into(), interval_us: 1_000_000 };
        paces.set(std::slice::from_ref(&second));
        let turns: Vec<Instant> = (0..5).map(|_| gate.turn(now)).collect();
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_secs(1)), "{turns:?}");
        paces.set(&[StorePace { interval_us: 1_000, ..second.clone() }]);
        assert!(gate.turn(now) < now + Duration::from_millis(500), "five seconds are forgotten");
        paces.set(&[StorePace { interval_us: u64::MAX, ..second }]);
        gate.turn(now);
        assert!(gate.turn(now) < now + INTERVAL_MAX * 2, "work goes on whatever is said");
        paces.set(&[]);
        let later = now + Duration::from_mins(1);
        assert_eq!((gate.turn(later), gate.turn(later)), (later, later), "the store is free again");
    }

    #[test]
    fn every_store_is_told_of_once() {
        let paces = Paces::default();
        let (first, same, other) = (paces.gate("s3://a"), paces.gate("s3://a"), paces.gate("s3://b"));
        first.requests.fetch_add(2, Ordering::Relaxed);
        same.requests.fetch_add(3, Ordering::Relaxed);
        same.throttled.fetch_add(1, Ordering::Relaxed);
        drop(other);
        let loads = paces.take_loads();
        assert_eq!(loads.len(), 1, "of what was not asked nothing is told");
        assert_eq!((loads[0].requests, loads[0].throttled), (5, 1));
        assert!(paces.take_loads().is_empty());
    }
}
