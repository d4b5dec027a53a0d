//! A fabric for machines without devices: rank 0's id says where the ranks meet, and nothing else does.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use orchestrator_core::Digest;
use orchestrator_model::Device;
use orchestrator_train::{Collective, CollectiveError};
use orchestrator_worker::collective::{Abort, Fabric, Joined, Listener, Seat, Secret, TcpCollective};

/// As long as NCCL's.
const ID_LENGTH: usize = 128;

pub(crate) struct Loopback {
    log: PathBuf,
    /// Where ranks come to meet; rank 0's alone.
    meeting: Mutex<Option<TcpListener>>,
}

impl Loopback {
    pub(crate) fn new(log: &Path) -> Self {
        Self { log: log.to_owned(), meeting: Mutex::default() }
    }
}

fn say(log: &Path, line: &str) {
    let mut file = File::options().create(true).append(true).open(log).expect("a log");
    file.write_all(format!("{line}\n").as_bytes()).expect("a line");
}

fn failed(error: impl std::fmt::Display) -> CollectiveError {
    CollectiveError::Device(error.to_string())
}

impl Fabric for Loopback {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn identify(&self, _: Device) -> Result<String, String> {
        Ok(format!("process {}", std::process::id()))
    }

    fn new_id(&self) -> Result<Vec<u8>, CollectiveError> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        *self.meeting.lock().map_err(failed)? = Some(listener);
        let mut id = vec![0; ID_LENGTH];
        id[..2].copy_from_slice(&port.to_le_bytes());
        id[2..6].copy_from_slice(&std::process::id().to_le_bytes());
        Ok(id)
    }

    fn join(&self, seat: Seat<'_>) -> Result<Joined, CollectiveError> {
        assert_eq!(seat.id.len(), ID_LENGTH, "the whole id came through");
        let listener = Listener::bind("127.0.0.1").map_err(failed)?;
        let own = listener.port().map_err(failed)?;
        let meeting = self.meeting.lock().map_err(failed)?.take();
        let ports = match meeting {
            Some(meeting) => host(&meeting, own, seat.world_size),
            None => visit(u16::from_le_bytes([seat.id[0], seat.id[1]]), seat.rank, own, seat.world_size),
        }
        .map_err(failed)?;
        let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let secret = Secret(std::array::from_fn(|at| seat.id[at]));
        let inner = TcpCollective::connect(seat.rank, &addresses, &secret, &listener)?;
        say(&self.log, &format!("joined {} {}", seat.rank, Digest::of(seat.id)));
        let aborted = Arc::new((Mutex::new(false), Condvar::new()));
        let (ended, log, rank) = (Arc::clone(&aborted), self.log.clone(), seat.rank);
        let abort: Abort = Arc::new(move || {
            say(&log, &format!("aborted {rank}"));
            if let Ok(mut is_aborted) = ended.0.lock() {
                *is_aborted = true;
            }
            ended.1.notify_all();
        });
        Ok(Joined { collective: Box::new(Unaware { inner, aborted }), abort })
    }
}

/// Rank 0 hears where each rank listens and tells all.
fn host(meeting: &TcpListener, own: u16, world_size: usize) -> std::io::Result<Vec<u16>> {
    let mut ports = vec![own; world_size];
    let mut guests = Vec::new();
    while guests.len() + 1 < world_size {
        let (mut guest, _) = meeting.accept()?;
        let mut hello = [0; 4];
        guest.read_exact(&mut hello)?;
        ports[usize::from(u16::from_le_bytes([hello[0], hello[1]]))] =
            u16::from_le_bytes([hello[2], hello[3]]);
        guests.push(guest);
    }
    let table: Vec<u8> = ports.iter().flat_map(|port| port.to_le_bytes()).collect();
    for mut guest in guests {
        guest.write_all(&table)?;
    }
    Ok(ports)
}

fn visit(meeting: u16, rank: usize, own: u16, world_size: usize) -> std::io::Result<Vec<u16>> {
    let mut host = TcpStream::connect(("127.0.0.1", meeting))?;
    let mut hello = (rank as u16).to_le_bytes().to_vec();
    hello.extend(own.to_le_bytes());
    host.write_all(&hello)?;
    let mut table = vec![0; 2 * world_size];
    host.read_exact(&mut table)?;
    Ok(table.chunks(2).map(|port| u16::from_le_bytes([port[0], port[1]])).collect())
}

/// Waits for lost peers until it is aborted.
struct Unaware {
    inner: TcpCollective,
    aborted: Arc<(Mutex<bool>, Condvar)>,
}

impl Collective for Unaware {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn world_size(&self) -> usize {
        self.inner.world_size()
    }

    fn exchange(&mut self, outgoing: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let exchanged = self.inner.exchange(outgoing);
        if let Err(CollectiveError::PeerLost { .. }) = exchanged {
            let (is_aborted, bell) = &*self.aborted;
            let waited = bell.wait_while(is_aborted.lock().map_err(failed)?, |aborted| !*aborted);
            drop(waited);
            return Err(failed("the group was aborted"));
        }
        exchanged
    }
}
