//! What `run` does with an output that is there: resume, finish, refuse, reuse.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Process, Scene, corpus, eventually, tiny_training};

const JOB: &str = "
target_bytes: 8 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - dedup: {method: exact}
  - pii: {}
";

fn scene(pages: usize) -> Scene {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(21, pages)));
    scene.job("again", JOB);
    scene
}

#[test]
fn a_finished_run_is_not_done_again() {
    let scene = scene(100);
    let output = scene.complete("again", 2);
    let (digests, report) =
        (output.digests(), std::fs::metadata(output.path("report.html")).expect("the report"));
    let ran = scene.run(&["run", "again.yaml", "--workers", "1"]).ended(0);
    assert!(ran.stderr.contains("finished"), "{}", ran.stderr);
    assert!(ran.stdout.contains("dedup"), "the summary is printed again: {}", ran.stdout);
    assert_eq!(output.check().digests(), digests);
    let again = std::fs::metadata(output.path("report.html")).expect("the report");
    assert_eq!(report.modified().expect("a time"), again.modified().expect("a time"), "nothing was written");
}

#[test]
fn a_finished_run_needs_its_inputs_no_more() {
    let scene = scene(60);
    let output = scene.complete("again", 2);
    std::fs::remove_dir_all(scene.path("corpus")).expect("the corpus can be archived");
    let ran = scene.run(&["run", "again.yaml"]).ended(0);
    assert!(ran.stdout.contains("dedup"), "the summary is printed again: {}", ran.stdout);
    for said in ["matches no file", "finished"] {
        assert!(ran.stderr.contains(said), "`{said}` in: {}", ran.stderr);
    }
    let answer = scene.run(&["run", "again.yaml", "--output", "json"]).ended(0).json();
    assert_eq!(answer["state"], "succeeded");
    // Another job is not finished, and neither is one whose last stage is gone.
    scene.job("again", &JOB.replace("min_characters: 60", "min_characters: 90"));
    let refused = scene.run(&["run", "again.yaml"]).ended(2);
    assert!(refused.stderr.contains("matches no file"), "{}", refused.stderr);
    scene.job("again", JOB);
    std::fs::remove_file(output.path("stages/03-pii/manifest.json")).expect("the manifest");
    scene.run(&["run", "again.yaml"]).ended(2);
}

#[test]
fn what_somebody_left_in_an_output_is_not_written_over() {
    let scene = scene(20);
    for (place, name) in [("mine", "job.yaml"), ("theirs", "stages/00-read/x"), ("model", "model/weights")] {
        scene.write(&format!("{place}/{name}"), "mine");
        let ran = scene.run(&["run", "again.yaml", "--output-dir", place]).ended(2);
        let begin = name.split('/').next().expect("a name");
        assert!(ran.stderr.contains(begin) && ran.stderr.contains("no run of ours"), "{}", ran.stderr);
        assert_eq!(std::fs::read(scene.path(&format!("{place}/{name}"))).expect("it is there"), b"mine");
        assert!(!scene.path(&format!("{place}/.orchestrator")).exists(), "nothing of ours is left");
    }
    // What no run writes is in nobody's way.
    scene.write("again/README", "mine");
    scene.complete("again", 1).check();
    assert!(scene.path("again/README").exists());
    // The job file itself, beside which its run shall lie.
    let own = format!("name: own\noutput: .\n{JOB}");
    scene.write("own/job.yaml", &own);
    scene.run(&["run", "own/job.yaml"]).ended(2);
    assert_eq!(std::fs::read_to_string(scene.path("own/job.yaml")).expect("the job file"), own);
}

#[test]
fn a_run_that_was_moved_is_what_it_was() {
    let scene = scene(60);
    let digests = scene.complete("again", 2).digests();
    let moved = |from: &str, to: &str| std::fs::rename(scene.path(from), scene.path(to)).expect("it moves");
    let run = |output: &str, more: &[&str]| {
        let base = ["run", "again.yaml", "--output-dir", output];
        scene.run(&[&base[..], more].concat())
    };
    moved("again", "moved");
    let modified = || {
        let part = scene.path("moved/stages/01-clean/part-00000.parquet");
        std::fs::metadata(part).expect("a part").modified().expect("a time")
    };
    let before = modified();
    // With its state, and without.
    for _ in 0..2 {
        let ran = run("moved", &[]).ended(0);
        assert!(
            ran.stderr.contains("finished") && ran.stdout.contains("dedup"),
            "{}{}",
            ran.stderr,
            ran.stdout
        );
        std::fs::remove_dir_all(scene.path("moved/.orchestrator")).expect("the state");
    }
    assert_eq!(modified(), before, "nothing was made again");
    // One that is not finished is made again only when asked to be.
    std::fs::remove_file(scene.path("moved/stages/03-pii/manifest.json")).expect("the manifest");
    let refused = run("moved", &[]).ended(2);
    assert!(refused.stderr.contains("equal job") && refused.stderr.contains("--reuse"), "{}", refused.stderr);
    run("moved", &["--reuse"]).ended(0);
    assert_eq!(scene.output("moved").check().digests(), digests);
}

#[test]
fn a_run_that_one_may_only_read_is_refused_with_the_reason() {
    let scene = scene(20);
    scene.complete("again", 1);
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
    };
    let (root, state) = (scene.path(""), scene.path("again/.orchestrator"));
    set(&root, 0o755);
    set(&state.join("journal.sqlite"), 0o444);
    set(&state, 0o555);
    let mut command = scene.command(&["run", "again.yaml"]);
    // Permissions do not bind the superuser, as whom containers test: there, the run is somebody else's.
    let superuser = std::fs::metadata(&root).expect("the scene").uid() == 0;
    if superuser {
        command.uid(65_534).gid(65_534);
    }
    let ended = command.output();
    set(&state, 0o755);
    if superuser && ended.is_err() {
        println!("skipped: another user cannot reach the binary under test");
        return;
    }
    let ended = ended.expect("it can be started");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    for wanted in ["journal.sqlite", "may write", "ermission denied"] {
        assert!(said.contains(wanted), "`{wanted}` in:\n{said}");
    }
}

#[test]
fn a_half_done_run_goes_on() {
    let scene = scene(250);
    scene.job("whole", JOB);
    let whole = scene.complete("whole", 2).digests();
    let mut command = scene.command(&["run", "again.yaml", "--workers", "1"]);
    let mut process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let attempts = scene.path("again/.orchestrator/attempts");
    eventually("the run has begun", Duration::from_secs(20), || attempts.exists().then_some(()));
    process.kill();
    let ran = scene.run(&["run", "again.yaml", "--workers", "2"]).ended(0);
    assert!(ran.stderr.contains("going on") || ran.stderr.contains("finished"), "{}", ran.stderr);
    assert_eq!(scene.output("again").check().digests(), whole);
}

#[test]
fn another_job_in_the_same_output_is_refused_with_the_difference() {
    let scene = scene(100);
    let before = scene.complete("again", 2).digests();
    scene.job("again", &JOB.replace("min_characters: 60", "min_characters: 90"));
    let ran = scene.run(&["run", "again.yaml"]).ended(2);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    for wanted in ["min_characters", "60", "90", "--reuse"] {
        assert!(ran.stderr.contains(wanted), "`{wanted}` in: {}", ran.stderr);
    }
    assert_eq!(scene.output("again").check().digests(), before, "the refused job changed nothing");
}

#[test]
fn reuse_keeps_the_phases_that_are_equal_and_does_the_others_anew() {
    let scene = scene(100);
    let output = scene.complete("again", 2);
    let modified = |path: &str| std::fs::metadata(output.path(path)).expect(path).modified().expect("a time");
    let cleaned = modified("stages/01-clean/part-00000.parquet");
    scene.job("again", &JOB.replace("pii: {}", "pii: {kinds: [email], action: drop}"));
    scene.run(&["run", "again.yaml", "--reuse"]).ended(0);
    output.check();
    assert_eq!(modified("stages/01-clean/part-00000.parquet"), cleaned, "the phase before was kept");
    assert!(output.manifest("pii").dropped.values().sum::<u64>() > 0, "the changed stage was done anew");
    scene.job("fresh", &JOB.replace("pii: {}", "pii: {kinds: [email], action: drop}"));
    assert_eq!(output.digests(), scene.complete("fresh", 2).digests(), "as if it had been done at once");
}

/// Stages before and behind a barrier, and a tokenizer.
const LONG: &str = "
target_bytes: 8 KiB
pipeline:
  - read: {paths: [\"corpus/*\"]}
  - clean: {min_characters: 60}
  - dedup: {method: exact}
  - filter: {rules: [gopher-quality]}
  - tokenize: {train: {model: bpe, vocab_size: 300}}
";

/// Changes the job, runs it with `--reuse`, and holds what was said, kept and done to what is expected.
#[track_caller]
fn reused(before: &str, after: &str, kept: &str, run: &str, because: &str, files: [&[&str]; 2]) {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(24, 120)));
    scene.job("again", before);
    let output = scene.complete("again", 2);
    let times = |files: &[&str]| -> Vec<_> {
        let time =
            |file: &&str| std::fs::metadata(output.path(file)).expect(file).modified().expect("a time");
        files.iter().map(time).collect()
    };
    let [stay, change] = files;
    let (stayed, changed) = (times(stay), times(change));
    scene.job("again", after);
    let ran = scene.run(&["run", "again.yaml", "--reuse"]).ended(0);
    for wanted in [format!("kept: {kept}\n"), format!("done anew: {run}\n"), format!("because {because}")] {
        assert!(ran.stderr.contains(&wanted), "`{wanted}` in: {}", ran.stderr);
    }
    assert_eq!(times(stay), stayed, "{stay:?} were kept");
    assert!(times(change).iter().zip(&changed).all(|(now, then)| now > then), "{change:?} were written anew");
    output.check();
    scene.job("fresh", after);
    assert_eq!(output.digests(), scene.complete("fresh", 2).digests(), "as if it had been done at once");
}

#[test]
fn another_threshold_runs_what_depends_on_it_and_nothing_else() {
    reused(
        LONG,
        &LONG.replace(
            "rules: [gopher-quality]",
            "rules: [gopher-quality], gopher_quality: {gopher_short_doc: 70}",
        ),
        "index, read+clean, dedup:bands, dedup:clusters",
        "dedup+filter, tokenize:prepare, tokenize, report",
        "pipeline[3].filter.gopher_quality.gopher_short_doc: 50 became 70",
        [
            &[
                "stages/01-clean/part-00000.parquet",
                "stages/01-clean/manifest.json",
                "stages/02-dedup/clusters.json",
            ],
            &[
                "stages/03-filter/part-00000.parquet",
                "stages/03-filter/manifest.json",
                "tokens/train-00000.bin",
            ],
        ],
    );
}

#[test]
fn another_tokenizer_keeps_every_document() {
    reused(
        LONG,
        &LONG.replace("vocab_size: 300", "vocab_size: 320"),
        "index, read+clean, dedup:bands, dedup:clusters, dedup+filter",
        "tokenize:prepare, tokenize, report",
        "pipeline[4].tokenize.train.vocab_size: 300 became 320",
        [
            &[
                "stages/03-filter/part-00000.parquet",
                "stages/02-dedup/manifest.json",
                "stages/03-filter/manifest.json",
            ],
            &["tokens/train-00000.bin", "tokens/tokenizer.json"],
        ],
    );
}

#[test]
fn a_threshold_of_a_fused_stage_reads_the_inputs_again_but_does_not_index_them() {
    let fused = LONG.replace("  - dedup: {method: exact}\n", "");
    reused(
        &fused,
        &fused.replace(
            "rules: [gopher-quality]",
            "rules: [gopher-quality], gopher_quality: {gopher_short_doc: 70}",
        ),
        "index",
        "read+clean+filter, tokenize:prepare, tokenize, report",
        "pipeline[2].filter.gopher_quality.gopher_short_doc: 50 became 70",
        [&[], &["stages/02-filter/part-00000.parquet", "tokens/train-00000.bin"]],
    );
}

#[test]
fn an_option_of_the_first_stage_keeps_nothing_and_says_so() {
    reused(
        LONG,
        &LONG.replace("{paths: [\"corpus/*\"]}", "{paths: [\"corpus/*\"], max_record_bytes: 1 MiB}"),
        "nothing",
        "index, read+clean, dedup:bands, dedup:clusters, dedup+filter, tokenize:prepare, tokenize, report",
        "pipeline[0].read.max_record_bytes:",
        [&[], &["stages/01-clean/part-00000.parquet", "tokens/train-00000.bin"]],
    );
}

#[test]
fn an_input_that_changed_is_named() {
    let scene = scene(100);
    scene.complete("again", 2);
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(22, 100)));
    let ran = scene.run(&["run", "again.yaml"]).ended(2);
    assert!(ran.stderr.contains("a.jsonl") && ran.stderr.contains("changed"), "{}", ran.stderr);
}

#[test]
fn one_output_has_one_run_at_a_time() {
    let scene = Scene::new();
    scene.write("corpus/a.jsonl", corpus::jsonl(&corpus::pages(23, 1_200)));
    scene.job("again", &JOB.replace("8 KiB", "64 KiB").replace("exact", "minhash"));
    let mut command = scene.command(&["run", "again.yaml", "--workers", "1"]);
    let mut first = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let owner = scene.path("again/.orchestrator/owner.json");
    eventually("the first run owns the output", Duration::from_secs(20), || owner.exists().then_some(()));
    let second = scene.run(&["run", "again.yaml", "--workers", "1"]);
    assert_ne!(second.code, Some(0), "{}", second.stderr);
    assert!(!second.stderr.is_empty());
    assert_eq!(first.wait(Duration::from_mins(1)), 0);
    scene.output("again").check();
}

#[test]
fn a_run_that_is_terminated_says_how_to_go_on() {
    let scene = scene(250);
    let said = scene.path("said");
    let mut command = scene.command(&["run", "again.yaml", "--workers", "1"]);
    let log = std::fs::File::create(&said).expect("a file");
    let mut process = Process::start(command.stdout(Stdio::null()).stderr(log));
    let attempts = scene.path("again/.orchestrator/attempts");
    eventually("the run has begun", Duration::from_secs(20), || attempts.exists().then_some(()));
    process.terminate();
    let code = process.wait(Duration::from_secs(20));
    let said = std::fs::read_to_string(said).expect("its words");
    if code != 0 {
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("run the same command again"), "{said}");
    }
    scene.run(&["run", "again.yaml"]).ended(0);
    scene.output("again").check();
}

#[cfg(unix)]
#[test]
fn an_output_is_known_by_whatever_name() {
    let scene = scene(60);
    let before = scene.complete("again", 2).digests();
    std::os::unix::fs::symlink(scene.path("again"), scene.path("linked")).expect("a link");
    let whole = scene.path("again");
    let whole = whole.to_str().expect("UTF-8");
    scene.job("again", &JOB.replace("min_characters: 60", "min_characters: 90"));
    let url = format!("file://{whole}/");
    let elsewhere = format!("{whole}/../again/");
    for name in ["linked", url.as_str(), elsewhere.as_str()] {
        let refused = scene.run(&["run", "again.yaml", "--output-dir", name]).ended(2);
        assert!(refused.stderr.contains("min_characters"), "{name}: {}", refused.stderr);
    }
    assert_eq!(scene.output("again").check().digests(), before);
    // The journal that lies in it knows the output under its old name, or is gone: its own job file tells.
    std::fs::rename(scene.path("again"), scene.path("moved")).expect("moved");
    let refused = scene.run(&["run", "again.yaml", "--output-dir", "moved"]).ended(2);
    assert!(
        refused.stderr.contains("another job") && refused.stderr.contains("min_characters"),
        "{}",
        refused.stderr
    );
    std::fs::remove_dir_all(scene.path("moved/.orchestrator")).expect("removed");
    let refused = scene.run(&["run", "again.yaml", "--output-dir", "moved"]).ended(2);
    assert!(refused.stderr.contains("another job"), "{}", refused.stderr);
    assert_eq!(scene.output("moved").check().digests(), before);
    // The same job may be done again there.
    scene.job("again", JOB);
    scene.run(&["run", "again.yaml", "--output-dir", "moved"]).ended(0);
    assert_eq!(scene.output("moved").check().digests(), before);
}

#[test]
fn what_a_job_does_not_make_does_not_stay_from_an_earlier_one() {
    let scene = scene(60);
    let trained = tiny_training(300, 2, &["order: sequential"]);
    scene.job("again", &format!("{JOB}{trained}"));
    let output = scene.complete("again", 2);
    scene.write("again/notes-of-mine.txt", "not ours");
    for there in ["model/model.safetensors", "checkpoints/step-00000004/manifest.json", "metrics.jsonl"] {
        assert!(output.path(there).exists(), "{there}");
    }
    // Another step in the middle, and nothing is trained.
    let shorter = JOB.replace("  - pii: {}\n", "  - filter: {rules: [gopher-repetition]}\n  - pii: {}\n");
    scene.job("again", &shorter);
    scene.run(&["run", "again.yaml", "--reuse"]).ended(0);
    scene.job("fresh", &shorter);
    let fresh = scene.complete("fresh", 2);
    assert_eq!(scene.output("again").check().digests(), fresh.digests());
    for gone in ["model/model.safetensors", "checkpoints/step-00000004", "metrics.jsonl", "samples.jsonl"] {
        assert!(
            !output.path(gone).is_file() && !output.path(&format!("{gone}/manifest.json")).exists(),
            "{gone}"
        );
    }
    assert!(output.path("notes-of-mine.txt").exists());
}

#[test]
fn a_run_is_not_written_over_by_the_job_that_reads_it() {
    let scene = scene(60);
    let before = scene.complete("again", 2).digests();
    let reads =
        "name: reads\noutput: again\npipeline:\n  - read: {run: ./again, stage: pii}\n  - clean: {}\n";
    scene.write("reads.yaml", reads);
    let refused = scene.run(&["run", "reads.yaml", "--reuse"]).ended(2);
    assert!(refused.stderr.contains("this job's own `output`"), "{}", refused.stderr);
    assert_eq!(scene.output("again").check().digests(), before);
}

#[test]
fn a_document_that_an_earlier_run_dropped_is_traced_there() {
    let scene = scene(100);
    let output = scene.complete("again", 2);
    let reads = "name: on\noutput: on\npipeline:\n  - read: {run: ./again, stage: pii}\n  - clean: {}\n";
    scene.write("on.yaml", reads);
    scene.complete("on", 2);
    let sql = "SELECT id FROM clean_dropped ORDER BY id LIMIT 1";
    let dropped = scene.run(&["query", "again", sql, "--output", "json"]).ended(0).json();
    let id = dropped["rows"][0][0].as_str().expect("some are too short").to_owned();
    let trace = scene.run(&["trace", &id, "--run", "on"]).ended(0).stdout;
    assert!(trace.contains("before that, in") && trace.contains("too_short"), "{trace}");
    assert!(output.path("job.yaml").exists());
}
