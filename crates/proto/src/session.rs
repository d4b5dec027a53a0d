//! The one status that asks for an action: register again.

use tonic::{Code, Status};

/// The status for a worker's session that the coordinator does not know: it restarted, or forgot the worker.
pub fn unknown_session(session: &str) -> Status {
    Status::failed_precondition(format!("session `{session}` is not known: register again"))
}

/// Whether the worker has to register again before it goes on.
pub fn is_unknown_session(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
}
