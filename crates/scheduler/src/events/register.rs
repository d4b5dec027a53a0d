//! A worker announces itself: it gets a session, and keeps the leases that are still its own.

use orchestrator_core::AttemptId;

use crate::clocks::Worker;
use crate::command::Answer;
use crate::event::Registration;
use crate::scheduler::Scheduler;

pub(crate) fn apply(scheduler: &mut Scheduler, registration: Registration) -> Answer {
    let Registration { worker, host, capacity, held, version, cpu_level } = registration;
    let now = scheduler.now;
    let deadline = now + scheduler.options.lease_ms;
    let mut lost: Vec<AttemptId> = Vec::new();
    for attempt in held {
        let own = scheduler.clocks.leases().get(&attempt).is_some_and(|clock| clock.worker == worker);
        if own {
            scheduler.clocks.renew(attempt, now, deadline);
            if let Some(waiting) = scheduler.clocks.undelivered.get_mut(&worker) {
                waiting.remove(&attempt);
            }
        } else if !scheduler.clocks.committed.contains_key(&attempt) {
            lost.push(attempt);
        }
    }
    // Attempts that it had and does not name run out by themselves: an assignment may be on its way to it.
    scheduler.clocks.sessions_total += 1;
    let session = format!("{:x}-{}", scheduler.options.incarnation, scheduler.clocks.sessions_total);
    let entry = Worker {
        session: session.clone(),
        host,
        capacity,
        version,
        cpu_level,
        draining: false,
        last_seen: now,
        held_before: scheduler.clocks.taken(&worker),
    };
    scheduler.clocks.workers.insert(worker, entry);
    scheduler.seat_gangs();
    Answer::Registered { session, lost }
}
