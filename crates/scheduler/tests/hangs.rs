//! Ranks that hang while their worker lives: the generation ends, the rank is named, the gang goes on.

mod desk;

use desk::{Desk, offers};
use orchestrator_core::{Demand, JobId};
use orchestrator_scheduler::{Assignment, Event, Options, RankProgress};

const LEASE: u64 = 2_000;
const HANG: u64 = 30_000;

fn at(step: u64, phase: &str, phase_order: u32, work: u64) -> RankProgress {
    RankProgress {
        step,
        phase: phase.into(),
        collective: 4 * step,
        phase_order,
        work,
        ..RankProgress::default()
    }
}

/// A gang of two ranks that have met, one on each of two workers.
fn formed() -> (Desk, JobId, [Assignment; 2]) {
    let mut desk = Desk::new(Options { lease_ms: LEASE, hang_ms: HANG, ..Options::default() });
    desk.worker("a", offers(1, 1, 0, 0));
    desk.worker("b", offers(1, 1, 0, 0));
    let job = desk.gang("gang", 2, Demand::default());
    let (first, second) = (desk.lease("a").remove(0), desk.lease("b").remove(0));
    desk.join("a", &first);
    desk.join("b", &second);
    (desk, job, [first, second])
}

/// Both workers tell of their ranks every 500 ms for so long.
fn go(desk: &mut Desk, ranks: &[Assignment; 2], millis: u64, say: impl Fn(u64) -> [RankProgress; 2]) {
    for beat in 0..millis / 500 {
        let [first, second] = say(beat);
        desk.beat("a", &[(&ranks[0], first)]);
        desk.beat("b", &[(&ranks[1], second)]);
        desk.wait(500);
    }
}

fn generation(desk: &Desk, job: &JobId) -> u64 {
    desk.scheduler
        .state()
        .phase(job, 0)
        .and_then(|phase| phase.gang.as_ref())
        .map_or(0, |gang| gang.generation)
}

#[test]
fn a_rank_whose_process_is_silent_is_named_after_a_lease() {
    let (mut desk, job, ranks) = formed();
    go(&mut desk, &ranks, 1_000, |_| [at(3, "compute", 2, 1), at(3, "compute", 2, 1)]);
    go(&mut desk, &ranks, LEASE + 500, |beat| {
        [at(3, "collective", 3, 2), RankProgress { silent_ms: beat * 500, ..at(3, "compute", 2, 1) }]
    });
    assert!(
        desk.logged(
            "generation 1 ended: rank 1 on `b` (step 3, compute, collective 12) hangs: nothing was heard of its \
             process for 2.0 s; waiting for it: rank 0 on `a` (step 3, collective, collective 12)"
        ),
        "{:#?}",
        desk.logs
    );
    let stop = desk.beat("a", &[(&ranks[0], at(3, "collective", 3, 2))]);
    assert_eq!(stop, [ranks[0].attempt], "the survivor is stopped");
    desk.wait(1_000);
    assert_eq!(generation(&desk, &job), 2, "the gang goes on");
}

#[test]
fn a_rank_that_speaks_but_is_behind_all_others_is_named() {
    let (mut desk, job, ranks) = formed();
    let still = |_| [at(7, "compute", 2, 9), at(7, "collective", 3, 4)];
    go(&mut desk, &ranks, HANG - 1_000, still);
    assert_eq!(generation(&desk, &job), 1);
    assert!(!desk.logged("hangs"), "not before its time");
    go(&mut desk, &ranks, 2_000, still);
    assert!(
        desk.logged("rank 0 on `a` (step 7, compute, collective 28) hangs: it did not get on for 30.")
            && desk.logged("waiting for it: rank 1 on `b` (step 7, collective, collective 28)"),
        "{:#?}",
        desk.logs
    );
    let task = &desk.scheduler.state().phase(&job, 0).expect("it is there").tasks[0];
    assert_eq!(task.failures, 1, "a deadlock comes again: it counts towards `max_attempts`");
}

#[test]
fn a_slow_step_is_no_hang_while_micro_batches_end() {
    let (mut desk, job, ranks) = formed();
    // Rank 1 waits all the time for rank 0, which ends a micro-batch every 20 seconds.
    go(&mut desk, &ranks, 10 * HANG, |beat| [at(1, "compute", 2, beat / 40), at(1, "collective", 3, 1)]);
    assert_eq!((generation(&desk, &job), desk.logged("hangs")), (1, false));
}

#[test]
fn ranks_that_stand_at_the_same_place_are_all_listed() {
    let (mut desk, _, ranks) = formed();
    go(&mut desk, &ranks, HANG + 1_000, |_| [at(2, "collective", 3, 1), at(2, "collective", 3, 1)]);
    assert!(desk.logged("and none is behind the others: rank 0 on `a`"), "{:#?}", desk.logs);
}

#[test]
fn a_gang_that_waits_for_its_checkpoint_to_be_published_does_not_hang() {
    let (mut desk, job, ranks) = formed();
    let attempt = desk.attempt("a", &ranks[0]);
    let event = Event::CommitCheckpoint {
        attempt,
        step: 5,
        path: "checkpoints/step-00000005".into(),
        attempt_path: ".orchestrator/gangs/00/generation-000001/step-00000005".into(),
        manifest: "{}".into(),
    };
    desk.step(event).answer.expect("rank 0 may");
    let still = |_| [at(5, "checkpoint", 6, 3), at(6, "collective", 3, 4)];
    go(&mut desk, &ranks, 3 * HANG, still);
    assert_eq!(generation(&desk, &job), 1, "the disk is full, and no rank is at fault");
    desk.step(Event::CheckpointPublished { job: job.clone(), phase: 0, step: 5 });
    go(&mut desk, &ranks, HANG + 1_000, still);
    assert!(desk.logged("rank 0 on `a` (step 5, checkpoint, collective 20) hangs"), "{:#?}", desk.logs);
}
