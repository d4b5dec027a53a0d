//! Workers that ask a store which throttles: together they ask less, all alike, and more again once it takes more.

mod desk;

use desk::{Desk, offers};
use orchestrator_core::StoreLoad;
use orchestrator_scheduler::Options;

const STORE: &str = "s3://bucket";
/// Requests a second that each worker would make.
const WANTED: u64 = 100;
/// How often a worker tells, in milliseconds.
const BEAT: u64 = 2_000;

struct Worker {
    name: String,
    /// The least time between two requests, in microseconds.
    interval_us: u64,
    /// Requests that it may make, in millionths.
    credit: u64,
    load: StoreLoad,
}

/// What happened in a second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    asked: u64,
    throttled: u64,
}

struct Store {
    desk: Desk,
    workers: Vec<Worker>,
}

impl Store {
    fn new(count: usize) -> Self {
        let mut desk = Desk::new(Options::default());
        let workers = (0..count)
            .map(|number| {
                let name = format!("w{number}");
                desk.worker(&name, offers(1, 0, 1, 0));
                Worker { name, interval_us: 0, credit: 0, load: StoreLoad::default() }
            })
            .collect();
        Self { desk, workers }
    }

    /// Lets seconds pass in which the store takes `capacity` requests each.
    fn run(&mut self, seconds: u64, capacity: u64) -> Vec<Second> {
        (0..seconds).map(|_| self.second(capacity)).collect()
    }

    fn second(&mut self, capacity: u64) -> Second {
        let mut second = Second::default();
        for _ in 0..10 {
            let mut taken = 0;
            // Whoever comes first is served first; the first is another one each time.
            let first = (self.desk.now / 100) as usize;
            let count = self.workers.len();
            for index in 0..count {
                let worker = &mut self.workers[(first + index) % count];
                let wanted = WANTED / 10;
                worker.credit += 100_000;
                let allowed = worker.credit.checked_div(worker.interval_us).unwrap_or(wanted);
                let asked = wanted.min(allowed);
                worker.credit = (worker.credit - asked * worker.interval_us).min(1_000_000);
                let throttled = asked.saturating_sub((capacity / 10).saturating_sub(taken));
                taken += asked - throttled;
                worker.load.requests += asked;
                worker.load.throttled += throttled;
                second.asked += asked;
                second.throttled += throttled;
            }
            self.desk.wait(100);
            for (number, worker) in self.workers.iter_mut().enumerate() {
                // They do not all tell at once.
                if (self.desk.now + number as u64 * 100).is_multiple_of(BEAT) {
                    let load = std::mem::take(&mut worker.load);
                    let load = StoreLoad { store: STORE.to_owned(), over_ms: BEAT, ..load };
                    let paces = self.desk.ask_stores(&worker.name, vec![load]);
                    worker.interval_us = paces.first().map_or(0, |pace| pace.interval_us);
                }
            }
        }
        second
    }
}

fn mean(seconds: &[Second], what: fn(&Second) -> u64) -> u64 {
    seconds.iter().map(what).sum::<u64>() / seconds.len() as u64
}

#[test]
fn all_workers_slow_down_together_and_recover() {
    let mut store = Store::new(8);
    let free = store.run(10, 10_000);
    assert_eq!(mean(&free, |second| second.asked), 8 * WANTED, "nobody is slowed down without need");
    assert_eq!(store.desk.scheduler.paced_stores().count(), 0);
    // Now it takes a quarter of what they want.
    let capacity = 200;
    store.run(60, capacity);
    let steady = store.run(120, capacity);
    let (asked, throttled) = (mean(&steady, |second| second.asked), mean(&steady, |second| second.throttled));
    assert!((capacity / 2..=capacity * 11 / 10).contains(&asked), "{asked} requests a second");
    assert!(throttled * 20 < asked, "{throttled} of {asked} were throttled");
    let intervals: Vec<u64> = store.workers.iter().map(|worker| worker.interval_us).collect();
    let (least, most) = (intervals.iter().min().expect("workers"), intervals.iter().max().expect("workers"));
    assert!(
        most * 10 <= least * 13,
        "shares are alike but for the time at which they were told: {intervals:?}"
    );
    // And again all that they want.
    store.run(300, 10_000);
    let recovered = store.run(20, 10_000);
    assert_eq!(mean(&recovered, |second| second.asked), 8 * WANTED);
}

#[test]
fn workers_that_come_and_go_change_the_shares() {
    let mut store = Store::new(2);
    store.run(60, 60);
    let two = store.workers[0].interval_us;
    assert!(two > 0, "they are paced");
    for number in 2..8 {
        let name = format!("w{number}");
        store.desk.worker(&name, offers(1, 0, 1, 0));
        store.workers.push(Worker { name, interval_us: 0, credit: 0, load: StoreLoad::default() });
    }
    store.run(60, 60);
    let steady = store.run(60, 60);
    let asked = mean(&steady, |second| second.asked);
    assert!(asked <= 70, "{asked} requests a second of eight workers where two made 60");
    assert!(store.workers[0].interval_us > two, "the first ones make room");
}

#[test]
fn a_store_that_is_not_asked_is_forgotten() {
    let mut store = Store::new(2);
    store.run(20, 10);
    assert_eq!(store.desk.scheduler.paced_stores().map(|(name, _)| name).collect::<Vec<_>>(), [STORE]);
    store.workers.clear();
    store.desk.wait(600_000);
    assert_eq!(store.desk.scheduler.paced_stores().count(), 0);
}
