//! A connection between two ranks that nobody else can read, change or join.
//!
//! [Noise](https://noiseprotocol.org/noise.html), revision 34, pattern `NNpsk0`: keys that live as long as the connection,
//! agreed under a secret that both ends have beforehand. The secret itself never travels, and what was recorded cannot be
//! read by who learns it later.
//!
//! ```text
//!  caller ── e, psk; its hello, under the secret ────▶ listener
//!         ◀─ e, ee; nothing, under the agreed keys ───
//!         ── nothing, under the agreed keys ─────────▶     so that a recorded call is no call
//!  frame: length (u16, little-endian), so many bytes: at most 65,519 of ours and a tag of 16
//! ```

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use snow::{Builder, HandshakeState, StatelessTransportState};

use super::tcp::Secret;

const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
/// Bound into the keys: another version of what we say over them does not understand us.
const PROLOGUE: &[u8] = b"orchestrator collective 3";
/// Noise's longest message.
const MESSAGE_MAX: usize = 65_535;
const TAG_BYTES: usize = 16;
/// Our bytes in one message.
const CHUNK: usize = MESSAGE_MAX - TAG_BYTES;
/// The longest message of a handshake: a public key, a hello and a tag.
const HANDSHAKE_MAX: usize = 256;

/// Opens a connection to who listens, and says `hello`.
pub(super) fn call(mut stream: TcpStream, secret: &Secret, hello: &[u8]) -> io::Result<(Reader, Writer)> {
    let mut state = builder(secret)?.build_initiator().map_err(failed)?;
    let mut message = [0; HANDSHAKE_MAX];
    let length = state.write_message(hello, &mut message).map_err(failed)?;
    send(&mut stream, &message[..length])?;
    hear(&mut stream, &mut state)?;
    let (reader, mut writer) = split(stream, state)?;
    writer.seal(&[])?;
    Ok((reader, writer))
}

/// Answers a call; `understand` judges the caller's hello.
pub(super) fn answer<T>(
    mut stream: TcpStream,
    secret: &Secret,
    understand: impl FnOnce(&[u8]) -> Option<T>,
) -> io::Result<(T, Reader, Writer)> {
    let mut state = builder(secret)?.build_responder().map_err(failed)?;
    let hello = hear(&mut stream, &mut state)?;
    let understood = understand(&hello).ok_or_else(refused)?;
    let mut message = [0; HANDSHAKE_MAX];
    let length = state.write_message(&[], &mut message).map_err(failed)?;
    send(&mut stream, &message[..length])?;
    let (mut reader, writer) = split(stream, state)?;
    if !reader.open()? || reader.filled != 0 {
        return Err(refused());
    }
    Ok((understood, reader, writer))
}

fn builder(secret: &Secret) -> io::Result<Builder<'_>> {
    let parameters = PATTERN.parse().map_err(failed)?;
    Builder::new(parameters).psk(0, &secret.0).and_then(|builder| builder.prologue(PROLOGUE)).map_err(failed)
}

/// What we ask of the protocol wrongly: none of it depends on the peer.
fn failed(error: impl Into<snow::Error>) -> io::Error {
    io::Error::other(format!("the handshake of two ranks: {}", error.into()))
}

fn refused() -> io::Error {
    let problem = "it does not know the gang's secret, or is of another version";
    io::Error::new(io::ErrorKind::PermissionDenied, problem)
}

fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_le_bytes(), message].concat())
}

/// Reads a message of the handshake and the payload in it.
fn hear(stream: &mut TcpStream, state: &mut HandshakeState) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let length = usize::from(u16::from_le_bytes(length));
    let (mut message, mut payload) = ([0; HANDSHAKE_MAX], vec![0; HANDSHAKE_MAX]);
    let message = message.get_mut(..length).ok_or_else(refused)?;
    stream.read_exact(message)?;
    let length = state.read_message(message, &mut payload).map_err(|_| refused())?;
    payload.truncate(length);
    Ok(payload)
}

fn split(stream: TcpStream, state: HandshakeState) -> io::Result<(Reader, Writer)> {
    let state = Arc::new(state.into_stateless_transport_mode().map_err(failed)?);
    let sink = stream.try_clone()?;
    let reader = Reader {
        stream,
        state: Arc::clone(&state),
        number: 0,
        sealed: vec![0; MESSAGE_MAX],
        plain: vec![0; MESSAGE_MAX],
        filled: 0,
        taken: 0,
    };
    Ok((reader, Writer { stream: sink, state, number: 0, sealed: vec![0; 2 + MESSAGE_MAX] }))
}

/// Reads what the other end wrote, in order, or not at all.
pub(super) struct Reader {
    stream: TcpStream,
    state: Arc<StatelessTransportState>,
    /// Messages opened.
    number: u64,
    sealed: Vec<u8>,
    /// The last message: `filled` bytes, of which `taken` were handed out. There is room for its tag, else the library
    /// makes a copy of each.
    plain: Vec<u8>,
    filled: usize,
    taken: usize,
}

impl Reader {
    /// The connection, to set its time-outs and to end it from another thread.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Opens the next message; tells whether there was one.
    fn open(&mut self) -> io::Result<bool> {
        let mut length = [0; 2];
        let first = loop {
            match self.stream.read(&mut length) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if first == 0 {
            return Ok(false);
        }
        self.stream.read_exact(&mut length[first..])?;
        let sealed = &mut self.sealed[..usize::from(u16::from_le_bytes(length))];
        self.stream.read_exact(sealed)?;
        self.filled = self
            .state
            .read_message(self.number, sealed, &mut self.plain)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "what it sent was changed on the way"))?;
        self.number += 1;
        self.taken = 0;
        Ok(true)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.filled {
            if buffer.is_empty() || !self.open()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.filled - self.taken);
        buffer[..count].copy_from_slice(&self.plain[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// Writes what only the other end can read.
pub(super) struct Writer {
    stream: TcpStream,
    state: Arc<StatelessTransportState>,
    /// Messages sealed.
    number: u64,
    sealed: Vec<u8>,
}

impl Writer {
    /// Sends all of `bytes`.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(CHUNK).try_for_each(|chunk| self.seal(chunk))
    }

    fn seal(&mut self, chunk: &[u8]) -> io::Result<()> {
        let length = self.state.write_message(self.number, chunk, &mut self.sealed[2..]).map_err(failed)?;
        self.number += 1;
        self.sealed[..2].copy_from_slice(&u16::try_from(length).map_err(io::Error::other)?.to_le_bytes());
        self.stream.write_all(&self.sealed[..2 + length])
    }

    /// Tells the other end that nothing follows.
    pub(super) fn finish(self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const SECRET: Secret = Secret([7; 32]);

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let caller = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        (caller, listener.accept().expect("it calls").0)
    }

    /// A connection with somebody in the middle who sees and may change each frame of the caller's.
    fn overheard(meddle: impl Fn(usize, &mut Vec<u8>) + Send + 'static) -> (TcpStream, TcpStream) {
        let (caller, mut near) = connection();
        let (mut far, listener) = connection();
        let (mut back_from, mut back_to) =
            (far.try_clone().expect("a clone"), near.try_clone().expect("a clone"));
        thread::spawn(move || io::copy(&mut back_from, &mut back_to));
        thread::spawn(move || {
            for frame in 0.. {
                let mut length = [0; 2];
                if near.read_exact(&mut length).is_err() {
                    break;
                }
                let mut bytes = vec![0; usize::from(u16::from_le_bytes(length))];
                near.read_exact(&mut bytes).expect("a whole frame");
                meddle(frame, &mut bytes);
                far.write_all(&[&length[..], &bytes].concat()).expect("it listens");
            }
            let _ = far.shutdown(Shutdown::Write);
        });
        (caller, listener)
    }

    fn joined(caller: TcpStream, listener: TcpStream) -> ((Reader, Writer), (Vec<u8>, Reader, Writer)) {
        let caller = thread::spawn(move || call(caller, &SECRET, b"hello").expect("they know each other"));
        let heard = answer(listener, &SECRET, |hello| Some(hello.to_vec())).expect("they know each other");
        (caller.join().expect("no panic"), heard)
    }

    #[test]
    fn messages_of_any_length_arrive_and_none_can_be_read_on_the_way() {
        let text = b"gradients".repeat(20_000);
        let (sender, seen) = std::sync::mpsc::sync_channel(64);
        let (caller, listener) = overheard(move |_, frame| sender.send(frame.clone()).expect("it is kept"));
        let ((_, mut writer), (hello, mut reader, _)) = joined(caller, listener);
        assert_eq!(hello, b"hello");
        let sent = text.clone();
        let writes = thread::spawn(move || {
            for length in [0, 1, CHUNK, CHUNK + 1, sent.len()] {
                writer.write_all(&sent[..length]).expect("it listens");
            }
            writer.finish();
        });
        let mut expected = text[..1].to_vec();
        for length in [CHUNK, CHUNK + 1, text.len()] {
            expected.extend_from_slice(&text[..length]);
        }
        let mut found = Vec::new();
        reader.read_to_end(&mut found).expect("it ends in order");
        writes.join().expect("no panic");
        assert!(found == expected, "{} bytes instead of {}", found.len(), expected.len());
        for frame in seen.try_iter() {
            for known in [&b"hello"[..], b"gradients", &SECRET.0[..8]] {
                assert!(!frame.windows(known.len()).any(|window| window == known), "{known:?} in the clear");
            }
        }
    }

    #[test]
    fn what_is_changed_on_the_way_is_refused() {
        // 0 is the call, 1 its confirmation, 2 the first message.
        let (caller, listener) = overheard(|frame, bytes| {
            if frame == 2 {
                bytes[5] ^= 1;
            }
        });
        let ((_, mut writer), (_, mut reader, _)) = joined(caller, listener);
        writer.write_all(b"0123456789").expect("it listens");
        let error = reader.read_exact(&mut [0; 10]).expect_err("it was changed");
        assert_eq!((error.kind(), error.to_string().contains("changed")), (io::ErrorKind::InvalidData, true));
    }

    #[test]
    fn a_recorded_call_is_no_call() {
        let (sender, seen) = std::sync::mpsc::sync_channel(64);
        let (caller, listener) = overheard(move |_, frame| sender.send(frame.clone()).expect("it is kept"));
        let (_kept, _open) = joined(caller, listener);
        let recorded: Vec<Vec<u8>> = seen.iter().take(2).collect();
        let (mut replays, listener) = connection();
        for frame in &recorded {
            send(&mut replays, frame).expect("it listens");
        }
        let error = answer(listener, &SECRET, |_| Some(())).err().expect("it is not the caller");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }
}
