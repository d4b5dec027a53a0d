//! Attempts that are lost at any moment, and those that go on after them: nothing but time is lost, and little of that.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use orchestrator_core::{Savepoint, TaskOutcome};
use orchestrator_job::{Job, TaskSpec, Work};
use orchestrator_pipeline::{JobContext, Progress, Resume, SavepointSink, TaskContext, TaskError};
use serde_json::{Value, json};
use support::{Order, Run, job, run_segmented, run_with};

/// Small, so that small inputs have many segments.
const SEGMENT: u64 = 16 << 10;
/// The longest line of the corpus.
const LINE_MAX: u64 = 4 << 10;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// Lines with everything in them that stages act on: short texts, copies, addresses, lines that are no JSON.
fn lines(seed: u64, count: usize) -> String {
    let mut random = Random(seed);
    let mut text = String::new();
    for line in 0..count {
        let words: Vec<String> = (0..random.below(120) + 2)
            .map(|_| ["the", "of", "sand", "river", "mail me at a.b@example.com", "and then", "42"])
            .map(|words| words[random.below(words.len() as u64) as usize].to_owned())
            .collect();
        match line % 31 {
            3 => text.push_str("{broken\n"),
            5 => text
                .push_str("{\"text\":\"the same for all, and long enough to be judged by what it says\"}\n"),
            _ => writeln!(text, "{}", json!({"text": words.join(" "), "n": line})).expect("strings take all"),
        }
    }
    text
}

/// What an attempt's savepoints are told to. It dies, as its task does, at a moment of its own.
struct Sink {
    savepoints: Mutex<Option<Savepoint>>,
    dead: AtomicBool,
    /// Number of the savepoint after which it is dead; 0: never.
    dies_after: u64,
    count: AtomicU64,
    progress: Arc<Progress>,
}

impl SavepointSink for Sink {
    fn report(&self, savepoint: &Savepoint) {
        if self.dead.load(Ordering::SeqCst) {
            return; // a journal hears nothing of the dead
        }
        let mut last = self.savepoints.lock().expect("no test panicked");
        assert!(last.as_ref().is_none_or(|last| last.number + 1 == savepoint.number), "numbers have no gaps");
        *last = Some(savepoint.clone());
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 == self.dies_after {
            self.dead.store(true, Ordering::SeqCst);
            self.progress.stop();
        }
    }
}

/// Does something to the segments of an attempt.
type Spoil = fn(&Path);

/// What was lost with attempts.
#[derive(Default)]
struct Losses {
    deaths: u64,
    bytes_most: u64,
    resumed: u64,
}

/// An attempt that has ended.
struct Attempt {
    path: String,
    ended: Result<TaskOutcome, TaskError>,
    /// Its last savepoint, or the one that it began from where it left none.
    saved: Option<Savepoint>,
    /// Bytes of input that it read, those up to where it began counted.
    read: u64,
}

/// Runs attempt `number` from a savepoint on. It dies after `dies_after` savepoints of its own; 0: never. `last` is the
/// savepoint that its first must follow.
fn attempt(
    (shared, phase, spec): (&Arc<JobContext>, u32, &TaskSpec),
    number: u32,
    from: Option<&Savepoint>,
    last: Option<&Savepoint>,
    dies_after: u64,
) -> Attempt {
    let path = format!(".orchestrator/attempts/{phase}/{}/{number}", spec.number);
    let progress = Arc::new(Progress::default());
    let sink = Arc::new(Sink {
        savepoints: Mutex::new(last.cloned()),
        dead: AtomicBool::new(false),
        dies_after,
        count: AtomicU64::new(0),
        progress: Arc::clone(&progress),
    });
    let context = TaskContext {
        job: Arc::clone(shared),
        attempt_path: path.clone(),
        phase,
        progress: Arc::clone(&progress),
        resume: Resume { from: from.cloned(), sink: Some(Arc::clone(&sink) as _) },
    };
    let ended = orchestrator_pipeline::run(&context, spec);
    let saved = sink.savepoints.lock().expect("no test panicked").clone();
    Attempt { path, ended, saved, read: progress.done().1 }
}

/// Runs a task to its end, with attempts that die at random.
fn with_deaths(
    shared: &Arc<JobContext>,
    phase: u32,
    spec: &TaskSpec,
    random: &mut Random,
    losses: &mut Losses,
) -> Result<(String, TaskOutcome), String> {
    let mut from: Option<Savepoint> = None;
    for number in 1.. {
        let may_die = matches!(spec.work, Work::Map { .. }) && number < 6;
        let dies_after = if may_die { 1 + random.below(4) } else { 0 };
        let Attempt { path, ended, saved, read } =
            attempt((shared, phase, spec), number, from.as_ref(), from.as_ref(), dies_after);
        match ended {
            Ok(outcome) => return Ok((path, outcome)),
            Err(TaskError::Stopped) => {
                let kept = saved.as_ref().map_or(0, |savepoint| savepoint.bytes_read);
                losses.deaths += 1;
                losses.resumed += u64::from(saved.is_some());
                losses.bytes_most = losses.bytes_most.max(read - kept);
                from = saved;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    unreachable!("the last attempts do not die")
}

fn undisturbed(root: &Path, job: &Job) -> Run {
    run_segmented(root, job, Order::FirstToLast, SEGMENT).expect("nothing disturbs it")
}

fn disturbed(root: &Path, job: &Job, seed: u64) -> (Run, Losses) {
    let (mut random, mut losses) = (Random(seed), Losses::default());
    let run = run_with(root, job, Order::FirstToLast, SEGMENT, &mut |shared, phase, spec| {
        with_deaths(shared, phase, spec, &mut random, &mut losses)
    })
    .expect("it ends in spite of all");
    (run, losses)
}

fn pipeline(pattern: &str) -> Value {
    json!([
        {"read": {"paths": [pattern]}},
        {"filter": {"rules": ["gopher-quality"], "scores": true}},
        {"dedup": {"method": "minhash"}},
        {"pii": {}},
    ])
}

/// Sizes of groups come from the first map, and what was drawn goes into the second.
fn mixture(pattern: &str) -> Value {
    json!([
        {"read": {"paths": [pattern]}},
        {"pii": {}},
        {"mix": {"groups": [{"name": "a", "sources": ["**/00*"], "epochs": 0.5}]}},
    ])
}

/// The same input in a form that readers enter in another way.
fn write_input(directory: &Path, form: &str) {
    let path = directory.join("in");
    std::fs::create_dir_all(&path).expect("its directory");
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).expect("compress");
        encoder.finish().expect("compress")
    };
    let text = lines(7, 1_500);
    let write = |name: &str, bytes: &[u8]| std::fs::write(path.join(name), bytes).expect("an input");
    match form {
        "plain" => write("a.jsonl", text.as_bytes()),
        "small" => {
            for (number, part) in text.split_inclusive('\n').collect::<Vec<_>>().chunks(40).enumerate() {
                write(&format!("{number:03}.jsonl"), part.concat().as_bytes());
            }
        }
        "members" => {
            let members = text.split_inclusive('\n').collect::<Vec<_>>();
            let members: Vec<Vec<u8>> = members.chunks(3).map(|lines| gzip(&lines.concat())).collect();
            write("a.jsonl.gz", &members.concat());
        }
        "frame" | "carved" => {
            write("a.jsonl.zst", &zstd::encode_all(text.as_bytes(), 1).expect("compress"));
        }
        other => panic!("no form `{other}`"),
    }
}

#[test]
fn a_run_with_lost_attempts_leaves_the_bytes_of_one_without() {
    for form in ["plain", "small", "members", "frame", "carved"] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = |name: &str| directory.path().join(name);
        write_input(directory.path(), form);
        let pattern = format!("{}/in/*", directory.path().display());
        // Small tasks are carved from the frame; a large one reads everything.
        let target = if form == "carved" { "20 KiB" } else { "1 GiB" };
        let job_in = |name: &str| job(&root(name), target, &pipeline(&pattern));
        let whole = undisturbed(&root("whole"), &job_in("whole"));
        let mut deaths = 0;
        for seed in 0..2 {
            let name = format!("seed{seed}");
            let (run, losses) = disturbed(&root(&name), &job_in(&name), seed);
            assert_eq!(run.bytes(), whole.bytes(), "{form}, seed {seed}");
            let tallies = |run: &Run| {
                let outcomes = run.outcomes.iter().flatten();
                outcomes.map(|outcome| outcome.tallies.clone()).collect::<Vec<_>>()
            };
            assert_eq!(tallies(&run), tallies(&whole), "{form}, seed {seed}");
            assert_eq!(losses.resumed, losses.deaths, "every attempt that died left a savepoint");
            // One segment that was not durable yet, one that was not whole, and the record under way.
            let bound = 2 * SEGMENT + LINE_MAX;
            assert!(losses.bytes_most <= bound, "{form}: {} bytes were lost at once", losses.bytes_most);
            deaths += losses.deaths;
        }
        assert!(deaths >= 4, "{form}: {deaths} deaths prove nothing");
    }
}

#[test]
fn what_a_barrier_counts_or_draws_is_the_same_after_a_loss() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write_input(directory.path(), "small");
    let pattern = format!("{}/in/*", directory.path().display());
    let job_in = |name: &str| job(&directory.path().join(name), "1 GiB", &mixture(&pattern));
    let whole = undisturbed(&directory.path().join("whole"), &job_in("whole"));
    assert!(!whole.dropped("mix").is_empty(), "some are not drawn");
    let (run, losses) = disturbed(&directory.path().join("seed"), &job_in("seed"), 5);
    assert!(losses.deaths >= 2 && losses.resumed == losses.deaths, "{} deaths", losses.deaths);
    assert_eq!(run.bytes(), whole.bytes());
}

#[test]
fn what_is_cut_is_the_same_after_a_loss() {
    for options in [
        json!({"method": "paragraph", "paragraph": {"unit": "line", "ngram": 4}}),
        json!({"method": "substring", "substring": {"min_tokens": 10}}),
    ] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        write_input(directory.path(), "plain");
        let pattern = format!("{}/in/*", directory.path().display());
        let stages = json!([{"read": {"paths": [pattern]}}, {"dedup": options}, {"pii": {}}]);
        let job_in = |name: &str| job(&directory.path().join(name), "1 GiB", &stages);
        let whole = undisturbed(&directory.path().join("whole"), &job_in("whole"));
        assert!(
            whole.notes("dedup").len() + whole.dropped("dedup").len() > 0,
            "something is cut by {options}"
        );
        let (run, losses) = disturbed(&directory.path().join("seed"), &job_in("seed"), 3);
        assert!(losses.deaths >= 4 && losses.resumed == losses.deaths, "{} deaths", losses.deaths);
        assert_eq!(run.bytes(), whole.bytes(), "{options}");
    }
}

#[test]
fn a_savepoint_of_other_options_is_passed_by() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write_input(directory.path(), "plain");
    let pattern = format!("{}/in/*", directory.path().display());
    let stages = |rule: &str| json!([{"read": {"paths": [pattern]}}, {"filter": {"rules": [rule]}}]);
    let job_in = |name: &str, rule: &str| job(&directory.path().join(name), "1 GiB", &stages(rule));
    let whole = undisturbed(&directory.path().join("whole"), &job_in("whole", "c4"));
    // An attempt with other rules dies in the same place of the same output.
    let root = directory.path().join("changed");
    let mut left: Option<Savepoint> = None;
    let died = run_with(
        &root,
        &job_in("changed", "gopher-quality"),
        Order::FirstToLast,
        SEGMENT,
        &mut |shared, phase, spec| {
            let progress = Arc::new(Progress::default());
            let sink = Arc::new(Sink {
                savepoints: Mutex::default(),
                dead: AtomicBool::new(false),
                dies_after: 3,
                count: AtomicU64::new(0),
                progress: Arc::clone(&progress),
            });
            let context = TaskContext {
                job: Arc::clone(shared),
                attempt_path: format!(".orchestrator/attempts/{phase}/{}/1", spec.number),
                phase,
                progress,
                resume: Resume { from: None, sink: Some(Arc::clone(&sink) as _) },
            };
            let ended = orchestrator_pipeline::run(&context, spec);
            left.clone_from(&sink.savepoints.lock().expect("no test panicked"));
            Err(ended.err().map_or_else(String::new, |error| error.to_string()))
        },
    );
    assert!(died.is_err());
    let from = left.expect("a savepoint");
    let mut resumed = 0;
    let run =
        run_with(&root, &job_in("changed", "c4"), Order::FirstToLast, SEGMENT, &mut |shared, phase, spec| {
            let attempt_path = format!(".orchestrator/attempts/{phase}/{}/2", spec.number);
            let of_map = matches!(spec.work, Work::Map { .. }).then(|| from.clone());
            resumed += u32::from(of_map.is_some());
            let context = TaskContext {
                job: Arc::clone(shared),
                attempt_path: attempt_path.clone(),
                phase,
                progress: Arc::new(Progress::default()),
                resume: Resume { from: of_map, sink: None },
            };
            let outcome = orchestrator_pipeline::run(&context, spec).map_err(|error| error.to_string())?;
            Ok((attempt_path, outcome))
        })
        .expect("it begins at the beginning");
    assert_eq!(resumed, 1);
    assert_eq!(run.bytes(), whole.bytes());
}

#[test]
fn a_savepoint_that_cannot_be_used_costs_only_the_time() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write_input(directory.path(), "plain");
    let pattern = format!("{}/in/*", directory.path().display());
    let job_in = |name: &str| job(&directory.path().join(name), "1 GiB", &pipeline(&pattern));
    let whole = undisturbed(&directory.path().join("whole"), &job_in("whole"));
    let spoil: [(&str, Spoil); 3] = [
        ("gone", |path| std::fs::remove_dir_all(path).expect("its segments")),
        ("cut", |path| {
            let first = path.join("000001.seg");
            let bytes = std::fs::read(&first).expect("a segment");
            std::fs::write(first, &bytes[..bytes.len() / 2]).expect("write");
        }),
        ("changed", |path| {
            let first = path.join("000001.seg");
            let mut bytes = std::fs::read(&first).expect("a segment");
            let last = bytes.len() - 9;
            bytes[last] ^= 1;
            std::fs::write(first, bytes).expect("write");
        }),
    ];
    for (name, spoil) in spoil {
        let root = directory.path().join(name);
        let mut spoilt = 0;
        let run = run_with(&root, &job_in(name), Order::FirstToLast, SEGMENT, &mut |shared, phase, spec| {
            let mut from = None;
            for number in 1.. {
                let dies_after = if number == 1 { 3 } else { 0 };
                // What is spoilt is passed by: the next attempt counts from 1.
                let Attempt { path, ended, saved, .. } =
                    attempt((shared, phase, spec), number, from.as_ref(), None, dies_after);
                match ended {
                    Ok(outcome) => return Ok((path, outcome)),
                    Err(TaskError::Stopped) => {
                        from = saved;
                        spoil(&root.join(&path).join("segments"));
                        spoilt += 1;
                    }
                    Err(error) => return Err(error.to_string()),
                }
            }
            unreachable!("the second attempt ends")
        })
        .expect("it begins at the beginning");
        assert!(spoilt > 0, "{name}: no attempt died");
        assert_eq!(run.bytes(), whole.bytes(), "{name}");
    }
}
