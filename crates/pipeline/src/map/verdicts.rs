//! The other end of a barrier: drops the documents that it named, or cuts out of them what it found.

use orchestrator_core::{Decision, Document, DocumentId, Note};
use orchestrator_job::Verdicts;
use orchestrator_text::Ranking;
use orchestrator_text::mix::Mixer;

use crate::context::TaskContext;
use crate::dedup::cut::Cutter;
use crate::error::TaskError;
use crate::mix;
use crate::scoring::ranking;
use crate::table::{Rows, TableReader};

/// Judges the documents of one part by what the barrier decided about it.
pub(crate) enum VerdictAct {
    /// Rows that are duplicates, in order, read along with the part.
    Duplicates(Box<DuplicateRows>),
    /// Documents with a worse score are dropped; unscored ones (of languages not judged) pass.
    Cutoff {
        /// What a good score is, and what becomes of it.
        ranking: Ranking,
        /// The worst score that is kept.
        threshold: f32,
        /// The scores of the part's documents, read along with it.
        scores: Box<ScoreRows>,
    },
    /// Documents without a copy in the mixture are dropped.
    Mixture(Box<Mixer>),
    /// What occurred before is cut out.
    Repeats(Box<Cutter>),
}

/// The next row that is a duplicate, and the stream of those after it.
pub(crate) struct DuplicateRows {
    reader: TableReader,
    batch: std::vec::IntoIter<(u64, u128)>,
    next: Option<(u64, u128)>,
}

/// The scores of a part, row by row.
pub(crate) struct ScoreRows {
    path: String,
    reader: TableReader,
    batch: std::vec::IntoIter<Option<u64>>,
}

impl ScoreRows {
    fn open(context: &TaskContext, path: &str) -> Result<Self, TaskError> {
        let reader = TableReader::open(&context.job.output, path, &["score_bits"])?;
        Ok(Self { path: path.to_owned(), reader, batch: Vec::new().into_iter() })
    }

    /// The score of the next document; `None` for one that was not judged.
    fn take(&mut self) -> Result<Option<f32>, TaskError> {
        loop {
            if let Some(bits) = self.batch.next() {
                return Ok(bits.map(|bits| f32::from_bits(bits as u32)));
            }
            let rows = self.reader.next();
            let rows =
                rows.ok_or_else(|| TaskError::corrupt(&self.path, "fewer scores than documents"))??;
            self.batch = rows.numbers("score_bits")?.collect::<Vec<_>>().into_iter();
        }
    }
}

impl DuplicateRows {
    fn open(context: &TaskContext, path: &str) -> Result<Self, TaskError> {
        let reader = TableReader::open(&context.job.output, path, &["id", "row"])?;
        let mut rows = Self { reader, batch: Vec::new().into_iter(), next: None };
        rows.advance()?;
        Ok(rows)
    }

    fn advance(&mut self) -> Result<(), TaskError> {
        loop {
            self.next = self.batch.next();
            if self.next.is_some() {
                return Ok(());
            }
            match self.reader.next() {
                Some(rows) => self.batch = verdicts(&rows?)?.into_iter(),
                None => return Ok(()),
            }
        }
    }
}

fn verdicts(rows: &Rows) -> Result<Vec<(u64, u128)>, TaskError> {
    let numbers = rows.numbers("row")?.map(Option::unwrap_or_default);
    Ok(numbers.zip(rows.ids()?).collect())
}

impl VerdictAct {
    /// Opens the verdicts of one part, given by the barrier of `stage`.
    pub(crate) fn open(context: &TaskContext, stage: u32, verdicts: &Verdicts) -> Result<Self, TaskError> {
        match verdicts {
            Verdicts::Repeats { part, files } => {
                Ok(Self::Repeats(Box::new(Cutter::open(context, stage, *part, files)?)))
            }
            Verdicts::Mixture { file } => Ok(Self::Mixture(Box::new(mix::mixer(context, file)?))),
            Verdicts::Duplicates { file, .. } => {
                Ok(Self::Duplicates(Box::new(DuplicateRows::open(context, &file.path)?)))
            }
            Verdicts::Cutoff { threshold, scores } => {
                let ranking = ranking(context, stage)?;
                let unreadable = || TaskError::configuration(ranking.rule, "the threshold cannot be read");
                let threshold = threshold.value().ok_or_else(unreadable)?;
                let scores = Box::new(ScoreRows::open(context, &scores.path)?);
                Ok(Self::Cutoff { ranking, threshold, scores })
            }
        }
    }

    /// The names of what it measures.
    pub(crate) fn columns(&self) -> Vec<String> {
        match self {
            Self::Cutoff { ranking, .. } => vec![ranking.column.to_owned()],
            Self::Duplicates(_) | Self::Mixture(_) | Self::Repeats(_) => Vec::new(),
        }
    }

    /// Places of the documents so far, where places are what was decided about.
    pub(crate) fn places(&self) -> u64 {
        match self {
            Self::Repeats(cutter) => cutter.places(),
            Self::Duplicates(_) | Self::Cutoff { .. } | Self::Mixture(_) => 0,
        }
    }

    /// Passes by what was decided about the rows before `row`, which have so many places.
    pub(crate) fn skip_to(&mut self, row: u64, places: u64) -> Result<(), TaskError> {
        match self {
            Self::Repeats(cutter) => cutter.skip_to(places)?,
            Self::Duplicates(duplicates) => {
                while duplicates.next.is_some_and(|(duplicate, _)| duplicate < row) {
                    duplicates.advance()?;
                }
            }
            Self::Cutoff { scores, .. } => {
                for _ in 0..row {
                    scores.take()?;
                }
            }
            Self::Mixture(_) => {}
        }
        Ok(())
    }

    /// Judges the document in row `row` of the part; what was measured fills `measures`.
    pub(crate) fn judge(
        &mut self,
        row: u64,
        document: &mut Document,
        measures: &mut [Option<f64>],
        notes: &mut Vec<Note>,
    ) -> Result<Decision, TaskError> {
        match self {
            Self::Repeats(cutter) => cutter.cut(document, notes),
            Self::Duplicates(duplicates) => match duplicates.next {
                Some((duplicate, survivor)) if duplicate == row => {
                    duplicates.advance()?;
                    Ok(Decision::drop("duplicate", DocumentId(survivor)))
                }
                _ => Ok(Decision::Keep),
            },
            Self::Mixture(mixer) => Ok(mixer.judge(document)),
            Self::Cutoff { ranking, threshold, scores } => {
                let Some(score) = scores.take()? else { return Ok(Decision::Keep) };
                measures.fill(Some(f64::from(score)));
                (ranking.record)(document, score);
                Ok(if ranking.better.is_worse(score, *threshold) {
                    Decision::drop(ranking.rule, score)
                } else {
                    Decision::Keep
                })
            }
        }
    }

    /// Makes sure, after the last document, that all verdicts were about one.
    pub(crate) fn finish(&self) -> Result<(), TaskError> {
        match self {
            Self::Repeats(cutter) => cutter.finish(),
            Self::Duplicates(_) | Self::Cutoff { .. } | Self::Mixture(_) => Ok(()),
        }
    }
}
