//! How a command fails: what is said, and with which exit code.

use std::process::ExitCode;

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
