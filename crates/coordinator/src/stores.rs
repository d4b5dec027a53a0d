//! The coordinator's own requests to object stores, and those of workers that live in its process: told and paced as those
//! of other workers are.

use std::time::Duration;

use orchestrator_scheduler::{Answer, Event};
use orchestrator_storage::Paces;
use tokio::sync::watch;

use crate::desk::Desk;

/// Tells what this process asked of stores, and obeys, until the coordinator stops.
pub(crate) async fn keep_pace(desk: Desk, period: Duration, mut stopped: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // An error means that the handle is gone, which is as good a reason to stop.
            _ = stopped.wait_for(|stop| *stop) => return,
            _ = tick.tick() => {}
        }
        match desk.ask(Event::Stores(Paces::of_process().take_loads())).await {
            Ok(Answer::Paced(paces)) => Paces::of_process().set(&paces),
            Ok(_) | Err(_) => return, // nobody is left to agree with
        }
    }
}
