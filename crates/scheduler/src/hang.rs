//! Ranks that hang while their worker lives.
//!
//! | what is seen | after | who is named | cost |
//! |---|---|---|---|
//! | a rank's process says nothing to its worker (stopped, swapped out, wedged in the kernel) | `lease_ms` | that rank | a loss |
//! | every process speaks and no rank gets on (deadlock, a driver that never returns) | `hang_ms` | the rank that is behind the others | a failure |
//!
//! One rank that stands still is no sign of trouble: it may wait for another, which works. All of them together are. A
//! gang that waits for the coordinator to publish its checkpoint does not hang.

use std::fmt::Write as _;

use orchestrator_core::{AttemptId, JobId};

use crate::clocks::LeaseClock;
use crate::fact::Cost;
use crate::options::Millis;
use crate::scheduler::Scheduler;
use crate::state::Place;

/// Ranks that an error lists by name; the others are counted.
const LISTED_MAX: usize = 8;

/// Why a generation must end.
struct Hang {
    place: Place,
    cost: Cost,
    error: String,
}

impl Scheduler {
    /// Ends every generation in which a rank hangs.
    pub(crate) fn end_hung_generations(&mut self) {
        let jobs: Vec<JobId> = self.clocks.gangs.keys().cloned().collect();
        for job in jobs {
            if let Some(hang) = self.find_hang(&job) {
                self.end_generation(&hang.place, hang.cost, &hang.error, false);
            }
        }
    }

    fn find_hang(&mut self, job: &JobId) -> Option<Hang> {
        let (index, phase) = self.state.jobs.get(job)?.active_phase()?;
        let gang = phase.gang.as_ref()?;
        let place = Place { job: job.clone(), phase: index, task: 0 };
        let live: Vec<AttemptId> = gang
            .seats
            .iter()
            .filter(|seat| !seat.committed)
            .map(|seat| seat.lease.attempt)
            .filter(|attempt| self.clocks.leases().contains_key(attempt))
            .collect();
        let publishes = gang.checkpoint.as_ref().is_some_and(|checkpoint| !checkpoint.published);
        if publishes {
            for attempt in &live {
                self.clocks.advance(*attempt, self.now);
            }
        }
        let formed = self.state.phase(job, index)?.gang.as_ref()?.formation.is_some();
        let ranks: Vec<&LeaseClock> = live.iter().filter_map(|id| self.clocks.leases().get(id)).collect();
        let (silent, others): (Vec<_>, Vec<_>) =
            ranks.iter().copied().partition(|rank| silence(rank) >= self.options.lease_ms);
        if let Some(longest) = silent.iter().map(|rank| silence(rank)).max() {
            let error = format!(
                "{} hangs: nothing was heard of its process for {}{}",
                list(&silent),
                seconds(longest),
                waiting(&others)
            );
            return Some(Hang { place, cost: Cost::Loss, error });
        }
        let still = ranks.iter().map(|rank| self.now.saturating_sub(rank.advanced)).min()?;
        if !formed || still < self.options.hang_ms {
            return None;
        }
        let least = ranks.iter().map(|rank| standing(rank)).min()?;
        let (behind, others): (Vec<_>, Vec<_>) =
            ranks.iter().copied().partition(|rank| standing(rank) == least);
        let error = if others.is_empty() && behind.len() > 1 {
            format!("no rank got on for {}, and none is behind the others: {}", seconds(still), list(&behind))
        } else {
            format!("{} hangs: it did not get on for {}{}", list(&behind), seconds(still), waiting(&others))
        };
        Some(Hang { place, cost: Cost::Failure, error })
    }
}

fn silence(rank: &LeaseClock) -> Millis {
    rank.progress.rank.as_ref().map_or(0, |at| at.silent_ms)
}

/// Where a rank stands, so that the least of all is behind. Work within a phase is its own and says nothing.
fn standing(rank: &LeaseClock) -> (u64, u32, u64) {
    rank.progress.rank.as_ref().map_or((0, 0, 0), |at| (at.step, at.phase_order, at.collective))
}

fn seconds(time: Millis) -> String {
    format!("{}.{} s", time / 1_000, time % 1_000 / 100)
}

fn waiting(others: &[&LeaseClock]) -> String {
    if others.is_empty() { String::new() } else { format!("; waiting for it: {}", list(others)) }
}

/// `rank 1 on `two` (step 12, compute, collective 48)`, and so on.
fn list(ranks: &[&LeaseClock]) -> String {
    let name = |clock: &&LeaseClock| {
        let rank = clock.rank.unwrap_or(0);
        let place = match clock.progress.rank.as_ref().filter(|at| !at.phase.is_empty()) {
            Some(at) => format!("step {}, {}, collective {}", at.step, at.phase, at.collective),
            None => "it has not begun".to_owned(),
        };
        format!("rank {rank} on `{}` ({place})", clock.worker)
    };
    let mut text = ranks.iter().take(LISTED_MAX).map(name).collect::<Vec<_>>().join(", ");
    if ranks.len() > LISTED_MAX {
        write!(text, " and {} more", ranks.len() - LISTED_MAX).expect("strings take all");
    }
    text
}
