//! The embedded process and its ranks.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Process, signal};
use crate::{PATIENCE, compare, dice, prey, reference, scene};

#[test]
fn the_embedded_process_is_killed_and_started_again() {
    reference();
    let scene = scene();
    let mut dice = dice("embedded");
    let mut kills = 0;
    let begun = Instant::now();
    loop {
        let mut command = scene.command(&["run", "job.yaml", "--workers", "2"]);
        let mut process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        // Longer and longer lives, so that every phase is reached by somebody.
        let moment = prey::moment(&mut dice, &scene.path("job"), 400 + 300 * kills);
        if let Some(code) = process.ended() {
            assert_eq!(code, 0, "a run that nobody killed");
            break;
        }
        if kills == 8 {
            assert_eq!(process.wait(PATIENCE), 0, "the last run is left alone");
            break;
        }
        process.kill();
        kills += 1;
        println!("{:?}: killed {moment}", begun.elapsed());
    }
    assert!(kills > 0, "nobody was killed");
    compare(&scene.output("job"));
}

#[test]
fn a_rank_is_killed_and_the_gang_goes_on_from_its_checkpoint() {
    reference();
    let scene = scene();
    let mut dice = dice("ranks");
    let mut command = scene.command(&["run", "job.yaml", "--workers", "2"]);
    let mut process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let begun = Instant::now();
    let mut kills = 0;
    while kills < 3 && process.ended().is_none() {
        assert!(begun.elapsed() < PATIENCE, "the run does not end");
        let ranks = prey::ranks(&[process.id()]);
        if ranks.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        std::thread::sleep(Duration::from_millis(dice.between(0, 600)));
        let rank = *dice.choose(&ranks);
        signal("KILL", rank);
        kills += 1;
        println!("{:?}: killed rank process {rank}", begun.elapsed());
    }
    assert!(kills > 0, "no rank was found");
    assert_eq!(process.wait(PATIENCE), 0, "the run outlives its ranks");
    assert!(prey::ranks(&[process.id(), 1]).is_empty(), "no rank outlives its run");
    compare(&scene.output("job"));
}
