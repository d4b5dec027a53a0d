//! Why a task did not end well.

use std::io::ErrorKind;

use orchestrator_core::ErrorCode;

/// A task that ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The worker was told to stop this attempt.
    #[error("the attempt was told to stop")]
    Stopped,
    /// An input is not what the plan froze.
    #[error(
        "input `{url}` changed under the job: it was {expected} when the job was planned and is {found} now"
    )]
    InputChanged {
        /// The input.
        url: String,
        /// Size and stamp when the plan was made.
        expected: String,
        /// Size and stamp now.
        found: String,
    },
    /// A setting or a file it names cannot be used; trying again cannot help.
    #[error("stage `{stage}`: {message}")]
    Configuration {
        /// The stage.
        stage: String,
        /// What is wrong, and what was expected.
        message: String,
    },
    /// What would be written holds what a stage was to take out; trying again cannot help.
    #[error("{0}")]
    Leak(String),
    /// A committed file of an earlier phase does not say what it must.
    #[error("`{path}`: {message}")]
    Corrupt {
        /// The file, relative to the output.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// Storage said no.
    #[error(transparent)]
    Storage(#[from] orchestrator_storage::Error),
    /// Reading or writing bytes failed.
    #[error("{context}")]
    Io {
        /// What was being done to which file.
        context: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// Whether a disk or a quota is full.
fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl TaskError {
    /// Names the stage and what is wrong with its settings.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand in errors and texts they just made")]
    pub fn configuration(stage: &str, message: impl ToString) -> Self {
        Self::Configuration { stage: stage.to_owned(), message: message.to_string() }
    }

    /// Names a committed file and what is wrong with it.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand in errors and texts they just made")]
    pub fn corrupt(path: impl Into<String>, message: impl ToString) -> Self {
        Self::Corrupt { path: path.into(), message: message.to_string() }
    }

    /// Says what was being done when reading or writing failed.
    pub fn io(context: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let context = context.into();
        move |source| Self::Io { context, source }
    }

    /// What whoever scheduled the task should make of it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Stopped => ErrorCode::StaleLease,
            Self::InputChanged { .. } | Self::Configuration { .. } | Self::Leak(_) => ErrorCode::InvalidInput,
            Self::Corrupt { .. } => ErrorCode::Internal,
            Self::Storage(error) => error.code(),
            Self::Io { source, .. } if is_full(source) => ErrorCode::Exhausted,
            Self::Io { .. } => ErrorCode::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_known_by_whatever_way_it_comes() {
        let full = || std::io::Error::from(ErrorKind::StorageFull);
        assert_eq!(TaskError::io("writing `x`")(full()).code(), ErrorCode::Exhausted);
        let library = parquet::errors::ParquetError::External(Box::new(full()));
        let error = TaskError::from(orchestrator_storage::documents::parquet_error("x", library));
        assert_eq!(error.code(), ErrorCode::Exhausted);
        assert_eq!(TaskError::io("reading `x`")(ErrorKind::TimedOut.into()).code(), ErrorCode::Unavailable);
    }
}
