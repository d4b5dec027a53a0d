//! Tasks and ranks go where there is room: slots, memory, GPUs; in order, and nobody waits for ever or without a word.

mod desk;

use desk::{Desk, offers, takes};
use orchestrator_core::Demand;
use orchestrator_scheduler::{Assignment, Options, PhaseKind, Waiting};

fn jobs(assignments: &[Assignment]) -> Vec<&str> {
    assignments.iter().map(|assignment| assignment.place.job.as_ref()).collect()
}

#[test]
fn memory_bounds_what_a_worker_is_given() {
    let mut desk = Desk::new(Options::default());
    desk.worker("w", offers(8, 0, 10, 0));
    desk.tasks("a", 8, takes(3, 0));
    let held = desk.lease("w");
    assert_eq!(held.len(), 3, "10 GiB hold three tasks of 3");
    assert!(desk.lease("w").is_empty());
    desk.commit("w", &held[0]);
    assert_eq!(desk.lease("w").len(), 1, "what is free again is given again");
}

#[test]
fn a_worker_that_does_not_tell_its_memory_is_bounded_by_slots() {
    let mut desk = Desk::new(Options::default());
    desk.worker("w", offers(4, 0, 0, 0));
    desk.tasks("a", 8, takes(500, 0));
    assert_eq!(desk.lease("w").len(), 4);
}

#[test]
fn small_tasks_behind_use_the_room_but_do_not_overtake_a_big_one_for_ever() {
    let mut desk = Desk::new(Options::default());
    desk.worker("w", offers(8, 0, 8, 0));
    desk.tasks("small-1", 2, takes(2, 0));
    let first = desk.lease("w");
    assert_eq!(first.len(), 2);
    let big = desk.tasks("big", 1, takes(6, 0));
    desk.tasks("small-2", 50, takes(2, 0));
    desk.tasks("free", 3, takes(0, 0));
    let beside = desk.lease("w");
    assert_eq!(jobs(&beside), ["free-0004"; 3], "what takes no memory takes nothing from the big one");
    desk.commit("w", &first[0]);
    let next = desk.lease("w");
    assert_eq!(jobs(&next), [big.as_ref()], "it fits beside one small task, and is first");
    desk.commit("w", &first[1]);
    assert_eq!(jobs(&desk.lease("w")), ["small-2-0003"], "now the others go on");
}

#[test]
fn only_one_worker_is_kept_free_for_a_task() {
    let mut desk = Desk::new(Options::default());
    for worker in ["a", "b"] {
        desk.worker(worker, offers(3, 0, 8, 0));
    }
    desk.tasks("small-1", 2, takes(4, 0));
    let on_a = desk.lease("a");
    let spare = desk.tasks("small-2", 2, takes(4, 0));
    let on_b = desk.lease("b");
    assert_eq!((on_a.len(), jobs(&on_b)), (2, vec![spare.as_ref(); 2]));
    desk.tasks("big", 1, takes(8, 0));
    desk.tasks("small-3", 50, takes(4, 0));
    assert!(desk.lease("a").is_empty() && desk.lease("b").is_empty());
    desk.commit("b", &on_b[0]);
    assert_eq!(jobs(&desk.lease("b")), ["small-3-0004"], "`b` works on");
    desk.commit("a", &on_a[0]);
    assert!(desk.lease("a").is_empty(), "`a` asked first and is kept");
    desk.commit("a", &on_a[1]);
    assert_eq!(jobs(&desk.lease("a")), ["big-0003"]);
}

#[test]
fn a_task_that_no_worker_can_hold_is_told_and_goes_on_once_one_can() {
    let mut desk = Desk::new(Options::default());
    desk.worker("w", offers(2, 0, 4, 0));
    let big = desk.tasks("big", 1, takes(6, 1));
    desk.tasks("small", 4, takes(1, 0));
    assert_eq!(jobs(&desk.lease("w")), ["small-0002"; 2], "nothing is kept for what can never come");
    let Some(Waiting::Never(text)) = desk.scheduler.waits_for(&big) else { panic!("it waits") };
    assert_eq!(
        text,
        "phase 0 (p) waits for a worker that can hold one of its tasks: it takes 1 slot, 6.4 GB of memory and 1 GPU, \
         and those that are there offer at most 2 slots, 4.3 GB of memory, 0 GPUs"
    );
    desk.wait(5_000);
    assert_eq!(desk.logs.iter().filter(|line| line.contains("can hold one of its tasks")).count(), 1, "once");
    desk.worker("x", offers(1, 0, 8, 1));
    assert_eq!(jobs(&desk.lease("x")), [big.as_ref()]);
    assert_eq!(desk.scheduler.waits_for(&big), None);
    desk.wait(1_000);
    assert!(desk.logged("it waits no longer"));
}

#[test]
fn a_job_without_workers_says_so() {
    let mut desk = Desk::new(Options::default());
    let job = desk.tasks("a", 1, takes(0, 0));
    let waiting = desk.scheduler.waits_for(&job).expect("it waits");
    assert_eq!(waiting.text(), "phase 0 (p) waits for a worker: none is there");
    desk.wait(5_000);
    assert!(desk.logged("none is there"));
}

#[test]
fn priorities_go_first_whenever_they_came() {
    let mut desk = Desk::new(Options::default());
    desk.worker("w", offers(1, 1, 0, 0));
    desk.tasks("low", 3, takes(0, 0));
    let running = desk.lease("w");
    let high = desk.job("high", 5, PhaseKind::Tasks, 1, takes(0, 0));
    desk.commit("w", &running[0]);
    let next = desk.lease("w");
    assert_eq!(jobs(&next), [high.as_ref()]);
    desk.commit("w", &next[0]);
    assert_eq!(jobs(&desk.lease("w")), ["low-0001"]);
}

#[test]
fn ranks_take_memory_and_gpus_but_no_core() {
    let mut desk = Desk::new(Options::default());
    desk.worker("a", offers(1, 4, 8, 1));
    desk.tasks("tasks", 1, takes(1, 0));
    assert_eq!(desk.lease("a").len(), 1, "its only slot");
    let gang = desk.gang("gang", 2, Demand { memory_bytes: 3 << 30, gpus: 1, ..Demand::default() });
    assert!(desk.lease("a").is_empty(), "one GPU for two ranks");
    let Some(Waiting::Never(text)) = desk.scheduler.waits_for(&gang) else { panic!("it waits") };
    assert!(text.contains("hold 2 ranks with 1 gang slot, 3.2 GB of memory and 1 GPU each"), "{text}");
    desk.worker("b", offers(1, 4, 8, 2));
    let mut seats = desk.lease("a");
    seats.extend(desk.lease("b"));
    assert_eq!(seats.len(), 2);
    assert!(seats.iter().all(|seat| seat.seat.as_ref().is_some_and(|seat| seat.gpus == 1)));
}

#[test]
fn a_gang_that_can_do_without_gpus_has_one_for_each_rank_or_none() {
    let demand = Demand { gpus: 1, gpus_optional: true, ..Demand::default() };
    for (gpus, each) in [(1, 0), (2, 1)] {
        let mut desk = Desk::new(Options::default());
        desk.worker("w", offers(1, 2, 0, gpus));
        desk.gang("gang", 2, demand);
        let seats = desk.lease("w");
        assert_eq!(seats.len(), 2);
        assert!(seats.iter().all(|seat| seat.seat.as_ref().is_some_and(|seat| seat.gpus == each)), "{gpus}");
    }
}

#[test]
fn gangs_and_tasks_behind_leave_the_seats_of_the_gang_before_them() {
    let mut desk = Desk::new(Options::default());
    desk.worker("w", offers(4, 4, 8, 0));
    let demand = Demand { memory_bytes: 2 << 30, ..Demand::default() };
    desk.gang("first", 2, demand);
    let first = desk.lease("w");
    assert_eq!(first.len(), 2);
    let large = desk.gang("large", 4, demand);
    desk.gang("behind", 1, demand);
    desk.tasks("tasks", 4, takes(1, 0));
    desk.wait(500);
    assert!(desk.lease("w").is_empty(), "all of it is kept for the large gang");
    assert!(matches!(desk.scheduler.waits_for(&large), Some(Waiting::Busy(_))));
    for seat in &first {
        desk.commit("w", seat);
    }
    let next = desk.lease("w");
    assert_eq!(jobs(&next), [large.as_ref(); 4]);
}

#[test]
fn failures_back_off_go_elsewhere_and_end_in_quarantine() {
    let mut desk =
        Desk::new(Options { backoff_initial_ms: 1_000, elsewhere_ms: 2_000, ..Options::default() });
    desk.worker("a", offers(1, 0, 0, 0));
    desk.worker("b", offers(1, 0, 0, 0));
    let job = desk.tasks("j", 1, takes(0, 0));
    let first = desk.lease("a");
    desk.fail("a", &first[0]);
    assert!(desk.lease("b").is_empty(), "it rests a second");
    desk.wait(1_000);
    assert!(desk.lease("a").is_empty(), "it failed here");
    let second = desk.lease("b");
    desk.fail("b", &second[0]);
    desk.wait(1_000);
    assert!(desk.lease("a").is_empty(), "it rests twice as long");
    desk.wait(1_000);
    let third = desk.lease("a");
    desk.fail("a", &third[0]);
    assert!(desk.logged("is quarantined") && desk.logged("the job failed"));
    desk.step(orchestrator_scheduler::Event::Retry { job }).answer.expect("it failed");
    assert_eq!(desk.lease("b").len(), 1, "a retry gives it all its attempts again");
}

#[test]
fn a_worker_that_leaves_is_forgotten_at_once_and_what_it_held_is_others() {
    let mut desk = Desk::new(Options::default());
    for worker in ["a", "b"] {
        desk.worker(worker, offers(1, 2, 0, 0));
    }
    desk.tasks("job", 3, takes(0, 0));
    assert_eq!(desk.lease("a").len(), 1);
    desk.drain("a");
    let held = desk.lease("b");
    desk.commit("b", &held[0]);
    assert!(desk.lease("a").is_empty(), "who drains gets nothing more, also by a call of before");
    desk.leave("a");
    assert_eq!(desk.known(), [("b", false)]);
    assert!(desk.logged("its worker left"));
    // Both tasks that are left, and no lease had to run out for it.
    for _ in 0..2 {
        let held = desk.lease("b");
        desk.commit("b", &held[0]);
    }
    // A seat that was never delivered goes with its worker too.
    desk.worker("a", offers(0, 2, 0, 0));
    desk.gang("gang", 4, takes(0, 0));
    assert_eq!(desk.lease("b").len(), 2);
    desk.leave("a");
    assert!(desk.logged("rank 0 on `a`: its worker left"), "{:?}", desk.logs);
    // Who says nothing is lost after a term, and forgotten after some more.
    desk.wait(15_000);
    assert_eq!(desk.known(), [("b", true)]);
    desk.wait(60_000);
    assert!(desk.known().is_empty());
}
