//! The actor: owns the scheduler, drains its channel, one fsync a batch, then answers and commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator_scheduler::{Command, Event, Fact, Scheduler, Step};
use tokio::sync::{mpsc, watch};

use crate::desk::Request;
use crate::effects::Effects;
use crate::journal::{Journal, JournalError};
use crate::logs::Logs;

/// Events that share one transaction at most.
const BATCH_MAX: usize = 1_024;
/// How often time passes for the scheduler.
const TICK: Duration = Duration::from_millis(100);

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
    /// Runs until `stop`. An error means that a batch is not durable: nobody got an answer to it, and the state in
    /// memory is ahead of the disk, so the process has to start again from the journal.
    pub(crate) async fn run(
        mut self,
        recovery: Step,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), JournalError> {
        self.make_durable(&recovery.facts).await?;
        self.obey(recovery.commands);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased;
                () = told_to(&mut stop) => return Ok(()),
                _ = tick.tick() => self.batch(&mut Vec::new(), true).await?,
                count = self.requests.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return Ok(());
                    }
                    self.batch(&mut batch, false).await?;
                }
            }
        }
    }

    async fn batch(&mut self, requests: &mut Vec<Request>, tick: bool) -> Result<(), JournalError> {
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
        self.make_durable(&facts).await?;
        for (reply, answer) in answers {
            // Whoever asked may have gone; its lease then runs out by itself.
            let _ = reply.send(answer);
        }
        for look in looks {
            look(&self.scheduler); // after the fsync: nobody sees what may yet be lost
        }
        self.obey(commands);
        if self.journal.wants_snapshot(self.scheduler.state()) {
            self.journal.snapshot(self.scheduler.state()).await?;
        }
        Ok(())
    }

    async fn make_durable(&mut self, facts: &[Fact]) -> Result<(), JournalError> {
        if facts.is_empty() {
            return Ok(());
        }
        self.journal.append(facts).await?;
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

/// Waits until the coordinator is told to stop, or nobody is left to tell it.
async fn told_to(stop: &mut watch::Receiver<bool>) {
    // An error means that the handle is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}
