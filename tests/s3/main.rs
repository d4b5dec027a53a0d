//! A whole job against a real S3 server (moto, started here): inputs, attempts and results are objects.

#![expect(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../chaos/prey.rs"]
#[expect(dead_code, reason = "only ranks are hunted here")]
mod prey;
mod server;
mod throttle;

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use server::Server;
use support::corpus::{self, Dice};
use support::daemons::Cluster;
use support::{Process, Ran, Scene, signal, tiny_training};
use throttle::Door;

const PATIENCE: Duration = Duration::from_secs(90);

const DATA: &str = "
  - clean: {min_characters: 60}
  - dedup: {}
  - pii: {}
";

/// The same corpus on S3 and on local disk, and a job for each. The local one has run.
fn scene(server: &Server) -> Scene {
    let scene = Scene::new();
    for (number, pages) in corpus::pages(61, 80).chunks(40).enumerate() {
        let bytes = corpus::gzip(&corpus::jsonl(pages));
        server.put(&format!("corpus/deep/{number}.jsonl.gz"), &bytes);
        scene.write(&format!("corpus/deep/{number}.jsonl.gz"), bytes);
    }
    let job = |name: &str, output: &str, paths: &str| {
        let head = format!("name: job\noutput: {output}\ntarget_bytes: 64 KiB\nmax_attempts: 20\n");
        scene.write(
            &format!("{name}.yaml"),
            format!(
                "{head}pipeline:\n  - read: {{paths: [\"{paths}\"]}}{DATA}{}",
                tiny_training(400, 2, &["world_size: 2"])
            ),
        );
    };
    job("local", "./local", "corpus/**/*.jsonl.gz");
    job("remote", "s3://bucket/runs/remote", "s3://bucket/corpus/**/*.jsonl.gz");
    scene.complete("local", 2).check();
    scene
}

fn command(scene: &Scene, server: &Server) -> Command {
    let mut command = scene.command(&["run", "remote.yaml", "--workers", "2", "--state", "state"]);
    command.envs(server.variables());
    command
}

/// Compares what lies on the server with the local run.
#[track_caller]
fn compare(scene: &Scene, server: &Server) {
    for (key, _) in server.list("runs/remote/") {
        let relative = key.strip_prefix("runs/").expect("what was asked for");
        scene.write(&format!("fetched/{relative}"), server.get(&key));
    }
    let fetched = scene.output("fetched/remote");
    assert_eq!(fetched.check().digests(), scene.output("local").digests());
    assert_eq!(fetched.losses(), scene.output("local").losses());
}

#[test]
fn a_job_from_s3_to_s3_leaves_the_bytes_of_a_local_one() {
    let Some(server) = Server::start() else { return };
    let scene = scene(&server);
    let ran = Ran::of(&mut command(&scene, &server)).ended(0);
    assert!(ran.stderr.lines().all(|line| line.starts_with("phase ")), "progress alone: {}", ran.stderr);
    assert!(ran.stdout.contains("s3://bucket/runs/remote"), "{}", ran.stdout);
    compare(&scene, &server);
    for file in ["job.yaml", "report.html", "report.json", "stages/00-read/manifest.json"] {
        let bytes = server.get(&format!("runs/remote/{file}"));
        assert!(!String::from_utf8_lossy(&bytes).contains(server::SECRET), "{file} tells the secret");
    }
    let again = Ran::of(&mut command(&scene, &server)).ended(0);
    assert!(again.stderr.contains("finished"), "{}", again.stderr);
    assert!(again.stdout.contains("validation loss") && again.stdout.contains("dedup"), "{}", again.stdout);
    looks_the_same(&scene, &server);
}

/// What the verbs say of the run on the server is what they say of its copy on this machine.
#[track_caller]
fn looks_the_same(scene: &Scene, server: &Server) {
    let output = scene.output("local");
    let kept = output.documents("pii")[0].id.to_string();
    let dropped = output.dropped("clean")[0].id.to_string();
    let query = |sql: &str| vec!["query".to_owned(), "RUN".to_owned(), sql.to_owned()];
    let verb = |arguments: &[&str]| arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>();
    let mut asked = vec![
        verb(&["stats", "RUN"]),
        query("SELECT rule, COUNT(*) AS n FROM clean_dropped GROUP BY rule ORDER BY rule"),
        query("SELECT COUNT(*) AS n FROM pii JOIN tokens ON pii.id = tokens.id"),
        query("SELECT step, loss FROM metrics ORDER BY step"),
        verb(&["trace", &kept, "--run", "RUN"]),
        verb(&["trace", &dropped, "--run", "RUN"]),
        verb(&["trace", "step-00000004", "--run", "RUN"]),
        verb(&["inspect", "RUN"]),
    ];
    for path in [
        "stages/03-pii/part-00000.parquet",
        "stages/01-clean/dropped-00000.parquet",
        "stages/01-clean",
        "tokens/train-00000.idx",
        "checkpoints/step-00000004",
        "model",
        "model/model.safetensors",
        "metrics.jsonl",
    ] {
        asked.push(verb(&["inspect", &format!("RUN/{path}")]));
    }
    for arguments in asked {
        let on = |run: &str| {
            let arguments: Vec<String> =
                arguments.iter().map(|argument| argument.replace("RUN", run)).collect();
            let mut command = scene.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            Ran::of(command.args(["--output", "json"]).envs(server.variables())).ended(0).json()
        };
        assert_eq!(on("s3://bucket/runs/remote"), on("fetched/remote"), "{arguments:?}");
    }
    let mut command = scene.command(&["query", "s3://bucket/runs/remote", "SELECT * FROM nothing"]);
    let wrong = Ran::of(command.envs(server.variables())).ended(2);
    assert!(wrong.stderr.contains("pii_notes") && wrong.stderr.contains("tokens"), "{}", wrong.stderr);
    let mut command = scene.command(&["stats", "s3://bucket/runs/absent"]);
    let wrong = Ran::of(command.envs(server.variables())).ended(2);
    assert!(wrong.stderr.contains("s3://bucket/runs/absent"), "{}", wrong.stderr);
}

#[test]
fn public_objects_are_read_without_credentials() {
    let Some(server) = Server::start() else { return };
    let scene = Scene::new();
    server.put_public("public/a.jsonl", &corpus::jsonl(&corpus::pages(63, 40)));
    let read = "read: {paths: [\"s3://bucket/public/a.jsonl\"], anonymous: true}";
    scene.job("public", &format!("pipeline:\n  - {read}\n  - clean: {{}}\n"));
    let mut command = scene.command(&["run", "public.yaml"]);
    let variables = server.variables();
    command.envs(variables.into_iter().filter(|(name, _)| !name.contains("KEY")));
    Ran::of(&mut command).ended(0);
    assert_eq!(scene.output("public").check().manifest("read").kept, 40);
    assert!(!server.requests().is_empty());
}

#[test]
fn attempts_are_uploaded_in_parts() {
    let Some(server) = Server::start() else { return };
    let scene = Scene::new();
    // Random digits hardly compress: the part is larger than one part of an upload (16 MiB).
    let mut dice = Dice::new(1);
    let mut text = String::with_capacity(42 << 20);
    for _ in 0..40 {
        text.push_str("{\"text\": \"");
        for _ in 0..(1 << 20) / 16 {
            write!(text, "{:016x}", dice.next()).expect("a string takes all that is written");
        }
        text.push_str("\"}\n");
    }
    scene.write("corpus/a.jsonl", text);
    scene.write(
        "remote.yaml",
        "name: remote\noutput: s3://bucket/runs/remote\npipeline:\n  - read: {paths: [corpus/a.jsonl], keep: true}\n",
    );
    Ran::of(&mut command(&scene, &server)).ended(0);
    let uploads = server.requests().into_iter().filter(|request| request.contains("partNumber=2")).count();
    assert!(uploads > 0, "a second part was uploaded");
    let parts = server.list("runs/remote/stages/00-read/part-");
    assert!(parts.iter().any(|(_, bytes)| *bytes > 16 << 20), "{parts:?}");
}

#[test]
fn killed_runs_on_s3_go_on() {
    let Some(server) = Server::start() else { return };
    let scene = scene(&server);
    let mut dice = Dice::of_chaos("runs on S3");
    let mut kills = 0;
    for life in 0..4 {
        let mut process =
            Process::start(command(&scene, &server).stdout(Stdio::null()).stderr(Stdio::null()));
        let moment = if life % 2 == 0 {
            let wait = dice.between(300, 1_200 + 600 * life);
            std::thread::sleep(Duration::from_millis(wait));
            format!("after {wait} ms")
        } else {
            amid_publication(&server, &mut dice)
        };
        if process.ended().is_some() {
            break;
        }
        process.kill();
        kills += 1;
        println!("killed {moment}");
    }
    assert!(kills > 0, "nobody was killed");
    Ran::of(&mut command(&scene, &server)).ended(0);
    compare(&scene, &server);
}

#[test]
fn killed_daemons_on_s3_go_on() {
    let Some(server) = Server::start() else { return };
    let scene = scene(&server);
    let mut dice = Dice::of_chaos("daemons on S3");
    let mut cluster = Cluster::start(&scene, 1_500, &server.variables());
    cluster.start_worker("one");
    cluster.start_worker("two");
    let job = cluster.client(&["submit", "remote.yaml"]).ended(0).stdout.trim().to_owned();
    let mut kills = 0;
    for kill in 0..4 {
        // The coordinator publishes: it dies amid that.
        let moment = if kill % 2 == 0 {
            std::thread::sleep(Duration::from_millis(dice.between(100, 1_500)));
            String::new()
        } else {
            amid_publication(&server, &mut dice)
        };
        if cluster.state(&job).as_deref() == Some("succeeded") {
            break;
        }
        if kill % 2 == 0 {
            cluster.kill_worker("one");
            cluster.start_worker("one");
        } else {
            cluster.kill_coordinator();
            cluster.start_coordinator();
        }
        kills += 1;
        println!("killed {} {moment}", if kill % 2 == 0 { "worker one" } else { "the coordinator" });
    }
    assert!(kills > 0, "the job ended before anybody was killed");
    assert_eq!(cluster.reaches(&job, &["succeeded", "failed"], PATIENCE), "succeeded");
    compare(&scene, &server);
}

#[test]
fn a_killed_rank_on_s3_takes_its_gang_back_to_a_checkpoint() {
    let Some(server) = Server::start() else { return };
    let scene = scene(&server);
    let mut dice = Dice::of_chaos("ranks on S3");
    let mut process = Process::start(command(&scene, &server).stdout(Stdio::null()).stderr(Stdio::null()));
    let begun = Instant::now();
    let mut kills = 0;
    while kills < 2 && process.ended().is_none() {
        assert!(begun.elapsed() < PATIENCE, "the run does not end");
        let ranks = prey::ranks(&[process.id()]);
        if ranks.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let wait = dice.between(0, 400);
        std::thread::sleep(Duration::from_millis(wait));
        signal("KILL", *dice.choose(&ranks));
        kills += 1;
        println!("killed a rank after {wait} ms of its life");
    }
    assert!(kills > 0, "no rank was found");
    assert_eq!(process.wait(PATIENCE), 0, "the run outlives its ranks");
    compare(&scene, &server);
}

/// Waits until an object appears at a final name, and a moment more; or for two seconds.
fn amid_publication(server: &Server, dice: &mut Dice) -> String {
    let published = || -> Vec<String> {
        let listed =
            ["stages/", "tokens/", "checkpoints/"].map(|top| server.list(&format!("runs/remote/{top}")));
        listed.into_iter().flatten().map(|(key, _)| key).collect()
    };
    let (before, begun) = (published(), Instant::now());
    let mut seen = before.clone();
    while seen == before && begun.elapsed() < Duration::from_secs(2) {
        seen = published();
    }
    let wait = dice.between(0, 40);
    std::thread::sleep(Duration::from_millis(wait));
    let new: Vec<&String> = seen.iter().filter(|key| !before.contains(key)).collect();
    format!("{wait} ms after the appearance of {new:?}")
}

#[test]
fn a_server_that_hangs_for_a_while_is_waited_for() {
    let Some(server) = Server::start() else { return };
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(62, 40)));
    let stages = "pipeline:\n  - read: {paths: [\"corpus/*\"]}\n  - clean: {}\n";
    scene.write("remote.yaml", format!("name: remote\noutput: s3://bucket/runs/remote\n{stages}"));
    let mut process = Process::start(command(&scene, &server).stdout(Stdio::null()).stderr(Stdio::null()));
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(150));
        server.hang();
        std::thread::sleep(Duration::from_secs(1));
        server.go_on();
    }
    assert_eq!(process.wait(PATIENCE), 0);
    assert!(!server.list("runs/remote/stages/01-clean/").is_empty());
}

/// Lines of small files on the server: a request or two for each.
fn many_small_files(server: &Server, count: usize) {
    for (number, pages) in corpus::pages(67, count * 2).chunks(2).enumerate() {
        server.put(&format!("corpus/small/{number:04}.jsonl"), &corpus::jsonl(pages));
    }
}

#[test]
fn a_store_that_throttles_is_asked_more_slowly_by_all_workers() {
    let Some(server) = Server::start() else { return };
    let scene = Scene::new();
    many_small_files(&server, 120);
    let door = Door::open(server.port(), 1_000);
    let job = |name: &str| {
        let head =
            format!("name: job\noutput: s3://bucket/runs/{name}\ntarget_bytes: 64 KiB\nmax_attempts: 2\n");
        let stages = "pipeline:\n  - read: {paths: [\"s3://bucket/corpus/small/*.jsonl\"]}\n  - clean: {min_characters: 60}\n";
        scene.write(&format!("{name}.yaml"), format!("{head}{stages}"));
    };
    job("paced");
    let mut cluster = Cluster::start(&scene, 4_000, &server.variables_through(door.port()));
    for name in ["one", "two", "three"] {
        cluster.start_worker(name);
    }
    // A third of what three workers ask for by themselves.
    let allowed = 10;
    let before = door.seconds().len();
    let job = cluster.client(&["submit", "paced.yaml"]).ended(0).stdout.trim().to_owned();
    door.set(allowed);
    let told = std::cell::Cell::new(false);
    let state = support::eventually("the job ends", PATIENCE * 2, || {
        let ran = cluster.client(&["describe", &job]);
        told.set(told.get() || ran.stdout.contains("s3://bucket` throttles"));
        let state = cluster.state(&job)?;
        ["succeeded", "failed"].contains(&state.as_str()).then_some(state)
    });
    let log = cluster.client(&["logs", &job]).stdout;
    assert_eq!(state, "succeeded", "{log}");
    assert!(!log.contains("tried again") && !log.contains("quarantined"), "nothing fails: {log}");
    assert!(told.get(), "describe says what the job waits for");
    let seconds = &door.seconds()[before..];
    let sum =
        |seconds: &[(u32, u32)]| seconds.iter().fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    // The first seconds are those in which nobody knew; from then on few are turned away: without a pace it would be two of
    // three, with one it is the tooth of a saw, and a busy machine makes it uneven.
    let (early, late) = seconds.split_at(seconds.len() / 2);
    let ((_, early_away), (late_in, late_away)) = (sum(early), sum(late));
    println!("by second: {seconds:?}");
    assert!(early_away > 0, "the door turned somebody away");
    assert!(late_away * 2 <= late_in, "{late_away} of {} requests were turned away", late_in + late_away);
}
