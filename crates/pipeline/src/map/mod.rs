//! Map tasks: read once, run the fused stages, write once.

mod chain;
mod read;
mod side;
mod verdicts;

use orchestrator_core::{Digest, TaskOutcome};
use orchestrator_job::{MapInput, PartRef, Side, Stage, Verdicts};
use orchestrator_storage::RelativePath;
use orchestrator_storage::documents::{DocumentReader, Projection};
use orchestrator_text::Step;

use self::chain::{Act, Chain, LinkSpec};
use self::verdicts::VerdictAct;
use crate::context::TaskContext;
use crate::dedup::signatures::write_index;
use crate::error::TaskError;
use crate::resume::{Pace, Position, Recorder, begins_again, interval};
use crate::stages;

/// What a row of a part weighs beside its text: rows without text end segments too.
const ROW_BYTES: u64 = 64;

/// What a map task is told to do.
pub(crate) struct Map<'a> {
    pub(crate) number: u32,
    pub(crate) stages: &'a [u32],
    pub(crate) input: &'a MapInput,
    /// Stages that write parts.
    pub(crate) parts: &'a [u32],
    pub(crate) side: Option<Side>,
    pub(crate) verdicts: Option<&'a Verdicts>,
    /// What its savepoints are good for.
    pub(crate) print: Digest,
}

/// Runs a map task, from where an earlier attempt of it was lost if that left a savepoint.
pub(crate) fn run(context: &TaskContext, map: &Map<'_>) -> Result<TaskOutcome, TaskError> {
    let (mut chain, begin) = begin(context, map)?;
    let mut pace =
        Pace::new(interval(context.job.segment_bytes, map.input.bytes(context.job.job.target_bytes.0)));
    match map.input {
        MapInput::Splits { splits } => {
            for (input, split) in (0..).zip(splits).skip(begin.input as usize) {
                let begin =
                    Position { input, ..if input == begin.input { begin } else { Position::default() } };
                read::split(context, split, begin, &mut pace, &mut chain)?;
            }
        }
        MapInput::Part { part } => {
            let documents = open_part(context, part, begin.record)?;
            feed_rows(context, documents, begin, &mut pace, &mut chain)?;
        }
    }
    let mut outcome = chain.finish()?;
    if let (Some(Verdicts::Duplicates { file, index: Some(signatures) }), [stage, ..]) =
        (map.verdicts, map.stages)
    {
        outcome.files.extend(write_index(context, *stage, map.number, signatures, file)?);
    }
    Ok(outcome)
}

/// A chain that has seen everything before the place that comes with it.
fn begin(context: &TaskContext, map: &Map<'_>) -> Result<(Chain, Position), TaskError> {
    let mut chain = open(context, map)?;
    let Some(savepoint) = &context.resume.from else { return Ok((chain, Position::default())) };
    match chain.resume(context, savepoint, map.print) {
        Ok(position) => Ok((chain, position)),
        Err(error) if begins_again(&error) => {
            tracing::warn!(savepoint = savepoint.path, %error, "a savepoint is of no use: the task begins again");
            drop(chain);
            context.progress.set(0, 0);
            Ok((open(context, map)?, Position::default()))
        }
        Err(error) => Err(error),
    }
}

/// Opens the chain of a task.
fn open(context: &TaskContext, map: &Map<'_>) -> Result<Chain, TaskError> {
    let mut links = Vec::with_capacity(map.stages.len());
    for (place, &stage) in map.stages.iter().enumerate() {
        let act = match map.verdicts {
            Some(verdicts) if place == 0 => Act::Verdicts(VerdictAct::open(context, stage, verdicts)?),
            _ => act(context, stage)?,
        };
        let writes_scores = context.job.job.pipeline.get(stage as usize).is_some_and(Stage::scores);
        links.push(LinkSpec { stage, act, writes_part: map.parts.contains(&stage), writes_scores });
    }
    let recorder = context.resume.sink.as_ref().map(|sink| Recorder::new(context, sink, map.print));
    Chain::new(context, map.number, links, guards(context, map.stages)?, map.side, recorder)
}

/// What a stage does to a document.
fn act(context: &TaskContext, stage: u32) -> Result<Act, TaskError> {
    match context.job.job.pipeline.get(stage as usize) {
        Some(Stage::Read(_)) => Ok(Act::Pass),
        Some(config) => stages::step(context, stage, config).map(Act::Step),
        None => Err(TaskError::configuration("map", format!("the job has no stage {stage}"))),
    }
}

/// The scrubbers of stages before the chain, where a stage in it may edit text: what they took out must not come back.
fn guards(context: &TaskContext, stages: &[u32]) -> Result<Vec<Box<dyn Step>>, TaskError> {
    let pipeline = &context.job.job.pipeline;
    let edits = |&stage: &u32| pipeline.get(stage as usize).is_some_and(Stage::edits_text);
    let first = stages.first().map_or(0, |&first| first as usize);
    if !stages.iter().any(edits) {
        return Ok(Vec::new());
    }
    let scrubbers = (0..).zip(pipeline).take(first).filter(|(_, stage)| matches!(stage, Stage::Pii(_)));
    scrubbers.map(|(index, stage)| stages::step(context, index, stage)).collect()
}

/// Opens a committed part from a row on.
fn open_part(context: &TaskContext, part: &PartRef, row: u64) -> Result<DocumentReader, TaskError> {
    let path = RelativePath::new(&*part.path)?;
    Ok(DocumentReader::open_from(&context.job.output, &path, Projection::All, row)?)
}

/// Feeds the documents of a part through the chain; the first of them stands in the row `begin.record`.
fn feed_rows(
    context: &TaskContext,
    documents: DocumentReader,
    begin: Position,
    pace: &mut Pace,
    chain: &mut Chain,
) -> Result<(), TaskError> {
    for (row, document) in (begin.record..).zip(documents) {
        let document = document?;
        context.progress.check()?;
        if pace.arrive(0) {
            chain.end_segment(Position { record: row, ..begin }, context.progress.done())?;
        }
        let size = document.text.len() as u64;
        let fields = document.metadata.len() as u64;
        context.progress.add(1, size);
        chain.feed(row, document)?;
        pace.pass(0, size + fields + ROW_BYTES);
    }
    pace.end_input();
    Ok(())
}
