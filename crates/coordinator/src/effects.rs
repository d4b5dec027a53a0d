//! Carries out what the scheduler commands, at a bounded rate, and reports back.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use orchestrator_core::{AttemptId, ErrorCode, FROZEN_FILES, JobId};
use orchestrator_scheduler::{Command, Event, Job, JobStatus, Level, Place, Scheduler, State};
use orchestrator_storage::{RelativePath, Store};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::desk::Request;
use crate::journal::{Journal, JournalError};
use crate::logs::Logs;
use crate::owner::{self, Owner, OwnerError};
use crate::planner::{Expansion, PlanError, Planner};
use crate::waits::{Wait, Waits};
use crate::{leftovers, manifests, publish};

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

impl EffectError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Storage(error) => error.code(),
            Self::Owner(error) => error.code(),
            Self::Journal(_) | Self::NoOutcome { .. } | Self::Planner(_) => ErrorCode::Internal,
            Self::Plan(_) => ErrorCode::InvalidInput,
        }
    }
}

/// The first wait before a failed effect is tried again; doubled each time.
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Tries after which storage that cannot be reached fails the job. A full disk is waited for.
const TRIES_MAX: u32 = 10;

/// Starts effects; clones share one bound.
#[derive(Clone)]
pub(crate) struct Effects {
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) owner: Owner,
    /// Weak, so that effects do not keep a stopped coordinator's actor waiting for requests.
    pub(crate) requests: mpsc::WeakSender<Request>,
    /// Places for effects that work.
    pub(crate) bound: Arc<Semaphore>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) waits: Arc<Waits>,
    /// Effects end with the coordinator: its successor starts them again.
    pub(crate) stopped: watch::Receiver<bool>,
}

/// What an effect needs of its job.
#[derive(Clone)]
struct JobContext {
    id: JobId,
    output: String,
    /// Empty for commands that do not read it.
    definition: String,
    /// The command in words: `the publication of phase 2 (map), task 7`.
    what: String,
    /// Whether the phase of the command is a gang, which stages checkpoints.
    is_gang: bool,
    /// Whether the task of the command has savepoints.
    is_saved: bool,
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
        let is_saved = matches!(&command, Command::Publish { place, .. }
            if state.task(place).is_some_and(|task| task.saved.is_some()));
        // A job may be large and its tasks many: those that only move files do without it.
        let reads_job = matches!(&command, Command::Expand { .. } | Command::PublishPhase { .. });
        let definition = if reads_job { entry.definition.clone() } else { String::new() };
        let what = name(&command, entry);
        let job = JobContext { id, output: entry.output.clone(), definition, is_gang, is_saved, what };
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
        let mut waiting: Option<Wait> = None;
        let done = in_place(
            &self.bound,
            || self.carry_out(job, command.clone()).boxed(),
            |error| {
                let text = format!("{} waits for storage: {}", job.what, with_causes(error));
                self.tell_wait(job, &mut waiting, text);
            },
            || self.runs(&job.id).boxed(),
        );
        let event = match done.await {
            Ok(Some(event)) => event,
            Ok(None) => return, // cancelled or failed meanwhile, or it stops: who goes on asks for it again
            Err(error) => Event::EffectFailed { job: job.id.clone(), error: with_causes(&error) },
        };
        if let Some(wait) = waiting
            && wait.leave()
        {
            self.logs.push(&job.id, Level::Info, format!("{} waits for storage no longer", job.what));
        }
        let published = if let Event::PhasePublished { phase, .. } = &event { Some(*phase) } else { None };
        if self.report(event).await
            && let Some(phase) = published
            && let Ok(_place) = self.bound.acquire().await
        {
            self.tidy(job, phase).await;
        }
    }

    /// Says what an effect waits for; in the log, once for all effects of a job that wait at a time.
    fn tell_wait(&self, job: &JobContext, waiting: &mut Option<Wait>, text: String) {
        if let Some(wait) = waiting {
            return wait.say(text);
        }
        let (wait, first) = self.waits.enter(&job.id, text.clone());
        *waiting = Some(wait);
        if first {
            self.logs.push(&job.id, Level::Warn, format!("{text}; it is tried again and again"));
        }
    }

    /// Whether a job still runs.
    async fn runs(&self, id: &JobId) -> bool {
        let Some(requests) = self.requests.upgrade() else { return false };
        let (reply, answer) = oneshot::channel();
        let id = id.clone();
        let look = Box::new(move |scheduler: &Scheduler| {
            let status = scheduler.state().jobs.get(&id).map(|job| &job.status);
            // Whoever asked may have gone.
            let _ = reply.send(status == Some(&JobStatus::Running));
        });
        requests.send(Request::Look(look)).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Reports to the actor and waits until that is durable.
    async fn report(&self, event: Event) -> bool {
        let Some(requests) = self.requests.upgrade() else { return false };
        let (reply, answer) = oneshot::channel();
        requests.send(Request::Event(Box::new(event), reply)).await.is_ok()
            && answer.await.is_ok_and(|answer| answer.is_ok())
    }

    async fn carry_out(&self, job: &JobContext, command: Command) -> Result<Event, EffectError> {
        let store = Store::open(&job.output)?;
        let id = job.id.clone();
        match command {
            Command::Expand { phase, .. } => {
                let Expansion { tasks, demand, bytes } = self.expand(job, &store, phase).await?;
                Ok(Event::PhaseExpanded { job: id, phase, tasks, demand, bytes })
            }
            Command::Publish { place, attempt } => {
                self.publish(&store, &place, attempt).await?;
                // Before the task counts as published: until then nobody else writes there. What cannot be removed now goes
                // with the phase.
                if job.is_saved
                    && let Err(error) = publish::tidy_task(&store, &place).await
                {
                    tracing::warn!(job = %id, ?place, %error, "the savepoints of a task could not be removed yet");
                }
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
                publish::metrics(&store, &attempt_path, step).await?;
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

    async fn expand(&self, job: &JobContext, store: &Store, phase: u32) -> Result<Expansion, EffectError> {
        let owner = self.owner.clone();
        store.run(move |store| Ok(owner::claim(store, &owner))).await??;
        let planned = self.planner.plan(&job.definition)?;
        for (path, text) in [("job.yaml", &planned.yaml), (FROZEN_FILES, &planned.frozen)] {
            let (path, text) = (RelativePath::new(path)?, text.clone().into_bytes());
            publish::insist(store, move |store| store.put_atomic(&path, &text).map(drop)).await?;
        }
        leftovers::remove(store, &planned, phase).await?;
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

/// Does work in one of the bounded places, again and again while that may help. Between tries the place is others': a
/// full disk, which is waited for until a person frees space, is one job's trouble and not everybody's. `failed` is told
/// of each failure that may pass; `is_wanted` says, after the wait, whether to go on.
async fn in_place<'a, T>(
    places: &Semaphore,
    work: impl Fn() -> BoxFuture<'a, Result<T, EffectError>>,
    mut failed: impl FnMut(&EffectError),
    is_wanted: impl Fn() -> BoxFuture<'a, bool>,
) -> Result<Option<T>, EffectError> {
    let mut pause = WAIT_FIRST;
    let mut tries = 0;
    loop {
        let done = {
            let Ok(_place) = places.acquire().await else { return Ok(None) };
            work().await
        };
        let error = match done {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error,
        };
        tries += 1;
        let full = error.code() == ErrorCode::Exhausted;
        if !error.code().is_transient() || (tries >= TRIES_MAX && !full) {
            return Err(error);
        }
        failed(&error);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(WAIT_MAX);
        if !is_wanted().await {
            return Ok(None);
        }
    }
}

/// What a command does, in words.
fn name(command: &Command, job: &Job) -> String {
    let phase = |index: u32| {
        let name = job.phases.get(index as usize).map_or("", |phase| phase.spec.name.as_str());
        format!("phase {index} ({name})")
    };
    match command {
        Command::Expand { phase: index, .. } => format!("the planning of {}", phase(*index)),
        Command::Publish { place, .. } => {
            format!("the publication of {}, task {}", phase(place.phase), place.task)
        }
        Command::PublishPhase { phase: index, .. } => format!("the publication of {}", phase(*index)),
        Command::PublishCheckpoint { step, .. } => {
            format!("the publication of the checkpoint of step {step}")
        }
        Command::Wake | Command::Log { .. } => String::new(),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn who_waits_for_room_leaves_its_place_to_others() {
        let full = || orchestrator_storage::Error::DiskFull {
            path: "p".into(),
            source: std::io::ErrorKind::StorageFull.into(),
        };
        let (places, tries) = (Semaphore::new(1), AtomicU32::new(0));
        let mut told = 0;
        let fails_twice =
            || if tries.fetch_add(1, Ordering::SeqCst) < 2 { Err(full().into()) } else { Ok(()) };
        let waits =
            in_place(&places, || async { fails_twice() }.boxed(), |_| told += 1, || async { true }.boxed());
        let works = async {
            // The only place is free while the other waits: this is done long before it.
            tokio::time::sleep(WAIT_FIRST / 10).await;
            let look = || async { Ok(tries.load(Ordering::SeqCst)) }.boxed();
            let done = in_place(&places, look, |_| {}, || async { true }.boxed()).await;
            assert_eq!(done.expect("nothing went wrong"), Some(1), "after one try of the other");
        };
        let (waited, ()) = tokio::join!(waits, works);
        assert_eq!((waited.expect("there was room at last"), told), (Some(()), 2));
        let fails = || async { Err::<(), EffectError>(full().into()) }.boxed();
        let given_up = in_place(&places, fails, |_| {}, || async { false }.boxed()).await;
        assert!(matches!(given_up, Ok(None)), "a job that was cancelled waits no longer");
    }
}
