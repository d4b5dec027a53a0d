//! The other end of a barrier: drops the documents that it named.

use orchestrator_core::{Decision, Document, DocumentId};
use orchestrator_job::Verdicts;
use orchestrator_text::mix::Mixer;

use crate::context::TaskContext;
use crate::error::TaskError;
use crate::mix;
use crate::table::{Rows, TableReader};

/// Judges the documents of one part by what the barrier decided about it.
pub(crate) enum VerdictAct {
    /// Rows that are duplicates, in order, read along with the part.
    Duplicates(Box<DuplicateRows>),
    /// Documents with a lower score are dropped; unscored ones (of languages not judged) pass.
    Cutoff(f32),
    /// Documents without a copy in the mixture are dropped.
    Mixture(Box<Mixer>),
}

/// The next row that is a duplicate, and the stream of those after it.
pub(crate) struct DuplicateRows {
    reader: TableReader,
    batch: std::vec::IntoIter<(u64, u128)>,
    next: Option<(u64, u128)>,
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
    /// Opens the verdicts of one part.
    pub(crate) fn open(context: &TaskContext, verdicts: &Verdicts) -> Result<Self, TaskError> {
        match verdicts {
            Verdicts::Mixture { file } => Ok(Self::Mixture(Box::new(mix::mixer(context, file)?))),
            Verdicts::Duplicates { file } => {
                Ok(Self::Duplicates(Box::new(DuplicateRows::open(context, &file.path)?)))
            }
            Verdicts::Cutoff { threshold } => threshold
                .value()
                .map(Self::Cutoff)
                .ok_or_else(|| TaskError::configuration("quality", "the threshold cannot be read")),
        }
    }

    /// Judges the document in row `row` of the part.
    pub(crate) fn judge(&mut self, row: u64, document: &Document) -> Result<Decision, TaskError> {
        match self {
            Self::Duplicates(duplicates) => match duplicates.next {
                Some((duplicate, survivor)) if duplicate == row => {
                    duplicates.advance()?;
                    Ok(Decision::drop("duplicate", DocumentId(survivor)))
                }
                _ => Ok(Decision::Keep),
            },
            Self::Mixture(mixer) => Ok(mixer.judge(document)),
            Self::Cutoff(threshold) => Ok(match document.quality_score {
                Some(score) if score < *threshold => Decision::drop("quality", score),
                _ => Decision::Keep,
            }),
        }
    }
}
