//! What the suites share: the binary under test, a directory to work in, corpora, and readers of what a run leaves.

#![allow(dead_code, reason = "each suite is a crate of its own and uses its part of this")]

pub(crate) mod corpus;
pub(crate) mod daemons;
pub(crate) mod output;
pub(crate) mod web;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use output::Output;

/// The workspace's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's root")
}

/// A tool of the tests' Python environment, where `.ci/tools` made one.
pub(crate) fn python_tool(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("ORCHESTRATOR_TOOLS").map(PathBuf::from).or_else(|| {
        std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/orchestrator/tools"))
    })?;
    Some(directory.join("bin").join(name)).filter(|path| path.exists())
}

/// The binary under test, with nothing of the caller's settings.
pub(crate) fn orchestrator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("ORCHESTRATOR_") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the command can be started");
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The result as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }
}

/// The last steps of a job that trains a model of one layer in four steps and exports it. `more` are further options of
/// `train`, a line each.
pub(crate) fn tiny_training(vocabulary: u32, keep_last: u32, more: &[&str]) -> String {
    let more = more.iter().fold(String::new(), |text, option| text + "      " + option + "\n");
    format!(
        "  - tokenize: {{train: {{model: bpe, vocab_size: {vocabulary}}}}}
  - train:
      model: {{family: gpt, layers: 1, heads: 2, width: 16, context: 16}}
      steps: 4
      global_batch: 4
      micro_batch: 1
{more}      validation: {{every: 2, fraction: 0.05, sequences: 4}}
      checkpoint: {{every: 2, keep_last: {keep_last}}}
  - export: {{}}
"
    )
}

/// A temporary directory with a corpus and jobs, in which commands are run.
pub(crate) struct Scene(tempfile::TempDir);

impl Scene {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    pub(crate) fn write(&self, relative: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("a file in a directory")).expect("its directory");
        std::fs::write(&path, bytes).expect("a file of the test");
        path
    }

    /// Writes `NAME.yaml`, whose output is `./NAME`.
    pub(crate) fn job(&self, name: &str, rest: &str) -> PathBuf {
        self.write(&format!("{name}.yaml"), format!("name: {name}\noutput: ./{name}\n{rest}"))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = orchestrator();
        command.current_dir(self.0.path()).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Runs `NAME.yaml` to its end and reads what it left.
    #[track_caller]
    pub(crate) fn complete(&self, name: &str, workers: u32) -> Output {
        self.run(&["run", &format!("{name}.yaml"), "--workers", &workers.to_string()]).ended(0);
        self.output(name)
    }

    pub(crate) fn output(&self, name: &str) -> Output {
        Output::new(self.path(name))
    }
}

/// A process that does not outlive its test.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the process can be started"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// The exit code, once it has one. A killed process ends with -1.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = self.0.try_wait().expect("a child of ours");
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for the end; kills the process and fails the test after `patience`.
    #[track_caller]
    pub(crate) fn wait(&mut self, patience: Duration) -> i32 {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(code) = self.ended() {
                return code;
            }
            if Instant::now() > deadline {
                self.kill();
                panic!("process {} did not end within {patience:?}", self.id());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL, and its funeral.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself: both are what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        signal("TERM", self.id());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal by its name; the process may be gone already.
pub(crate) fn signal(name: &str, process: u32) {
    let _ =
        Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).stderr(Stdio::null()).status();
}

/// Asks again and again until there is an answer; fails the test after `patience`.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
