//! A finished run needs its inputs no more: they may have gone to an archive since.

use orchestrator_analytics::{self as analytics, Run};
use orchestrator_job::{Job, Resolved};
use orchestrator_storage::Store;

use crate::console::Console;
use crate::failure::Failure;
use crate::job_file::{self, Loaded};

/// What is to be done about a job.
pub(crate) enum Taken {
    /// It is given to a coordinator, which knows whether there is anything left to do.
    Work(Box<Resolved>),
    /// Its inputs are gone, and its output holds the finished run of an equal job.
    Finished {
        /// Where.
        output: String,
    },
}

/// Freezes what a job reads. Where that is not to be found, a run that is finished counts as what it is; the contract asks
/// for its summary and not for its inputs.
pub(crate) fn take_up(loaded: Loaded, console: &Console) -> Result<Taken, Failure> {
    let job = loaded.job.clone();
    match job_file::freeze(loaded, console) {
        Ok(resolved) => Ok(Taken::Work(Box::new(resolved))),
        Err(unfrozen) => match finished_output(&job).filter(|_| unfrozen.is_absence) {
            Some(output) => {
                console.note(&format!(
                    "{}\nthis run is finished and needs no inputs; nothing to do",
                    unfrozen.failure
                ));
                Ok(Taken::Finished { output })
            }
            None => Err(unfrozen.failure),
        },
    }
}

/// The job's output, if the finished run of an equal job lies there. What cannot be read is no such run.
fn finished_output(job: &Job) -> Option<String> {
    let output = Store::place(&job.output).ok()?;
    let run = Run::open(&output).ok()?;
    if !run.is_finished() || analytics::stored_report(&run).ok()?.is_none() {
        return None;
    }
    let yaml = orchestrator_storage::read_job(&Store::open(&output).ok()?).ok()?;
    let before = orchestrator_job::parse(&String::from_utf8_lossy(&yaml), "job.yaml").ok()?;
    let [before, after] = [before.job, job.clone()].map(|job| Job { output: output.clone(), ..job });
    orchestrator_job::difference(&before, &after).is_empty().then_some(output)
}
