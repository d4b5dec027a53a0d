//! What a map task writes beside its part for the barrier that follows.

use orchestrator_core::Document;
use orchestrator_job::Side;
use orchestrator_text::Scorer;
use orchestrator_text::dedup::{DedupConfig, Method, Survivor, text_hash};
use orchestrator_text::minhash::Hasher;
use orchestrator_text::mix::{GroupSize, Groups};
use orchestrator_text::step::applies;

use crate::context::TaskContext;
use crate::dedup::keys;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::mix;
use crate::stages;
use crate::table::TableWriter;

/// A table with one row for every document of the part.
pub(crate) struct SideOutput {
    stage: u32,
    table: TableWriter,
    value: Value,
}

/// What a row holds.
enum Value {
    Signature(Box<Signature>),
    Score(Box<dyn Scorer>),
    /// A row a group, written at the end.
    Sizes {
        groups: Groups,
        sizes: Vec<GroupSize>,
    },
}

impl SideOutput {
    /// Opens the table of task `number`.
    pub(crate) fn create(
        context: &TaskContext,
        files: &AttemptFiles,
        number: u32,
        side: Side,
    ) -> Result<Self, TaskError> {
        let directory = context.phase_directory();
        let (stage, name, columns, value) = match side {
            Side::Signatures { stage } => {
                let signature = Signature::new(keys::config(context, stage)?);
                let columns = keys::columns(context, stage)?;
                (stage, "signatures", columns, Value::Signature(Box::new(signature)))
            }
            Side::Sizes { stage } => {
                let groups = mix::groups(context)?;
                let sizes = vec![GroupSize::default(); groups.count()];
                (stage, "sizes", mix::COLUMNS.map(str::to_owned).to_vec(), Value::Sizes { groups, sizes })
            }
            Side::Scores { stage } => {
                let scorer = stages::scorer(context, stage)?;
                (stage, "scores", vec!["score_bits".to_owned()], Value::Score(scorer))
            }
        };
        let path = format!("{directory}/{name}-{number:05}.parquet");
        Ok(Self {
            stage,
            table: TableWriter::create(files, path, !matches!(value, Value::Sizes { .. }), &columns)?,
            value,
        })
    }

    /// Adds the row of one kept document.
    pub(crate) fn push(&mut self, document: &Document) -> Result<(), TaskError> {
        let id = document.id.0;
        match &mut self.value {
            Value::Signature(signature) => self.table.push(id, signature.of(document)),
            Value::Sizes { groups, sizes } => {
                let size = &mut sizes[groups.of(document)];
                size.documents += 1;
                size.bytes += document.text.len() as u64;
                Ok(())
            }
            Value::Score(scorer) => {
                let bits = scorer.score(document).map(|score| u64::from(score.to_bits()));
                self.table.push(id, [bits])
            }
        }
    }

    /// Closes the table and books it.
    pub(crate) fn finish(mut self, files: &mut AttemptFiles) -> Result<(), TaskError> {
        if let Value::Sizes { sizes, .. } = &self.value {
            for size in sizes {
                self.table.push(0, [Some(size.documents), Some(size.bytes)])?;
            }
        }
        self.table.finish(files, self.stage)
    }
}

/// Makes the row of a signature file: the keys that duplicates share, then the rank that chooses among them.
struct Signature {
    languages: orchestrator_text::Languages,
    /// None where texts must be equal.
    hasher: Option<Hasher>,
    bands: usize,
    survivor: Survivor,
}

impl Signature {
    fn new(config: &DedupConfig) -> Self {
        let hasher = match config.method {
            Method::Exact => None,
            Method::Minhash => Some(Hasher::new(&config.minhash())),
        };
        Self { languages: config.languages.clone(), hasher, bands: config.bands, survivor: config.survivor }
    }

    /// The row's numbers. Keys are absent where the document is not judged, or is too short to have a shingle: it then
    /// shares nothing with any other, and is kept.
    fn of(&mut self, document: &Document) -> Vec<Option<u64>> {
        let judged = applies(&self.languages, None, document);
        let mut row = match &mut self.hasher {
            None => {
                let hash = judged.then(|| text_hash(&document.text));
                vec![hash.map(|hash| (hash >> 64) as u64), hash.map(|hash| hash as u64)]
            }
            Some(hasher) => match if judged { hasher.bands(&document.text) } else { None } {
                Some(bands) => bands.into_iter().map(Some).collect(),
                None => vec![None; self.bands],
            },
        };
        if self.survivor != Survivor::First {
            row.push(self.survivor.rank(document));
        }
        row
    }
}
