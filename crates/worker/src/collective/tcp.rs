//! Ranks over TCP: a sealed connection between every two of them.
//!
//! ```text
//!  rank i ──calls, with its rank and the world size──▶ every rank below i      (`sealed` says how)
//!  frame: operation number (u64), length (u64), bytes; little-endian
//! ```
//!
//! Each peer has a writer thread, so that two ranks that send each other more than the sockets hold do not wait for each
//! other for ever. A peer that dies closes its sockets, which every survivor sees in the operation it is in.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use orchestrator_train::collective::check_outgoing;
use orchestrator_train::{Collective, CollectiveError};

use super::sealed::{self, Reader, Writer};

/// Bytes of a caller's hello: rank, world size.
const HELLO_BYTES: usize = 16;
/// How long ranks look for each other. The coordinator lets them go only once all have joined.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A frame longer than this is none of ours: 2³³ bytes are the gradients of two thousand million parameters.
const MAX_FRAME_BYTES: u64 = 1 << 33;
/// The operation number of a farewell.
const FAREWELL: u64 = u64::MAX;
/// Messages handed to a writer and not yet written.
const IN_FLIGHT: usize = 2;

/// Shared by the ranks of one generation, and by nobody else: it comes through the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

/// Where a rank can be reached before it knows its peers.
pub struct Listener(TcpListener);

impl Listener {
    /// Binds a port that the system chooses, on the address of `host` alone.
    pub fn bind(host: &str) -> std::io::Result<Self> {
        let failed = |error: std::io::Error| {
            std::io::Error::new(error.kind(), format!("no rank can listen on `{host}`: {error}"))
        };
        // An IPv6 address may stand in brackets, as in a URL.
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<SocketAddr> = (plain, 0).to_socket_addrs().map_err(failed)?.collect();
        Ok(Self(TcpListener::bind(addresses.as_slice()).map_err(failed)?))
    }

    /// The port.
    pub fn port(&self) -> std::io::Result<u16> {
        Ok(self.0.local_addr()?.port())
    }
}

/// One rank of a group.
pub struct TcpCollective {
    rank: usize,
    /// By rank; none for this one.
    peers: Vec<Option<Peer>>,
    operation: u64,
}

struct Peer {
    /// None once it was taken to be watched.
    reader: Option<Reader>,
    /// None once the peer is let go.
    writer: Option<SyncSender<Vec<u8>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Peer {
    /// Lets the writer send what was handed to it: a rank that is done first must not take its last message along.
    fn drop(&mut self) {
        self.writer = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl TcpCollective {
    /// Connects this rank with all others. `addresses` are the ranks' listeners, by rank.
    pub fn connect(
        rank: usize,
        addresses: &[String],
        secret: &Secret,
        listener: &Listener,
    ) -> Result<Self, CollectiveError> {
        let world_size = addresses.len();
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let mut peers: Vec<Option<Peer>> = (0..world_size).map(|_| None).collect();
        for (peer, address) in addresses.iter().enumerate().take(rank) {
            let stream = dial(peer, address, deadline)?;
            peers[peer] = Some(greet(stream, rank, world_size, secret).map_err(lost(peer))?);
        }
        let mut missing = world_size - rank - 1;
        listener.0.set_nonblocking(true).map_err(lost(rank))?;
        while missing > 0 {
            let (stream, _) = match listener.0.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if Instant::now() > deadline {
                        let absent =
                            (rank + 1..world_size).find(|&peer| peers[peer].is_none()).unwrap_or(rank);
                        return Err(lost(absent)("it did not connect in time"));
                    }
                    thread::sleep(Duration::from_millis(5));
                    continue;
                }
                Err(error) => return Err(lost(rank)(error)),
            };
            // A stranger is shown the door and does not count.
            if let Ok((peer, connected)) = welcome(stream, world_size, secret)
                && peer > rank
                && peers[peer].is_none()
            {
                peers[peer] = Some(connected);
                missing -= 1;
            }
        }
        Ok(Self { rank, peers, operation: 0 })
    }
}

impl TcpCollective {
    /// Takes the connections to read from, by peer: nothing is exchanged over them any more.
    pub(super) fn take_readers(&mut self) -> Vec<(usize, Reader)> {
        let peers = self.peers.iter_mut().enumerate();
        peers.filter_map(|(rank, peer)| Some((rank, peer.as_mut()?.reader.take()?))).collect()
    }

    /// Tells every peer that this rank leaves in order. One that is gone cannot be told.
    pub(super) fn say_farewell(&self, farewell: Farewell) {
        for writer in self.peers.iter().flatten().filter_map(|peer| peer.writer.as_ref()) {
            let mut frame = FAREWELL.to_le_bytes().to_vec();
            frame.extend_from_slice(&farewell.last.to_le_bytes());
            let _ = writer.send(frame);
        }
    }
}

/// The last word of a rank that leaves in order.
#[derive(Clone, Copy)]
pub(super) struct Farewell {
    /// The number of its last operation.
    pub(super) last: u64,
}

impl Farewell {
    /// Waits for a farewell.
    pub(super) fn read(reader: &mut Reader) -> std::io::Result<Self> {
        let mut frame = [0; 16];
        reader.read_exact(&mut frame)?;
        let [word, last] = numbers(frame);
        if word != FAREWELL {
            let problem = format!("operation {word} where only a farewell was expected");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
        }
        Ok(Self { last })
    }
}

/// The error for a lost peer, with what was seen.
fn lost<E: std::fmt::Display>(rank: usize) -> impl Fn(E) -> CollectiveError {
    move |problem| CollectiveError::PeerLost { rank, problem: problem.to_string() }
}

fn dial(peer: usize, address: &str, deadline: Instant) -> Result<TcpStream, CollectiveError> {
    loop {
        let attempt = address
            .to_socket_addrs()
            .and_then(|mut addresses| addresses.next().ok_or_else(|| std::io::ErrorKind::NotFound.into()))
            .and_then(|address| TcpStream::connect_timeout(&address, Duration::from_secs(5)));
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline => {
                return Err(lost(peer)(format!("`{address}`: {error}")));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Two numbers, as they travel.
fn numbers(bytes: [u8; 16]) -> [u64; 2] {
    [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte])))
}

/// Says who calls, and makes sure of who listens.
fn greet(stream: TcpStream, rank: usize, world_size: usize, secret: &Secret) -> std::io::Result<Peer> {
    // The listener may still be calling others itself.
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let hello = [(rank as u64).to_le_bytes(), (world_size as u64).to_le_bytes()].concat();
    start(sealed::call(stream, secret, &hello)?)
}

/// Hears who calls.
fn welcome(stream: TcpStream, world_size: usize, secret: &Secret) -> std::io::Result<(usize, Peer)> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_nodelay(true)?;
    let (rank, reader, writer) = sealed::answer(stream, secret, |hello| {
        let [rank, world] = numbers(<[u8; HELLO_BYTES]>::try_from(hello).ok()?);
        (world == world_size as u64 && rank < world).then_some(rank as usize)
    })?;
    Ok((rank, start((reader, writer))?))
}

/// Starts the writer thread of a connection.
fn start((reader, mut sink): (Reader, Writer)) -> std::io::Result<Peer> {
    reader.stream().set_read_timeout(None)?;
    let (writer, messages): (_, Receiver<Vec<u8>>) = sync_channel(IN_FLIGHT);
    let thread = thread::Builder::new().name("collective-writer".to_owned()).spawn(move || {
        for message in messages {
            if sink.write_all(&message).is_err() {
                // The reader sees the same loss and reports it.
                break;
            }
        }
        sink.finish();
    })?;
    Ok(Peer { reader: Some(reader), writer: Some(writer), thread: Some(thread) })
}

impl Collective for TcpCollective {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.peers.len()
    }

    fn exchange(&mut self, mut outgoing: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, CollectiveError> {
        check_outgoing(self, &outgoing)?;
        self.operation += 1;
        let mut incoming: Vec<Vec<u8>> = Vec::with_capacity(self.peers.len());
        for (rank, peer) in self.peers.iter().enumerate() {
            let Some(peer) = peer else { continue };
            let payload = std::mem::take(&mut outgoing[rank]);
            let mut header = Vec::with_capacity(16);
            header.extend_from_slice(&self.operation.to_le_bytes());
            header.extend_from_slice(&(payload.len() as u64).to_le_bytes());
            for message in [header, payload] {
                let sent = peer.writer.as_ref().map(|writer| writer.send(message));
                if !matches!(sent, Some(Ok(()))) {
                    return Err(lost(rank)("its connection is closed"));
                }
            }
        }
        for (rank, peer) in self.peers.iter_mut().enumerate() {
            incoming.push(match peer {
                Some(Peer { reader: Some(reader), .. }) => receive(rank, reader, self.operation)?,
                Some(_) => return Err(lost(rank)("its connection is watched")),
                None => std::mem::take(&mut outgoing[rank]),
            });
        }
        Ok(incoming)
    }
}

fn receive(rank: usize, reader: &mut Reader, operation: u64) -> Result<Vec<u8>, CollectiveError> {
    let mut header = [0; 16];
    reader.read_exact(&mut header).map_err(lost(rank))?;
    let [found, length] = numbers(header);
    if found != operation || length > MAX_FRAME_BYTES {
        let problem = format!("operation {found} with {length} bytes: expected operation {operation}");
        return Err(CollectiveError::Protocol { rank, problem });
    }
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).map_err(lost(rank))?;
    if (bytes.len() as u64) < length {
        return Err(lost(rank)("it closed its connection in the middle of a message"));
    }
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    pub(in crate::collective) fn group(world_size: usize) -> Vec<TcpCollective> {
        let secret = Secret([7; 32]);
        let listeners: Vec<Listener> =
            (0..world_size).map(|_| Listener::bind("127.0.0.1").expect("a free port")).collect();
        let addresses: Vec<String> = listeners
            .iter()
            .map(|listener| format!("127.0.0.1:{}", listener.port().expect("it is bound")))
            .collect();
        thread::scope(|scope| {
            let ranks: Vec<_> = listeners
                .iter()
                .enumerate()
                .map(|(rank, listener)| {
                    let (addresses, secret) = (&addresses, &secret);
                    scope.spawn(move || TcpCollective::connect(rank, addresses, secret, listener))
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().expect("no panic").expect("all are there")).collect()
        })
    }

    #[test]
    fn connections_conform() {
        orchestrator_train::collective::conformance::conformance(&mut |world_size| {
            group(world_size).into_iter().map(|rank| Box::new(rank) as _).collect()
        });
    }

    #[test]
    fn a_stranger_does_not_get_in() {
        let secret = Secret([7; 32]);
        let listener = Listener::bind("127.0.0.1").expect("a free port");
        let address = format!("127.0.0.1:{}", listener.port().expect("it is bound"));
        let own = "127.0.0.1:1".to_owned();
        thread::scope(|scope| {
            scope.spawn(|| {
                let stranger = TcpStream::connect(&address).expect("it listens");
                assert!(greet(stranger, 1, 2, &Secret([8; 32])).is_err(), "it may knock");
                let friend = TcpStream::connect(&address).expect("it listens");
                let mut peer = greet(friend, 1, 2, &secret).expect("it may come in");
                let reader = peer.reader.as_mut().expect("nobody took it");
                let _ = reader.read(&mut [0]);
            });
            let collective = TcpCollective::connect(0, &[own.clone(), own.clone()], &secret, &listener)
                .expect("the friend came");
            assert_eq!(collective.world_size(), 2);
        });
    }

    #[test]
    fn a_false_listener_is_not_believed() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        thread::scope(|scope| {
            let caller = scope.spawn(|| {
                let stream = TcpStream::connect(address).expect("it listens");
                greet(stream, 1, 2, &Secret([7; 32])).map(drop)
            });
            let (mut stream, _) = listener.accept().expect("it calls");
            let mut length = [0; 2];
            stream.read_exact(&mut length).expect("a call");
            let mut call = vec![0; usize::from(u16::from_le_bytes(length))];
            stream.read_exact(&mut call).expect("a call");
            // What the caller said is no answer.
            stream.write_all(&[&length[..], &call].concat()).expect("an answer");
            let error = caller.join().expect("no panic").expect_err("it does not know the secret");
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        });
    }

    #[test]
    fn ranks_listen_on_their_host_alone() {
        let listener = Listener::bind("127.0.0.2").expect("an address of this machine");
        let port = listener.port().expect("it is bound");
        assert_eq!(listener.0.local_addr().expect("it is bound").ip().to_string(), "127.0.0.2");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "another address does not answer");
        let error = Listener::bind("192.0.2.1").map(drop).expect_err("an address of nobody");
        assert!(error.to_string().contains("192.0.2.1"), "{error}");
    }
}
