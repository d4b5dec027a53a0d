//! The way to the actor: everything that wants something of the scheduler holds a desk.

use std::sync::Arc;

use orchestrator_core::ErrorCode;
use orchestrator_scheduler::{Answer, Event, Refusal, Scheduler};
use tokio::sync::{mpsc, oneshot, watch};

use crate::logs::Logs;
use crate::waits::Waits;

/// Requests that may wait for the actor.
pub(crate) const QUEUE: usize = 4_096;

pub(crate) enum Request {
    /// An event, and where its answer goes once its facts are durable.
    Event(Box<Event>, oneshot::Sender<Result<Answer, Refusal>>),
    /// A look at the scheduler.
    Look(Box<dyn FnOnce(&Scheduler) + Send>),
}

#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) requests: mpsc::Sender<Request>,
    /// Rises when a long poll may have an answer.
    pub(crate) woken: watch::Receiver<u64>,
    /// Rises when anything durable changed.
    pub(crate) changed: watch::Receiver<u64>,
    pub(crate) logs: Arc<Logs>,
    /// What effects wait for.
    pub(crate) waits: Arc<Waits>,
}

/// An event was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The scheduler said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The actor is gone.
    #[error("the coordinator is stopping")]
    Stopping,
}

impl AskError {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Stopping => ErrorCode::Unavailable,
        }
    }
}

impl Desk {
    /// Hands an event in and waits for its answer, which comes after its facts are durable.
    pub(crate) async fn ask(&self, event: Event) -> Result<Answer, AskError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Event(Box::new(event), reply)).await.map_err(|_| AskError::Stopping)?;
        Ok(answer.await.map_err(|_| AskError::Stopping)??)
    }

    /// Looks at the scheduler between two steps.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Scheduler) -> T + Send + 'static,
    ) -> Result<T, AskError> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |scheduler: &Scheduler| {
            // Whoever asked may have gone.
            let _ = reply.send(look(scheduler));
        });
        self.requests.send(Request::Look(look)).await.map_err(|_| AskError::Stopping)?;
        answer.await.map_err(|_| AskError::Stopping)
    }
}
