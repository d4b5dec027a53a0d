//! Ranks over TCP: a connection between every two of them.
//!
//! ```text
//!  rank i ──connects to──▶ every rank below i
//!         ◀──────────────── nonce
//!         ── MAGIC, rank, world size, nonce, HMAC of all with the gang's secret ──▶
//!         ◀──────────────── HMAC of all, as the listener
//!  frame: operation number (u64), length (u64), bytes; little-endian
//! ```
//!
//! Each peer has a writer thread, so that two ranks that send each other more than the sockets hold do not wait for each
//! other for ever. A peer that dies closes its sockets, which every survivor sees in the operation it is in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use orchestrator_train::collective::check_outgoing;
use orchestrator_train::{Collective, CollectiveError};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// Begins every connection; another version of the protocol begins otherwise.
const MAGIC: [u8; 8] = *b"ORCTCP\0\x02";
/// Bytes of a nonce and of a proof.
const PROOF_BYTES: usize = 32;
/// Bytes of a caller's answer: magic, rank, world size, nonce, proof.
const HELLO_BYTES: usize = 24 + 2 * PROOF_BYTES;
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
    reader: TcpStream,
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
    /// The connections to read from, by peer. Whoever takes them must not exchange over them any more.
    pub(super) fn streams(&self) -> std::io::Result<Vec<(usize, TcpStream)>> {
        let peers = self.peers.iter().enumerate();
        peers
            .filter_map(|(rank, peer)| Some((rank, peer.as_ref()?)))
            .map(|(rank, peer)| Ok((rank, peer.reader.try_clone()?)))
            .collect()
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
    pub(super) fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        let mut frame = [0; 16];
        stream.read_exact(&mut frame)?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| frame[at + byte]));
        if number(0) != FAREWELL {
            let problem = format!("operation {} where only a farewell was expected", number(0));
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
        }
        Ok(Self { last: number(8) })
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

/// What both ends prove to know the secret over. The secret itself never travels.
struct Transcript {
    challenge: [u8; PROOF_BYTES],
    answer: [u8; PROOF_BYTES],
    rank: u64,
    world_size: u64,
}

impl Transcript {
    fn text(&self, side: &[u8]) -> Vec<u8> {
        let numbers = [self.rank.to_le_bytes(), self.world_size.to_le_bytes()].concat();
        [&MAGIC[..], side, &self.challenge, &self.answer, &numbers].concat()
    }

    fn proof(&self, side: &[u8], secret: &Secret) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret.0), &self.text(side))
    }

    /// Compares in constant time.
    fn check(&self, side: &[u8], secret: &Secret, proof: &[u8]) -> std::io::Result<()> {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret.0), &self.text(side), proof)
            .map_err(|_| refused())
    }
}

const CALLER: &[u8] = b"caller";
const LISTENER: &[u8] = b"listener";

fn refused() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::PermissionDenied, "it does not know the gang's secret")
}

fn nonce() -> std::io::Result<[u8; PROOF_BYTES]> {
    let mut nonce = [0; PROOF_BYTES];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
    Ok(nonce)
}

/// Says who calls, proves it, and hears the proof of who listens.
fn greet(mut stream: TcpStream, rank: usize, world_size: usize, secret: &Secret) -> std::io::Result<Peer> {
    // The listener may still be calling others itself.
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    let mut challenge = [0; PROOF_BYTES];
    stream.read_exact(&mut challenge)?;
    let transcript =
        Transcript { challenge, answer: nonce()?, rank: rank as u64, world_size: world_size as u64 };
    let mut hello = MAGIC.to_vec();
    hello.extend_from_slice(&transcript.rank.to_le_bytes());
    hello.extend_from_slice(&transcript.world_size.to_le_bytes());
    hello.extend_from_slice(&transcript.answer);
    hello.extend_from_slice(transcript.proof(CALLER, secret).as_ref());
    stream.write_all(&hello)?;
    let mut proof = [0; PROOF_BYTES];
    stream.read_exact(&mut proof)?;
    transcript.check(LISTENER, secret, &proof)?;
    stream.set_read_timeout(None)?;
    start(stream)
}

/// Hears who calls.
fn welcome(mut stream: TcpStream, world_size: usize, secret: &Secret) -> std::io::Result<(usize, Peer)> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let challenge = nonce()?;
    stream.write_all(&challenge)?;
    let mut hello = [0; HELLO_BYTES];
    stream.read_exact(&mut hello)?;
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| hello[at + byte]));
    let answer = std::array::from_fn(|byte| hello[24 + byte]);
    let transcript = Transcript { challenge, answer, rank: number(8), world_size: number(16) };
    if hello[..8] != MAGIC
        || transcript.world_size != world_size as u64
        || transcript.rank >= transcript.world_size
    {
        return Err(refused());
    }
    transcript.check(CALLER, secret, &hello[24 + PROOF_BYTES..])?;
    stream.write_all(transcript.proof(LISTENER, secret).as_ref())?;
    stream.set_read_timeout(None)?;
    Ok((transcript.rank as usize, start(stream)?))
}

/// Starts the writer thread of a connection.
fn start(stream: TcpStream) -> std::io::Result<Peer> {
    stream.set_nodelay(true)?;
    let mut sink = stream.try_clone()?;
    let (writer, messages): (_, Receiver<Vec<u8>>) = sync_channel(IN_FLIGHT);
    let thread = thread::Builder::new().name("collective-writer".to_owned()).spawn(move || {
        for message in messages {
            if sink.write_all(&message).is_err() {
                // The reader sees the same loss and reports it.
                break;
            }
        }
        let _ = sink.shutdown(std::net::Shutdown::Write);
    })?;
    Ok(Peer { reader: stream, writer: Some(writer), thread: Some(thread) })
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
                Some(peer) => receive(rank, &mut peer.reader, self.operation)?,
                None => std::mem::take(&mut outgoing[rank]),
            });
        }
        Ok(incoming)
    }
}

fn receive(rank: usize, reader: &mut TcpStream, operation: u64) -> Result<Vec<u8>, CollectiveError> {
    let mut header = [0; 16];
    reader.read_exact(&mut header).map_err(lost(rank))?;
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    let (found, length) = (number(0), number(8));
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
                let mut byte = [0];
                let _ = peer.reader.read(&mut byte);
            });
            let collective = TcpCollective::connect(0, &[own.clone(), own.clone()], &secret, &listener)
                .expect("the friend came");
            assert_eq!(collective.world_size(), 2);
        });
    }
    #[test]
    fn the_secret_never_travels_and_a_false_listener_is_not_believed() {
        let secret = Secret([7; 32]);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        thread::scope(|scope| {
            let caller = scope.spawn(|| {
                let stream = TcpStream::connect(address).expect("it listens");
                greet(stream, 1, 2, &secret).map(drop)
            });
            let (mut stream, _) = listener.accept().expect("it calls");
            stream.write_all(&[1; PROOF_BYTES]).expect("a challenge");
            let mut hello = [0; HELLO_BYTES];
            stream.read_exact(&mut hello).expect("an answer");
            assert!(!hello.windows(32).any(|window| window == secret.0), "the secret is in {hello:?}");
            // What the caller proved is no proof of the listener.
            stream.write_all(&hello[24 + PROOF_BYTES..]).expect("a proof");
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
