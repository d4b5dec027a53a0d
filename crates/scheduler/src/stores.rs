//! How fast all workers together may ask an object store that throttles: additive increase, multiplicative decrease.
//!
//! ```text
//!  requests/s                 ██ 429, 503: cut to half of what got through, for all workers
//!        ████████             ██
//!        ████████▄    ▁▂▃▄▅▆▇█  ▁▂▃▄▅▆▇█ …   while nobody is throttled: up a little every second
//!        ████████ ▁▂▃█
//! ```
//!
//! Each worker gets an equal share with the answer to its heartbeat. What is known here is volatile: a coordinator that
//! restarts finds out again.

use std::collections::BTreeMap;

use orchestrator_core::{StoreLoad, StorePace};

use crate::options::Millis;
use crate::scheduler::Scheduler;

/// After a cut, nothing more is cut for so long: what is heard meanwhile was sent before all workers knew.
const HOLD_MS: Millis = 5_000;
/// How often the pace rises.
const STEP_MS: Millis = 1_000;
/// The pace rises by this part of what it was cut to, so it has doubled after twenty steps.
const STEP_PART: u64 = 20;
/// A pace so many times what it was last cut to, and not needed for so long, is lifted.
const FREE_TIMES: u64 = 8;
/// Who asked nothing of a store for so long has no share of its pace.
const FRESH_MS: Millis = 15_000;
/// The least that a worker may ask: a request a second, in thousandths.
const LEAST_OF_A_WORKER: u64 = 1_000;
/// Stores that are kept in mind.
const STORES_MAX: usize = 256;

/// What is known of one store. Rates are thousandths of a request a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreClock {
    /// By who asks: how fast, and when that was told.
    loads: BTreeMap<String, (u64, Millis)>,
    pace: Option<Pace>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    /// All workers together.
    rate: u64,
    /// What it was cut to last.
    cut_to: u64,
    cut_at: Millis,
    throttled_at: Millis,
    changed_at: Millis,
}

impl StoreClock {
    fn asking(&self, now: Millis) -> u64 {
        self.loads.values().filter(|(rate, told)| *rate > 0 && now < told + FRESH_MS).count() as u64
    }

    fn total(&self, now: Millis) -> u64 {
        let fresh = self.loads.values().filter(|(_, told)| now < told + FRESH_MS);
        fresh.fold(0, |sum, (rate, _)| sum.saturating_add(*rate))
    }

    /// Somebody was throttled.
    fn cut(&mut self, got_through: u64, now: Millis) {
        let least = LEAST_OF_A_WORKER * self.asking(now).max(1);
        match &mut self.pace {
            Some(pace) if now < pace.cut_at + HOLD_MS => pace.throttled_at = now,
            pace => {
                let before = pace.map_or(u64::MAX, |pace| pace.rate);
                let rate = (before.min(got_through) / 2).max(least);
                *pace = Some(Pace { rate, cut_to: rate, cut_at: now, throttled_at: now, changed_at: now });
            }
        }
    }

    /// Time went by without throttling.
    fn rise(&mut self, now: Millis) {
        let total = self.total(now);
        let Some(pace) = &mut self.pace else { return };
        if now < pace.throttled_at + HOLD_MS || now < pace.changed_at + STEP_MS {
            return;
        }
        pace.changed_at = now;
        pace.rate = pace.rate.saturating_add((pace.cut_to / STEP_PART).max(1));
        if pace.rate >= pace.cut_to.saturating_mul(FREE_TIMES) && total < pace.rate / 2 {
            self.pace = None;
        }
    }
}

impl Scheduler {
    /// Takes in what somebody asked of the stores, and says how fast he may go on.
    pub(crate) fn pace(&mut self, who: &str, loads: Vec<StoreLoad>) -> Vec<StorePace> {
        let now = self.now;
        for load in loads {
            let stores = &mut self.clocks.stores;
            if stores.len() >= STORES_MAX && !stores.contains_key(&load.store) {
                continue;
            }
            let store = stores.entry(load.store).or_default();
            let rate = |requests: u64| requests.saturating_mul(1_000_000) / load.over_ms.max(1);
            let got_through = rate(load.requests.saturating_sub(load.throttled));
            store.loads.insert(who.to_owned(), (rate(load.requests), now));
            if load.throttled > 0 {
                // What the others get through is not known apart from what they ask; at a throttling store it is less.
                let others = store.total(now).saturating_sub(rate(load.requests));
                let part = got_through.saturating_mul(1_000) / rate(load.requests).max(1);
                let others_through = others.saturating_mul(part) / 1_000;
                store.cut(got_through.saturating_add(others_through), now);
            }
        }
        self.shares(who)
    }

    fn shares(&self, who: &str) -> Vec<StorePace> {
        let now = self.now;
        let share = |(name, store): (&String, &StoreClock)| {
            let pace = store.pace?;
            let is_asking =
                store.loads.get(who).is_some_and(|(rate, told)| *rate > 0 && now < told + FRESH_MS);
            let count = store.asking(now) + u64::from(!is_asking);
            let share = (pace.rate / count.max(1)).max(LEAST_OF_A_WORKER);
            Some(StorePace { store: name.clone(), interval_us: 1_000_000_000 / share })
        };
        self.clocks.stores.iter().filter_map(share).collect()
    }

    /// Lets paces rise, and forgets stores that nobody asks any more.
    pub(crate) fn tend_stores(&mut self) {
        let now = self.now;
        self.clocks.stores.retain(|_, store| {
            store.rise(now);
            store.loads.retain(|_, (_, told)| now < *told + FRESH_MS);
            store.pace.is_some() || !store.loads.is_empty()
        });
    }

    /// Stores that throttle, and how many requests a second all workers together may make of them.
    pub fn paced_stores(&self) -> impl Iterator<Item = (&str, u64)> {
        let stores = self.clocks.stores.iter();
        stores.filter_map(|(name, store)| Some((name.as_str(), store.pace?.rate / 1_000)))
    }
}
