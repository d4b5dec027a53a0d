//! Every operation against a real S3 server process (moto), started by the test.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use orchestrator_core::Digest;
use orchestrator_storage::{Error, RelativePath, Store};

/// Set in the child that runs the operations: the environment must be there before a store is opened.
const CHILD: &str = "ORCHESTRATOR_S3_TEST_CHILD";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start() -> Option<(Server, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    let tools = std::env::var("ORCHESTRATOR_TOOLS")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cache/orchestrator/tools")))
        .map(|tools| format!("{tools}/bin/moto_server"))
        .ok()
        .filter(|program| std::path::Path::new(program).exists());
    let program =
        std::env::var("ORCHESTRATOR_MOTO").ok().or(tools).unwrap_or_else(|| "moto_server".to_owned());
    let child = Command::new(program)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        println!(
            "skipped: no moto_server in PATH, and ORCHESTRATOR_MOTO names none; `bash .ci/tools` installs it"
        );
        return None;
    };
    let server = Server(child);
    for _ in 0..300 {
        if put_bucket(port).is_ok() {
            return Some((server, port));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("moto_server did not answer within 30 s");
}

fn put_bucket(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(
        b"PUT /bucket HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other(answer)) }
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).expect(text)
}

#[test]
fn a_store_on_s3_keeps_the_same_promises() {
    if std::env::var_os(CHILD).is_some() {
        return operations();
    }
    let Some((_server, port)) = start() else { return };
    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_store_on_s3_keeps_the_same_promises", "--nocapture"])
        .env(CHILD, "1")
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "test-key")
        .env("AWS_SECRET_ACCESS_KEY", "test-secret")
        .env("AWS_REGION", "us-east-1")
        .status()
        .expect("the child runs");
    assert!(status.success());
}

fn operations() {
    let store = Store::open("s3://bucket/runs/one").expect("open");
    assert!(store.list(&RelativePath::root()).expect("list").is_empty());

    let small = store.put_atomic(&path("a/small"), b"hello").expect("put");
    assert_eq!(store.hash(&path("a/small")).expect("hash"), small);
    assert!(store.put_if_absent(&path("owner"), b"1").expect("conditional put"));
    assert!(!store.put_if_absent(&path("owner"), b"2").expect("conditional put"));
    assert_eq!(store.read_all(&path("owner"), 10).expect("read"), b"1");

    // Three parts of an upload, and as many requests to read it again.
    let large: Vec<u8> = (0..(36 << 20)).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut writer = store.create_writer(&path("attempts/7/part")).expect("a writer");
    writer.write_all(&large).expect("write");
    assert!(store.try_stat(&path("attempts/7/part")).expect("stat").is_none(), "nothing is visible yet");
    let written = writer.finish().expect("finish");
    assert_eq!((written.bytes, written.xxh3), (large.len() as u64, Digest::of(&large)));
    assert_eq!(store.hash(&path("attempts/7/part")).expect("hash"), written);
    let mut middle = Vec::new();
    store
        .open_reader(&path("attempts/7/part"), Some(5_000_000..14_000_001))
        .expect("reader")
        .read_to_end(&mut middle)
        .expect("read");
    assert_eq!(middle, large[5_000_000..14_000_001]);
    let mut reader = Store::open("s3://bucket/runs/one")
        .expect("a store that is dropped at once")
        .open_reader(&path("attempts/7/part"), None)
        .expect("reader");
    let mut outlived = Vec::new();
    reader.read_to_end(&mut outlived).expect("a reader outlives its store");
    assert!(outlived == large);
    let mut spooled = Vec::new();
    store.open_seekable(&path("attempts/7/part")).expect("open").read_to_end(&mut spooled).expect("read");
    assert_eq!(Digest::of(&spooled), written.xxh3);

    let mut abandoned = store.create_writer(&path("attempts/8/part")).expect("a writer");
    abandoned.write_all(&large[..20 << 20]).expect("write");
    drop(abandoned);

    for _ in 0..2 {
        store
            .publish(&path("attempts/7/part"), &path("stages/00-read/part"), written.bytes)
            .expect("publish");
    }
    let names: Vec<String> =
        store.list(&RelativePath::root()).expect("list").into_iter().map(|entry| entry.path.into()).collect();
    assert_eq!(names, ["a/small", "owner", "stages/00-read/part"]);
    store.delete_prefix(&path("stages")).expect("delete");
    store.delete(&path("nothing")).expect("deleting nothing is fine");
    assert!(matches!(store.stat(&path("stages/00-read/part")), Err(Error::NotFound { .. })));

    let stamp = store.stat(&path("owner")).expect("stat").stamp;
    assert!(store.put_if_unchanged(&path("owner"), b"3", &stamp).expect("conditional put"));
    assert!(!store.put_if_unchanged(&path("owner"), b"4", &stamp).expect("conditional put"));

    // From inside another runtime nothing panics, and the store may be dropped there.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async move {
        assert_eq!(store.list(&path("a")).expect("list").len(), 1);
        assert_eq!(store.run(|store| store.read_all(&path("a/small"), 9)).await.expect("read"), b"hello");
        drop(store);
    });
}
