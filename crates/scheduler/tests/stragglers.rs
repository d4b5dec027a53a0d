//! Second attempts of slow tasks: when there is one, who wins, and what is left of the other.

mod desk;

use desk::{Desk, offers, takes};
use orchestrator_core::{Demand, WorkerId};
use orchestrator_scheduler::{Assignment, Event, Options, PhaseKind, TaskStatus};

fn options() -> Options {
    Options { straggler_percent: 200, straggler_after_ms: 1_000, lease_ms: 60_000, ..Options::default() }
}

/// A desk where four of five tasks took a second each and the fifth still runs on `slow`; `other` stands idle.
fn slow_task() -> (Desk, Assignment) {
    let mut desk = Desk::new(options());
    desk.worker("slow", offers(1, 0, 8, 0));
    desk.worker("other", offers(4, 0, 8, 0));
    desk.tasks("job", 5, takes(1, 0));
    let slow = desk.lease("slow").remove(0);
    let others = desk.lease("other");
    assert_eq!(others.len(), 4);
    desk.wait(1_000);
    for assignment in &others {
        desk.commit("other", assignment);
    }
    (desk, slow)
}

#[test]
fn a_slow_task_gets_one_second_attempt_and_the_first_to_commit_wins() {
    for second_wins in [true, false] {
        let (mut desk, slow) = slow_task();
        assert!(desk.lease("other").is_empty(), "a second is what the others took");
        desk.wait(900);
        assert!(desk.lease("other").is_empty(), "not yet twice as long");
        desk.wait(200);
        assert!(desk.lease("slow").is_empty(), "never on the same worker");
        let second = desk.lease("other");
        assert_eq!(second.len(), 1);
        assert_eq!((&second[0].place, &second[0].spec), (&slow.place, &slow.spec));
        assert!(second[0].token > slow.token);
        assert!(desk.logged("takes long: a second attempt runs on `other`"));
        desk.wait(5_000);
        assert!(desk.lease("other").is_empty(), "never a third");
        assert_eq!(desk.hold("slow", &[&slow]), [], "both go on");
        let (winner, loser) = if second_wins {
            (("other", &second[0]), ("slow", &slow))
        } else {
            (("slow", &slow), ("other", &second[0]))
        };
        desk.commit(winner.0, winner.1);
        let task = desk.scheduler.state().task(&slow.place).expect("it is there").clone();
        assert!(matches!(&task.status, TaskStatus::Committed(lease) if lease.attempt == winner.1.attempt));
        assert_eq!(task.second, None);
        let attempt = desk.attempt(loser.0, loser.1);
        let step = desk.step(Event::Commit { attempt, outcome: orchestrator_core::TaskOutcome::default() });
        assert!(step.answer.is_err() && step.facts.is_empty(), "one commit only");
        assert_eq!(desk.hold(loser.0, &[loser.1]), [loser.1.attempt], "it is told to stop");
    }
}

#[test]
fn either_attempt_may_end_without_the_task() {
    for first_ends in [true, false] {
        let (mut desk, slow) = slow_task();
        desk.wait(1_100);
        let second = desk.lease("other").remove(0);
        let (ends, stays) = if first_ends {
            (("slow", &slow), ("other", &second))
        } else {
            (("other", &second), ("slow", &slow))
        };
        desk.fail(ends.0, ends.1);
        let task = desk.scheduler.state().task(&slow.place).expect("it is there");
        assert!(matches!(&task.status, TaskStatus::Leased(lease) if lease.attempt == stays.1.attempt));
        assert_eq!((task.failures, &task.failed_on), (0, &Some(WorkerId(ends.0.into()))));
        assert!(desk.lease(ends.0).is_empty(), "not again where it failed");
        desk.wait(50_000);
        assert_eq!(desk.hold(stays.0, &[stays.1]), [], "it is still its own");
        desk.commit(stays.0, stays.1);
    }
}

#[test]
fn a_worker_that_dies_between_its_last_file_and_its_commit_loses_the_race() {
    let (mut desk, slow) = slow_task();
    desk.wait(1_100);
    let second = desk.lease("other").remove(0);
    // It has written all and says nothing more; the first one renews its lease.
    desk.wait(30_000);
    assert_eq!(desk.hold("slow", &[&slow]), []);
    desk.wait(30_000);
    let task = desk.scheduler.state().task(&slow.place).expect("it is there").clone();
    assert!(matches!(&task.status, TaskStatus::Leased(lease) if lease.attempt == slow.attempt));
    assert_eq!((task.second, task.losses), (None, 0));
    // Its commit comes after all: too late, whoever commits first.
    let late = desk.attempt("other", &second);
    let commit = |attempt| Event::Commit { attempt, outcome: orchestrator_core::TaskOutcome::default() };
    let step = desk.step(commit(late.clone()));
    assert!(step.answer.is_err() && step.facts.is_empty(), "its lease ran out");
    desk.commit("slow", &slow);
    let step = desk.step(commit(late));
    assert!(step.answer.is_err() && step.facts.is_empty(), "one commit only");
    let task = desk.scheduler.state().task(&slow.place).expect("it is there");
    assert!(matches!(&task.status, TaskStatus::Committed(lease) if lease.attempt == slow.attempt));
}

#[test]
fn a_worker_that_drains_runs_nothing_twice() {
    let (mut desk, _) = slow_task();
    desk.wait(2_000);
    desk.drain("other");
    assert!(desk.lease("other").is_empty());
    desk.worker("third", offers(1, 0, 2, 0));
    assert_eq!(desk.lease("third").len(), 1, "another does");
}

#[test]
fn after_a_restart_savepoints_only_go_forward() {
    let (mut desk, slow) = slow_task();
    assert!(desk.save("slow", &slow, 5));
    desk.wait(1_100);
    let second = desk.lease("other").remove(0);
    assert_eq!(second.resume.as_ref().map(|savepoint| savepoint.number), Some(5));
    assert!(desk.save("slow", &slow, 7));
    desk.restart(&options());
    desk.worker("slow", offers(1, 0, 8, 0));
    desk.worker("other", offers(4, 0, 8, 0));
    // Where the second began is not known any more: this is no attempt that could not use its savepoint.
    assert!(desk.save("other", &second, 6));
    let saved = |desk: &Desk| {
        let task = desk.scheduler.state().task(&slow.place).expect("it is there");
        task.saved.as_ref().map(|saved| (saved.attempt, saved.savepoint.number))
    };
    assert_eq!(saved(&desk), Some((slow.attempt, 7)));
    assert!(desk.save("other", &second, 8));
    assert_eq!(saved(&desk), Some((second.attempt, 8)));
}

#[test]
fn nothing_runs_twice_while_something_waits_or_nobody_wants_it() {
    let (mut desk, _) = slow_task();
    desk.wait(2_000);
    // The task of another job is there.
    desk.worker("third", offers(1, 0, 2, 0));
    let later = desk.tasks("later", 1, takes(1, 0));
    let other = desk.lease("other");
    assert_eq!(other[0].place.job, later, "what waits goes first");
    assert_eq!(other.len(), 1, "who got something else runs nothing twice");
    let mut never = Desk::new(Options { straggler_percent: 0, ..options() });
    never.worker("slow", offers(1, 0, 8, 0));
    never.worker("other", offers(4, 0, 8, 0));
    never.tasks("job", 5, takes(1, 0));
    never.lease("slow");
    let others = never.lease("other");
    never.wait(1_000);
    for assignment in &others {
        never.commit("other", assignment);
    }
    never.wait(50_000);
    assert!(never.lease("other").is_empty());
}

#[test]
fn a_large_task_is_not_slow_for_being_large() {
    let mut desk = Desk::new(options());
    desk.worker("slow", offers(1, 0, 8, 0));
    desk.worker("other", offers(4, 0, 8, 0));
    let job = desk.job_of_sizes("job", &[10 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20]);
    let slow = desk.lease("slow").remove(0);
    assert_eq!((&slow.place.job, slow.place.task), (&job, 0));
    let others = desk.lease("other");
    desk.wait(1_000);
    for assignment in &others {
        desk.commit("other", assignment);
    }
    desk.wait(18_000);
    assert!(desk.lease("other").is_empty(), "ten times the size may take ten times as long, and twice that");
    desk.wait(1_100);
    assert_eq!(desk.lease("other").len(), 1);
}

#[test]
fn a_gang_never_runs_twice() {
    let mut desk = Desk::new(options());
    desk.worker("one", offers(1, 1, 8, 0));
    desk.worker("other", offers(4, 1, 8, 0));
    desk.job("gang", 0, PhaseKind::Gang { world_size: 1, min_world_size: 1 }, 1, Demand::default());
    let seats = desk.lease("one").len() + desk.lease("other").len();
    assert_eq!(seats, 1);
    desk.wait(1_000);
    assert_eq!(desk.lease("one").len() + desk.lease("other").len(), 0);
}

#[test]
fn the_next_attempt_goes_on_from_the_furthest_savepoint() {
    let mut desk = Desk::new(options());
    desk.worker("a", offers(1, 0, 8, 0));
    desk.worker("b", offers(1, 0, 8, 0));
    desk.tasks("job", 1, takes(1, 0));
    let first = desk.lease("a").remove(0);
    assert_eq!(first.resume, None);
    assert!(desk.save("a", &first, 1) && desk.save("a", &first, 2) && desk.save("a", &first, 2));
    desk.fail("a", &first);
    assert!(!desk.save("a", &first, 3), "it no longer holds the task");
    desk.wait(1_000);
    let second = desk.lease("b").remove(0);
    assert_eq!(second.resume.as_ref().map(|savepoint| savepoint.number), Some(2));
    assert!(desk.save("b", &second, 3));
    desk.fail("b", &second);
    desk.wait(10_000);
    let third = desk.lease("a").remove(0);
    assert_eq!(third.resume.as_ref().map(|savepoint| savepoint.number), Some(3));
    assert_eq!(
        desk.scheduler.state().task(&third.place).map(|task| task.failures),
        Some(1),
        "it got further"
    );
    // It fails where it began: the savepoint may be what is wrong, so the next one begins at the beginning.
    desk.fail("a", &third);
    desk.wait(30_000);
    let fourth = desk.lease("b").remove(0);
    assert_eq!(fourth.resume, None);
    assert!(desk.save("b", &fourth, 1));
    assert_eq!(
        desk.scheduler.state().task(&third.place).map(|task| task.failures),
        Some(2),
        "it was there before"
    );
}
