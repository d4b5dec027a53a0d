//! The fused stages of a map task: one document goes through all of them before the next one is read.
//!
//! ```text
//!  document ─▶ Link(language) ─▶ Link(filter) ─▶ … ─▶ part of the last stage (and of those with `keep`)
//!                 │ tally           │ tally            └▶ side output: signatures, items or scores
//!                 ├ dropped file    ├ dropped file
//!                 ├ notes file      ├ notes file
//!                 ├ scores file     ├ scores file, where the stage keeps scores
//!                 └ samples         └ samples ─▶ one file of the task, for the report
//! ```

use bytes::Bytes;
use orchestrator_core::{
    Decision, Digest, Document, Dropped, FileKind, Note, NoteKind, Savepoint, StageSamples, StageTally,
    TaskOutcome, TaskSamples,
};
use orchestrator_job::Side;
use orchestrator_text::Step;

use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::{AttemptFiles, DocumentFile, DroppedFile, NotesFile, ScoresFile};
use crate::map::side::SideOutput;
use crate::resume::{Position, Recorder, State, restore};

/// What a link does to a document.
pub(crate) enum Act {
    /// A stage of the text crate.
    Step(Box<dyn Step>),
    /// Lets everything through: the read stage, whose drops happen before there is a document.
    Pass,
    /// Drops the rows that a barrier named, or cuts out what it found.
    Verdicts(crate::map::verdicts::VerdictAct),
}

/// One stage of the chain, with its books and its files.
struct Link {
    stage: u32,
    act: Act,
    tally: StageTally,
    samples: StageSamples,
    dropped: DroppedFile,
    notes: NotesFile,
    part: Option<DocumentFile>,
    scores: Option<Scores>,
}

/// What a stage measures, where it keeps that.
struct Scores {
    file: ScoresFile,
    row: Vec<Option<f64>>,
}

/// What the chain is made of.
pub(crate) struct LinkSpec {
    pub(crate) stage: u32,
    pub(crate) act: Act,
    /// Whether the stage writes its kept documents.
    pub(crate) writes_part: bool,
    /// Whether the stage writes what it measures of every document.
    pub(crate) writes_scores: bool,
}

/// The whole chain.
pub(crate) struct Chain {
    files: AttemptFiles,
    links: Vec<Link>,
    /// Steps of earlier stages, whose word about documents must still be true at the end of the chain.
    guards: Vec<Box<dyn Step>>,
    side: Option<SideOutput>,
    notes: Vec<Note>,
    /// The job's: it chooses samples.
    seed: u64,
    samples_path: String,
    /// Makes savepoints, where somebody asks for them.
    recorder: Option<Recorder>,
}

impl Chain {
    /// Opens the files of every link. `number` is the task's, and so the parts'.
    pub(crate) fn new(
        context: &TaskContext,
        number: u32,
        specs: Vec<LinkSpec>,
        guards: Vec<Box<dyn Step>>,
        side: Option<Side>,
        recorder: Option<Recorder>,
    ) -> Result<Self, TaskError> {
        let mut files = AttemptFiles::new(context);
        if recorder.is_some() {
            files.keep_groups();
        }
        let side = match side {
            Some(side) => Some(SideOutput::create(context, &files, number, side)?),
            None => None,
        };
        // With the last stage, whose manifest is written when all of the task's stages are.
        let samples_path = specs.last().map_or_else(String::new, |last| {
            format!("{}/samples-{number:05}.json", context.stage_directory(last.stage))
        });
        let mut links = Vec::with_capacity(specs.len());
        for LinkSpec { stage, act, writes_part, writes_scores } in specs {
            let directory = context.stage_directory(stage);
            let name = |kind: &str| format!("{directory}/{kind}-{number:05}.parquet");
            let columns = if writes_scores { act.columns() } else { Vec::new() };
            let scores = if columns.is_empty() {
                None
            } else {
                let file = ScoresFile::create(&files, name("scores"), &columns)?;
                Some(Scores { file, row: vec![None; columns.len()] })
            };
            links.push(Link {
                stage,
                scores,
                act,
                tally: StageTally { stage, ..StageTally::default() },
                samples: StageSamples { stage, ..StageSamples::default() },
                dropped: DroppedFile::new(name("dropped"), false),
                notes: NotesFile::new(name("notes"), false),
                part: writes_part.then(|| DocumentFile::new(name("part"), true)),
            });
        }
        let seed = context.job.job.seed;
        Ok(Self { files, links, guards, side, notes: Vec::new(), seed, samples_path, recorder })
    }

    /// Books a record that ended before it became a document, at the first stage of the chain.
    pub(crate) fn drop_record(&mut self, dropped: &Dropped, bytes: u64) -> Result<(), TaskError> {
        let Some(link) = self.links.first_mut() else { return Ok(()) };
        link.tally.records_in += 1;
        link.tally.bytes_in += bytes;
        link.drop(&mut self.files, self.seed, dropped, None, &[])
    }

    /// Takes a document through every stage. `row` is its place in the part it came from, for verdicts.
    pub(crate) fn feed(&mut self, row: u64, mut document: Document) -> Result<(), TaskError> {
        for link in &mut self.links {
            link.tally.records_in += 1;
            link.tally.bytes_in += document.text.len() as u64;
            self.notes.clear();
            let decision = link.judge(&mut self.files, row, &mut document, &mut self.notes)?;
            if let Decision::Drop(reason) = decision {
                let dropped = Dropped::of(&document, reason);
                return link.drop(&mut self.files, self.seed, &dropped, Some(&document.text), &self.notes);
            }
            link.keep(&mut self.files, &document, &self.notes)?;
        }
        let steps = self.links.iter_mut().filter_map(|link| match &mut link.act {
            Act::Step(step) => Some(step),
            Act::Pass | Act::Verdicts(_) => None,
        });
        for step in steps.chain(&mut self.guards) {
            step.verify(&document).map_err(TaskError::Leak)?;
        }
        if let Some(side) = &mut self.side {
            side.push(&mut self.files, &document)?;
        }
        Ok(())
    }

    /// Ends a segment: closes every row group, as every run does here, and makes a savepoint if somebody asks for it.
    /// `read` is how many records and bytes were read.
    pub(crate) fn end_segment(&mut self, position: Position, read: (u64, u64)) -> Result<(), TaskError> {
        for link in &mut self.links {
            link.dropped.close_group(&mut self.files)?;
            link.notes.close_group(&mut self.files)?;
            if let Some(part) = &mut link.part {
                part.close_group(&mut self.files)?;
            }
            if let Some(scores) = &mut link.scores {
                scores.file.close_group(&mut self.files)?;
            }
        }
        if let Some(side) = &mut self.side {
            side.close_group(&mut self.files)?;
        }
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        let state = State {
            position,
            read,
            tallies: self.links.iter().map(|link| link.tally.clone()).collect(),
            samples: self.links.iter().map(|link| link.samples.clone()).collect(),
            sizes: self.side.as_ref().map(SideOutput::sizes).unwrap_or_default(),
            places: match self.links.first().map(|link| &link.act) {
                Some(Act::Verdicts(verdicts)) => verdicts.places(),
                Some(Act::Step(_) | Act::Pass) | None => 0,
            },
        };
        recorder.save(self.files.take_groups(), state)
    }

    /// Takes up what earlier attempts did, in a chain that has seen nothing yet. After an error it is of no use.
    pub(crate) fn resume(
        &mut self,
        context: &TaskContext,
        savepoint: &Savepoint,
        task: Digest,
    ) -> Result<Position, TaskError> {
        let (state, trail) = restore(context, savepoint, task, |path, group| self.append(path, group))?;
        let wrong = |message: &str| TaskError::corrupt(&savepoint.path, message);
        let stages = self.links.iter().map(|link| link.stage);
        if !stages.clone().eq(state.tallies.iter().map(|tally| tally.stage))
            || !stages.eq(state.samples.iter().map(|samples| samples.stage))
        {
            return Err(wrong("its books are of other stages"));
        }
        for ((link, tally), samples) in self.links.iter_mut().zip(state.tallies).zip(state.samples) {
            link.tally = tally;
            link.samples = samples;
        }
        if !self.side.as_mut().map_or(state.sizes.is_empty(), |side| side.set_sizes(&state.sizes)) {
            return Err(wrong("its books are of other groups"));
        }
        if let Some(Act::Verdicts(verdicts)) = self.links.first_mut().map(|link| &mut link.act) {
            verdicts.skip_to(state.position.record, state.places)?;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.follow(trail);
        }
        context.progress.set(state.read.0, state.read.1);
        Ok(state.position)
    }

    fn append(&mut self, path: &str, group: &Bytes) -> Result<(), TaskError> {
        for link in &mut self.links {
            if link.dropped.path() == path {
                return link.dropped.append_group(&self.files, group);
            }
            if link.notes.path() == path {
                return link.notes.append_group(&self.files, group);
            }
            if let Some(part) = link.part.as_mut().filter(|part| part.path() == path) {
                return part.append_group(&self.files, group);
            }
            if let Some(scores) = link.scores.as_mut().filter(|scores| scores.file.path() == path) {
                return scores.file.append_group(group);
            }
        }
        match self.side.as_mut().filter(|side| side.path() == path) {
            Some(side) => side.append_group(group),
            None => {
                Err(TaskError::corrupt(path, "a savepoint has rows for it, and the task writes no such file"))
            }
        }
    }

    /// Closes every file and hands over the books.
    pub(crate) fn finish(mut self) -> Result<TaskOutcome, TaskError> {
        if let Some(recorder) = &mut self.recorder {
            recorder.wait()?;
        }
        let mut outcome = TaskOutcome::default();
        let mut samples = TaskSamples::default();
        for link in self.links {
            if let Act::Verdicts(verdicts) = &link.act {
                verdicts.finish()?;
            }
            link.dropped.finish(&mut self.files, link.stage, FileKind::Dropped)?;
            link.notes.finish(&mut self.files, link.stage, FileKind::Notes)?;
            if let Some(part) = link.part {
                part.finish(&mut self.files, link.stage, FileKind::Part)?;
            }
            if let Some(scores) = link.scores {
                scores.file.finish(&mut self.files, link.stage)?;
            }
            outcome.tallies.push(link.tally);
            samples.stages.push(link.samples);
        }
        if let Some(last) = samples.stages.last().map(|last| last.stage) {
            let json = serde_json::to_vec(&samples)
                .map_err(|error| TaskError::corrupt(&self.samples_path, error))?;
            self.files.write(last, FileKind::Product, self.samples_path, 0, &json)?;
        }
        if let Some(side) = self.side {
            side.finish(&mut self.files)?;
        }
        outcome.files = self.files.into_records();
        Ok(outcome)
    }
}

impl Act {
    /// The names of what it measures.
    fn columns(&self) -> Vec<String> {
        match self {
            Self::Step(step) => step.columns(),
            Self::Pass => Vec::new(),
            Self::Verdicts(verdicts) => verdicts.columns(),
        }
    }
}

impl Link {
    /// Judges a document, and writes down what was measured where the stage keeps that.
    fn judge(
        &mut self,
        files: &mut AttemptFiles,
        row: u64,
        document: &mut Document,
        notes: &mut Vec<Note>,
    ) -> Result<Decision, TaskError> {
        let Some(scores) = &mut self.scores else {
            return match &mut self.act {
                Act::Step(step) => Ok(step.apply(document, notes)),
                Act::Pass => Ok(Decision::Keep),
                Act::Verdicts(verdicts) => verdicts.judge(row, document, &mut [], notes),
            };
        };
        scores.row.fill(None);
        let decision = match &mut self.act {
            Act::Step(step) => step.measure(document, notes, &mut scores.row),
            Act::Pass => Decision::Keep,
            Act::Verdicts(verdicts) => verdicts.judge(row, document, &mut scores.row, notes)?,
        };
        scores.file.push(files, document, &scores.row)?;
        Ok(decision)
    }

    /// Of the notes on a dropped document those count that show its rule in its text; a note on an edit tells of a text that
    /// is no more.
    fn drop(
        &mut self,
        files: &mut AttemptFiles,
        seed: u64,
        dropped: &Dropped,
        text: Option<&str>,
        notes: &[Note],
    ) -> Result<(), TaskError> {
        *self.tally.dropped.entry(dropped.reason.rule.clone().into_owned()).or_default() += 1;
        self.tally.dropped_digest.push_dropped(dropped);
        let shown =
            notes.iter().filter(|note| note.kind == NoteKind::Found && note.rule == dropped.reason.rule);
        let marks: Vec<_> = shown.map(|note| note.start as usize..note.end as usize).collect();
        self.samples.push_dropped(seed, dropped, text, &marks);
        self.dropped.push(files, dropped)
    }

    fn keep(
        &mut self,
        files: &mut AttemptFiles,
        document: &Document,
        notes: &[Note],
    ) -> Result<(), TaskError> {
        self.tally.kept += 1;
        self.tally.bytes_kept += document.text.len() as u64;
        self.tally.kept_digest.push_document(document);
        for note in notes {
            *self.tally.noted.entry(note.rule.clone().into_owned()).or_default() += 1;
            self.notes.push(files, document.id, note)?;
        }
        match &mut self.part {
            Some(part) => {
                self.samples.push_kept(document.language.as_deref(), &document.text);
                part.push(files, document)
            }
            None => Ok(()),
        }
    }
}
