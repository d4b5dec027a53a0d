//! How a command fails: what is said, and with which exit code.

use std::process::ExitCode;

use orchestrator_core::ErrorCode;
use orchestrator_job::JobFileError;

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments or the job file are wrong: exit code 2.
    Usage(anyhow::Error),
    /// The job file is wrong, place by place: exit code 2.
    JobFile(JobFileError),
    /// The job, or the command, failed: exit code 1.
    Failed(anyhow::Error),
    /// As before, and whoever started this process knows why: exit code 1 without a word.
    Told,
}

impl Failure {
    /// A mistake of the caller's.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    /// Something that the arguments name cannot be read: the caller's mistake where it is not there or is something else, a
    /// failure where the network or the disk is to blame.
    pub(crate) fn reading(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let of_storage = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref() {
            // It passes the storage's words on as its own, and the chain leaves it out.
            Some(orchestrator_analytics::Error::Storage(error)) => Some(error.code()),
            _ => cause.downcast_ref().map(orchestrator_storage::Error::code),
        };
        match error.chain().find_map(of_storage) {
            Some(ErrorCode::Unavailable | ErrorCode::Unauthorized | ErrorCode::Exhausted) => {
                Self::Failed(error)
            }
            _ => Self::Usage(error),
        }
    }

    /// The exit code of the contract.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::JobFile(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Told => ExitCode::from(1),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::JobFile(error) => write!(f, "{error}"),
            Self::Usage(error) | Self::Failed(error) => {
                write!(f, "{error}")?;
                for cause in error.chain().skip(1) {
                    write!(f, "\n  because {cause}")?;
                }
                Ok(())
            }
            Self::Told => Ok(()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<JobFileError> for Failure {
    fn from(error: JobFileError) -> Self {
        Self::JobFile(error)
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_storage::Error;

    use super::*;

    #[test]
    fn a_network_that_fails_is_no_mistake_of_the_caller() {
        let down = || Error::Unavailable { path: "https://a/b".into(), detail: "refused".into() };
        assert!(matches!(Failure::reading(down()), Failure::Failed(_)));
        let within = anyhow::Error::from(down()).context("the run cannot be read");
        assert!(matches!(Failure::reading(within), Failure::Failed(_)));
        let of_a_run = orchestrator_analytics::Error::Storage(down());
        assert!(matches!(Failure::reading(of_a_run), Failure::Failed(_)));
        assert!(matches!(Failure::reading(Error::NotFound { path: "a".into() }), Failure::Usage(_)));
        assert!(matches!(Failure::reading(anyhow::anyhow!("wrong SQL")), Failure::Usage(_)));
    }
}
