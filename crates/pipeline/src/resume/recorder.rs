//! Makes segments durable behind the back of the chain, one at a time, and reports them.

use std::io::Write;
use std::sync::Arc;
use std::thread::JoinHandle;

use orchestrator_core::{Digest, ErrorCode, Savepoint};
use orchestrator_storage::{RelativePath, Store};

use super::segment::{self, Group, GroupHead, Head, Run};
use super::{SavepointSink, State};
use crate::context::TaskContext;
use crate::error::TaskError;

/// Writes the segments of one attempt.
pub(crate) struct Recorder {
    sink: Arc<dyn SavepointSink>,
    store: Store,
    attempt_path: String,
    task: Digest,
    trail: Trail,
    /// The segment that is being made durable. No second one is begun before: so no more than two are lost.
    under_way: Option<JoinHandle<Result<Savepoint, TaskError>>>,
    /// A segment could not be written: those after it would be of no use.
    is_broken: bool,
}

/// The segments so far, of this attempt and those before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    pub(crate) runs: Vec<Run>,
    /// Number and hash of the last.
    pub(crate) last: Option<(u32, Digest)>,
}

impl Recorder {
    pub(crate) fn new(context: &TaskContext, sink: &Arc<dyn SavepointSink>, task: Digest) -> Self {
        Self {
            sink: Arc::clone(sink),
            store: context.job.output.clone(),
            attempt_path: context.attempt_path.clone(),
            task,
            trail: Trail::default(),
            under_way: None,
            is_broken: false,
        }
    }

    /// Goes on after the segments of earlier attempts.
    pub(crate) fn follow(&mut self, trail: Trail) {
        self.trail = trail;
    }

    /// Starts to make a segment of these row groups durable. Waits for the one before it.
    pub(crate) fn save(&mut self, groups: Vec<Group>, state: State) -> Result<(), TaskError> {
        self.wait()?;
        let bytes: u64 = groups.iter().map(|(_, group)| group.len() as u64).sum();
        // Its head is small beside its groups, but counts in the file.
        if bytes > segment::BYTES_MAX / 2 && !self.is_broken {
            tracing::warn!(
                attempt = self.attempt_path,
                "no more savepoints of this attempt: {bytes} bytes since the last one"
            );
            self.is_broken = true;
        }
        if self.is_broken {
            return Ok(());
        }
        let number = self.trail.last.map_or(1, |(number, _)| number + 1);
        match self.trail.runs.last_mut().filter(|run| run.attempt_path == self.attempt_path) {
            Some(run) => run.count += 1,
            None => self.trail.runs.push(Run { attempt_path: self.attempt_path.clone(), count: 1 }),
        }
        let head = Head {
            task: self.task,
            number,
            before: self.trail.last.map(|(_, hash)| hash),
            runs: self.trail.runs.clone(),
            groups: groups
                .iter()
                .map(|(path, bytes)| GroupHead { path: path.clone(), bytes: bytes.len() as u64 })
                .collect(),
            state,
        };
        let path = segment::path(&self.attempt_path, number);
        let (store, sink) = (self.store.clone(), Arc::clone(&self.sink));
        let write = move || {
            let savepoint = write(&store, path, &head, &groups)?;
            sink.report(&savepoint);
            Ok(savepoint)
        };
        let thread = std::thread::Builder::new().name("savepoint".to_owned()).spawn(write);
        self.under_way = Some(thread.map_err(TaskError::io("starting a thread for a savepoint"))?);
        Ok(())
    }

    /// Waits until nothing is being written. A savepoint that cannot be made is no reason to fail the task, unless the
    /// disk is full: then the task has to wait for room anyway.
    pub(crate) fn wait(&mut self) -> Result<(), TaskError> {
        let Some(thread) = self.under_way.take() else { return Ok(()) };
        match thread.join() {
            Ok(Ok(savepoint)) => self.trail.last = Some((savepoint.number, savepoint.xxh3)),
            Ok(Err(error)) if error.code() == ErrorCode::Exhausted => return Err(error),
            Ok(Err(error)) => {
                tracing::warn!(attempt = self.attempt_path, %error, "no more savepoints of this attempt");
                self.is_broken = true;
            }
            Err(_) => {
                tracing::error!(attempt = self.attempt_path, "making a savepoint panicked, which is a bug");
                self.is_broken = true;
            }
        }
        Ok(())
    }
}

/// Whoever gives up on a chain may delete its files: nothing is to be written behind his back.
impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(thread) = self.under_way.take() {
            let _ = thread.join();
        }
    }
}

fn write(store: &Store, path: String, head: &Head, groups: &[Group]) -> Result<Savepoint, TaskError> {
    let bytes = head.encode().map_err(|error| TaskError::corrupt(&path, error))?;
    let mut writer = store.create_writer(&RelativePath::new(&*path)?)?;
    for bytes in std::iter::once(&bytes[..]).chain(groups.iter().map(|(_, bytes)| &bytes[..])) {
        writer.write_all(bytes).map_err(TaskError::io(format!("writing `{path}`")))?;
    }
    let written = writer.finish()?;
    let (records, bytes_read) = head.state.read;
    Ok(Savepoint { number: head.number, path, bytes: written.bytes, xxh3: written.xxh3, records, bytes_read })
}
