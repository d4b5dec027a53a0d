//! A web server on loopback, as small as one can be: HEAD, GET with ranges, redirects below `/moved`, entity tags; or,
//! as `python3 -m http.server` does it, with neither ranges nor tags.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// Requests that will be sent away.
    busy: AtomicU64,
    sent_away: AtomicU64,
    /// Answers after which files have another entity tag.
    stable: AtomicU64,
    answers: AtomicU64,
    /// Whether it knows neither ranges nor entity tags.
    is_simple: AtomicBool,
}

/// A running server; it ends with the test's process.
pub(crate) struct Site {
    port: u16,
    state: Arc<State>,
}

impl Site {
    pub(crate) fn start(files: Vec<(String, Vec<u8>)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            files: files.into_iter().collect(),
            busy: AtomicU64::new(0),
            sent_away: AtomicU64::new(0),
            stable: AtomicU64::new(u64::MAX),
            answers: AtomicU64::new(0),
            is_simple: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that went away is none of ours.
                std::thread::spawn(move || answer(&shared, stream));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Knows neither ranges nor entity tags from now on.
    pub(crate) fn be_simple(&self) {
        self.state.is_simple.store(true, Ordering::SeqCst);
    }

    /// Sends the next requests away with 503.
    pub(crate) fn be_busy(&self, requests: u64) {
        self.state.busy.store(requests, Ordering::SeqCst);
    }

    pub(crate) fn was_busy(&self) -> bool {
        self.state.sent_away.load(Ordering::SeqCst) > 0
    }

    /// Files are others after so many answers.
    pub(crate) fn change_after(&self, answers: u64) {
        self.state.stable.store(answers, Ordering::SeqCst);
    }
}

fn answer(state: &State, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) =
        (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut range = None;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (from, to) = value.trim().split_once('-').unwrap_or_default();
            range = from.parse::<usize>().ok().zip(to.parse::<usize>().ok());
        }
    }
    let sent_away =
        state.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    if sent_away {
        state.sent_away.fetch_add(1, Ordering::SeqCst);
        return respond(&mut stream, "503 Service Unavailable", "", b"");
    }
    if let Some(target) = path.strip_prefix("/moved") {
        return respond(&mut stream, "302 Found", &format!("Location: {target}\r\n"), b"");
    }
    let Some(bytes) = state.files.get(&path) else { return respond(&mut stream, "404 Not Found", "", b"") };
    let changed = state.answers.fetch_add(1, Ordering::SeqCst) >= state.stable.load(Ordering::SeqCst);
    let mut headers = if state.is_simple.load(Ordering::SeqCst) {
        range = None;
        format!("Last-Modified: Mon, 0{} Jan 2024 00:00:00 GMT\r\n", if changed { 8 } else { 1 })
    } else {
        format!("ETag: \"{}\"\r\nAccept-Ranges: bytes\r\n", u8::from(changed))
    };
    let (status, body) = match range {
        Some((from, to)) => {
            let to = (to + 1).min(bytes.len());
            write!(headers, "Content-Range: bytes {from}-{}/{}\r\n", to - 1, bytes.len())
                .map_err(std::io::Error::other)?;
            ("206 Partial Content", &bytes[from..to])
        }
        None => ("200 OK", &bytes[..]),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if method == "HEAD" { Ok(()) } else { stream.write_all(body) }
}

fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)
}
