//! What a map task writes beside its part for the barrier that follows.

use bytes::Bytes;
use orchestrator_core::Document;
use orchestrator_job::Side;
use orchestrator_text::Scorer;
use orchestrator_text::dedup::{DedupConfig, Divider, Method, Survivor, text_hash};
use orchestrator_text::minhash::Hasher;
use orchestrator_text::mix::{GroupSize, Groups};
use orchestrator_text::step::applies;

use crate::context::TaskContext;
use crate::dedup::items::ItemWriter;
use crate::dedup::keys;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::mix;
use crate::stages;
use crate::table::TableWriter;

/// What the barrier that follows will read.
pub(crate) enum SideOutput {
    /// Numbers about documents.
    Table(Box<TableOutput>),
    /// Hashes of parts of documents.
    Items(Box<ItemOutput>),
}

/// A table with one row for every document of the part.
pub(crate) struct TableOutput {
    stage: u32,
    table: TableWriter,
    value: Value,
}

/// A file of what of the documents is compared.
pub(crate) struct ItemOutput {
    stage: u32,
    divider: Divider,
    items: ItemWriter,
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
    /// Opens the file of task `number`.
    pub(crate) fn create(
        context: &TaskContext,
        files: &AttemptFiles,
        number: u32,
        side: Side,
    ) -> Result<Self, TaskError> {
        let directory = context.phase_directory();
        let (stage, name, columns, value) = match side {
            Side::Items { stage } => {
                let divider = Divider::new(keys::config(context, stage)?)
                    .ok_or_else(|| TaskError::configuration("dedup", "its method cuts nothing"))?;
                let items = ItemWriter::create(files, format!("{directory}/items-{number:05}.bin"))?;
                return Ok(Self::Items(Box::new(ItemOutput { stage, divider, items })));
            }
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
        let with_id = !matches!(value, Value::Sizes { .. });
        let table = TableWriter::create_grouped(files, path, with_id, &columns)?;
        Ok(Self::Table(Box::new(TableOutput { stage, table, value })))
    }

    /// Adds what is to be known of one kept document.
    pub(crate) fn push(&mut self, files: &mut AttemptFiles, document: &Document) -> Result<(), TaskError> {
        match self {
            Self::Table(output) => output.push(files, document),
            Self::Items(output) => output.push(document),
        }
    }

    /// Ends a segment: what comes next stands in another row group.
    pub(crate) fn close_group(&mut self, files: &mut AttemptFiles) -> Result<(), TaskError> {
        match self {
            Self::Table(output) => output.close_group(files),
            Self::Items(output) => {
                if let Some(group) = output.items.take_group() {
                    files.keep(output.items.path(), group);
                }
                Ok(())
            }
        }
    }

    /// The path that its file will be published to.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Table(output) => output.table.path(),
            Self::Items(output) => output.items.path(),
        }
    }

    /// Appends what an earlier attempt wrote in a segment.
    pub(crate) fn append_group(&mut self, group: &Bytes) -> Result<(), TaskError> {
        match self {
            Self::Table(output) => output.table.append_group(group),
            Self::Items(output) => output.items.append_group(group),
        }
    }

    /// What no row holds yet: documents and bytes by group.
    pub(crate) fn sizes(&self) -> Vec<(u64, u64)> {
        match self {
            Self::Table(output) => output.sizes(),
            Self::Items(_) => Vec::new(),
        }
    }

    /// Goes on from what [`Self::sizes`] gave; `false` where that is of another table.
    pub(crate) fn set_sizes(&mut self, before: &[(u64, u64)]) -> bool {
        match self {
            Self::Table(output) => output.set_sizes(before),
            Self::Items(_) => before.is_empty(),
        }
    }

    /// Closes the file and books it.
    pub(crate) fn finish(self, files: &mut AttemptFiles) -> Result<(), TaskError> {
        match self {
            Self::Table(output) => output.finish(files),
            Self::Items(output) => output.items.finish(files, output.stage),
        }
    }
}

impl ItemOutput {
    fn push(&mut self, document: &Document) -> Result<(), TaskError> {
        let (items, mut written) = (&mut self.items, Ok(()));
        let places = self.divider.items(document, &mut |hash, place| {
            if written.is_ok() {
                written = items.push(hash, place);
            }
        });
        written?;
        self.items.next_document(places)
    }
}

impl TableOutput {
    fn push(&mut self, files: &mut AttemptFiles, document: &Document) -> Result<(), TaskError> {
        let id = document.id.0;
        match &mut self.value {
            Value::Signature(signature) => self.table.push(id, signature.of(document))?,
            Value::Sizes { groups, sizes } => {
                let size = &mut sizes[groups.of(document)];
                size.documents += 1;
                size.bytes += document.text.len() as u64;
            }
            Value::Score(scorer) => {
                let bits = scorer.score(document).map(|score| u64::from(score.to_bits()));
                self.table.push(id, [bits])?;
            }
        }
        self.hand_over_groups(files);
        Ok(())
    }

    fn close_group(&mut self, files: &mut AttemptFiles) -> Result<(), TaskError> {
        self.table.flush()?;
        self.hand_over_groups(files);
        Ok(())
    }

    fn hand_over_groups(&mut self, files: &mut AttemptFiles) {
        for group in self.table.take_groups() {
            files.keep(self.table.path(), group);
        }
    }

    fn sizes(&self) -> Vec<(u64, u64)> {
        match &self.value {
            Value::Sizes { sizes, .. } => sizes.iter().map(|size| (size.documents, size.bytes)).collect(),
            Value::Signature(_) | Value::Score(_) => Vec::new(),
        }
    }

    fn set_sizes(&mut self, before: &[(u64, u64)]) -> bool {
        let sizes: &mut [GroupSize] = match &mut self.value {
            Value::Sizes { sizes, .. } => sizes,
            Value::Signature(_) | Value::Score(_) => &mut [],
        };
        let fits = sizes.len() == before.len();
        for (size, &(documents, bytes)) in sizes.iter_mut().zip(before) {
            *size = GroupSize { documents, bytes };
        }
        fits
    }

    fn finish(mut self, files: &mut AttemptFiles) -> Result<(), TaskError> {
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
    /// None where texts must be equal. The methods that cut have items, and no signatures.
    hasher: Option<Hasher>,
    bands: usize,
    survivor: Survivor,
}

impl Signature {
    fn new(config: &DedupConfig) -> Self {
        let hasher = match config.method {
            Method::Exact | Method::Paragraph | Method::Substring => None,
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
