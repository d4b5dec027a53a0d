//! Somebody hands in a job: it is new, or the one that its output already holds.

use orchestrator_core::JobId;

use crate::command::{Answer, Command, Level, Refusal};
use crate::event::{Disposition, JobRequest};
use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::{Job, JobStatus, PhaseKind, PhaseSpec, PhaseStatus};

/// Phases a plan may have.
const PHASES_MAX: usize = 1_000;
/// Ranks a gang may have.
const WORLD_SIZE_MAX: u32 = 65_536;

pub(crate) fn apply(scheduler: &mut Scheduler, request: JobRequest) -> Result<Answer, Refusal> {
    check(&request)?;
    let earlier = scheduler.state.newest_on(&request.output).map(|(id, job)| (id.clone(), job));
    let (replaces, imported) = match earlier {
        None => (None, 0),
        Some((id, job)) if request.afresh => {
            if job.status == JobStatus::Running {
                return Err(Refusal::OutputBusy(id));
            }
            (None, 0)
        }
        Some((id, job)) if job.definition == request.definition => {
            let disposition = match job.status {
                JobStatus::Succeeded => Disposition::Finished,
                JobStatus::Running => Disposition::Resumed,
                JobStatus::Failed(_) | JobStatus::Cancelled => {
                    super::retry::restart(scheduler, &id);
                    Disposition::Resumed
                }
            };
            return Ok(Answer::Submitted { job: id, disposition, kept: 0 });
        }
        Some((id, _)) if !request.reuse => return Err(Refusal::OutputTaken(id)),
        Some((id, job)) if job.status == JobStatus::Running => return Err(Refusal::OutputBusy(id)),
        Some((id, job)) => (Some(id), equal_phases(job, &request.phases)),
    };
    let id = JobId(format!("{}-{:04}", stem(&request.name), scheduler.state.jobs_total + 1));
    scheduler.record(Fact::JobSubmitted {
        job: id.clone(),
        name: request.name,
        output: request.output,
        definition: request.definition,
        priority: request.priority,
        max_attempts: request.max_attempts,
        phases: request.phases,
        replaces,
        imported,
    });
    let job = &scheduler.state.jobs[&id];
    scheduler.clocks.numbers.insert(job.number, id.clone());
    let text = format!("taken in with {} phases, {imported} of them kept from before", job.phases.len());
    scheduler.effects.log(&id, Level::Info, text);
    if let Some(phase) = job.current_phase() {
        scheduler.effects.command(Command::Expand { job: id.clone(), phase });
    }
    Ok(Answer::Submitted { job: id, disposition: Disposition::New, kept: imported })
}

fn check(request: &JobRequest) -> Result<(), Refusal> {
    let bad = |text: String| Err(Refusal::BadPlan(text));
    if request.phases.is_empty() || request.phases.len() > PHASES_MAX {
        return bad(format!("it has {} phases, expected 1 to {PHASES_MAX}", request.phases.len()));
    }
    if request.max_attempts == 0 {
        return bad("`max_attempts` is 0, expected at least 1".to_owned());
    }
    for phase in &request.phases {
        match phase.kind {
            PhaseKind::Tasks => {}
            PhaseKind::Gang { world_size, min_world_size } => {
                if world_size == 0
                    || world_size > WORLD_SIZE_MAX
                    || min_world_size == 0
                    || min_world_size > world_size
                {
                    return bad(format!(
                        "the gang of phase `{}` has a world size of {world_size} and at least {min_world_size}, \
                         expected 1 to {WORLD_SIZE_MAX}",
                        phase.name
                    ));
                }
            }
        }
    }
    Ok(())
}

/// How many leading phases of an earlier job can stand as they are.
fn equal_phases(earlier: &Job, phases: &[PhaseSpec]) -> u32 {
    earlier
        .phases
        .iter()
        .zip(phases)
        .take_while(|(old, new)| {
            old.status == PhaseStatus::Published && old.spec.fingerprint == new.fingerprint
        })
        .count() as u32
}

/// The name's letters, digits and dashes: it becomes part of an id that people type.
fn stem(name: &str) -> String {
    let stem: String = name
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .collect();
    if stem.is_empty() { "job".to_owned() } else { stem }
}
