//! A rank's process and the two pipes to it.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_proto::v1::FailureKind;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::execute::Failure;
use crate::held::HeldRank;
use crate::rank::seat::failure;
use crate::rank::{FromRank, ToRank};
use crate::service::Shared;

/// How long a rank that was told to stop may take for its last checkpoint before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Messages of a rank that wait for its seat.
const INBOX: usize = 16;

/// A running rank process. What it says is read whatever its seat does, so that its silence means something.
pub(crate) struct RankProcess {
    child: Child,
    input: ChildStdin,
    said: mpsc::Receiver<Result<FromRank, Failure>>,
    reader: AbortHandle,
}

impl RankProcess {
    pub(crate) fn start(shared: &Shared, rank: Arc<HeldRank>) -> Result<Self, Failure> {
        let lost =
            |what: &str| failure(FailureKind::Error, format!("a rank process could not be started: {what}"));
        let [program, arguments @ ..] = shared.options.rank_command.as_slice() else {
            return Err(lost("no command is set"));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| lost(&format!("`{program}`: {error}")))?;
        let input = child.stdin.take().ok_or_else(|| lost("no standard input"))?;
        let output = child.stdout.take().ok_or_else(|| lost("no standard output"))?;
        let (sender, said) = mpsc::channel(INBOX);
        let reader = tokio::spawn(read(output, rank, sender)).abort_handle();
        Ok(Self { child, input, said, reader })
    }

    pub(crate) async fn send(&mut self, message: &ToRank) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(message).map_err(|error| failure(FailureKind::Error, error))?;
        line.push(b'\n');
        match self.input.write_all(&line).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended().await),
        }
    }

    pub(crate) async fn receive(&mut self) -> Result<FromRank, Failure> {
        match self.said.recv().await {
            Some(message) => message,
            None => Err(self.ended().await),
        }
    }

    /// The process is gone without a word: says how.
    async fn ended(&mut self) -> Failure {
        let how = match tokio::time::timeout(STOP_GRACE, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it closed its output and hangs".to_owned(),
        };
        failure(FailureKind::Error, format!("the rank process ended without an outcome: {how}"))
    }

    /// Asks the process to leave, and kills it if it does not.
    pub(crate) async fn stop(mut self) -> Failure {
        let leaves = async {
            let _ = self.send(&ToRank::Stop).await;
            let _ = self.child.wait().await;
        };
        if tokio::time::timeout(STOP_GRACE, leaves).await.is_err() {
            let _ = self.child.kill().await;
        }
        failure(FailureKind::Released, "the rank was told to stop")
    }
}

impl Drop for RankProcess {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads what a rank says until its end. Progress is noted here; all else is for the seat.
async fn read(output: ChildStdout, rank: Arc<HeldRank>, seat: mpsc::Sender<Result<FromRank, Failure>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message = serde_json::from_str::<FromRank>(&line).map_err(|error| {
            failure(FailureKind::Error, format!("a rank said something else than a message: {error}"))
        });
        rank.heard(message.as_ref().ok());
        let is_progress = matches!(&message, Ok(FromRank::Progress(_) | FromRank::Metrics(_)));
        if !is_progress && seat.send(message).await.is_err() {
            return;
        }
    }
}
