//! `CoordinatorOptions → Coordinator::start → Handle`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator_proto::MESSAGE_SIZE_MAX;
use orchestrator_proto::v1::jobs_server::JobsServer;
use orchestrator_proto::v1::workers_server::WorkersServer;
use orchestrator_scheduler::{Options, Scheduler};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::Router;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::actor::Actor;
use crate::desk::{Desk, QUEUE};
use crate::effects::Effects;
use crate::error::CoordinatorError;
use crate::journal::{Journal, Recovered};
use crate::logs::Logs;
use crate::options::CoordinatorOptions;
use crate::owner::Owner;
use crate::planner::Planner;
use crate::rpc::auth::Guard;
use crate::rpc::jobs::JobsService;
use crate::rpc::workers::WorkersService;
use crate::stores;
use crate::waits::Waits;

/// The shortest token that is taken, in bytes.
const TOKEN_BYTES_MIN: usize = 16;

/// Starts coordinators.
#[derive(Debug)]
pub struct Coordinator;

/// A coordinator that runs. Dropping the handle stops it at once, without harm: it is what a crash does.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    actor: JoinHandle<Result<(), CoordinatorError>>,
    server: JoinHandle<Result<(), CoordinatorError>>,
}

impl Coordinator {
    /// Opens the journal, recovers what it holds, and serves.
    pub async fn start(
        options: CoordinatorOptions,
        planner: Arc<dyn Planner>,
    ) -> Result<Handle, CoordinatorError> {
        check(&options)?;
        let (journal, recovered) = Journal::open(&options.state).await?;
        let journal = Arc::new(journal);
        let Recovered { state, coordinator, epoch, replayed } = recovered;
        tracing::info!(jobs = state.jobs.len(), replayed, epoch, "the journal is open");
        let owner = Owner::here(coordinator, epoch, &options.state);
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|source| CoordinatorError::Bind { address: options.listen, source })?;
        let address = listener
            .local_addr()
            .map_err(|source| CoordinatorError::Bind { address: options.listen, source })?;

        let (requests, inbox) = mpsc::channel(QUEUE);
        let (woken, changed) = (watch::Sender::new(0), watch::Sender::new(0));
        let logs = Logs::open(options.state.with_file_name("logs"), state.jobs.keys());
        let logs = logs.told_by_others(options.embedded);
        let (logs, waits) = (Arc::new(logs), Arc::new(Waits::default()));
        let desk = Desk {
            requests: requests.clone(),
            woken: woken.subscribe(),
            changed: changed.subscribe(),
            logs: Arc::clone(&logs),
            waits: Arc::clone(&waits),
        };
        let (stop, stopped) = watch::channel(false);
        let effects = Effects {
            planner: Arc::clone(&planner),
            journal: Arc::clone(&journal),
            owner: owner.clone(),
            requests: requests.downgrade(),
            bound: Arc::new(Semaphore::new(options.publications.max(1))),
            logs: Arc::clone(&logs),
            waits: Arc::clone(&waits),
            stopped: stopped.clone(),
        };
        let (scheduler, recovery) = Scheduler::recover(scheduler_options(&options, epoch), state, 0);
        let begin = Instant::now();
        let actor = Actor { scheduler, journal, effects, requests: inbox, woken, changed, logs, begin };
        let period = Duration::from_millis(options.heartbeat_ms.max(10));
        tokio::spawn(stores::keep_pace(desk.clone(), period, stopped.clone()));
        let router = router(&options, desk, planner, owner).await?;
        let actor = tokio::spawn({
            let stopped = stopped.clone();
            async move { Ok(actor.run(recovery, stopped).await?) }
        });
        let server = tokio::spawn(async move {
            let mut stopped = stopped;
            let until_stopped = async move {
                // An error means that the handle is gone, which is as good a reason to stop.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            Ok(router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), until_stopped).await?)
        });
        Ok(Handle { address, stop, actor, server })
    }
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it stops by itself, which it only does when something is wrong.
    pub async fn stopped(&mut self) -> CoordinatorError {
        let (part, ended) = tokio::select! {
            ended = &mut self.actor => ("the actor", ended),
            ended = &mut self.server => ("the server", ended),
        };
        match ended {
            Ok(Err(error)) => error,
            Ok(Ok(())) => CoordinatorError::Stopped(format!("{part} ended")),
            Err(error) => CoordinatorError::Stopped(format!("{part}: {error}")),
        }
    }

    /// Stops: no more events are taken; what was answered is durable.
    pub async fn shutdown(mut self) -> Result<(), CoordinatorError> {
        let _ = self.stop.send(true); // an error means that all have stopped already
        self.server.abort(); // streams that people watch would keep it
        match (&mut self.actor).await {
            Ok(result) => result,
            Err(error) => Err(CoordinatorError::Stopped(error.to_string())),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.server.abort();
        self.actor.abort();
    }
}

fn check(options: &CoordinatorOptions) -> Result<(), CoordinatorError> {
    let guarded = options.tls.is_some() && options.token.is_some();
    if !options.listen.ip().is_loopback() && !guarded && !options.insecure {
        return Err(CoordinatorError::Unprotected(options.listen));
    }
    let Some(token) = &options.token else { return Ok(()) };
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CoordinatorError::BadToken);
    }
    if token.len() < TOKEN_BYTES_MIN {
        return Err(CoordinatorError::ShortToken { length: token.len(), least: TOKEN_BYTES_MIN });
    }
    Ok(())
}

fn scheduler_options(options: &CoordinatorOptions, epoch: u64) -> Options {
    Options {
        incarnation: epoch,
        lease_ms: options.lease_ms,
        gang_regroup_ms: options.gang_regroup_ms,
        gang_join_ms: options.gang_join_ms,
        hang_ms: options.hang_ms,
        straggler_percent: options.straggler_percent,
        void_leases_on_recovery: options.embedded,
        ..Options::default()
    }
}

async fn router(
    options: &CoordinatorOptions,
    desk: Desk,
    planner: Arc<dyn Planner>,
    owner: Owner,
) -> Result<Router, CoordinatorError> {
    let guard = Guard::new(options.token.as_deref());
    let workers = WorkersServer::new(WorkersService {
        desk: desk.clone(),
        lease_ms: options.lease_ms,
        heartbeat_ms: options.heartbeat_ms,
    })
    .max_decoding_message_size(MESSAGE_SIZE_MAX)
    .max_encoding_message_size(MESSAGE_SIZE_MAX);
    let jobs = JobsServer::new(JobsService { desk, planner, owner })
        .max_decoding_message_size(MESSAGE_SIZE_MAX)
        .max_encoding_message_size(MESSAGE_SIZE_MAX);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<WorkersServer<WorkersService>>().await;
    reporter.set_serving::<JobsServer<JobsService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(orchestrator_proto::DESCRIPTORS)
        .build_v1()
        .map_err(|error| CoordinatorError::Reflection(error.to_string()))?;
    let mut server = Server::builder();
    if let Some(tls) = &options.tls {
        let mut config = ServerTlsConfig::new().identity(Identity::from_pem(&tls.certificate, &tls.key));
        if let Some(authority) = &tls.client_authority {
            config = config.client_ca_root(Certificate::from_pem(authority));
        }
        server = server.tls_config(config)?;
    }
    Ok(server
        .add_service(tonic::service::interceptor::InterceptedService::new(workers, guard.clone()))
        .add_service(tonic::service::interceptor::InterceptedService::new(jobs, guard.clone()))
        .add_service(tonic::service::interceptor::InterceptedService::new(reflection, guard))
        .add_service(health))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::TlsOptions;

    #[test]
    fn other_machines_are_let_in_only_with_tls_and_a_token_or_on_purpose() {
        let everywhere = CoordinatorOptions {
            listen: "0.0.0.0:0".parse().expect("an address"),
            ..CoordinatorOptions::new("s")
        };
        assert!(matches!(check(&everywhere), Err(CoordinatorError::Unprotected(_))));
        let token = Some("a-token-that-is-long".to_owned());
        assert!(
            check(&CoordinatorOptions { token: token.clone(), ..everywhere.clone() }).is_err(),
            "in the clear"
        );
        assert!(check(&CoordinatorOptions { insecure: true, ..everywhere.clone() }).is_ok());
        let tls = TlsOptions { certificate: String::new(), key: String::new(), client_authority: None };
        assert!(check(&CoordinatorOptions { token, tls: Some(tls), ..everywhere }).is_ok());
        let short = CoordinatorOptions { token: Some("short".into()), ..CoordinatorOptions::new("s") };
        assert!(matches!(check(&short), Err(CoordinatorError::ShortToken { length: 5, .. })));
        let spaced = CoordinatorOptions { token: Some("a token with spaces".into()), ..short };
        assert!(matches!(check(&spaced), Err(CoordinatorError::BadToken)));
    }
}
