//! What a map task writes beside its part for the barrier that follows.

use orchestrator_core::Document;
use orchestrator_job::Side;
use orchestrator_text::minhash::{Hasher, Method, text_hash};
use orchestrator_text::mix::{GroupSize, Groups};
use orchestrator_text::quality::QualityStep;
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
    TextHash {
        languages: orchestrator_text::Languages,
    },
    Bands {
        hasher: Box<Hasher>,
        bands: usize,
        languages: orchestrator_text::Languages,
    },
    Score(Box<QualityStep>),
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
                let config = keys::config(context, stage)?;
                let columns: Vec<String> =
                    keys::keys(context, stage)?.into_iter().flat_map(|key| key.columns).collect();
                let languages = config.languages.clone();
                let value = match config.method {
                    Method::Exact => Value::TextHash { languages },
                    Method::Minhash => {
                        let hasher = Hasher::new(&config.minhash());
                        Value::Bands { hasher: Box::new(hasher), bands: columns.len(), languages }
                    }
                };
                (stage, "signatures", columns, value)
            }
            Side::Sizes { stage } => {
                let groups = mix::groups(context)?;
                let sizes = vec![GroupSize::default(); groups.count()];
                (stage, "sizes", mix::COLUMNS.map(str::to_owned).to_vec(), Value::Sizes { groups, sizes })
            }
            Side::Scores { stage } => {
                let step = Box::new(stages::quality(context, stage)?);
                (stage, "scores", vec!["score_bits".to_owned()], Value::Score(step))
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
            Value::TextHash { languages } => {
                let hash = applies(languages, None, document).then(|| text_hash(&document.text));
                self.table.push(id, [hash.map(|hash| (hash >> 64) as u64), hash.map(|hash| hash as u64)])
            }
            Value::Bands { hasher, bands, languages } => {
                // A document without a single shingle shares nothing with any other, and is kept.
                let hashes =
                    if applies(languages, None, document) { hasher.bands(&document.text) } else { None };
                match hashes {
                    Some(hashes) => self.table.push(id, hashes.into_iter().map(Some)),
                    None => self.table.push(id, std::iter::repeat_n(None, *bands)),
                }
            }
            Value::Sizes { groups, sizes } => {
                let size = &mut sizes[groups.of(document)];
                size.documents += 1;
                size.bytes += document.text.len() as u64;
                Ok(())
            }
            Value::Score(step) => {
                let bits = step.score(document).map(|score| u64::from(score.to_bits()));
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
