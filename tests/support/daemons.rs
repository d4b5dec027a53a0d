//! A cluster on loopback: a coordinator, workers, and clients that show its token.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Process, Ran, Scene, eventually};

/// A coordinator and its workers, which end with it.
pub(crate) struct Cluster<'a> {
    scene: &'a Scene,
    port: u16,
    lease_ms: u64,
    variables: Vec<(String, String)>,
    /// More arguments of the coordinator.
    more: Vec<String>,
    coordinator: Option<Process>,
    workers: Vec<(String, Process)>,
}

impl<'a> Cluster<'a> {
    /// Starts a coordinator and waits until it answers.
    pub(crate) fn start(scene: &'a Scene, lease_ms: u64, variables: &[(String, String)]) -> Self {
        Self::begin(scene, lease_ms, variables.to_vec(), Vec::new())
    }

    /// Starts a coordinator with more arguments.
    pub(crate) fn start_with(scene: &'a Scene, lease_ms: u64, more: &[&str]) -> Self {
        Self::begin(scene, lease_ms, Vec::new(), more.iter().map(|&text| text.to_owned()).collect())
    }

    /// Starts a coordinator with the certificate, the key and the token in `directory`; clients trust its `ca.crt`.
    pub(crate) fn start_secure(scene: &'a Scene, lease_ms: u64, directory: &str) -> Self {
        let file = |name: &str| scene.path(&format!("{directory}/{name}")).to_string_lossy().into_owned();
        let more = [("--certificate", "tls.crt"), ("--key", "tls.key"), ("--token-file", "token")]
            .map(|(option, name)| [option.to_owned(), file(name)]);
        let variables = [("ORCHESTRATOR_AUTHORITY", "ca.crt"), ("ORCHESTRATOR_TOKEN_FILE", "token")];
        let variables = variables.map(|(variable, name)| (variable.to_owned(), file(name)));
        Self::begin(scene, lease_ms, variables.into(), more.concat())
    }

    fn begin(scene: &'a Scene, lease_ms: u64, variables: Vec<(String, String)>, more: Vec<String>) -> Self {
        let port = free_port();
        let mut cluster =
            Self { scene, port, lease_ms, variables, more, coordinator: None, workers: Vec::new() };
        cluster.start_coordinator();
        cluster
    }

    pub(crate) fn address(&self) -> String {
        let secure = self.more.iter().any(|argument| argument == "--certificate");
        format!("{}://127.0.0.1:{}", if secure { "https" } else { "http" }, self.port)
    }

    fn token_file(&self) -> PathBuf {
        self.scene.path("state/token")
    }

    /// A file for what a process says; a test that fails shows it.
    fn log(&self, name: &str) -> Stdio {
        let path = self.scene.path(&format!("{name}.log"));
        File::options().create(true).append(true).open(path).expect("a log file").into()
    }

    /// Starts the coordinator (again), on the same port and journal.
    pub(crate) fn start_coordinator(&mut self) {
        let listen = format!("127.0.0.1:{}", self.port);
        let lease = self.lease_ms.to_string();
        let mut command = self.scene.command(&[
            "coordinator",
            "--listen",
            &listen,
            "--state",
            "state",
            "--lease-ms",
            &lease,
        ]);
        command.args(&self.more);
        command.envs(self.variables.clone()).stdout(Stdio::null()).stderr(self.log("coordinator"));
        self.coordinator = Some(Process::start(&mut command));
        eventually("the coordinator answers", Duration::from_secs(20), || {
            (self.client(&["jobs"]).code == Some(0)).then_some(())
        });
    }

    /// Starts the worker `name` (again).
    pub(crate) fn start_worker(&mut self, name: &str) {
        self.start_worker_with(name, &[]);
    }

    /// Starts the worker `name` (again) with more arguments.
    pub(crate) fn start_worker_with(&mut self, name: &str, more: &[&str]) {
        let scratch = format!("scratch-{name}");
        let mut arguments =
            vec!["worker", "--name", name, "--slots", "1", "--gang-slots", "2", "--scratch", &scratch];
        arguments.extend(more);
        let mut command = self.client_command(&arguments);
        command.stdout(Stdio::null()).stderr(self.log(name));
        self.workers.retain(|(other, _)| other != name);
        self.workers.push((name.to_owned(), Process::start(&mut command)));
    }

    /// The process of the coordinator.
    pub(crate) fn coordinator_id(&self) -> u32 {
        self.coordinator.as_ref().expect("a coordinator that was started").id()
    }

    /// SIGKILL to the coordinator.
    pub(crate) fn kill_coordinator(&mut self) {
        self.coordinator = None;
    }

    /// SIGKILL to a worker; its ranks die with it.
    pub(crate) fn kill_worker(&mut self, name: &str) {
        self.workers.retain(|(other, _)| other != name);
    }

    /// The process of a worker.
    pub(crate) fn worker(&mut self, name: &str) -> &mut Process {
        let found = self.workers.iter_mut().find(|(other, _)| other == name);
        &mut found.expect("a worker that was started").1
    }

    /// The processes of all workers.
    pub(crate) fn worker_ids(&self) -> Vec<u32> {
        self.workers.iter().map(|(_, process)| process.id()).collect()
    }

    /// A command that reaches this coordinator with its token.
    pub(crate) fn client_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scene.command(arguments);
        command
            .env("ORCHESTRATOR_COORDINATOR", self.address())
            .env("ORCHESTRATOR_TOKEN_FILE", self.token_file())
            .envs(self.variables.clone());
        command
    }

    pub(crate) fn client(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.client_command(arguments))
    }

    /// The state of a job, by name (`running`).
    pub(crate) fn state(&self, job: &str) -> Option<String> {
        let ran = self.client(&["describe", job, "--output", "json"]);
        (ran.code == Some(0)).then(|| ran.json()["state"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until a job is in one of these states.
    #[track_caller]
    pub(crate) fn reaches(&self, job: &str, states: &[&str], patience: Duration) -> String {
        eventually(&format!("job {job} reaches {states:?}"), patience, || {
            self.state(job).filter(|state| states.contains(&state.as_str()))
        })
    }
}

/// A port that nobody has just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
