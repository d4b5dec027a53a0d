//! A disk that is full: the run waits, or says so, and goes on when there is room.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Process, Scene, corpus, eventually};

/// A small disk; gone with its test.
struct Disk(PathBuf);

impl Disk {
    /// None where mounting is not permitted.
    #[expect(clippy::print_stdout, reason = "a skipped test says so")]
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).expect("a directory");
        let done = mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], &path);
        if !done {
            println!("skipped: no small disk can be mounted here");
        }
        done.then(|| Self(path))
    }

    fn resize(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], &self.0), "the disk grows");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let status = Command::new("mount").args(arguments).arg(path).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_checkpoint_waits_for_room_and_costs_no_attempt() {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(5, 30)));
    let Some(disk) = Disk::mount(scene.path("disk"), "3m") else { return };
    // Half a million weights: six megabytes of state.
    scene.write(
        "full.yaml",
        "name: full\noutput: ./disk/full\nmax_attempts: 1\npipeline:\n  - read: {paths: [a.jsonl]}\n\
         \x20 - tokenize: {train: {model: bpe, vocab_size: 300}}\n  - train:\n\
         \x20     model: {layers: 2, heads: 2, width: 128, context: 16}\n      steps: 2\n      global_batch: 4\n",
    );
    let said = scene.path("said");
    let mut command = scene.command(&["run", "full.yaml", "--state", "state", "--workers", "1"]);
    let log = std::fs::File::create(&said).expect("a file");
    let mut run = Process::start(command.stdout(Stdio::null()).stderr(log));
    let says = || std::fs::read_to_string(&said).unwrap_or_default();
    eventually("it says that the disk is full", Duration::from_mins(2), || {
        assert_eq!(run.ended(), None, "it waits: {}", says());
        says().contains("no space left").then_some(())
    });
    disk.resize("64m");
    assert_eq!(run.wait(Duration::from_mins(2)), 0, "{}", says());
    let output = crate::support::Output::new(scene.path("disk/full"));
    assert!(output.path("checkpoints/step-00000002/manifest.json").exists());
}

#[test]
fn a_journal_without_room_pauses_the_run_with_that_word() {
    let scene = Scene::new();
    scene.write("a.jsonl", corpus::jsonl(&corpus::pages(5, 400)));
    let Some(disk) = Disk::mount(scene.path("disk"), "256k") else { return };
    std::fs::write(disk.0.join("ballast"), vec![0; 40 << 10]).expect("it fits");
    scene.job("full", "target_bytes: 1 KiB\npipeline:\n  - read: {paths: [a.jsonl]}\n  - clean: {}\n");
    scene.job("whole", "target_bytes: 1 KiB\npipeline:\n  - read: {paths: [a.jsonl]}\n  - clean: {}\n");
    let said = scene.path("said");
    let start = || {
        let mut command = scene.command(&["run", "full.yaml", "--state", "disk/state", "--workers", "1"]);
        Process::start(command.stdout(Stdio::null()).stderr(std::fs::File::create(&said).expect("a file")))
    };
    let says = || std::fs::read_to_string(&said).unwrap_or_default();
    let waits = |run: &mut Process| {
        eventually("it says that the disk is full", Duration::from_mins(1), || {
            assert_eq!(run.ended(), None, "it waits: {}", says());
            says().contains("no space left for the state").then_some(())
        });
    };
    // Who is told to stop while it waits does.
    let mut run = start();
    waits(&mut run);
    run.terminate();
    assert_eq!(run.wait(Duration::from_secs(20)), 1, "{}", says());
    let mut run = start();
    // It may find no room even to begin with, and says so.
    if eventually("it ends or waits", Duration::from_mins(1), || {
        run.ended().map(Some).or_else(|| says().contains("everything waits").then_some(None))
    })
    .is_none()
    {
        disk.resize("64m");
    } else {
        assert!(says().contains("no space left for the state"), "{}", says());
        disk.resize("64m");
        run = start();
    }
    assert_eq!(run.wait(Duration::from_mins(2)), 0, "{}", says());
    assert_eq!(scene.output("full").check().digests(), scene.complete("whole", 2).digests());
}
