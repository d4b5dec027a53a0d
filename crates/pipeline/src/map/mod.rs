//! Map tasks: read once, run the fused stages, write once.

mod chain;
mod read;
mod side;
mod verdicts;

use orchestrator_core::TaskOutcome;
use orchestrator_job::{MapInput, PartRef, Side, Stage, Verdicts};
use orchestrator_storage::RelativePath;
use orchestrator_storage::documents::{DocumentReader, Projection};
use orchestrator_text::Step;

use self::chain::{Act, Chain, LinkSpec};
use self::verdicts::VerdictAct;
use crate::context::TaskContext;
use crate::dedup::signatures::write_index;
use crate::error::TaskError;
use crate::stages;

/// What a map task is told to do.
pub(crate) struct Map<'a> {
    pub(crate) number: u32,
    pub(crate) stages: &'a [u32],
    pub(crate) input: &'a MapInput,
    /// Stages that write parts.
    pub(crate) parts: &'a [u32],
    pub(crate) side: Option<Side>,
    pub(crate) verdicts: Option<&'a Verdicts>,
}

/// Runs a map task.
pub(crate) fn run(context: &TaskContext, map: &Map<'_>) -> Result<TaskOutcome, TaskError> {
    let mut links = Vec::with_capacity(map.stages.len());
    for (place, &stage) in map.stages.iter().enumerate() {
        let act = match map.verdicts {
            Some(verdicts) if place == 0 => Act::Verdicts(VerdictAct::open(context, stage, verdicts)?),
            _ => act(context, stage)?,
        };
        let writes_scores = context.job.job.pipeline.get(stage as usize).is_some_and(Stage::scores);
        links.push(LinkSpec { stage, act, writes_part: map.parts.contains(&stage), writes_scores });
    }
    let mut chain = Chain::new(context, map.number, links, guards(context, map.stages)?, map.side)?;
    match map.input {
        MapInput::Splits { splits } => {
            for split in splits {
                read::split(context, split, &mut chain)?;
            }
        }
        MapInput::Part { part } => read_part(context, part, &mut chain)?,
    }
    let mut outcome = chain.finish()?;
    if let (Some(Verdicts::Duplicates { file, index: Some(signatures) }), [stage, ..]) =
        (map.verdicts, map.stages)
    {
        outcome.files.extend(write_index(context, *stage, map.number, signatures, file)?);
    }
    Ok(outcome)
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

/// Feeds a committed part through the chain.
fn read_part(context: &TaskContext, part: &PartRef, chain: &mut Chain) -> Result<(), TaskError> {
    let path = RelativePath::new(&*part.path)?;
    for (row, document) in (0..).zip(DocumentReader::open(&context.job.output, &path, Projection::All)?) {
        let document = document?;
        context.progress.check()?;
        context.progress.add(1, document.text.len() as u64);
        chain.feed(row, document)?;
    }
    Ok(())
}
