//! `run`: the coordinator and the workers of a cluster, on this machine, over loopback gRPC. There is no second code path.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use orchestrator_coordinator::{Coordinator, CoordinatorError, CoordinatorOptions};
use orchestrator_core::WorkerId;
use orchestrator_job::Resolved;
use orchestrator_job::spec::Device;
use orchestrator_pipeline::Host;
use orchestrator_proto::v1::{Disposition, JobDetail, SubmitRequest};
use orchestrator_storage::AllowedRoots;
use orchestrator_worker::{Worker, WorkerOptions};

use crate::args::RunArgs;
use crate::commands::{certs, daemons, remote, summary};
use crate::console::Console;
use crate::failure::Failure;
use crate::finished::{self, Taken};
use crate::job_file;
use crate::planner::JobPlanner;
use crate::reporter::AnalyticsReporter;

/// A worker of this process that stops answering is stuck in a call of ours; nothing else takes it away.
const LEASE_MS: u64 = 15_000;
const HEARTBEAT_MS: u64 = 500;
/// How long a coordinator that no longer answers may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs a job to its end.
pub(crate) fn run(args: &RunArgs, console: &Console) -> Result<(), Failure> {
    let mut loaded = job_file::load(&args.job)?;
    if let Some(output) = &args.output_dir {
        loaded.job.output = absolute(output)?;
        if job_file::is_file(&loaded.job.output) {
            let message = format!("`--output-dir` names the file `{output}`: expected a directory");
            return Err(Failure::usage(anyhow::anyhow!(message)));
        }
    }
    let resolved = match finished::take_up(loaded, console)? {
        Taken::Work(resolved) => *resolved,
        Taken::Finished { output } => return summary::succeeded(None, &output, console),
    };
    let gpus = daemons::usable_gpus(args.gpus, console);
    check_devices(gpus, &resolved)?;
    let (state, is_new) = state_directory(args, &resolved)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let output = resolved.job.output.clone();
    let workers = args.workers.unwrap_or_else(daemons::cores).max(1);
    let taken = Cell::new(false);
    let detail = runtime.block_on(async {
        tokio::select! {
            detail = embedded(&resolved, &state, (workers, gpus), args, &taken, console) => detail,
            () = daemons::told_to_stop() => {
                Err(Failure::Failed(anyhow::anyhow!("interrupted: run the same command again to go on from here")))
            }
        }
    });
    // Blocking tasks that were told to stop end at their next record; nothing is lost by not waiting for them.
    runtime.shutdown_timeout(Duration::from_secs(2));
    match detail {
        Ok(Some(detail)) => summary::finish(&detail, &output, console),
        Ok(None) => summary::succeeded(None, &output, console),
        Err(failure) => {
            // A job that was refused leaves nothing in a directory that may be somebody's. Of one that was taken the state
            // stays, whatever was said of it later.
            if is_new && !taken.get() && matches!(failure, Failure::Usage(_)) {
                // What cannot be removed is in nobody's way.
                let _ = std::fs::remove_dir_all(&state);
            }
            Err(failure)
        }
    }
}

/// Nobody else brings the GPUs that a job asks for: it would wait for them for ever.
fn check_devices(gpus: u32, resolved: &Resolved) -> Result<(), Failure> {
    match resolved.job.train() {
        Some((_, train)) if train.device == Device::Cuda && train.world_size > gpus => {
            Err(Failure::usage(anyhow::anyhow!(
                "`device: cuda` takes a GPU for each of {} ranks, and `--gpus` offers {gpus}: expected as many, or \
                 `device: auto`, which goes on with the CPU",
                train.world_size
            )))
        }
        _ => Ok(()),
    }
}

fn absolute(output: &str) -> Result<String, Failure> {
    if output.contains("://") {
        return Ok(output.to_owned());
    }
    let path = std::path::absolute(output).context("the output directory cannot be resolved")?;
    Ok(path.to_string_lossy().into_owned())
}

/// Where the journal lies, and whether the directory was made for it.
fn state_directory(args: &RunArgs, resolved: &Resolved) -> Result<(PathBuf, bool), Failure> {
    let output = &resolved.job.output;
    let directory = match &args.state {
        Some(state) => state.clone(),
        None => match output.strip_prefix("file://").or((!output.contains("://")).then_some(output.as_str()))
        {
            Some(local) => Path::new(local).join(".orchestrator"),
            None => PathBuf::from(format!(".orchestrator-{}", resolved.job.name)),
        },
    };
    let is_new = !directory.exists();
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("the state directory `{}` cannot be made", directory.display()))?;
    Ok((directory, is_new))
}

async fn embedded(
    resolved: &Resolved,
    state: &Path,
    (workers, gpus): (u32, u32),
    args: &RunArgs,
    taken: &Cell<bool>,
    console: &Console,
) -> Result<Option<JobDetail>, Failure> {
    let token = certs::new_token()?;
    let options = CoordinatorOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        lease_ms: LEASE_MS,
        heartbeat_ms: HEARTBEAT_MS,
        hang_ms: args.hang_timeout_ms,
        embedded: true,
        // All workers share this machine: a task that is slow on one of them is not faster on another.
        straggler_percent: 0,
        token: Some(token.clone()),
        ..CoordinatorOptions::new(state.join("journal.sqlite"))
    };
    let mut coordinator = Coordinator::start(options, Arc::new(JobPlanner::for_outputs(AllowedRoots::any())))
        .await
        .with_context(|| format!("the embedded coordinator cannot start in `{}`", state.display()))?;
    let address = format!("http://{}", coordinator.address());
    let ended = tokio::select! {
        ended = work(resolved, state, (workers, gpus), args, (&address, &token), taken, console) => ended,
        cause = coordinator.stopped() => return Err(stopped(cause)),
    };
    match ended {
        Ok(detail) => {
            coordinator.shutdown().await.context("the coordinator did not stop well")?;
            Ok(detail)
        }
        // Where the coordinator ended by itself, its own words say more than those of who asked it.
        Err(failure @ Failure::Failed(_)) => {
            match tokio::time::timeout(LAST_WORDS, coordinator.stopped()).await {
                Ok(cause) => Err(stopped(cause)),
                Err(_) => Err(failure),
            }
        }
        Err(failure) => Err(failure),
    }
}

fn stopped(cause: CoordinatorError) -> Failure {
    Failure::Failed(anyhow::Error::from(cause).context("the run stopped; nothing that was committed is lost"))
}

/// Hands the job in, says in `taken` that it was taken, works on it, and follows it to its end. Nothing of a job that is finished in an output which was moved.
async fn work(
    resolved: &Resolved,
    state: &Path,
    (workers, gpus): (u32, u32),
    args: &RunArgs,
    (address, token): (&str, &str),
    taken: &Cell<bool>,
    console: &Console,
) -> Result<Option<JobDetail>, Failure> {
    let mut client = remote::connect(address, Some(token), None).await?;
    let request = SubmitRequest {
        resolved_job: resolved.to_json().map_err(anyhow::Error::from)?,
        priority: resolved.job.priority,
        reuse: args.reuse,
    };
    let reply = client.submit(request).await.map_err(|status| remote::refused(&status))?.into_inner();
    taken.set(true);
    match reply.disposition() {
        Disposition::Resumed => console.note("going on with the run in this output"),
        Disposition::Finished => console.note("this run is finished; nothing to do"),
        Disposition::New | Disposition::Unspecified => {}
    }
    if reply.job.is_empty() {
        return Ok(None);
    }
    if let Some(reused) = &reply.reused {
        console.note(&summary::reused_text(reused));
    }
    let scratch = state.join("scratch");
    std::fs::create_dir_all(&scratch).context("the scratch directory cannot be made")?;
    let lends = Host {
        scratch,
        reporter: Arc::new(AnalyticsReporter),
        roots: AllowedRoots::any(),
        models: Arc::default(),
    };
    let gang_slots = resolved.job.train().map_or(0, |(_, train)| train.world_size);
    let handles = (0..workers)
        .map(|number| {
            Worker::start(WorkerOptions {
                coordinator: address.to_owned(),
                token: Some(token.to_owned()),
                authority: None,
                name: WorkerId(format!("embedded-{number}")),
                host: "127.0.0.1".to_owned(),
                slots: 1,
                gang_slots,
                // All of them share this machine, which one run may ask more of than it has.
                memory_bytes: 0,
                gpus: if number == 0 { gpus } else { 0 },
                lends: lends.clone(),
                keeps_pace: false,
                rank_command: daemons::rank_command()?,
            })
            .map_err(|error| Failure::Failed(error.into()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let detail = remote::follow(&mut client, &reply.job, console).await?;
    for handle in handles {
        handle.stop().await;
    }
    Ok(Some(detail))
}
