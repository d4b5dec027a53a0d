use std::io::{Read, Write};

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(directory.path().to_str().expect("a UTF-8 path")).expect("a local store");
    (directory, store)
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).expect(text)
}

#[test]
fn a_written_file_is_listed_read_and_hashed() {
    let (_guard, store) = store();
    let mut writer = store.create_writer(&path("a/b/c.bin")).expect("a writer");
    writer.write_all(b"hello ").expect("write");
    writer.write_all(b"world").expect("write");
    let written = writer.finish().expect("finish");
    assert_eq!(written, Written { bytes: 11, xxh3: Digest::of(b"hello world") });
    assert_eq!(store.hash(&path("a/b/c.bin")).expect("hash"), written);
    store.put_atomic(&path("a/a"), b"x").expect("put");
    store.put_atomic(&path("a-"), b"y").expect("put");
    let names: Vec<String> =
        store.list(&RelativePath::root()).expect("list").into_iter().map(|e| e.path.into()).collect();
    assert_eq!(names, ["a-", "a/a", "a/b/c.bin"].map(String::from));
    let mut middle = String::new();
    store
        .open_reader(&path("a/b/c.bin"), Some(3..8))
        .expect("reader")
        .read_to_string(&mut middle)
        .expect("read");
    assert_eq!(middle, "lo wo");
    assert!(matches!(store.read_all(&path("a/b/c.bin"), 10), Err(Error::TooLarge { limit: 10, .. })));
    assert!(matches!(store.read_all(&path("none"), 10), Err(Error::NotFound { .. })));
    assert!(store.list(&path("nowhere")).expect("empty").is_empty());
}

#[test]
fn an_abandoned_writer_leaves_nothing_and_spoils_nothing() {
    let (_guard, store) = store();
    store.put_atomic(&path("x"), b"old").expect("put");
    let mut writer = store.create_writer(&path("x")).expect("a writer");
    writer.write_all(&vec![7; 1 << 20]).expect("write");
    assert_eq!(
        store.list(&RelativePath::root()).expect("list").len(),
        1,
        "a half-written file is not listed"
    );
    drop(writer);
    assert_eq!(store.read_all(&path("x"), 100).expect("read"), b"old");
}

#[test]
fn of_many_conditional_puts_one_wins() {
    let (_guard, store) = store();
    let wins: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u8)
            .map(|n| {
                let store = &store;
                scope.spawn(move || usize::from(store.put_if_absent(&path("owner"), &[n]).expect("put")))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(wins, 1);
    let stamp = store.stat(&path("owner")).expect("stat").stamp;
    assert!(!store.put_if_unchanged(&path("owner"), b"n", "other").expect("put"));
    assert!(store.put_if_unchanged(&path("owner"), b"n", &stamp).expect("put"));
    assert_eq!(store.read_all(&path("owner"), 10).expect("read"), b"n");
}

#[test]
fn publication_may_be_repeated_and_notices_a_loss() {
    let (_guard, store) = store();
    store.put_atomic(&path("attempt/1"), b"12345").expect("put");
    for _ in 0..2 {
        store.publish(&path("attempt/1"), &path("stages/final"), 5).expect("publish");
    }
    assert_eq!(store.read_all(&path("stages/final"), 9).expect("read"), b"12345");
    let wrong = store.publish(&path("attempt/1"), &path("stages/final"), 6).expect_err("other bytes");
    assert!(matches!(wrong, Error::Corrupt { .. }), "{wrong}");
    let lost = store.publish(&path("attempt/2"), &path("stages/other"), 6).expect_err("nothing");
    assert!(matches!(lost, Error::NotFound { path } if path.ends_with("/attempt/2")));
    store.delete(&path("gone")).expect("deleting nothing is fine");
    store.delete_prefix(&path("stages")).expect("delete");
    store.delete_prefix(&path("stages")).expect("twice");
    assert!(store.list(&RelativePath::root()).expect("list").is_empty());
    assert!(store.delete_prefix(&RelativePath::root()).is_err());
}

#[test]
fn urls_are_judged_before_use_and_secrets_stay_out() {
    let secret = Store::open("s3://AKIA:hunter2@bucket/x").expect_err("credentials in a URL");
    assert!(!secret.to_string().contains("hunter2"), "{secret}");
    assert!(Store::open("ftp://host/x").is_err());
    assert!(Store::open("").is_err());
    let (guard, _) = store();
    let url = format!("file://{}/a%20b", guard.path().display());
    let spaced = Store::open(&url).expect("a file URL");
    spaced.put_atomic(&path("x"), b"1").expect("put");
    assert!(guard.path().join("a b/x").exists());
    let (found, name) =
        Store::locate(&format!("{}/a b/x", guard.path().display()), OpenOptions::default()).expect("locate");
    assert_eq!(found.stat(&name).expect("stat").bytes, 1);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named_as_such() {
    // /dev/full refuses every write with ENOSPC, which is how a full disk answers.
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let error = (&full).write_all(b"x").expect_err("no space");
    assert!(matches!(Error::io("part", error), Error::DiskFull { .. }));
}

#[tokio::test]
async fn async_callers_run_the_same_operations() {
    let (_guard, store) = store();
    store.run(|store| store.put_atomic(&path("x"), b"1")).await.expect("put");
    let listed = store.run(|store| store.list(&RelativePath::root())).await.expect("list");
    assert_eq!(listed.len(), 1);
}

#[cfg(unix)]
#[test]
fn listings_enter_what_they_are_let_into_and_errors_say_where_files_lie() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for file in ["a/x", "b/y", "b/.tmp-1"] {
        let path = directory.path().join(file);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        std::fs::write(path, "x").expect("a file");
    }
    std::os::unix::fs::symlink(directory.path().join("a"), directory.path().join("b/linked"))
        .expect("a link");
    std::os::unix::fs::symlink("nowhere", directory.path().join("b/gone")).expect("a link");
    let _socket =
        std::os::unix::net::UnixListener::bind(directory.path().join("b/socket")).expect("a socket");
    let root = directory.path().to_str().expect("UTF-8");
    let store = Store::open(root).expect("a directory");
    let listing = store.list_where(&RelativePath::root(), &|path| path != "a").expect("it can be read");
    let paths: Vec<&str> = listing.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["b/y"]);
    let expected = [
        ("b/.tmp-1", PassedBy::Temporary),
        ("b/gone", PassedBy::DanglingLink),
        ("b/linked", PassedBy::LinkedDirectory),
        ("b/socket", PassedBy::NoFile),
    ];
    assert_eq!(listing.passed_by, expected.map(|(path, why)| (path.to_owned(), why)));
    let error = store.stat(&RelativePath::new("c").expect("a path")).expect_err("nothing there");
    assert!(error.to_string().contains(&format!("{root}/c")), "{error}");
}
