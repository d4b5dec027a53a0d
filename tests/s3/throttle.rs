//! A door before the S3 server that lets so many requests a second in and answers `SlowDown` to the others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A running door; it stands until the test's process ends.
pub(crate) struct Door {
    port: u16,
    counter: Arc<Mutex<Counter>>,
}

struct Counter {
    /// Requests let in each second.
    per_second: u32,
    begun: Instant,
    /// Let in and turned away, by second.
    seconds: Vec<(u32, u32)>,
    /// Let in during the present tenth of a second.
    tenth: (u128, u32),
}

impl Counter {
    /// Whether one more request may come in.
    fn lets_in(&mut self) -> bool {
        let elapsed = self.begun.elapsed();
        let second = elapsed.as_secs() as usize;
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, (0, 0));
        }
        let tenth = elapsed.as_millis() / 100;
        if self.tenth.0 != tenth {
            self.tenth = (tenth, 0);
        }
        let lets_in = self.tenth.1 < self.per_second.div_ceil(10);
        self.tenth.1 += u32::from(lets_in);
        self.seconds[second].0 += u32::from(lets_in);
        self.seconds[second].1 += u32::from(!lets_in);
        lets_in
    }
}

impl Door {
    /// Opens a door before the server at `port`.
    pub(crate) fn open(port: u16, per_second: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("an address").port();
        let counter = Arc::new(Mutex::new(Counter {
            per_second,
            begun: Instant::now(),
            seconds: Vec::new(),
            tenth: (0, 0),
        }));
        let shared = Arc::clone(&counter);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&shared);
                // Whoever hangs up early is no matter of the test's.
                std::thread::spawn(move || drop(serve(stream, port, &counter)));
            }
        });
        Self { port: own, counter }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lets more or fewer in from now on.
    pub(crate) fn set(&self, per_second: u32) {
        self.counter.lock().expect("no thread panicked").per_second = per_second;
    }

    /// Requests that were let in and turned away, by second, without the one that is not over.
    pub(crate) fn seconds(&self) -> Vec<(u32, u32)> {
        let counter = self.counter.lock().expect("no thread panicked");
        let whole = counter.begun.elapsed().as_secs() as usize;
        counter.seconds[..whole.min(counter.seconds.len())].to_vec()
    }
}

/// Serves the one request of a connection.
fn serve(client: TcpStream, port: u16, counter: &Mutex<Counter>) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            break;
        }
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if name == "content-length" {
            length = line.split(':').nth(1).and_then(|value| value.trim().parse().ok()).unwrap_or(0);
        }
        if name != "connection" {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut client = client;
    if counter.lock().expect("no thread panicked").lets_in() {
        let mut server = TcpStream::connect(("127.0.0.1", port))?;
        write!(server, "{head}Connection: close\r\n\r\n")?;
        server.write_all(&body)?;
        std::io::copy(&mut server, &mut client)?;
    } else {
        let text = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
        write!(
            client,
            "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )?;
    }
    client.shutdown(Shutdown::Write)
}
