use orchestrator_core::Digest;

use super::*;
use crate::parse::parse;

const JOB: &str = r#"
name: tiny-gpt
output: ./runs/tiny-gpt
pipeline:
  - read: {paths: ["${CARGO_HOME:-~/.cargo}/registry/src/*/*/README.md", "../more/*.md"]}
  - clean: {}
  - tokenize: {train: {model: bpe}}
  - train:
      model: {layers: 6, heads: 6, width: 384, context: 256}
      steps: 2000
      world_size: 2
  - export:
"#;

fn surroundings() -> Surroundings {
    let variables = [("HOME", "/home/u"), ("EMPTY", ""), ("DATA", "/data")];
    Surroundings {
        directory: "/home/u/project".into(),
        variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
    }
}

fn resolved() -> Job {
    let file = parse(JOB, "job.yaml").map_err(|error| error.to_string()).expect("a good job");
    file.resolve(&surroundings()).map_err(|error| error.to_string()).expect("resolvable")
}

#[test]
fn every_default_is_written_and_every_path_absolute() {
    insta::assert_snapshot!(resolved().to_yaml().expect("plain data"));
}

#[test]
fn a_resolved_job_is_read_back_as_itself() {
    let job = resolved();
    let yaml = job.to_yaml().expect("plain data");
    let again = parse(&yaml, "job.yaml").map_err(|error| error.to_string()).expect("its own text");
    assert_eq!(again.job, job);
    assert_eq!(again.resolve(&Surroundings::default()).expect("nothing is left to resolve"), job);
    let resolved = Resolved { job, inputs: vec![], files: vec![] };
    let json = resolved.to_json().expect("plain data");
    assert_eq!(Resolved::from_json(&json).expect("its own text"), resolved);
}

#[test]
fn locations_become_absolute() {
    let surroundings = surroundings();
    for (text, absolute) in [
        ("a/b", "/home/u/project/a/b"),
        ("./a/../b/", "/home/u/project/b"),
        ("../../../../x", "/x"),
        ("/abs//x", "/abs/x"),
        ("~", "/home/u"),
        ("~/x", "/home/u/x"),
        ("~other/x", "/home/u/project/~other/x"),
        ("${DATA}/x", "/data/x"),
        ("${EMPTY:-~/.cargo}/x", "/home/u/.cargo/x"),
        ("@lists/warc.paths.gz", "@/home/u/project/lists/warc.paths.gz"),
        ("s3://bucket/a/*.gz", "s3://bucket/a/*.gz"),
        ("s3://bucket/a?.gz", "s3://bucket/a?.gz"),
    ] {
        assert_eq!(surroundings.locate(text).as_deref(), Ok(absolute), "{text}");
    }
    let unset = LocationError::Unset { name: "NOPE".into() };
    assert_eq!(surroundings.locate("${NOPE}/x"), Err(unset));
    assert!(matches!(surroundings.locate("${DATA/x"), Err(LocationError::BrokenVariable { .. })));
    assert!(matches!(surroundings.locate("ftp://x/y"), Err(LocationError::UnknownScheme { .. })));
}

#[test]
fn a_directory_with_the_name_of_a_glob_stands_for_itself() {
    let odd = Surroundings { directory: "/w/dir [v2]".into(), ..surroundings() };
    assert_eq!(odd.locate_glob("a*.jsonl").as_deref(), Ok("/w/dir [[]v2[]]/a*.jsonl"));
    assert_eq!(odd.locate_glob("/x/*.md").as_deref(), Ok("/x/*.md"));
    assert_eq!(odd.locate("model.bin").as_deref(), Ok("/w/dir [v2]/model.bin"));
    assert_eq!(odd.locate_glob("@list").as_deref(), Ok("@/w/dir [v2]/list"));
}

#[test]
fn a_relative_exclusion_stays_relative() {
    let surroundings = surroundings();
    for (glob, resolved) in [
        ("**/x*", "**/x*"),
        ("./bad/*.md", "bad/*.md"),
        ("/data/x*", "/data/x*"),
        ("${DATA}/x*", "/data/x*"),
        ("../x*", "/home/u/x*"),
        ("s3://bucket/x*", "s3://bucket/x*"),
    ] {
        assert_eq!(surroundings.locate_exclusion(glob).as_deref(), Ok(resolved), "{glob}");
    }
}

#[test]
fn outputs_are_not_written_over_http() {
    let file = parse(&JOB.replace("./runs/tiny-gpt", "https://host/x"), "job.yaml").expect("a good job");
    let error = file.resolve(&surroundings()).expect_err("read only");
    assert_eq!((error.problems[0].at.line, error.problems[0].path.as_str()), (3, "output"));
}

#[test]
fn the_threshold_in_force_is_written_out() {
    for (options, threshold) in [("{}", 0.5), ("{model: lid.bin}", 0.65), ("{threshold: 0.3}", 0.3)] {
        let text = JOB.replace("- clean: {}", &format!("- language: {options}"));
        let job = parse(&text, "job.yaml").expect("a good job").resolve(&surroundings()).expect("resolvable");
        let Stage::Language(language) = &job.pipeline[1] else { panic!("a language stage") };
        assert_eq!(language.threshold, Some(threshold), "{options}");
    }
}

#[test]
fn credentials_never_get_into_a_resolved_job() {
    for url in [
        "https://user:secret@host/x",
        "s3://key@bucket/x",
        "https://host/x?X-Amz-Signature=abc",
        "az://container/x?sv=1&sig=abc",
    ] {
        assert_eq!(surroundings().locate(url), Err(LocationError::Credentials), "{url}");
    }
    let text = JOB.replace("../more/*.md", "https://user:secret@host/x.md");
    let file = parse(&text, "job.yaml").expect("a good job");
    let error = file.resolve(&surroundings()).expect_err("credentials");
    assert_eq!(
        (error.problems[0].at.line, error.problems[0].path.as_str()),
        (5, "pipeline[0].read.paths[1]")
    );
}

#[test]
fn a_difference_names_keys() {
    let job = resolved();
    assert!(difference(&job, &job).is_empty());
    let mut other = job.clone();
    other.seed = 7;
    other.max_attempts = 9;
    if let Stage::Train(train) = &mut other.pipeline[3] {
        train.model.as_mut().expect("a model").layers = 4;
    }
    other.pipeline.pop();
    insta::assert_snapshot!(difference(&job, &other).join("\n"));
}

#[test]
fn fingerprints_follow_what_a_stage_depends_on() {
    let input = |bytes| InputFile { url: "/a/x.md".into(), source: "x.md".into(), bytes, stamp: "t".into() };
    let resolved = Resolved { job: resolved(), inputs: vec![input(1)], files: vec![] };
    let prints = |change: &dyn Fn(&mut Resolved)| -> Vec<Digest> {
        let mut changed = resolved.clone();
        change(&mut changed);
        fingerprints(&changed, "x86-64-v3")
    };
    let same = prints(&|_| {});
    assert_eq!(same.len(), 5);
    let moved = prints(&|resolved| {
        resolved.inputs[0].url = "/elsewhere/x.md".into();
        resolved.job.output = "/elsewhere".into();
        if let Stage::Read(read) = &mut resolved.job.pipeline[0] {
            read.paths = vec!["/elsewhere/*.md".into()];
            read.root = Some("/elsewhere".into());
        }
    });
    assert_eq!(same, moved);
    let trained_longer = prints(&|resolved| {
        if let Stage::Train(train) = &mut resolved.job.pipeline[3] {
            train.steps = Some(3000);
        }
    });
    assert_eq!(same[..3], trained_longer[..3]);
    assert_ne!(same[3], trained_longer[3]);
    assert_ne!(same[4], trained_longer[4]);
    assert_ne!(same[0], prints(&|resolved| resolved.inputs = vec![input(2)])[0]);
    assert_ne!(same[0], fingerprints(&resolved, "x86-64-v4")[0]);
}

#[test]
fn every_stage_has_a_version() {
    for stage in &resolved().pipeline {
        assert!(stage_version(stage.name()) > 0, "{}", stage.name());
    }
}
