//! Thin gRPC handlers: wire in, one event or look, wire out.

pub(crate) mod auth;
pub(crate) mod jobs;
pub(crate) mod views;
pub(crate) mod workers;

use orchestrator_scheduler::Refusal;
use tonic::Status;

use crate::desk::AskError;

/// A refusal as a status; an unknown session is the one that asks the worker to register again.
impl From<AskError> for Status {
    fn from(error: AskError) -> Self {
        match &error {
            AskError::Refused(Refusal::UnknownSession(session)) => {
                orchestrator_proto::unknown_session(session)
            }
            AskError::Refused(_) | AskError::Stopping => orchestrator_proto::status(error.code(), &error),
        }
    }
}

/// An answer that does not belong to its question: a bug of ours.
pub(crate) fn misfit() -> Status {
    orchestrator_proto::status(
        orchestrator_core::ErrorCode::Internal,
        "the scheduler gave an answer of another kind",
    )
}
