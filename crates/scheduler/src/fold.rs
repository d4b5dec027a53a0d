//! How each fact changes the state. Nothing else does.

use orchestrator_core::{AttemptId, JobId, WorkerId};

use crate::fact::{Cost, Fact};
use crate::state::{
    Checkpoint, Formation, Gang, Job, JobStatus, Lease, Phase, PhaseStatus, Place, Saved, State, Task,
    TaskStatus,
};

/// A fact that does not fit the state: the journal is damaged or from another program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// It names a job that was never taken in.
    #[error("a fact names the job `{0}`, which was never submitted")]
    UnknownJob(JobId),
    /// It names a task that does not exist.
    #[error("a fact names phase {phase}, task {task} of `{job}`, which does not exist")]
    UnknownTask {
        /// The job.
        job: JobId,
        /// The phase.
        phase: u32,
        /// The task.
        task: u32,
    },
    /// It does not follow from the task's state.
    #[error("attempt {attempt} of phase {phase}, task {task} of `{job}` is not the one that holds the task")]
    NotTheHolder {
        /// The job.
        job: JobId,
        /// The phase.
        phase: u32,
        /// The task.
        task: u32,
        /// The attempt.
        attempt: AttemptId,
    },
}

impl State {
    /// Applies one fact.
    pub fn apply(&mut self, fact: &Fact) -> Result<(), FoldError> {
        match fact {
            Fact::JobSubmitted {
                job,
                name,
                output,
                definition,
                priority,
                max_attempts,
                phases,
                replaces,
                imported,
            } => {
                self.jobs_total += 1;
                let mut phases: Vec<Phase> = phases.iter().cloned().map(Phase::new).collect();
                if let Some(earlier) = replaces {
                    let earlier =
                        self.jobs.get(earlier).ok_or_else(|| FoldError::UnknownJob(earlier.clone()))?;
                    for (phase, taken) in phases.iter_mut().zip(&earlier.phases).take(*imported as usize) {
                        *phase = taken.clone();
                    }
                }
                let done = phases.iter().all(|phase| phase.status == PhaseStatus::Published);
                let entry = Job {
                    number: self.jobs_total,
                    name: name.clone(),
                    output: output.clone(),
                    definition: definition.clone(),
                    priority: *priority,
                    max_attempts: *max_attempts,
                    phases,
                    status: if done { JobStatus::Succeeded } else { JobStatus::Running },
                };
                self.jobs.insert(job.clone(), entry);
            }
            Fact::PhaseExpanded { job, phase, tasks, demand, bytes } => {
                let phase = self.phase_mut(job, *phase)?;
                phase.demand = *demand;
                let bytes = bytes.iter().copied().chain(std::iter::repeat(0));
                phase.tasks =
                    tasks.iter().cloned().zip(bytes).map(|(spec, bytes)| Task::new(spec, bytes)).collect();
                phase.status = PhaseStatus::Running;
            }
            Fact::Leased { place, attempt, token, worker } => {
                self.last_attempt = self.last_attempt.max(attempt.0);
                self.last_token = self.last_token.max(token.0);
                let phase = self.phase_mut(&place.job, place.phase)?;
                let task = task_mut(phase, place)?;
                task.status =
                    TaskStatus::Leased(Lease { attempt: *attempt, token: *token, worker: worker.clone() });
                phase.under_way += 1;
            }
            Fact::Doubled { place, attempt, token, worker } => {
                self.last_attempt = self.last_attempt.max(attempt.0);
                self.last_token = self.last_token.max(token.0);
                let phase = self.phase_mut(&place.job, place.phase)?;
                let task = task_mut(phase, place)?;
                if !matches!(task.status, TaskStatus::Leased(_)) {
                    return Err(not_the_holder(place, *attempt));
                }
                task.second = Some(Lease { attempt: *attempt, token: *token, worker: worker.clone() });
            }
            Fact::Saved { place, attempt, savepoint } => {
                let phase = self.phase_mut(&place.job, place.phase)?;
                let task = task_mut(phase, place)?;
                if savepoint.number > task.furthest {
                    // The task gets somewhere: what befell it before is no sign of a poisoned one.
                    task.furthest = savepoint.number;
                    task.failures = 0;
                    task.losses = 0;
                }
                task.saved = Some(Saved { attempt: *attempt, savepoint: savepoint.clone() });
            }
            Fact::Committed { place, attempt, records, bytes, outcome: _ } => {
                let phase = self.phase_mut(&place.job, place.phase)?;
                commit(phase, place, *attempt)?;
                phase.records += records;
                phase.bytes += bytes;
            }
            Fact::Published { place } => {
                let phase = self.phase_mut(&place.job, place.phase)?;
                let task = task_mut(phase, place)?;
                if let TaskStatus::Committed(lease) = &task.status {
                    task.status = TaskStatus::Published(lease.clone());
                    task.saved = None;
                    phase.published += 1;
                    phase.under_way -= 1;
                }
            }
            Fact::PhasePublished { job, phase } => {
                let entry = self.job_mut(job)?;
                let phase = entry.phases.get_mut(*phase as usize).ok_or_else(|| unknown(job, *phase, 0))?;
                phase.status = PhaseStatus::Published;
                for task in &mut phase.tasks {
                    task.spec = String::new();
                }
                if entry.phases.iter().all(|phase| phase.status == PhaseStatus::Published) {
                    entry.status = JobStatus::Succeeded;
                }
            }
            Fact::AttemptEnded { place, attempt, cost, error, quarantined } => {
                let phase = self.phase_mut(&place.job, place.phase)?;
                let task = task_mut(phase, place)?;
                let lease = task.take_lease(*attempt).ok_or_else(|| not_the_holder(place, *attempt))?;
                if task.leases().next().is_some() {
                    // The other of two attempts goes on, and the task with it.
                    task.failed_on = Some(lease.worker);
                } else {
                    charge(task, *cost, error, Some(lease.worker));
                    // It failed and got no further than where it began: that place may be what is wrong.
                    if *cost == Cost::Failure
                        && task.saved.as_ref().is_some_and(|saved| saved.attempt != *attempt)
                    {
                        task.saved = None;
                    }
                }
                if *quarantined || task.status == TaskStatus::Ready {
                    phase.under_way -= 1;
                    release(phase, place, *quarantined)?;
                }
            }
            Fact::GangSeated { place, generation, seats } => {
                for seat in seats {
                    self.last_attempt = self.last_attempt.max(seat.lease.attempt.0);
                    self.last_token = self.last_token.max(seat.lease.token.0);
                }
                let phase = self.phase_mut(&place.job, place.phase)?;
                task_mut(phase, place)?.status = TaskStatus::Seated;
                phase.under_way += 1;
                let gang = gang_mut(phase);
                gang.generation = *generation;
                gang.seats.clone_from(seats);
                gang.formation = None;
                gang.unblamed.clear();
            }
            Fact::GangFormed { place, addresses, nccl_id } => {
                let gang = gang_mut(self.phase_mut(&place.job, place.phase)?);
                gang.formation = Some(Formation { addresses: addresses.clone(), nccl_id: nccl_id.clone() });
            }
            Fact::GenerationEnded { place, cost, error, quarantined } => {
                let phase = self.phase_mut(&place.job, place.phase)?;
                let gang = gang_mut(phase);
                let attempts = gang.seats.drain(..).map(|seat| seat.lease.attempt).collect();
                gang.unblamed = if *cost == Cost::Failure { Vec::new() } else { attempts };
                gang.formation = None;
                charge(task_mut(phase, place)?, *cost, error, None);
                phase.under_way -= 1;
                release(phase, place, *quarantined)?;
            }
            Fact::GangBlamed { place, error, quarantined } => {
                let phase = self.phase_mut(&place.job, place.phase)?;
                gang_mut(phase).unblamed.clear();
                charge(task_mut(phase, place)?, Cost::Failure, error, None);
                if *quarantined {
                    release(phase, place, true)?;
                }
            }
            Fact::CheckpointCommitted { place, step, path, attempt_path, manifest } => {
                let phase = self.phase_mut(&place.job, place.phase)?;
                gang_mut(phase).checkpoint = Some(Checkpoint {
                    step: *step,
                    path: path.clone(),
                    attempt_path: attempt_path.clone(),
                    manifest: manifest.clone(),
                    published: false,
                });
                // The gang gets somewhere: what befell it before is no sign of a poisoned task.
                let task = task_mut(phase, place)?;
                task.failures = 0;
                task.losses = 0;
            }
            Fact::CheckpointPublished { place, step } => {
                let gang = gang_mut(self.phase_mut(&place.job, place.phase)?);
                if let Some(checkpoint) =
                    gang.checkpoint.as_mut().filter(|checkpoint| checkpoint.step == *step)
                {
                    checkpoint.published = true;
                }
            }
            Fact::JobFailed { job, error } => self.end(job, JobStatus::Failed(error.clone()))?,
            Fact::JobCancelled { job } => self.end(job, JobStatus::Cancelled)?,
            Fact::JobAmended { job, definition, priority, max_attempts } => {
                let entry = self.job_mut(job)?;
                entry.definition.clone_from(definition);
                entry.priority = *priority;
                entry.max_attempts = *max_attempts;
            }
            Fact::JobRetried { job } => {
                let entry = self.job_mut(job)?;
                entry.status = JobStatus::Running;
                for phase in entry.phases.iter_mut().filter(|phase| phase.status == PhaseStatus::Running) {
                    phase.quarantined = 0;
                    for task in &mut phase.tasks {
                        if task.status == TaskStatus::Quarantined {
                            task.status = TaskStatus::Ready;
                        }
                        task.failures = 0;
                        task.losses = 0;
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends a job: what its workers hold is void, what is committed stays.
    fn end(&mut self, job: &JobId, status: JobStatus) -> Result<(), FoldError> {
        let entry = self.job_mut(job)?;
        entry.status = status;
        for phase in &mut entry.phases {
            for task in &mut phase.tasks {
                match task.status {
                    TaskStatus::Leased(_) | TaskStatus::Seated => {
                        task.status = TaskStatus::Ready;
                        task.second = None;
                        phase.under_way -= 1;
                    }
                    TaskStatus::Ready
                    | TaskStatus::Committed(_)
                    | TaskStatus::Published(_)
                    | TaskStatus::Quarantined => {}
                }
            }
            // A gang that has committed keeps its seats, so that a rank may ask again.
            let committed = phase
                .tasks
                .iter()
                .any(|task| matches!(task.status, TaskStatus::Committed(_) | TaskStatus::Published(_)));
            if let Some(gang) = phase.gang.as_mut().filter(|_| !committed) {
                gang.seats.clear();
                gang.formation = None;
                gang.unblamed.clear();
            }
        }
        Ok(())
    }

    fn job_mut(&mut self, job: &JobId) -> Result<&mut Job, FoldError> {
        self.jobs.get_mut(job).ok_or_else(|| FoldError::UnknownJob(job.clone()))
    }

    fn phase_mut(&mut self, job: &JobId, phase: u32) -> Result<&mut Phase, FoldError> {
        self.job_mut(job)?.phases.get_mut(phase as usize).ok_or_else(|| unknown(job, phase, 0))
    }
}

fn task_mut<'a>(phase: &'a mut Phase, place: &Place) -> Result<&'a mut Task, FoldError> {
    phase.tasks.get_mut(place.task as usize).ok_or_else(|| unknown(&place.job, place.phase, place.task))
}

/// A journal may name a gang's fact for a phase of tasks only if it is damaged; then the fact makes an empty gang.
fn gang_mut(phase: &mut Phase) -> &mut Gang {
    phase.gang.get_or_insert_default()
}

/// One attempt commits; a gang's task is committed with the last of its ranks, by rank 0's lease.
fn commit(phase: &mut Phase, place: &Place, attempt: AttemptId) -> Result<(), FoldError> {
    let task = task_mut(phase, place)?;
    match &task.status {
        TaskStatus::Leased(_) => {
            let lease = task.take_lease(attempt).ok_or_else(|| not_the_holder(place, attempt))?;
            task.second = None;
            task.status = TaskStatus::Committed(lease);
            Ok(())
        }
        TaskStatus::Seated => {
            let gang = gang_mut(phase);
            let seat = gang.seats.iter_mut().find(|seat| seat.lease.attempt == attempt);
            seat.ok_or_else(|| not_the_holder(place, attempt))?.committed = true;
            if gang.seats.iter().all(|seat| seat.committed) {
                let first = gang.seats[0].lease.clone();
                task_mut(phase, place)?.status = TaskStatus::Committed(first);
            }
            Ok(())
        }
        TaskStatus::Ready | TaskStatus::Committed(_) | TaskStatus::Published(_) | TaskStatus::Quarantined => {
            Err(not_the_holder(place, attempt))
        }
    }
}

fn charge(task: &mut Task, cost: Cost, error: &str, worker: Option<WorkerId>) {
    match cost {
        Cost::Nothing => return,
        Cost::Failure => task.failures += 1,
        Cost::Loss => task.losses += 1,
    }
    task.error = Some(error.to_owned());
    task.failed_on = worker;
}

fn release(phase: &mut Phase, place: &Place, quarantined: bool) -> Result<(), FoldError> {
    task_mut(phase, place)?.status = if quarantined { TaskStatus::Quarantined } else { TaskStatus::Ready };
    phase.quarantined += u32::from(quarantined);
    Ok(())
}

fn unknown(job: &JobId, phase: u32, task: u32) -> FoldError {
    FoldError::UnknownTask { job: job.clone(), phase, task }
}

fn not_the_holder(place: &Place, attempt: AttemptId) -> FoldError {
    FoldError::NotTheHolder { job: place.job.clone(), phase: place.phase, task: place.task, attempt }
}
