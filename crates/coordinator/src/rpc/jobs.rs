//! The `Jobs` service.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use orchestrator_core::{ErrorCode, JobId};
use orchestrator_proto::status;
use orchestrator_proto::v1::jobs_server::Jobs;
use orchestrator_proto::v1::{
    CancelReply, CancelRequest, DescribeRequest, Disposition, JobDetail, ListJobsReply, ListJobsRequest,
    ListWorkersReply, ListWorkersRequest, LogLine, LogsRequest, RetryReply, RetryRequest, Reused,
    SubmitReply, SubmitRequest, WatchRequest,
};
use orchestrator_scheduler::{self as scheduler, Amendment, Answer, Event, JobRequest, JobStatus, Refusal};
use orchestrator_storage::Store;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{misfit, views};
use crate::desk::{AskError, Desk};
use crate::found::{self, Found};
use crate::owner::{self, Owner};
use crate::planner::{PlannedJob, Planner};

/// The least time between two snapshots of a watch.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// A watch is repeated after so long even if nothing durable changed: progress is not durable.
const WATCH_AT_LEAST: Duration = Duration::from_secs(1);
/// The largest job that is taken, in bytes: with the list of its inputs, which `job.yaml` has not.
const RESOLVED_BYTES_MAX: usize = 32 << 20;

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub(crate) struct JobsService {
    pub(crate) desk: Desk,
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) owner: Owner,
}

impl JobsService {
    /// Looks at an output of which this journal knows nothing. Whether the job is finished there; an error where its files
    /// are another's, so that nobody's work is written over without a word.
    async fn is_finished_in(
        &self,
        store: &Store,
        planned: &PlannedJob,
        definition: &str,
        reuse: bool,
    ) -> Result<bool, Status> {
        let failed = |error: orchestrator_storage::Error| status(error.code(), &error);
        let asked = planned.clone();
        let (yaml, is_finished) = match store
            .run(move |store| found::look(store, &asked))
            .await
            .map_err(failed)?
        {
            Found::Nothing => return Ok(false),
            Found::Foreign(name) => {
                let text = format!(
                    "the output `{}` holds `{name}`, which no run of ours left there and this one would write over: expected \
                     a new directory, or the output of a run",
                    store.url()
                );
                return Err(status(ErrorCode::Conflict, text));
            }
            Found::Run { yaml, is_finished } => (yaml, is_finished),
        };
        let differences = match &yaml {
            Some(yaml) => self.planner.differences_from_yaml(yaml, definition),
            None => Ok(vec!["it has no `job.yaml`".to_owned()]),
        };
        let differences = differences.map_err(|error| status(ErrorCode::InvalidInput, &error))?;
        match (is_finished && differences.is_empty(), reuse) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => {
                let differences = if differences.is_empty() {
                    "of an equal job, which is not finished or was made of other inputs or by another version: its state is \
                     gone, or was not moved along"
                        .to_owned()
                } else {
                    format!("of another job:\n{}", differences.join("\n"))
                };
                let text = format!(
                    "the output `{}` holds the stages {differences}\nname another output, or do all of it again in this \
                     one with --reuse",
                    store.url()
                );
                Err(status(ErrorCode::Conflict, text))
            }
        }
    }

    /// Gives back an output that was taken for a job that is not to run in it.
    async fn give_back(store: &Store) -> Result<(), Status> {
        let failed = |error: orchestrator_storage::Error| status(error.code(), &error);
        let taken = owner::path().map_err(failed)?;
        store.run(move |store| store.delete(&taken)).await.map_err(failed)
    }
}

/// What `--reuse` keeps and what it does anew, and why.
fn reused(mut phases: Vec<String>, kept: usize, differences: Vec<String>) -> Reused {
    let run = phases.split_off(kept.min(phases.len()));
    let because = if differences.is_empty() {
        vec!["no option or input differs: the run before ended early, or another program or kind of CPU made it".to_owned()]
    } else {
        differences
    };
    Reused { kept: phases, run, because }
}

#[tonic::async_trait]
impl Jobs for JobsService {
    type WatchStream = Streamed<JobDetail>;
    type LogsStream = Streamed<LogLine>;

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitReply>, Status> {
        let SubmitRequest { resolved_job, priority, reuse } = request.into_inner();
        let invalid = |error: &dyn std::fmt::Display| status(ErrorCode::InvalidInput, error);
        if resolved_job.len() > RESOLVED_BYTES_MAX {
            return Err(invalid(&format!(
                "the job with the list of its inputs has {} bytes, expected at most {RESOLVED_BYTES_MAX}",
                resolved_job.len()
            )));
        }
        let planned = self.planner.plan(&resolved_job).map_err(|error| invalid(&error))?;
        let store = Store::open(&planned.output).map_err(|error| status(error.code(), &error))?;
        let owner = self.owner.clone();
        let claimed = store.run(move |store| Ok(owner::claim(store, &owner))).await;
        let free = claimed
            .map_err(|error| status(error.code(), &error))?
            .map_err(|error| status(error.code(), &error))?;
        let output = planned.output.clone();
        let look = move |scheduler: &scheduler::Scheduler| {
            scheduler
                .state()
                .newest_on(&output)
                .map(|(id, job)| (id.clone(), job.definition.clone(), job.status.clone()))
        };
        let earlier = self.desk.look(look).await?;
        // The owner object went with the output: what we know of an ended job there is no longer so.
        let afresh = free && earlier.as_ref().is_some_and(|(_, _, job)| *job != JobStatus::Running);
        let definition = resolved_job;
        let mut differences = Vec::new();
        if earlier.is_none() || afresh {
            let is_finished = self.is_finished_in(&store, &planned, &definition, reuse).await;
            if free && !matches!(is_finished, Ok(false)) {
                Self::give_back(&store).await?;
            }
            if is_finished? {
                // This journal has no job of it.
                let disposition = Disposition::Finished.into();
                return Ok(Response::new(SubmitReply { job: String::new(), disposition, reused: None }));
            }
        }
        if let Some((job, before, _)) = &earlier {
            differences = self.planner.differences(before, &definition).map_err(|error| invalid(&error))?;
            if differences.is_empty() && !afresh {
                // The same job, with what its file says now of how it runs.
                let amendment = Amendment {
                    job: job.clone(),
                    definition: definition.clone(),
                    priority,
                    max_attempts: planned.max_attempts,
                };
                self.desk.ask(Event::Amend(Box::new(amendment))).await?;
            }
        }
        let names: Vec<String> = planned.phases.iter().map(|phase| phase.name.clone()).collect();
        let event = Event::Submit(Box::new(JobRequest {
            name: planned.name,
            output: planned.output,
            definition,
            priority,
            max_attempts: planned.max_attempts,
            phases: planned.phases,
            reuse,
            afresh,
        }));
        match self.desk.ask(event).await {
            Ok(Answer::Submitted { job, disposition, kept }) => {
                let disposition = match disposition {
                    scheduler::Disposition::New => Disposition::New,
                    scheduler::Disposition::Resumed => Disposition::Resumed,
                    scheduler::Disposition::Finished => Disposition::Finished,
                };
                let replaces = disposition == Disposition::New && reuse && earlier.is_some() && !afresh;
                let reused = replaces.then(|| reused(names, kept as usize, differences));
                Ok(Response::new(SubmitReply { job: job.0, disposition: disposition.into(), reused }))
            }
            Ok(_) => Err(misfit()),
            Err(AskError::Refused(refusal @ Refusal::OutputTaken(_))) => {
                let text = format!(
                    "{refusal}:\n{}\nname another output, or keep the phases that are equal with --reuse",
                    differences.join("\n")
                );
                Err(status(ErrorCode::Conflict, text))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn list(&self, _: Request<ListJobsRequest>) -> Result<Response<ListJobsReply>, Status> {
        let look = |scheduler: &scheduler::Scheduler| {
            let mut jobs: Vec<_> = scheduler.state().jobs.iter().collect();
            jobs.sort_by_key(|(_, job)| job.number);
            jobs.into_iter().map(|(id, job)| views::summary(id, job)).collect()
        };
        let jobs = self.desk.look(look).await?;
        Ok(Response::new(ListJobsReply { jobs }))
    }

    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<JobDetail>, Status> {
        detail(&self.desk, &JobId(request.into_inner().job)).await.map(Response::new)
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let job = JobId(request.into_inner().job);
        let first = detail(&self.desk, &job).await?;
        let (send, receive) = mpsc::channel(1);
        let desk = self.desk.clone();
        tokio::spawn(async move {
            let mut changed = desk.changed.clone();
            let mut next = Ok(first);
            loop {
                let over = next.as_ref().map_or(true, views::is_over);
                if send.send(next).await.is_err() || over {
                    return;
                }
                tokio::time::sleep(WATCH_EVERY).await;
                // Either way the next snapshot is due.
                let _ = tokio::time::timeout(WATCH_AT_LEAST, changed.changed()).await;
                next = detail(&desk, &job).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let LogsRequest { job, follow } = request.into_inner();
        let job = JobId(job);
        detail(&self.desk, &job).await?;
        let (send, receive) = mpsc::channel(64);
        let desk = self.desk.clone();
        tokio::spawn(async move {
            let mut pushed = desk.logs.subscribe();
            let mut from = 0;
            loop {
                pushed.mark_unchanged();
                let over =
                    !follow || detail(&desk, &job).await.map_or(true, |detail| views::is_over(&detail));
                let (lines, next) = desk.logs.read(&job, from);
                from = next;
                for line in lines {
                    if send.send(Ok(line)).await.is_err() {
                        return;
                    }
                }
                if over {
                    return;
                }
                tokio::select! {
                    () = send.closed() => return,
                    _ = pushed.changed() => {}
                    () = tokio::time::sleep(WATCH_AT_LEAST) => {}
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelReply>, Status> {
        let job = JobId(request.into_inner().job);
        self.desk.ask(Event::Cancel { job }).await?;
        Ok(Response::new(CancelReply {}))
    }

    async fn retry(&self, request: Request<RetryRequest>) -> Result<Response<RetryReply>, Status> {
        let job = JobId(request.into_inner().job);
        match self.desk.ask(Event::Retry { job }).await? {
            Answer::Retried { tasks } => Ok(Response::new(RetryReply { tasks })),
            _ => Err(misfit()),
        }
    }

    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersReply>, Status> {
        let workers = self.desk.look(views::workers).await?;
        Ok(Response::new(ListWorkersReply { workers }))
    }
}

async fn detail(desk: &Desk, job: &JobId) -> Result<JobDetail, Status> {
    let id = job.clone();
    let mut detail = desk.look(move |scheduler| views::detail(scheduler, &id)).await?;
    if let Some(detail) = detail.as_mut().filter(|detail| !views::is_over(detail)) {
        detail.waiting.extend(desk.waits.of(job));
    }
    detail.ok_or_else(|| AskError::Refused(Refusal::UnknownJob(job.clone())).into())
}
