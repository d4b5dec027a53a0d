//! Error codes of the domain as gRPC statuses, and back.

use orchestrator_core::ErrorCode;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Status};

/// Metadata key that carries the domain's code, since several of ours may share one of gRPC's.
pub const CODE_KEY: &str = "orchestrator-error";

/// Messages travel in a header, whose size HTTP/2 peers bound; longer ones are cut here.
pub const MESSAGE_BYTES_MAX: usize = 6 << 10;

/// Every code with its name on the wire and the gRPC code it shows as.
const TABLE: [(ErrorCode, &str, Code); 8] = [
    (ErrorCode::InvalidInput, "invalid_input", Code::InvalidArgument),
    (ErrorCode::NotFound, "not_found", Code::NotFound),
    (ErrorCode::Conflict, "conflict", Code::AlreadyExists),
    (ErrorCode::StaleLease, "stale_lease", Code::Aborted),
    (ErrorCode::Unauthorized, "unauthorized", Code::Unauthenticated),
    (ErrorCode::Exhausted, "exhausted", Code::ResourceExhausted),
    (ErrorCode::Unavailable, "unavailable", Code::Unavailable),
    (ErrorCode::Internal, "internal", Code::Internal),
];

/// An error that the other side answered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    /// What kind of trouble it is.
    pub code: ErrorCode,
    /// What the other side said.
    pub message: String,
}

/// Makes the status that a handler answers with.
pub fn status(code: ErrorCode, message: impl std::fmt::Display) -> Status {
    let mut message = message.to_string();
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    let (_, name, grpc) = row(code);
    let mut status = Status::new(grpc, message);
    status.metadata_mut().insert(CODE_KEY, AsciiMetadataValue::from_static(name));
    status
}

/// Reads the domain's error out of a status, also one that did not come from our own handlers.
pub fn error(status: &Status) -> RemoteError {
    let named = status.metadata().get(CODE_KEY).and_then(|value| value.to_str().ok());
    let code = TABLE
        .iter()
        .find(|(_, name, _)| named == Some(name))
        .map_or_else(|| foreign(status.code()), |(code, _, _)| *code);
    RemoteError { code, message: status.message().to_owned() }
}

fn row(code: ErrorCode) -> (ErrorCode, &'static str, Code) {
    match code {
        ErrorCode::InvalidInput => TABLE[0],
        ErrorCode::NotFound => TABLE[1],
        ErrorCode::Conflict => TABLE[2],
        ErrorCode::StaleLease => TABLE[3],
        ErrorCode::Unauthorized => TABLE[4],
        ErrorCode::Exhausted => TABLE[5],
        ErrorCode::Unavailable => TABLE[6],
        ErrorCode::Internal => TABLE[7],
    }
}

/// What a status means that the transport, a proxy or an interceptor made.
fn foreign(code: Code) -> ErrorCode {
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => ErrorCode::InvalidInput,
        Code::NotFound => ErrorCode::NotFound,
        Code::AlreadyExists | Code::FailedPrecondition => ErrorCode::Conflict,
        Code::Aborted => ErrorCode::StaleLease,
        Code::PermissionDenied | Code::Unauthenticated => ErrorCode::Unauthorized,
        Code::ResourceExhausted => ErrorCode::Exhausted,
        // A broken connection shows as `Unknown` or `Cancelled` from the client's side.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            ErrorCode::Unavailable
        }
        Code::Internal | Code::DataLoss | Code::Ok => ErrorCode::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for (code, _, _) in TABLE {
            let back = error(&status(code, format_args!("about `{code}`")));
            assert_eq!(back, RemoteError { code, message: format!("about `{code}`") });
        }
    }

    #[test]
    fn every_code_survives_a_peer_that_drops_metadata() {
        for (code, _, grpc) in TABLE {
            assert_eq!(error(&Status::new(grpc, "")).code, code);
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let status = status(ErrorCode::Internal, "é".repeat(MESSAGE_BYTES_MAX));
        assert!(status.message().len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
    }
}
