//! The daemons: coordinator, worker, and the rank process that a worker starts.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use orchestrator_coordinator::{Coordinator, CoordinatorError, CoordinatorOptions, TlsOptions};
use orchestrator_core::WorkerId;
use orchestrator_model::engine::cuda_is_present;
use orchestrator_pipeline::Host;
use orchestrator_storage::{ANY_ROOT, AllowedRoots};
use orchestrator_worker::{Worker, WorkerOptions};

use crate::args::{CoordinatorArgs, WorkerArgs};
use crate::commands::{certs, remote};
use crate::console::Console;
use crate::failure::Failure;
use crate::planner::JobPlanner;
use crate::reporter::AnalyticsReporter;

/// The machine's cores.
pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}

/// How a worker starts a rank: this very binary.
pub(crate) fn rank_command() -> Result<Vec<String>, Failure> {
    let binary = std::env::current_exe().context("this binary cannot be found")?;
    Ok(vec![binary.to_string_lossy().into_owned(), "rank".to_owned()])
}

fn read_text(path: &Path, what: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| remote::unreadable(what, path, error))
}

/// Runs a coordinator until it is told to stop.
pub(crate) fn coordinator(args: &CoordinatorArgs, console: &Console) -> Result<(), Failure> {
    let listen: SocketAddr = args
        .listen
        .parse()
        .map_err(|_| Failure::usage(anyhow!("`{}` is no address: expected ADDRESS:PORT", args.listen)))?;
    demand_protection(args, listen)?;
    let roots = allowed_roots(&args.allow_root, listen.ip().is_loopback())?;
    std::fs::create_dir_all(&args.state)
        .with_context(|| format!("the state directory `{}` cannot be made", args.state.display()))?;
    let tls = match (&args.certificate, &args.key) {
        (Some(certificate), Some(key)) => Some(TlsOptions {
            certificate: read_text(certificate, "certificate")?,
            key: read_text(key, "key")?,
            client_authority: None,
        }),
        _ => None,
    };
    let token_file = args.token_file.clone().unwrap_or_else(|| args.state.join("token"));
    let (token, is_new) = token(&token_file, args.token_file.is_some(), args.insecure)?;
    let guarded = token.is_some();
    warn_of_dangers(args, listen, guarded, &token_file, console);
    let options = CoordinatorOptions {
        listen,
        lease_ms: args.lease_ms,
        heartbeat_ms: (args.lease_ms / 8).clamp(100, 5_000),
        token,
        tls,
        insecure: args.insecure,
        hang_ms: args.hang_timeout_ms,
        straggler_percent: args.straggler_percent,
        ..CoordinatorOptions::new(args.state.join("journal.sqlite"))
    };
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut handle = Coordinator::start(options, Arc::new(JobPlanner::for_outputs(roots)))
            .await
            .context("the coordinator cannot start")?;
        let token = if guarded {
            format!("{}token in `{}`", if is_new { "new " } else { "" }, token_file.display())
        } else {
            "without a token".to_owned()
        };
        console.note(&format!("coordinator on {}, {token}", handle.address()));
        tokio::select! {
            error = handle.stopped() => Err(Failure::Failed(error.into())),
            () = told_to_stop() => {
                handle.shutdown().await.context("the coordinator did not stop well")?;
                Ok(())
            }
        }
    })
}

/// Says what an operator may not have meant.
fn warn_of_dangers(
    args: &CoordinatorArgs,
    listen: SocketAddr,
    guarded: bool,
    token_file: &Path,
    console: &Console,
) {
    if args.insecure && (!guarded || (args.certificate.is_none() && !listen.ip().is_loopback())) {
        let open = if guarded {
            "calls are not encrypted and the token can be overheard"
        } else {
            "anybody who reaches the port can run jobs, which read and write as this user"
        };
        console.note(&format!("warning: --insecure on {listen}: {open}"));
    }
    let mode = std::fs::metadata(token_file).map(|file| file.permissions().mode());
    if guarded && mode.is_ok_and(|mode| mode & 0o077 != 0) {
        let file = token_file.display();
        console.note(&format!("warning: others can read the token in `{file}`: expected mode 0600"));
    }
}

/// Beyond loopback all that is missing is said at once, before anything is made.
fn demand_protection(args: &CoordinatorArgs, listen: SocketAddr) -> Result<(), Failure> {
    if listen.ip().is_loopback() || args.certificate.is_some() || args.insecure {
        return Ok(());
    }
    let error = anyhow::Error::from(CoordinatorError::Unprotected(listen));
    Err(Failure::Failed(if args.allow_root.is_empty() {
        anyhow!("{error}; `--allow-root` is wanted there too: below which paths and URLs outputs may lie")
    } else {
        error
    }))
}

/// The token of the cluster, and whether it is new: what the file holds, or, where nobody named a file, one that is made
/// and that only this user can read.
fn token(file: &Path, is_named: bool, insecure: bool) -> Result<(Option<String>, bool), Failure> {
    let is_new = !file.exists() && !is_named;
    if is_new && insecure {
        return Ok((None, false));
    }
    if is_new {
        certs::write(file, certs::new_token()?.as_bytes(), true)?;
    }
    Ok((Some(read_text(file, "token file")?.trim().to_owned()), is_new))
}

/// Runs a worker until it is told to stop; then it drains.
pub(crate) fn worker(args: WorkerArgs, console: &Console) -> Result<(), Failure> {
    remote::endpoint(&args.remote.coordinator)?;
    let (token, authority) = remote::credentials(&args.remote)?;
    let slots = args.slots.unwrap_or_else(cores);
    let gang_slots = args.gang_slots.unwrap_or(slots);
    if slots == 0 && gang_slots == 0 {
        return Err(Failure::usage(anyhow!(
            "a worker with neither slots nor gang slots can do nothing: expected at least one of `--slots` or `--gang-slots`"
        )));
    }
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&scratch)
        .with_context(|| format!("the scratch directory `{}` cannot be made", scratch.display()))?;
    let roots = allowed_roots(&args.allow_root, is_loopback(&args.remote.coordinator))?;
    let gpus = usable_gpus(args.gpus, console);
    check_ranks_host(&args.host, gpus, args.insecure, console)?;
    let options = WorkerOptions {
        coordinator: args.remote.coordinator.clone(),
        token,
        authority,
        name: WorkerId(args.name.unwrap_or_else(default_name)),
        host: args.host,
        slots,
        gang_slots,
        memory_bytes: args.memory.map_or_else(memory_bytes, |memory| memory.0),
        gpus,
        lends: Host { scratch, reporter: Arc::new(AnalyticsReporter), roots, models: Arc::default() },
        keeps_pace: true,
        rank_command: rank_command()?,
    };
    let name = options.name.clone();
    runtime()?.block_on(async {
        let mut handle = Worker::start(options).map_err(Failure::usage)?;
        console.note(&format!("worker {name} for {}", args.remote.coordinator));
        tokio::select! {
            refused = handle.refused() => Err(Failure::Failed(refused.into())),
            () = told_to_stop() => {
                console.note(&format!("worker {name} drains"));
                handle.drain().await;
                Ok(())
            }
        }
    })
}

/// The roots that the arguments name. On loopback the jobs are this user's own, who may read what we may: there every
/// place is allowed by default. Anywhere else the operator has to say.
fn allowed_roots(named: &[String], loopback: bool) -> Result<AllowedRoots, Failure> {
    if named.is_empty() && loopback {
        return Ok(AllowedRoots::any());
    }
    if named.is_empty() {
        return Err(Failure::usage(anyhow!(
            "jobs may come from other machines and `--allow-root` is not given: expected the paths and URLs below which \
             jobs may read and write, once for each (`--allow-root s3://bucket/prefix`), or `--allow-root {ANY_ROOT}` \
             for every place that this user can reach"
        )));
    }
    AllowedRoots::new(named).map_err(Failure::usage)
}

/// Whether a coordinator's URL names this machine.
fn is_loopback(coordinator: &str) -> bool {
    let authority = coordinator.split_once("://").map_or(coordinator, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Our connections between ranks are sealed; NCCL's are not: beyond loopback only when the operator says so.
fn check_ranks_host(host: &str, gpus: u32, insecure: bool, console: &Console) -> Result<(), Failure> {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = plain == "localhost" || plain.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if loopback || gpus == 0 {
        return Ok(());
    }
    if insecure {
        console.note(&format!(
            "warning: --insecure: ranks with GPUs on `{host}` exchange gradients over NCCL, which does not encrypt"
        ));
        return Ok(());
    }
    Err(Failure::usage(anyhow!(
        "ranks with GPUs on `{host}` would exchange gradients over NCCL, which does not encrypt: expected `--insecure` to \
         accept that on a network of your own, `--gpus 0`, or a loopback `--host`"
    )))
}

/// Runs one rank; its orders come over standard input.
pub(crate) fn rank() -> Result<(), Failure> {
    match orchestrator_worker::run_rank(
        Arc::new(AnalyticsReporter),
        orchestrator_worker::collective::of_this_build(),
    ) {
        0 => Ok(()),
        // The worker was told why, and says it where people look.
        _ => Err(Failure::Told),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?)
}

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn told_to_stop() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

fn default_name() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "worker" } else { host }, std::process::id())
}

/// Memory of this machine or of the container that this runs in, or 0 where it cannot be told.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string(PathBuf::from("/proc/meminfo")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let machine =
        line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or(0)
            << 10;
    // Version 2 of control groups, then version 1; as a container sees them. `max` and huge numbers are no limit.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    match limit {
        Some(limit) if machine == 0 => limit,
        Some(limit) => limit.min(machine),
        None => machine,
    }
}

/// How many of the GPUs named can be used: none without a driver, or without the feature in this build.
pub(crate) fn usable_gpus(gpus: u32, console: &Console) -> u32 {
    if gpus == 0 || cuda_is_present() {
        return gpus;
    }
    console.note(&format!(
        "warning: --gpus {gpus}: this machine has no NVIDIA driver, or this build has no feature `cuda`; no GPU is offered"
    ));
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nccl_would_say_in_the_clear_wants_a_word() {
        let console = Console::new(crate::args::Format::Json);
        for (host, gpus, insecure, allowed) in [
            ("192.0.2.1", 0, false, true),
            ("127.0.0.1", 8, false, true),
            ("[::1]", 8, false, true),
            ("192.0.2.1", 8, false, false),
            ("192.0.2.1", 8, true, true),
        ] {
            assert_eq!(check_ranks_host(host, gpus, insecure, &console).is_ok(), allowed, "{host} {gpus}");
        }
    }

    #[test]
    fn loopback_is_told_from_other_hosts() {
        for own in ["http://127.0.0.1:7070", "https://localhost:7070/", "http://[::1]:7070", "127.0.0.1:1"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "http://10.0.0.1:7070",
            "https://coordinator:7070",
            "http://localhost.example:1",
            "http://0.0.0.0:1",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn a_token_is_made_only_where_nobody_named_a_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("token");
        assert!(
            matches!(token(&file, true, false), Err(Failure::Usage(_))),
            "a slip of the finger is no new secret"
        );
        assert!(!file.exists());
        assert!(matches!(token(&file, false, true), Ok((None, false))));
        let Ok((Some(made), true)) = token(&file, false, false) else { panic!("one is made") };
        assert!(matches!(token(&file, true, true), Ok((Some(read), false)) if read == made));
    }

    #[test]
    fn beyond_loopback_the_operator_names_the_roots() {
        assert_eq!(allowed_roots(&[], true).ok(), Some(AllowedRoots::any()));
        assert!(matches!(allowed_roots(&[], false), Err(Failure::Usage(_))));
        assert_eq!(allowed_roots(&["any".to_owned()], false).ok(), Some(AllowedRoots::any()));
        assert_ne!(allowed_roots(&["/data".to_owned()], true).ok(), Some(AllowedRoots::any()));
    }
}
