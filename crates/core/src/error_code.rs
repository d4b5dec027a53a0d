//! One small set of error codes, from which gRPC statuses and exit codes derive.

use std::fmt;

/// What kind of trouble an error is, for whoever must react to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request or the job file is wrong; trying again cannot help.
    InvalidInput,
    /// The named thing does not exist.
    NotFound,
    /// The thing exists already, or another owner holds it.
    Conflict,
    /// The lease or fencing token is not the newest: the caller must stop what it does.
    StaleLease,
    /// The caller may not do this.
    Unauthorized,
    /// A bound was reached; later it may work.
    Exhausted,
    /// Storage or a peer cannot be reached; trying again may help.
    Unavailable,
    /// A promise of ours was broken; a person must look.
    Internal,
}

impl ErrorCode {
    /// Whether the same call may succeed later.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Exhausted | Self::Unavailable => true,
            Self::InvalidInput
            | Self::NotFound
            | Self::Conflict
            | Self::StaleLease
            | Self::Unauthorized
            | Self::Internal => false,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidInput => "invalid input",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::StaleLease => "stale lease",
            Self::Unauthorized => "unauthorized",
            Self::Exhausted => "exhausted",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        })
    }
}
