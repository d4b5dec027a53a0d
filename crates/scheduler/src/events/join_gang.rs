//! A rank says where it listens; once all have, each learns all addresses.

use orchestrator_core::AttemptId;

use crate::command::{Answer, Refusal};
use crate::event::AttemptRef;
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::Place;

/// Bounds of what a rank may say.
const ADDRESS_BYTES_MAX: usize = 256;
const NCCL_ID_BYTES_MAX: usize = 1024;

pub(crate) fn apply(
    scheduler: &mut Scheduler,
    attempt: &AttemptRef,
    address: String,
    nccl_id: Vec<u8>,
) -> Result<Answer, Refusal> {
    scheduler.hear(&attempt.caller)?;
    let clock = scheduler.holder(attempt)?;
    let place = clock.place.clone();
    let rank = clock.rank.ok_or(Refusal::NoRank(attempt.attempt))?;
    if address.len() > ADDRESS_BYTES_MAX || nccl_id.len() > NCCL_ID_BYTES_MAX {
        return Err(Refusal::NoRank(attempt.attempt));
    }
    let gang = scheduler.state.phase(&place.job, place.phase).and_then(|phase| phase.gang.as_ref());
    let gang = gang.ok_or(Refusal::NoRank(attempt.attempt))?;
    if let Some(formation) = &gang.formation {
        let (addresses, nccl_id) = (formation.addresses.clone(), formation.nccl_id.clone());
        return Ok(Answer::Formed { addresses, nccl_id });
    }
    let world_size = gang.seats.len();
    let clock = scheduler.clocks.gangs.entry(place.job.clone()).or_default();
    clock.joined.insert(rank, address);
    if rank == 0 {
        clock.nccl_id = nccl_id;
    }
    if clock.joined.len() < world_size {
        return Ok(Answer::Waiting);
    }
    let addresses: Vec<String> = std::mem::take(&mut clock.joined).into_values().collect();
    let nccl_id = std::mem::take(&mut clock.nccl_id);
    // Whoever waited for the last to come is no slower for it.
    let now = scheduler.now;
    for attempt in gang_attempts(scheduler, &place) {
        scheduler.clocks.advance(attempt, now);
    }
    scheduler.record(Fact::GangFormed { place, addresses: addresses.clone(), nccl_id: nccl_id.clone() });
    scheduler.effects.wake();
    Ok(Answer::Formed { addresses, nccl_id })
}

fn gang_attempts(scheduler: &Scheduler, place: &Place) -> Vec<AttemptId> {
    let gang = scheduler.state.phase(&place.job, place.phase).and_then(|phase| phase.gang.as_ref());
    gang.into_iter().flat_map(|gang| &gang.seats).map(|seat| seat.lease.attempt).collect()
}
