//! Carries out what the scheduler commands, at a bounded rate, and reports back.

use std::sync::Arc;

use orchestrator_core::{AttemptId, JobId};
use orchestrator_scheduler::{Command, Event, Place, State};
use orchestrator_storage::{RelativePath, Store};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::desk::Request;
use crate::journal::{Journal, JournalError};
use crate::owner::{self, Owner, OwnerError};
use crate::planner::{PlanError, Planner};
use crate::{manifests, publish};

/// An effect failed and trying again does not help.
#[derive(Debug, thiserror::Error)]
enum EffectError {
    #[error(transparent)]
    Storage(#[from] orchestrator_storage::Error),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error("the outcome of task {task} of phase {phase} is not in the journal")]
    NoOutcome { phase: u32, task: u32 },
    #[error("the planner stopped: {0}")]
    Planner(#[from] tokio::task::JoinError),
}

/// Starts effects; clones share one bound.
#[derive(Clone)]
pub(crate) struct Effects {
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) owner: Owner,
    /// Weak, so that effects do not keep a stopped coordinator's actor waiting for requests.
    pub(crate) requests: mpsc::WeakSender<Request>,
    pub(crate) bound: Arc<Semaphore>,
    /// Effects end with the coordinator: its successor starts them again.
    pub(crate) stopped: watch::Receiver<bool>,
}

/// What an effect needs of its job.
#[derive(Clone)]
struct JobContext {
    id: JobId,
    output: String,
    definition: String,
    /// Whether the phase of the command is a gang, which stages checkpoints.
    is_gang: bool,
}

impl Effects {
    /// Starts one effect in the background.
    pub(crate) fn start(&self, command: Command, state: &State) {
        let id = match &command {
            Command::Expand { job, .. }
            | Command::PublishPhase { job, .. }
            | Command::PublishCheckpoint { job, .. }
            | Command::Log { job, .. } => job.clone(),
            Command::Publish { place, .. } => place.job.clone(),
            Command::Wake => return,
        };
        let Some(entry) = state.jobs.get(&id) else { return };
        let is_gang = matches!(&command, Command::PublishPhase { phase, .. }
            if entry.phases.get(*phase as usize).is_some_and(|phase| phase.gang.is_some()));
        let (output, definition) = (entry.output.clone(), entry.definition.clone());
        let job = JobContext { id, output, definition, is_gang };
        let effects = self.clone();
        let mut stopped = self.stopped.clone();
        tokio::spawn(async move {
            let told = async {
                // An error means that the handle is gone.
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            tokio::select! {
                () = told => {}
                () = effects.run(&job, command) => {}
            }
        });
    }

    async fn run(&self, job: &JobContext, command: Command) {
        let Ok(_permit) = Arc::clone(&self.bound).acquire_owned().await else { return };
        let event = match self.carry_out(job, command).await {
            Ok(event) => event,
            Err(error) => Event::EffectFailed { job: job.id.clone(), error: with_causes(&error) },
        };
        let published = if let Event::PhasePublished { phase, .. } = &event { Some(*phase) } else { None };
        if self.report(event).await
            && let Some(phase) = published
        {
            self.tidy(job, phase).await;
        }
    }

    /// Reports to the actor and waits until that is durable.
    async fn report(&self, event: Event) -> bool {
        let Some(requests) = self.requests.upgrade() else { return false };
        let (reply, answer) = oneshot::channel();
        requests.send(Request::Event(event, reply)).await.is_ok()
            && answer.await.is_ok_and(|answer| answer.is_ok())
    }

    async fn carry_out(&self, job: &JobContext, command: Command) -> Result<Event, EffectError> {
        let store = Store::open(&job.output)?;
        let id = job.id.clone();
        match command {
            Command::Expand { phase, .. } => {
                let tasks = self.expand(job, &store, phase).await?;
                Ok(Event::PhaseExpanded { job: id, phase, tasks })
            }
            Command::Publish { place, attempt } => {
                self.publish(&store, &place, attempt).await?;
                Ok(Event::TaskPublished { place })
            }
            Command::PublishPhase { phase, .. } => {
                let planned = self.planner.plan(&job.definition)?;
                let outcomes = self.journal.outcomes(job.id.as_ref(), phase + 1).await?;
                for (paths, manifest) in manifests::of_phase(&planned, phase, &outcomes)? {
                    for path in paths {
                        let manifest = manifest.clone();
                        publish::insist(&store, move |store| manifest.write(store, &path)).await?;
                    }
                }
                let (wanted, complete) = manifests::places(&planned, phase, &outcomes);
                publish::sweep(&store, wanted, complete).await?;
                Ok(Event::PhasePublished { job: id, phase })
            }
            Command::PublishCheckpoint { phase, step, path, attempt_path, manifest, .. } => {
                publish::checkpoint(&store, &attempt_path, &path, &manifest).await?;
                Ok(Event::CheckpointPublished { job: id, phase, step })
            }
            Command::Wake | Command::Log { .. } => unreachable!("`start` takes effects alone"),
        }
    }

    async fn publish(&self, store: &Store, place: &Place, attempt: AttemptId) -> Result<(), EffectError> {
        let outcome = self.journal.outcome(place.job.as_ref(), place.phase, place.task).await?;
        let outcome = outcome.ok_or(EffectError::NoOutcome { phase: place.phase, task: place.task })?;
        publish::task(store, place, attempt, &outcome).await?;
        Ok(())
    }

    async fn expand(&self, job: &JobContext, store: &Store, phase: u32) -> Result<Vec<String>, EffectError> {
        let owner = self.owner.clone();
        store.run(move |store| Ok(owner::claim(store, &owner))).await??;
        let planned = self.planner.plan(&job.definition)?;
        let (path, yaml) = (RelativePath::new("job.yaml")?, planned.yaml.clone().into_bytes());
        publish::insist(store, move |store| store.put_atomic(&path, &yaml).map(drop)).await?;
        // No manifest, no stage: what an earlier job left must not pass for what this one is about to make.
        for stage in planned.stages.iter().filter(|stage| stage.phase >= phase) {
            for path in &stage.manifests {
                let path = RelativePath::new(path.as_str())?;
                publish::insist(store, move |store| store.delete(&path)).await?;
            }
        }
        let committed = self.journal.outcomes(job.id.as_ref(), phase).await?;
        let (planner, definition) = (Arc::clone(&self.planner), job.definition.clone());
        Ok(tokio::task::spawn_blocking(move || planner.expand(&definition, phase, &committed)).await??)
    }

    /// Removes what the attempts of a published phase left. What a stray writer adds later is rubbish and harmless.
    async fn tidy(&self, job: &JobContext, phase: u32) {
        let removed = async {
            let store = Store::open(&job.output)?;
            // Only a gang's own end removes what gangs staged: the next phase may have begun to stage meanwhile.
            let staged = job.is_gang.then(|| publish::GANGS.to_owned());
            for path in std::iter::once(publish::phase_attempts(phase)).chain(staged) {
                let path = RelativePath::new(path)?;
                store.run(move |store| store.delete_prefix(&path)).await?;
            }
            Ok::<_, orchestrator_storage::Error>(())
        };
        // A coordinator that stops lets go of its stores: the next one tidies.
        if let Err(error) = removed.await
            && !*self.stopped.borrow()
        {
            tracing::warn!(job = %job.id, phase, %error, "the files of ended attempts could not be removed");
        }
    }
}

/// An error and everything that led to it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
