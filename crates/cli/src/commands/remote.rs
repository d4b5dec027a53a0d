//! Verbs that speak to a coordinator.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use orchestrator_core::ErrorCode;
use orchestrator_core::units::ByteSize;
use orchestrator_proto::MESSAGE_SIZE_MAX;
use orchestrator_proto::v1::jobs_client::JobsClient;
use orchestrator_proto::v1::{
    CancelRequest, DescribeRequest, Disposition, JobDetail, JobState, ListJobsRequest, ListWorkersRequest,
    LogsRequest, RetryRequest, SubmitRequest, WatchRequest, WorkerSummary,
};
use orchestrator_worker::{ConnectError, advice};
use serde_json::{Value, json};
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::args::{JobArgs, LogsArgs, Remote, SubmitArgs};
use crate::commands::progress::Progress;
use crate::commands::summary;
use crate::console::{Console, count, table};
use crate::failure::Failure;
use crate::finished::{self, Taken};
use crate::job_file;

/// A client of the Jobs service.
pub(crate) type Client = JobsClient<InterceptedService<Channel, Token>>;

/// Adds the caller's token to every call.
#[derive(Clone)]
pub(crate) struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects to a coordinator.
pub(crate) async fn connect(
    address: &str,
    token: Option<&str>,
    authority: Option<&[u8]>,
) -> Result<Client, Failure> {
    let mut endpoint = endpoint(address)?.connect_timeout(Duration::from_secs(5));
    if authority.is_none() && endpoint.uri().scheme_str() == Some("https") {
        return Err(Failure::usage(ConnectError::NoAuthority { address: address.to_owned() }));
    }
    if let Some(authority) = authority {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        endpoint = endpoint.tls_config(tls).map_err(Failure::usage)?;
    }
    let channel = endpoint.connect().await.map_err(|error| {
        let advice = match advice(&error) {
            "" => ": start one with `orchestrator coordinator`, or name it with --coordinator",
            advice => advice,
        };
        anyhow::Error::from(error).context(format!("no coordinator answers at `{address}`{advice}"))
    })?;
    let token = match token {
        Some(token) => Some(format!("Bearer {token}").parse().map_err(Failure::usage)?),
        None => None,
    };
    Ok(JobsClient::with_interceptor(channel, Token(token))
        .max_decoding_message_size(MESSAGE_SIZE_MAX)
        .max_encoding_message_size(MESSAGE_SIZE_MAX))
}

/// Reads a coordinator's address.
pub(crate) fn endpoint(address: &str) -> Result<Endpoint, Failure> {
    Endpoint::from_shared(address.to_owned())
        .ok()
        // A bare word is a URI as well, and reaches nobody.
        .filter(|endpoint| {
            let uri = endpoint.uri();
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        })
        .ok_or_else(|| Failure::usage(anyhow!("`{address}` is no address: expected `http://host:port`")))
}

/// What it means that a file cannot be read which the arguments name: that it is not there is the caller's mistake.
pub(crate) fn unreadable(what: &str, path: &Path, error: std::io::Error) -> Failure {
    let is_missing = error.kind() == std::io::ErrorKind::NotFound;
    let error = anyhow::Error::from(error).context(format!("the {what} `{}` cannot be read", path.display()));
    if is_missing { Failure::Usage(error) } else { Failure::Failed(error) }
}

/// Reads the token and the authority that the arguments name.
pub(crate) fn credentials(remote: &Remote) -> Result<(Option<String>, Option<Vec<u8>>), Failure> {
    let token = match &remote.token_file {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| unreadable("token file", path, error))?
                .trim()
                .to_owned(),
        ),
        None => None,
    };
    let authority = match &remote.authority {
        Some(path) => Some(std::fs::read(path).map_err(|error| unreadable("authority", path, error))?),
        None => None,
    };
    Ok((token, authority))
}

async fn client(remote: &Remote) -> Result<Client, Failure> {
    let (token, authority) = credentials(remote)?;
    connect(&remote.coordinator, token.as_deref(), authority.as_deref()).await
}

/// What a refusal of the coordinator means for the exit code.
pub(crate) fn refused(status: &Status) -> Failure {
    let error = orchestrator_proto::error(status);
    let more = match error.code {
        ErrorCode::Unauthorized => {
            ": name the file that holds it with `--token-file` (`ORCHESTRATOR_TOKEN_FILE`)"
        }
        _ => advice(status),
    };
    let message = anyhow!("{}{more}", error.message);
    match error.code {
        ErrorCode::InvalidInput | ErrorCode::Conflict | ErrorCode::NotFound => Failure::Usage(message),
        _ => Failure::Failed(message),
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?
        .block_on(work)
}

/// Gives a job to the coordinator.
pub(crate) fn submit(args: &SubmitArgs, console: &Console) -> Result<(), Failure> {
    let resolved = match finished::take_up(job_file::load(&args.job)?, console)? {
        Taken::Work(resolved) => resolved,
        Taken::Finished { output } => return summary::succeeded(None, &output, console),
    };
    let output = resolved.job.output.clone();
    let priority = args.priority.unwrap_or(resolved.job.priority);
    let request = SubmitRequest {
        resolved_job: resolved.to_json().map_err(anyhow::Error::from)?,
        priority,
        reuse: args.reuse,
    };
    let watched: Option<Option<JobDetail>> = block_on(async {
        let mut client = client(&args.remote).await?;
        let reply = client.submit(request).await.map_err(|status| refused(&status))?.into_inner();
        let disposition = disposition_name(reply.disposition());
        if reply.job.is_empty() {
            console.note("this run is finished; nothing to do");
            return Ok(Some(None));
        }
        let reused = reply.reused.as_ref();
        if let Some(reused) = reused {
            console.note(&summary::reused_text(reused));
        }
        if !args.watch {
            let mut value = json!({ "job": reply.job, "disposition": disposition });
            if let Some(reused) = reused {
                value["reused"] = summary::reused_json(reused);
            }
            console.result(&value, || reply.job.clone())?;
            return Ok(None);
        }
        console.note(&format!("job {} ({disposition})", reply.job));
        follow(&mut client, &reply.job, console).await.map(|detail| Some(Some(detail)))
    })?;
    // The summary reads the run with Polars, which refuses to run inside a runtime of one thread.
    match watched {
        Some(Some(detail)) => summary::finish(&detail, &output, console),
        Some(None) => summary::succeeded(None, &output, console),
        None => Ok(()),
    }
}

/// `new`, `resumed` or `finished`.
pub(crate) fn disposition_name(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Unspecified | Disposition::New => "new",
        Disposition::Resumed => "resumed",
        Disposition::Finished => "finished before",
    }
}

/// Follows a job to its end, with bars where a person watches and lines elsewhere. A coordinator that restarts is waited for.
pub(crate) async fn follow(client: &mut Client, job: &str, console: &Console) -> Result<JobDetail, Failure> {
    const PATIENCE: u32 = 120;
    let progress = Progress::new(console);
    let mut last = None;
    let mut silent = 0;
    loop {
        match client.watch(WatchRequest { job: job.to_owned() }).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                while let Ok(Some(detail)) = stream.message().await {
                    silent = 0;
                    progress.show(&detail, console);
                    last = Some(detail);
                }
                if let Some(detail) = last.as_ref().filter(|detail| has_ended(detail)) {
                    progress.finish(detail, console);
                    return Ok(detail.clone());
                }
            }
            Err(status) => {
                let failure = refused(&status);
                if matches!(failure, Failure::Usage(_)) || silent >= PATIENCE {
                    return Err(failure);
                }
            }
        }
        silent += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Whether a job is over, well or not.
pub(crate) fn has_ended(detail: &JobDetail) -> bool {
    let state = detail.summary.as_ref().map(orchestrator_proto::v1::JobSummary::state);
    matches!(state, Some(JobState::Succeeded | JobState::Failed | JobState::Cancelled))
}

/// Lists jobs.
pub(crate) fn jobs(remote: &Remote, console: &Console) -> Result<(), Failure> {
    let jobs = block_on(async {
        let reply = client(remote).await?.list(ListJobsRequest {}).await;
        Ok(reply.map_err(|status| refused(&status))?.into_inner().jobs)
    })?;
    let value: Vec<Value> = jobs
        .iter()
        .map(|job| {
            json!({ "job": job.job, "name": job.name, "state": state_name(job.state()), "output": job.output,
                "phases_done": job.phases_done, "phases": job.phases, "priority": job.priority, "error": job.error })
        })
        .collect();
    console.result(&value, || {
        let rows = jobs
            .iter()
            .map(|job| {
                let phases = format!("{}/{}", job.phases_done, job.phases);
                [job.job.clone(), state_name(job.state()).to_owned(), phases, job.output.clone()]
            })
            .collect();
        table(["job", "state", "phases", "output"], &[2], rows)
    })
}

/// The word for a job's state.
pub(crate) fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Unspecified => "unknown",
        JobState::Queued => "queued",
        JobState::Running => "running",
        JobState::Succeeded => "succeeded",
        JobState::Failed => "failed",
        JobState::Cancelled => "cancelled",
    }
}

/// Shows one job.
pub(crate) fn describe(args: &JobArgs, console: &Console) -> Result<(), Failure> {
    let detail = block_on(async {
        let reply = client(&args.remote).await?.describe(DescribeRequest { job: args.id.clone() }).await;
        Ok(reply.map_err(|status| refused(&status))?.into_inner())
    })?;
    console.result(&summary::detail_json(&detail), || summary::detail_text(&detail))
}

/// Follows one job.
pub(crate) fn watch(args: &JobArgs, console: &Console) -> Result<(), Failure> {
    let detail = block_on(async {
        let mut client = client(&args.remote).await?;
        follow(&mut client, &args.id, console).await
    })?;
    let output = detail.summary.as_ref().map_or("", |summary| summary.output.as_str()).to_owned();
    summary::finish(&detail, &output, console)
}

/// Prints a job's log.
pub(crate) fn logs(args: &LogsArgs, console: &Console) -> Result<(), Failure> {
    block_on(async {
        let request = LogsRequest { job: args.id.clone(), follow: args.follow };
        let mut client = client(&args.remote).await?;
        let mut lines = client.logs(request).await.map_err(|status| refused(&status))?.into_inner();
        while let Some(line) = lines.message().await.map_err(|status| refused(&status))? {
            let value = json!({ "unix_ms": line.unix_ms, "level": line.level, "text": line.text });
            if console.is_json() {
                console.text(&format!("{value}\n"))?;
            } else {
                console.text(&format!("{:>5} {}\n", line.level, line.text))?;
            }
        }
        Ok(())
    })
}

/// Stops a job.
pub(crate) fn cancel(args: &JobArgs, console: &Console) -> Result<(), Failure> {
    block_on(async {
        let reply = client(&args.remote).await?.cancel(CancelRequest { job: args.id.clone() }).await;
        reply.map_err(|status| refused(&status))?;
        console.result(&json!({ "job": args.id, "state": "cancelled" }), || format!("{} cancelled", args.id))
    })
}

/// Goes on with a job that failed or was cancelled.
pub(crate) fn retry(args: &JobArgs, console: &Console) -> Result<(), Failure> {
    block_on(async {
        let reply = client(&args.remote).await?.retry(RetryRequest { job: args.id.clone() }).await;
        let tasks = reply.map_err(|status| refused(&status))?.into_inner().tasks;
        console.result(&json!({ "job": args.id, "state": "running", "tasks": tasks }), || match tasks {
            0 => format!("{} goes on", args.id),
            _ => {
                format!("{} goes on; {} quarantined tasks are tried again", args.id, count(u64::from(tasks)))
            }
        })
    })
}

fn worker_state(worker: &WorkerSummary) -> &'static str {
    match (worker.lost, worker.draining) {
        (true, _) => "lost",
        (false, true) => "draining",
        (false, false) => "up",
    }
}

/// Lists workers.
pub(crate) fn workers(remote: &Remote, console: &Console) -> Result<(), Failure> {
    let workers = block_on(async {
        let reply = client(remote).await?.list_workers(ListWorkersRequest {}).await;
        Ok(reply.map_err(|status| refused(&status))?.into_inner().workers)
    })?;
    let value: Vec<Value> = workers
        .iter()
        .map(|worker| {
            json!({ "worker": worker.worker, "host": worker.host, "slots": worker.slots, "busy": worker.busy,
                "gang_slots": worker.gang_slots, "ranks": worker.ranks,
                "gpus": worker.gpus, "gpus_taken": worker.gpus_taken,
                "memory_bytes": worker.memory_bytes, "memory_taken_bytes": worker.memory_taken_bytes,
                "since_heartbeat_ms": worker.since_heartbeat_ms, "state": worker_state(worker),
                "draining": worker.draining,
                "version": worker.version })
        })
        .collect();
    console.result(&value, || {
        let rows = workers
            .iter()
            .map(|worker| {
                let memory = match worker.memory_bytes {
                    0 => "any".to_owned(),
                    bytes => ByteSize(bytes).to_string(),
                };
                [
                    worker.worker.clone(),
                    worker.host.clone(),
                    format!("{}/{}", worker.busy, worker.slots),
                    format!("{}/{}", worker.ranks, worker.gang_slots),
                    format!("{}/{}", worker.gpus_taken, worker.gpus),
                    format!("{}/{memory}", ByteSize(worker.memory_taken_bytes)),
                    format!("{} ms", count(worker.since_heartbeat_ms)),
                    worker_state(worker).to_owned(),
                ]
            })
            .collect();
        table(
            ["worker", "host", "tasks", "ranks", "gpus", "memory", "heard", "state"],
            &[2, 3, 4, 5, 6],
            rows,
        )
    })
}
