//! The coordinator is killed again and again while a job runs; the job ends with the same bytes.

mod support;

use std::time::{Duration, Instant};

use orchestrator_core::ErrorCode;
use orchestrator_proto::v1::workers_client::WorkersClient;
use orchestrator_proto::v1::{Disposition, JobState, LeaseRequest, SubmitRequest};
use support::{SumPlanner, Victim, channel, commit, execute, jobs, register, results, state_of, work};

fn submit_request(output: &str, variant: &str, reuse: bool) -> SubmitRequest {
    SubmitRequest { resolved_job: format!("{output}|{variant}"), priority: 0, reuse }
}

/// Runs the job, killing the coordinator after each of `waits`; gives every result.
fn run(waits: &[Duration], embedded: bool) -> Vec<(String, Vec<u8>)> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = directory.path().join("out");
    let text = output.to_str().expect("UTF-8").to_owned();
    let mut victim = Victim::start(&directory.path().join("state.sqlite"), embedded);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let address = victim.address();
    for name in ["a", "b"] {
        runtime.spawn(work(name, address.clone()));
    }
    let request = || submit_request(&text, "1", false);
    let submit = |address| runtime.block_on(async move { jobs(address).submit(request()).await });
    let job = submit(*address.borrow()).expect("it is taken").into_inner().job;
    for wait in waits {
        std::thread::sleep(*wait);
        victim.kill();
        victim.restart();
    }
    let begin = Instant::now();
    while runtime.block_on(state_of(*address.borrow(), &job)) != Some(JobState::Succeeded) {
        let detail = runtime.block_on(async {
            jobs(*address.borrow())
                .describe(orchestrator_proto::v1::DescribeRequest { job: job.clone() })
                .await
        });
        assert!(begin.elapsed() < Duration::from_mins(1), "the job does not end: {detail:?}");
        std::thread::sleep(Duration::from_millis(30));
    }
    let again = submit(*address.borrow()).expect("it is known").into_inner();
    assert_eq!(again.disposition(), Disposition::Finished);
    runtime.shutdown_background();
    drop(victim);
    let manifest = std::fs::read_to_string(output.join("stages/01-sum/manifest.json")).expect("the manifest");
    assert!(manifest.contains("\"kept\": 1"), "{manifest}");
    results(&output)
}

#[test]
fn kills_at_any_moment_leave_the_same_bytes() {
    let expected = run(&[], false);
    assert_eq!(expected.len(), support::TASKS as usize + 3);
    for seed in 0..6_u64 {
        // Kills spread over the few hundred milliseconds that the job takes.
        let waits: Vec<Duration> =
            (0..4).map(|kill| Duration::from_millis((seed * 37 + kill * 53) % 160)).collect();
        assert_eq!(run(&waits, seed % 2 == 0), expected, "waits {waits:?}");
    }
}

#[test]
fn stale_and_unbalanced_commits_are_refused_and_repeated_ones_are_not() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = directory.path().join("out").to_str().expect("UTF-8").to_owned();
    let victim = Victim::start(&directory.path().join("state.sqlite"), false);
    let address = *victim.address().borrow();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        jobs(address).submit(submit_request(&output, "1", false)).await.expect("it is taken");
        let mut client = WorkersClient::new(channel(address));
        let session = register(&mut client, "w").await.expect("a session");
        let request = LeaseRequest {
            session: session.clone(),
            worker: "w".into(),
            free_slots: 1,
            wait_ms: 5_000,
            ..LeaseRequest::default()
        };
        let assignments = client.lease(request).await.expect("a reply").into_inner().assignments;
        let assignment = &assignments[0];
        let outcome = execute(assignment);

        let code = |status: tonic::Status| orchestrator_proto::error(&status).code;
        let mut stale = commit("w", &session, assignment, &outcome);
        stale.fencing_token += 1;
        assert_eq!(client.commit(stale).await.map_err(code).expect_err("stale"), ErrorCode::StaleLease);
        let mut lossy = outcome.clone();
        lossy.tallies[0].records_in += 1;
        let lossy = commit("w", &session, assignment, &lossy);
        assert_eq!(
            client.commit(lossy).await.map_err(code).expect_err("unbalanced"),
            ErrorCode::InvalidInput
        );
        let mut forgotten = commit("w", &session, assignment, &outcome);
        forgotten.session = "0-0".into();
        let status = client.commit(forgotten).await.expect_err("an unknown session");
        assert!(orchestrator_proto::is_unknown_session(&status));
        for _ in 0..2 {
            client.commit(commit("w", &session, assignment, &outcome)).await.expect("its own lease");
        }
    });
}

#[test]
fn another_job_on_the_output_is_a_conflict_unless_phases_are_reused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = directory.path().join("out").to_str().expect("UTF-8").to_owned();
    let state = directory.path().join("state.sqlite");
    let victim = Victim::start(&state, false);
    let address = victim.address();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.spawn(work("w", address.clone()));
    let submit = |variant: &str, reuse| {
        let request = submit_request(&output, variant, reuse);
        runtime.block_on(async { jobs(*address.borrow()).submit(request).await })
    };
    let finish = |job: &str| {
        let begin = Instant::now();
        while runtime.block_on(state_of(*address.borrow(), job)) != Some(JobState::Succeeded) {
            assert!(begin.elapsed() < Duration::from_secs(30), "`{job}` does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let first = submit("1", false).expect("it is taken").into_inner().job;
    finish(&first);
    let status = submit("2", false).expect_err("another job");
    assert_eq!(orchestrator_proto::error(&status).code, ErrorCode::Conflict);
    assert!(status.message().contains("is now"), "{}", status.message());
    let second = submit("2", true).expect("it is taken").into_inner();
    assert_eq!(second.disposition(), Disposition::New);
    finish(&second.job);
    let request = orchestrator_proto::v1::LogsRequest { job: second.job.clone(), follow: false };
    let lines = runtime.block_on(async {
        let mut stream = jobs(*address.borrow()).logs(request).await.expect("a stream").into_inner();
        let mut lines = Vec::new();
        while let Ok(Some(line)) = stream.message().await {
            lines.push(line.text);
        }
        lines
    });
    assert!(lines[0].contains("1 of them kept"), "{lines:?}");
    // A second coordinator, with a state of its own, may not touch the output.
    let other = Victim::start(&directory.path().join("other.sqlite"), false);
    let request = submit_request(&output, "2", false);
    let status =
        runtime.block_on(async { jobs(*other.address().borrow()).submit(request).await }).expect_err("taken");
    assert!(status.message().contains("belongs to another coordinator"), "{}", status.message());
    let options = orchestrator_coordinator::CoordinatorOptions::new(&state);
    let start = orchestrator_coordinator::Coordinator::start(options, std::sync::Arc::new(SumPlanner));
    let error = runtime.block_on(start).expect_err("the state is in use").to_string();
    assert!(error.contains("in use"), "{error}");
    runtime.shutdown_background();
}
