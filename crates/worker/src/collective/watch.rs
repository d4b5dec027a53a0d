//! A fabric's group, with TCP connections beside it that tell who is still there.
//!
//! A fabric waits for a lost peer for ever. The connections over which the ranks agreed stay open: one that closes
//! without a farewell is a lost peer, and the group is aborted at once.
//!
//! ```text
//!  rank a ── operation 7 over the fabric ──────▶ waits for b
//!         ◀─ connection to b closes ─ b died     abort ─▶ operation 7 returns `PeerLost`
//!  farewell: FAREWELL, number of the last operation; no loss to a rank that is not past that operation
//! ```

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use orchestrator_train::{Collective, CollectiveError};

use super::fabric::{Abort, Fabric, Joined, Seat};
use super::sealed::Reader;
use super::tcp::{Farewell, TcpCollective};

/// How long a rank that is done waits for the others' farewells before it takes the group away.
const PARTING: Duration = Duration::from_secs(30);

/// What the watching threads and the rank share.
struct State {
    /// The rank's operation, from 1; the last one it entered.
    entered: AtomicU64,
    /// The first peer that was lost, and how.
    lost: OnceLock<(usize, String)>,
    /// By peer: the last operation of one that said farewell.
    left: Vec<OnceLock<u64>>,
    /// Set once the group is joined; a loss before that is found by `join`.
    abort: Mutex<Option<Abort>>,
}

impl State {
    fn lose(&self, peer: usize, how: &str) {
        if self.lost.set((peer, how.to_owned())).is_ok()
            && let Some(abort) = &*self.abort.lock().unwrap_or_else(PoisonError::into_inner)
        {
            abort();
        }
    }

    /// A peer that left before the operation that this rank is in will not come to it.
    fn look(&self) {
        let entered = self.entered.load(Ordering::SeqCst);
        for (peer, left) in self.left.iter().enumerate() {
            if left.get().is_some_and(|last| *last < entered) {
                self.lose(peer, "it left the gang");
            }
        }
    }

    fn loss(&self) -> Option<CollectiveError> {
        let (rank, problem) = self.lost.get()?;
        Some(CollectiveError::PeerLost { rank: *rank, problem: problem.clone() })
    }

    /// Reads what a peer has to say, which is nothing until its farewell.
    fn watch(&self, peer: usize, mut reader: Reader) {
        match Farewell::read(&mut reader) {
            Ok(Farewell { last }) => {
                let _ = self.left[peer].set(last); // it is said once
                self.look();
            }
            Err(error) => self.lose(peer, &format!("its connection is closed: {error}")),
        }
    }
}

/// One rank of a fabric's group that hears of lost peers.
pub(super) struct Watched {
    /// Taken by `drop`, before the connections close.
    inner: Option<Box<dyn Collective>>,
    tcp: TcpCollective,
    state: Arc<State>,
    watchers: Vec<JoinHandle<()>>,
    streams: Vec<TcpStream>,
    rank: usize,
    world_size: usize,
}

impl Watched {
    /// Joins the fabric's group under watch.
    pub(super) fn join(
        tcp: TcpCollective,
        fabric: &dyn Fabric,
        seat: Seat<'_>,
    ) -> Result<Self, CollectiveError> {
        let state = Arc::new(State {
            entered: AtomicU64::new(0),
            lost: OnceLock::new(),
            left: (0..seat.world_size).map(|_| OnceLock::new()).collect(),
            abort: Mutex::default(),
        });
        let failed = |error: std::io::Error| CollectiveError::Device(error.to_string());
        let mut watched = Self {
            inner: None,
            tcp,
            state,
            watchers: Vec::new(),
            streams: Vec::new(),
            rank: seat.rank,
            world_size: seat.world_size,
        };
        for (peer, reader) in watched.tcp.take_readers() {
            watched.streams.push(reader.stream().try_clone().map_err(failed)?);
            let state = Arc::clone(&watched.state);
            let watcher = thread::Builder::new()
                .name(format!("watch-rank-{peer}"))
                .spawn(move || state.watch(peer, reader));
            watched.watchers.push(watcher.map_err(failed)?);
        }
        let Joined { collective, abort } = fabric.join(seat)?;
        watched.inner = Some(collective);
        *watched.state.abort.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&abort));
        // A peer may have been lost while nobody could be told to abort.
        match watched.state.loss() {
            Some(loss) => {
                abort();
                Err(loss)
            }
            None => Ok(watched),
        }
    }
}

impl Collective for Watched {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.world_size
    }

    fn exchange(&mut self, outgoing: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.state.entered.fetch_add(1, Ordering::SeqCst);
        self.state.look();
        if let Some(loss) = self.state.loss() {
            return Err(loss);
        }
        let Some(inner) = &mut self.inner else {
            return Err(CollectiveError::Device("the group was left".to_owned()));
        };
        // What an abort does to the operation is not its cause.
        inner.exchange(outgoing).map_err(|error| self.state.loss().unwrap_or(error))
    }
}

impl Drop for Watched {
    /// Waits for the others before the group goes: a device may still be reading what this one sent last.
    fn drop(&mut self) {
        self.tcp.say_farewell(Farewell { last: self.state.entered.load(Ordering::SeqCst) });
        let deadline = Instant::now() + PARTING;
        let waiting = |watcher: &JoinHandle<()>| !watcher.is_finished();
        while self.state.lost.get().is_none()
            && self.watchers.iter().any(waiting)
            && Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(2));
        }
        self.inner = None;
        for stream in &self.streams {
            let _ = stream.shutdown(Shutdown::Read); // wakes the watcher of a peer that said nothing
        }
        for watcher in self.watchers.drain(..) {
            let _ = watcher.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_model::Device;
    use orchestrator_train::collective::LocalCollective;

    use super::super::fabric::{Choice, choose};
    use super::super::tcp::tests::group;
    use super::*;

    /// Threads as devices, which wait for a lost peer until they are aborted, as NCCL does.
    struct Threads(Mutex<Vec<Option<LocalCollective>>>);

    struct Waiting {
        inner: LocalCollective,
        aborted: Arc<OnceLock<()>>,
    }

    impl Collective for Waiting {
        fn rank(&self) -> usize {
            self.inner.rank()
        }

        fn world_size(&self) -> usize {
            self.inner.world_size()
        }

        fn exchange(&mut self, outgoing: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
            let result = self.inner.exchange(outgoing);
            if let Err(CollectiveError::PeerLost { .. }) = result {
                self.aborted.wait();
                return Err(CollectiveError::Device("aborted".to_owned()));
            }
            result
        }
    }

    impl Fabric for Threads {
        fn name(&self) -> &'static str {
            "threads"
        }

        fn identify(&self, _: Device) -> Result<String, String> {
            unreachable!("the tests hand in identities")
        }

        fn new_id(&self) -> Result<Vec<u8>, CollectiveError> {
            Ok(Vec::new())
        }

        fn join(&self, seat: Seat<'_>) -> Result<Joined, CollectiveError> {
            let inner = self.0.lock().expect("no panic")[seat.rank].take().expect("once");
            let aborted = Arc::new(OnceLock::new());
            let abort = Arc::clone(&aborted);
            let abort: Abort = Arc::new(move || {
                let _ = abort.set(());
            });
            Ok(Joined { collective: Box::new(Waiting { inner, aborted }), abort })
        }
    }

    fn chosen(world_size: usize, identity: impl Fn(usize) -> Result<String, String> + Sync) -> Vec<Choice> {
        let fabric = Threads(Mutex::new(LocalCollective::group(world_size).into_iter().map(Some).collect()));
        thread::scope(|scope| {
            let ranks: Vec<_> = group(world_size)
                .into_iter()
                .enumerate()
                .map(|(rank, tcp)| {
                    let (fabric, identity) = (&fabric, &identity);
                    let seat = Seat { device: Device::Cpu, rank, world_size, id: &[] };
                    scope.spawn(move || choose(tcp, fabric, identity(rank), seat).expect("all are there"))
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().expect("no panic")).collect()
        })
    }

    #[test]
    fn a_watched_group_conforms_and_lost_peers_are_noticed() {
        orchestrator_train::collective::conformance::conformance(&mut |world_size| {
            let choices = chosen(world_size, |rank| Ok(rank.to_string()));
            let expected = if world_size == 1 { "tcp" } else { "threads" };
            assert!(choices.iter().all(|choice| choice.over == expected && choice.because.is_none()));
            choices.into_iter().map(|choice| choice.collective).collect()
        });
    }

    #[test]
    fn one_rank_without_a_device_sends_all_to_tcp() {
        let without =
            |rank: usize| if rank == 1 { Err("no device".to_owned()) } else { Ok(rank.to_string()) };
        let choices = chosen(3, without);
        for choice in &choices {
            assert_eq!((choice.over, choice.because.as_deref()), ("tcp", Some("rank 1: no device")));
        }
        thread::scope(|scope| {
            for mut choice in choices {
                scope.spawn(move || choice.collective.barrier().expect("all are there"));
            }
        });
    }
}
