//! What can go wrong with stored bytes, so that a person or a retry loop knows what to do.

use std::io;

pub use orchestrator_core::redact;
use orchestrator_core::{Digest, ErrorCode};

/// An operation on a store or on a file in it failed. Never carries credentials: see [`redact`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be opened as a store.
    #[error(
        "`{url}` cannot be opened as storage: {reason}; expected a path, or a file://, s3://, gs://, az:// or https:// URL"
    )]
    InvalidUrl {
        /// The URL, redacted.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The path may not be used inside a store.
    #[error("`{path}` is no path inside a store: {reason}")]
    InvalidPath {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing is there.
    #[error("`{path}` does not exist")]
    NotFound {
        /// Where.
        path: String,
    },
    /// A conditional write found something there, or something else than it expected.
    #[error("`{path}` exists already, or changed since it was read")]
    Conflict {
        /// Where.
        path: String,
    },
    /// The store refused; another identity or other permissions are needed.
    #[error(
        "access to `{path}` was refused: {detail}; check the permissions, or the credentials in the environment"
    )]
    PermissionDenied {
        /// Where.
        path: String,
        /// What the store said.
        detail: String,
    },
    /// The process that was asked may not use this place.
    #[error(
        "`{path}` lies outside the roots that this process may use: expected a place below one of {roots}; keep the \
         job's inputs and outputs there, or start the process with another `--allow-root`"
    )]
    OutsideRoots {
        /// Where, redacted.
        path: String,
        /// The roots, in backticks.
        roots: String,
    },
    /// The disk or the quota is full.
    #[error("no space left for `{path}`: free some space")]
    DiskFull {
        /// Where.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is larger than its reader allows.
    #[error("`{path}` has more than {limit} bytes, the most that is allowed here")]
    TooLarge {
        /// Where.
        path: String,
        /// The bound.
        limit: u64,
    },
    /// A file has other bytes than its record says.
    #[error(
        "`{path}` is not what was committed: expected {expected_bytes} bytes with hash {expected_hash}, found {found}"
    )]
    Mismatch {
        /// Where.
        path: String,
        /// Size on record.
        expected_bytes: u64,
        /// Hash on record.
        expected_hash: Digest,
        /// What is there instead.
        found: String,
    },
    /// A file of ours does not have the form that it must have.
    #[error("`{path}` cannot be read: {detail}")]
    Corrupt {
        /// Where.
        path: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// An input is not what its reader was told to expect, and will not be at the next try: it is whole, but has another
    /// schema, or lies in a wrapping that its format never has.
    #[error("`{path}` cannot be read: {detail}")]
    WrongInput {
        /// Where.
        path: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// The remote store cannot be reached, or failed after all retries.
    #[error("storage failed at `{path}`: {detail}")]
    Unavailable {
        /// Where.
        path: String,
        /// What it said, redacted.
        detail: String,
    },
    /// A local operation failed.
    #[error("`{path}`: {source}")]
    Io {
        /// Where.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The kind of trouble, for statuses, exit codes and retries.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidUrl { .. }
            | Self::InvalidPath { .. }
            | Self::TooLarge { .. }
            | Self::WrongInput { .. } => ErrorCode::InvalidInput,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Conflict { .. } => ErrorCode::Conflict,
            Self::PermissionDenied { .. } | Self::OutsideRoots { .. } => ErrorCode::Unauthorized,
            Self::DiskFull { .. } => ErrorCode::Exhausted,
            Self::Mismatch { .. } | Self::Corrupt { .. } => ErrorCode::Internal,
            Self::Unavailable { .. } | Self::Io { .. } => ErrorCode::Unavailable,
        }
    }

    /// Sorts a system error into its variant.
    pub(crate) fn io(path: impl Into<String>, source: io::Error) -> Self {
        // An error of ours that travelled through `std::io::{Read, Write}` comes home; it knows its place best.
        let source = match source.downcast::<Self>() {
            Ok(ours) => return ours,
            Err(source) => source,
        };
        let path = path.into();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::AlreadyExists => Self::Conflict { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::PermissionDenied { path, detail: source.to_string() }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// Sorts an error of a remote store into its variant.
    pub(crate) fn remote(path: impl Into<String>, error: &object_store::Error) -> Self {
        use object_store::Error as E;
        let path = path.into();
        match error {
            E::NotFound { .. } => Self::NotFound { path },
            E::AlreadyExists { .. } | E::Precondition { .. } => Self::Conflict { path },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Self::PermissionDenied { path, detail: redact(&error.to_string()) }
            }
            _ => Self::Unavailable { path, detail: redact(&error.to_string()) },
        }
    }

    /// Wraps itself for the traits of `std::io`; [`Error::io`] unwraps it again.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::NotFound { .. } => io::ErrorKind::NotFound,
            Self::PermissionDenied { .. } => io::ErrorKind::PermissionDenied,
            Self::DiskFull { .. } => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_refusal_are_told_apart() {
        let full = Error::io("a", io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, Error::DiskFull { .. }), "{full}");
        assert!(full.to_string().contains("free some space"));
        let refused = Error::io("a", io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(refused.code(), ErrorCode::Unauthorized);
        let home = Error::io("b", Error::Conflict { path: "a".to_owned() }.into_io());
        assert!(matches!(home, Error::Conflict { path } if path == "a"));
        let full = Error::io("b", Error::io("/whole/a", io::ErrorKind::StorageFull.into()).into_io());
        assert!(matches!(full, Error::DiskFull { path, .. } if path == "/whole/a"));
    }
}
