//! A moto server and the few requests that a test makes itself, without signatures: it looks at objects with other eyes
//! than the store under test.

use std::fs::File;
use std::io::{Error, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Process, daemons, eventually, python_tool, signal};

/// What must stand nowhere.
pub(crate) const SECRET: &str = "secret-of-the-tests-0123456789";

/// A running server with one bucket, `bucket`.
pub(crate) struct Server {
    port: u16,
    log: tempfile::NamedTempFile,
    process: Process,
}

impl Server {
    /// Starts a server; none where moto is not installed, and the test says so.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = python_tool("moto_server") else {
            println!("skipped: no moto_server; `.ci/tools` installs it");
            return None;
        };
        let (port, log) = (daemons::free_port(), tempfile::NamedTempFile::new().expect("a log file"));
        let messages: File = log.reopen().expect("the log file");
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(messages);
        let server = Self { port, log, process: Process::start(&mut command) };
        eventually("the S3 server answers", Duration::from_mins(1), || {
            server.request("PUT", "/bucket", b"").ok()
        });
        Some(server)
    }

    /// Stops answering, as a server that hangs.
    pub(crate) fn hang(&self) {
        signal("STOP", self.process.id());
    }

    /// Answers again, what was asked meanwhile too.
    pub(crate) fn go_on(&self) {
        signal("CONT", self.process.id());
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The environment of a client, as the AWS tools read it.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        self.variables_through(self.port)
    }

    /// The environment of a client that reaches the server through another port.
    #[expect(clippy::unused_self, reason = "it stands for the bucket that the credentials are for")]
    pub(crate) fn variables_through(&self, port: u16) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "tests".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn request(&self, method: &str, target: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
        self.request_with(method, target, "", body)
    }

    fn request_with(
        &self,
        method: &str,
        target: &str,
        header: &str,
        body: &[u8],
    ) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        // HTTP/1.0: the answer comes whole and ends with the connection. Moto wants a name, and checks no signature.
        write!(
            stream,
            "{method} {target} HTTP/1.0\r\n{header}Host: 127.0.0.1\r\nContent-Length: {}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=tests/20240101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
            body.len()
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
        let head = String::from_utf8_lossy(&answer[..end.unwrap_or(answer.len())]).into_owned();
        match (end, head.split_whitespace().nth(1)) {
            (Some(end), Some("200")) => Ok(answer.split_off(end + 4)),
            _ => Err(Error::other(head)),
        }
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.request("PUT", &format!("/bucket/{key}"), bytes).expect("an object is put");
    }

    /// Puts an object that anybody may read.
    pub(crate) fn put_public(&self, key: &str, bytes: &[u8]) {
        let header = "x-amz-acl: public-read\r\n";
        self.request_with("PUT", &format!("/bucket/{key}"), header, bytes).expect("an object is put");
    }

    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        self.request("GET", &format!("/bucket/{key}"), b"").expect("an object is got")
    }

    /// Keys and sizes under a prefix.
    pub(crate) fn list(&self, prefix: &str) -> Vec<(String, u64)> {
        let target = format!("/bucket?list-type=2&prefix={prefix}");
        let answer = self.request("GET", &target, b"").expect("objects are listed");
        let text = String::from_utf8(answer).expect("XML");
        assert!(text.contains("<IsTruncated>false"), "fewer than a thousand objects");
        text.split("<Contents>")
            .skip(1)
            .map(|entry| (element(entry, "Key").to_owned(), element(entry, "Size").parse().expect("a size")))
            .collect()
    }

    /// The lines of the server's log, a request each.
    pub(crate) fn requests(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.log.path()).expect("the log");
        text.lines().map(str::to_owned).collect()
    }
}

fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let rest = text.split_once(&format!("<{name}>")).expect(name).1;
    rest.split_once("</").expect(name).0
}
