//! The job that a run was made by, as it lies in the run's output.

use crate::{Error, RelativePath, Store};

/// Its name there.
pub const JOB_FILE: &str = "job.yaml";
/// The largest job, as YAML with every default written out. A larger one is refused where it is handed in, so that whatever
/// reads it later can: tasks, runs that begin from it, `refilter`, the next `run` in the same output.
pub const JOB_BYTES_MAX: u64 = 4 << 20;

/// The job of the run in `output`. Not found where nothing lies there, too large where it is beyond [`JOB_BYTES_MAX`].
pub fn read_job(output: &Store) -> Result<Vec<u8>, Error> {
    output.read_all(&RelativePath::new(JOB_FILE)?, JOB_BYTES_MAX)
}

/// The same, or nothing where there is none.
pub fn try_read_job(output: &Store) -> Result<Option<Vec<u8>>, Error> {
    match output.try_stat(&RelativePath::new(JOB_FILE)?)? {
        Some(_) => read_job(output).map(Some),
        None => Ok(None),
    }
}
