//! The actor: owns the scheduler, drains its channel, one fsync a batch, then answers and commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator_scheduler::{Command, Event, Fact, Scheduler, Step};
use tokio::sync::{mpsc, watch};

use crate::desk::Request;
use crate::effects::Effects;
use crate::journal::{Journal, JournalError, Snapshot};
use crate::logs::Logs;

/// Events that share one transaction at most.
const BATCH_MAX: usize = 1_024;
/// How often time passes for the scheduler.
const TICK: Duration = Duration::from_millis(100);
/// How often a journal on a full disk is tried again.
const ROOM_WAIT: Duration = Duration::from_secs(1);
/// How often it is said that it still waits.
const ROOM_WORD: Duration = Duration::from_mins(1);

pub(crate) struct Actor {
    pub(crate) scheduler: Scheduler,
    pub(crate) journal: Arc<Journal>,
    pub(crate) effects: Effects,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) woken: watch::Sender<u64>,
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) begin: Instant,
}

impl Actor {
    /// Runs until `stop`. On a full disk it waits: nobody gets an answer, and no time passes for leases. An error means that a
    /// batch is not durable: nobody got an answer to it, and the state in memory is ahead of the disk, so the process has to
    /// start again from the journal.
    pub(crate) async fn run(
        mut self,
        recovery: Step,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), JournalError> {
        self.make_durable(&recovery.facts, &mut stop).await?;
        self.obey(recovery.commands);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased;
                () = told_to(&mut stop) => return Ok(()),
                _ = tick.tick() => self.batch(&mut Vec::new(), true, &mut stop).await?,
                count = self.requests.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return Ok(());
                    }
                    self.batch(&mut batch, false, &mut stop).await?;
                }
            }
        }
    }

    async fn batch(
        &mut self,
        requests: &mut Vec<Request>,
        tick: bool,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), JournalError> {
        let now = self.begin.elapsed().as_millis() as u64;
        let mut facts: Vec<Fact> = Vec::new();
        let mut commands = Vec::new();
        let mut answers = Vec::with_capacity(requests.len());
        if tick {
            let step = self.scheduler.step(Event::Tick, now);
            facts.extend(step.facts);
            commands.extend(step.commands);
        }
        let mut looks = Vec::new();
        for request in requests.drain(..) {
            match request {
                Request::Event(event, reply) => {
                    let step = self.scheduler.step(*event, now);
                    facts.extend(step.facts);
                    commands.extend(step.commands);
                    answers.push((reply, step.answer));
                }
                Request::Look(look) => looks.push(look),
            }
        }
        self.make_durable(&facts, stop).await?;
        for (reply, answer) in answers {
            // Whoever asked may have gone; its lease then runs out by itself.
            let _ = reply.send(answer);
        }
        for look in looks {
            look(&self.scheduler); // after the fsync: nobody sees what may yet be lost
        }
        self.obey(commands);
        if self.journal.wants_snapshot(self.scheduler.state()) {
            // Nothing happens while it waits: what was written down once stays what it is.
            let snapshot = Snapshot::of(self.scheduler.state())?;
            let mut waiting = Waiting::default();
            while waiting.for_room(self.journal.write_snapshot(&snapshot).await, stop).await? {}
            self.begin += waiting.time();
        }
        Ok(())
    }

    async fn make_durable(
        &mut self,
        facts: &[Fact],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), JournalError> {
        if facts.is_empty() {
            return Ok(());
        }
        let mut waiting = Waiting::default();
        while waiting.for_room(self.journal.append(facts).await, stop).await? {}
        self.begin += waiting.time();
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    fn obey(&mut self, commands: Vec<Command>) {
        let mut wake = false;
        for command in commands {
            match command {
                Command::Wake => wake = true,
                Command::Log { job, level, text } => self.logs.push(&job, level, text),
                command @ (Command::Expand { .. }
                | Command::Publish { .. }
                | Command::PublishPhase { .. }
                | Command::PublishCheckpoint { .. }) => self.effects.start(command, self.scheduler.state()),
            }
        }
        if wake {
            self.woken.send_modify(|count| *count += 1);
        }
    }
}

/// A write that waits for room on a full disk.
#[derive(Default)]
struct Waiting {
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Waiting {
    /// Whether to write again, after a while: there was no room. An error is any other one, or this one where the coordinator
    /// shall stop.
    async fn for_room(
        &mut self,
        written: Result<(), JournalError>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<bool, JournalError> {
        let error = match written {
            Err(error @ JournalError::Full { .. }) => error,
            Err(error) => return Err(error),
            Ok(()) => {
                if self.since.is_some() {
                    tracing::warn!("there is room for the state again: going on");
                }
                return Ok(false);
            }
        };
        self.since.get_or_insert_with(Instant::now);
        if self.said.is_none_or(|said| said.elapsed() >= ROOM_WORD) {
            tracing::warn!("{error}; everything waits until there is some");
            self.said = Some(Instant::now());
        }
        tokio::select! {
            () = told_to(stop) => Err(error),
            () = tokio::time::sleep(ROOM_WAIT) => Ok(true),
        }
    }

    /// How long that took. It is taken off the scheduler's clock, for workers could not renew their leases meanwhile.
    fn time(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// Waits until the coordinator is told to stop, or nobody is left to tell it.
async fn told_to(stop: &mut watch::Receiver<bool>) {
    // An error means that the handle is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}
