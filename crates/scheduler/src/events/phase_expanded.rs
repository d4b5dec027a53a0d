//! The caller found a phase's tasks. A phase without tasks is done at once.

use orchestrator_core::{Demand, JobId};

use crate::command::Level;
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::{PhaseStatus, Place};

pub(crate) fn apply(
    scheduler: &mut Scheduler,
    job: &JobId,
    phase: u32,
    mut tasks: Vec<String>,
    demand: Demand,
    bytes: Vec<u64>,
) {
    let Some(entry) = scheduler.state.jobs.get(job).filter(|entry| entry.current_phase() == Some(phase))
    else {
        return;
    };
    let current = &entry.phases[phase as usize];
    if current.status != PhaseStatus::Waiting || !scheduler.runs(job) {
        return; // asked twice, or ended meanwhile: a retry asks again
    }
    if current.gang.is_some() {
        // Every rank gets the first spec: its seat, which comes with the lease, tells it its rank.
        tasks.truncate(1);
        if tasks.is_empty() {
            let error = format!("phase `{}` is a gang and has no task", current.spec.name);
            return scheduler.fail_job(job, error);
        }
    }
    let demand = Demand { slots: demand.slots.max(1), ..demand }; // or one lease would take all
    let text = format!("phase {phase} ({}): {} tasks", current.spec.name, tasks.len());
    let count = tasks.len() as u32;
    scheduler.record(Fact::PhaseExpanded { job: job.clone(), phase, tasks, demand, bytes });
    scheduler.effects.log(job, Level::Info, text);
    for task in 0..count {
        scheduler.enqueue(&Place { job: job.clone(), phase, task }, 0);
    }
    scheduler.settle(job);
    scheduler.seat_gangs();
}
