//! The rank process itself: joins its peers, runs the loop, speaks to its worker in lines of JSON.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use orchestrator_core::{Digest, ErrorCode, FileKind, FileRecord, TaskOutcome, gang_metrics};
use orchestrator_job::Stage;
use orchestrator_pipeline::training::{
    ShardTokens, StagedCheckpoint, StoredCheckpoint, expire, initial_weights, model_digest, shard_names,
    tokenizer, train_options,
};
use orchestrator_pipeline::{Host, JobContext};
use orchestrator_storage::{AllowedRoots, RelativePath, Store};
use orchestrator_train::checkpoint::{Manifest, directory};
use orchestrator_train::trainer::{Data, Outcome};
use orchestrator_train::{
    Beginning, CheckpointSink, CollectiveError, Observer, Phase, StepMetrics, TrainError, TrainOptions,
    Trainer,
};

use crate::collective::Fabric;
use crate::execute::chain;
use crate::rank::pulse::Pulse;
use crate::rank::{FailedKind, FromRank, Start, ToRank, meet};

/// Messages of the worker not yet looked at.
const INBOX: usize = 16;
/// The least time between two messages with metrics; a step may take microseconds.
const METRICS_EVERY: Duration = Duration::from_millis(200);
/// The longest `metrics.jsonl` that is read back on a resume.
const METRICS_LIMIT: u64 = 4 << 30;

/// Why a rank ends without an outcome.
pub(super) struct RankFailure {
    pub(super) kind: FailedKind,
    pub(super) error: String,
}

impl RankFailure {
    fn permanent(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { kind: FailedKind::Permanent, error: chain(error) }
    }

    fn coded(error: &(dyn std::error::Error + 'static), code: ErrorCode) -> Self {
        let kind = if code == ErrorCode::Exhausted { FailedKind::NoRoom } else { FailedKind::Error };
        Self { kind, error: chain(error) }
    }

    #[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
    pub(super) fn error(error: impl ToString) -> Self {
        Self { kind: FailedKind::Error, error: error.to_string() }
    }
}

impl From<orchestrator_storage::Error> for RankFailure {
    fn from(error: orchestrator_storage::Error) -> Self {
        match &error {
            orchestrator_storage::Error::OutsideRoots { .. } => Self::permanent(&error),
            _ => Self::coded(&error, error.code()),
        }
    }
}

impl From<orchestrator_pipeline::TaskError> for RankFailure {
    fn from(error: orchestrator_pipeline::TaskError) -> Self {
        match error.code() {
            ErrorCode::InvalidInput => Self::permanent(&error),
            code => Self::coded(&error, code),
        }
    }
}

impl From<TrainError> for RankFailure {
    fn from(error: TrainError) -> Self {
        let kind = match &error {
            TrainError::Collective(CollectiveError::PeerLost { .. }) => FailedKind::PeerLost,
            TrainError::Diverged { .. } | TrainError::Option { .. } => FailedKind::Permanent,
            TrainError::NoRoom(_) => FailedKind::NoRoom,
            _ => FailedKind::Error,
        };
        Self { kind, error: chain(&error) }
    }
}

/// The two pipes to the worker.
#[derive(Clone)]
pub(super) struct Pipe {
    out: Arc<Mutex<std::io::Stdout>>,
}

impl Pipe {
    pub(super) fn send(&self, message: &FromRank) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            // Nobody listens: the worker is gone, and a rank without a worker must not go on.
            std::process::exit(1);
        }
    }
}

/// Runs the process: reads its orders from standard input until the end. Ranks whose devices `fabric` can join use it.
/// Returns the exit code.
pub fn run(reporter: Arc<dyn orchestrator_pipeline::Reporter>, fabric: &dyn Fabric) -> u8 {
    let stop = Arc::new(AtomicBool::new(false));
    let inbox = listen(Arc::clone(&stop));
    let pipe = Pipe { out: Arc::new(Mutex::new(std::io::stdout())) };
    let pulse = Pulse::start({
        let pipe = pipe.clone();
        move |place| pipe.send(&FromRank::Progress(place))
    });
    let Ok(ToRank::Start(start)) = inbox.recv() else { return 1 };
    match train(&start, &pipe, pulse, inbox, stop, reporter, fabric) {
        Ok(outcome) => {
            pipe.send(&FromRank::Done { outcome: Box::new(outcome) });
            0
        }
        Err(RankFailure { kind, error }) => {
            pipe.send(&FromRank::Failed { kind, error });
            1
        }
    }
}

/// Reads the worker's messages. The end of input means that the worker is gone: the process ends at once, wherever it
/// is, because by then another generation may be training.
fn listen(stop: Arc<AtomicBool>) -> Receiver<ToRank> {
    let (sender, inbox) = sync_channel(INBOX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(ToRank::Stop) => stop.store(true, Ordering::Relaxed),
                Ok(message) => {
                    if sender.send(message).is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        std::process::exit(1);
    });
    inbox
}

fn train(
    start: &Start,
    pipe: &Pipe,
    pulse: Pulse,
    inbox: Receiver<ToRank>,
    stop: Arc<AtomicBool>,
    reporter: Arc<dyn orchestrator_pipeline::Reporter>,
    fabric: &dyn Fabric,
) -> Result<TaskOutcome, RankFailure> {
    let roots = AllowedRoots::new(&start.roots)?;
    let output = roots.open(&start.output)?;
    let host = Host { scratch: PathBuf::from(&start.scratch), reporter, roots, models: Arc::default() };
    let context = JobContext::load(output.clone(), host).map_err(|error| RankFailure::permanent(&error))?;
    let Some(Stage::Train(config)) = context.job.pipeline.get(start.stage as usize) else {
        return Err(RankFailure::error(format!("stage {} of the job is no train stage", start.stage)));
    };
    let device = meet::device(config.device, start)?;
    let end_of_text = context.job.tokenize().map_or("<|endoftext|>", |(_, config)| &*config.end_of_text);
    let entries = tokenizer(&output, end_of_text)?.vocab_size();
    let options = train_options(&context.job, config, entries)?;
    let validation = ShardTokens::open(&output, "validation")?;
    let data = Data {
        train: Arc::new(ShardTokens::open(&output, "train")?),
        validation: Some(Arc::new(validation)),
    };
    let collective = meet::join(start, device, fabric, pipe, &inbox)?;
    let mut observer =
        RankObserver::new(start, pipe.clone(), pulse, inbox, stop, output.clone(), options.clone())?;
    let resume = (!start.resume_from.is_empty())
        .then(|| StoredCheckpoint::new(output.clone(), start.resume_from.clone()));
    let beginning = match (&resume, &config.from) {
        (Some(checkpoint), _) => Beginning::Checkpoint(checkpoint),
        (None, Some(from)) => Beginning::Weights(initial_weights(&context, from, &options.model)?),
        (None, None) => Beginning::Seed,
    };
    let mut trainer = Trainer::new(&options, data, collective, device, beginning)?;
    observer.resume(trainer.step())?;
    let begun = Instant::now();
    match trainer.run(&mut observer, &mut || begun.elapsed())? {
        Outcome::Finished => {
            let content = model_digest(&options.model, trainer.weights())?;
            observer.outcome(content)
        }
        Outcome::Stopped(step) => Err(RankFailure {
            kind: FailedKind::Released,
            error: format!("the rank left after step {step}, with a checkpoint"),
        }),
    }
}

/// Carries what the loop says to the worker, and the loop's files to storage.
struct RankObserver {
    rank: u32,
    pipe: Pipe,
    pulse: Pulse,
    inbox: Receiver<ToRank>,
    stop: Arc<AtomicBool>,
    output: Store,
    options: TrainOptions,
    attempt_path: String,
    stage: u32,
    /// Where all ranks of this generation stage their files.
    staging: String,
    /// Names of the token shards, for the checkpoints' manifests.
    shards: Vec<String>,
    /// Lines of `metrics.jsonl` so far, each step once.
    metrics: Vec<(u64, String)>,
    /// The last checkpoint whose metrics were written.
    metrics_kept: Option<u64>,
    told: Instant,
}

impl RankObserver {
    fn new(
        start: &Start,
        pipe: Pipe,
        pulse: Pulse,
        inbox: Receiver<ToRank>,
        stop: Arc<AtomicBool>,
        output: Store,
        options: TrainOptions,
    ) -> Result<Self, RankFailure> {
        let (shards, _) = shard_names(&output, "train")?;
        Ok(Self {
            rank: start.rank,
            pipe,
            pulse,
            inbox,
            stop,
            output,
            options,
            attempt_path: start.attempt_path.clone(),
            stage: start.stage,
            staging: format!(".orchestrator/gangs/{:02}/generation-{:06}", start.stage, start.generation),
            shards,
            metrics: Vec::new(),
            metrics_kept: None,
            told: Instant::now(),
        })
    }

    fn metrics_path(&self, step: u64) -> Result<RelativePath, orchestrator_storage::Error> {
        RelativePath::new(gang_metrics(&format!(".orchestrator/gangs/{:02}", self.stage), step))
    }

    /// Takes up the metrics of the steps before `step`, and the deletion of checkpoints where a generation left it.
    fn resume(&mut self, step: u64) -> Result<(), RankFailure> {
        if self.rank != 0 || step == 0 {
            return Ok(());
        }
        expire(&self.output, &self.options.checkpoint)?;
        self.metrics_kept = Some(step);
        let bytes = self.output.read_all(&self.metrics_path(step)?, METRICS_LIMIT)?;
        for line in String::from_utf8_lossy(&bytes).lines() {
            if let Ok(metrics) = serde_json::from_str::<StepMetrics>(line) {
                self.metrics.push((metrics.step, line.to_owned()));
            }
        }
        Ok(())
    }

    fn metrics_text(&self) -> String {
        let mut text = String::new();
        for (_, line) in &self.metrics {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Rank 0's outcome names the metrics and the model's digest; the other ranks have none of their own.
    fn outcome(self, content: Digest) -> Result<TaskOutcome, RankFailure> {
        if self.rank != 0 {
            return Ok(TaskOutcome::default());
        }
        let path = RelativePath::new(format!("{}/metrics.jsonl", self.attempt_path))?;
        let written = self.output.put_atomic(&path, self.metrics_text().as_bytes())?;
        let file = FileRecord {
            stage: self.stage,
            kind: FileKind::Product,
            path: "metrics.jsonl".to_owned(),
            rows: self.metrics.len() as u64,
            bytes: written.bytes,
            xxh3: written.xxh3,
        };
        Ok(TaskOutcome { files: vec![file], content: Some(content), ..TaskOutcome::default() })
    }
}

fn observed(error: &(dyn std::error::Error + 'static)) -> TrainError {
    TrainError::Observer(chain(error))
}

/// Counts the files of a checkpoint as work done.
struct Counted {
    staged: StagedCheckpoint,
    pulse: Pulse,
}

impl CheckpointSink for Counted {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), TrainError> {
        self.staged.put(name, bytes)?;
        self.pulse.work();
        Ok(())
    }
}

/// A storage's refusal; a full disk stays one.
fn refused(error: &(dyn std::error::Error + 'static), code: ErrorCode) -> TrainError {
    match code {
        ErrorCode::Exhausted => TrainError::NoRoom(chain(error)),
        _ => observed(error),
    }
}

impl Observer for RankObserver {
    fn on_phase(&mut self, step: u64, phase: Phase, collective: u64) {
        self.pulse.enter(step, phase, collective);
    }

    fn on_work(&mut self) {
        self.pulse.work();
    }

    fn on_metrics(&mut self, metrics: &StepMetrics) -> Result<(), TrainError> {
        let line = serde_json::to_string(metrics).map_err(|error| observed(&error))?;
        let mut told = serde_json::to_value(metrics).map_err(|error| observed(&error))?;
        told["steps"] = self.options.steps.into();
        self.metrics.push((metrics.step, line));
        if self.told.elapsed() >= METRICS_EVERY || metrics.validation_loss.is_some() {
            self.told = Instant::now();
            self.pipe.send(&FromRank::Metrics(told.to_string()));
        }
        Ok(())
    }

    fn on_rollback(&mut self, step: u64) -> Result<(), TrainError> {
        self.metrics.retain(|(of, _)| *of <= step);
        Ok(())
    }

    fn checkpoint_sink(&mut self, step: u64) -> Result<Box<dyn CheckpointSink>, TrainError> {
        let path = format!("{}/{}", self.staging, directory(step));
        let staged = StagedCheckpoint::new(self.output.clone(), path);
        Ok(Box::new(Counted { staged, pulse: self.pulse.clone() }))
    }

    /// Rank 0 hands the manifest to the coordinator and waits until the checkpoint exists; the others are held by the
    /// next collective meanwhile.
    fn on_checkpoint(&mut self, step: u64, manifest: Option<&Manifest>) -> Result<(), TrainError> {
        let Some(manifest) = manifest else { return Ok(()) };
        let metrics_path = self.metrics_path(step).map_err(|error| observed(&error))?;
        self.output
            .put_atomic(&metrics_path, self.metrics_text().as_bytes())
            .map_err(|error| refused(&error, error.code()))?;
        let mut manifest = serde_json::to_value(manifest).map_err(|error| observed(&error))?;
        manifest["shards"] = self.shards.clone().into();
        self.pipe.send(&FromRank::Checkpoint {
            step,
            path: format!("checkpoints/{}", directory(step)),
            attempt_path: format!("{}/{}", self.staging, directory(step)),
            manifest: manifest.to_string(),
        });
        loop {
            match self.inbox.recv() {
                Ok(ToRank::CheckpointCommitted { step: committed }) if committed == step => break,
                Ok(_) => {}
                Err(_) => return Err(TrainError::Observer("the worker is gone".to_owned())),
            }
        }
        expire(&self.output, &self.options.checkpoint).map_err(|error| observed(&error))?;
        // A resume begins with this checkpoint or a later one, so the metrics up to the one before are not asked for.
        if let Some(before) = self.metrics_kept.replace(step) {
            let path = self.metrics_path(before).map_err(|error| observed(&error))?;
            self.output.delete(&path).map_err(|error| observed(&error))?;
        }
        Ok(())
    }

    fn should_stop(&mut self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
