//! What became of our documents, by what a peer knows them by.
//!
//! ```text
//! dropped- and part- files ─▶ rows by our id ─sort─▶ one row a document ─▶ rows by the peer's key ─sort─▶
//! ```
//!
//! A dropped record's file and place and its URL are known from the run. Its id in the source and its text are known where a
//! stage before wrote it, which `keep: true` at the read step makes sure of.

use std::path::Path;

use orchestrator_core::DocumentId;
use orchestrator_storage::RelativePath;
use orchestrator_storage::documents::{DocumentReader, DroppedReader, Projection};

use super::key::{By, Names, hash, source_id};
use super::sorter::{Row, Sorted, Sorter};
use crate::error::Error;
use crate::fates::{ABSENT, Fate, Fates, KEPT};
use crate::run::{Run, Stage};

/// What is wanted of the parts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The documents that were kept to the end.
    Kept,
    /// All that were written, to know their names.
    All,
    /// Their texts too.
    Texts,
}

/// What one row of one file says.
pub(crate) struct Said<'a> {
    pub(crate) id: DocumentId,
    /// The stage's place in the run.
    stage: u32,
    pub(crate) names: Names<'a>,
    /// [`ABSENT`] where it only says that there is such a document.
    fate: Fate,
    /// The text that was kept.
    text: Option<&'a str>,
}

/// Walks what the files of a run say of documents, stage by stage.
pub(crate) fn each(
    run: &Run,
    wanted: Wanted,
    fates: &mut Fates,
    say: &mut dyn FnMut(&Said<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let last = run.last_materialised().map(|stage| stage.number);
    for stage in run.stages() {
        each_dropped(run, stage, fates, say)?;
        let is_last = last == Some(stage.number);
        if !is_last && wanted == Wanted::Kept {
            continue;
        }
        let projection =
            if is_last || wanted == Wanted::Texts { Projection::All } else { Projection::WithoutText };
        for file in stage.files("part-") {
            let path = RelativePath::new(file)?;
            for document in DocumentReader::open(run.files().store(), &path, projection)? {
                let document = document?;
                let id = if wanted == Wanted::Kept { None } else { source_id(&document.metadata) };
                let names = Names {
                    id: id.as_deref(),
                    record: Some(document.id),
                    url: document.url.as_deref(),
                    text: (projection == Projection::All).then_some(&document.text),
                };
                let (fate, text) = if is_last { (KEPT, Some(&*document.text)) } else { (ABSENT, None) };
                say(&Said { id: document.id, stage: stage.number, names, fate, text })?;
            }
        }
    }
    Ok(())
}

fn each_dropped(
    run: &Run,
    stage: &Stage,
    fates: &mut Fates,
    say: &mut dyn FnMut(&Said<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    for file in stage.files("dropped-") {
        for dropped in DroppedReader::open(run.files().store(), &RelativePath::new(file)?)? {
            let dropped = dropped?;
            let fate = fates.number(&format!("{}: {}", stage.table, dropped.reason.rule))?;
            let names = Names { record: Some(dropped.id), url: dropped.url.as_deref(), ..Names::default() };
            say(&Said { id: dropped.id, stage: stage.number, names, fate, text: None })?;
        }
    }
    Ok(())
}

/// Our documents, by key.
pub(crate) struct Ours {
    /// A row a document; `other` is its id.
    pub(crate) rows: Sorted,
    /// Those whose key is not known.
    pub(crate) without_key: u64,
}

/// Sorts what the run says by document, and the documents by key.
pub(crate) fn collect(run: &Run, by: By, fates: &mut Fates, scratch: Option<&Path>) -> Result<Ours, Error> {
    let wanted = match by {
        By::Id => Wanted::All,
        By::Record | By::Url => Wanted::Kept,
        By::Text => Wanted::Texts,
    };
    let mut by_id = Sorter::new(scratch);
    each(run, wanted, fates, &mut |said| {
        // A text is the document's as it came in, so what stages made of it is no key; the first row has it.
        by_id.push(Row {
            key: said.id.0,
            order: said.stage,
            fate: said.fate,
            text: said.text.map(|text| hash(text) as u64),
            other: said.names.key(by),
        })
    })?;
    let mut by_key = Sorter::new(scratch);
    let mut without_key = 0;
    let mut take = |document: Document| {
        let fate = if document.fate == ABSENT { KEPT } else { document.fate };
        let Some(key) = document.key else {
            without_key += 1;
            return Ok(());
        };
        let (text, other) = (document.text.filter(|_| fate == KEPT), Some(document.id));
        by_key.push(Row { key, order: 0, fate, text, other })
    };
    let mut current: Option<Document> = None;
    for row in by_id.finish()? {
        let row = row?;
        match &mut current {
            Some(document) if document.id == row.key => document.add(&row),
            _ => {
                if let Some(done) = current.replace(Document::of(&row)) {
                    take(done)?;
                }
            }
        }
    }
    if let Some(done) = current {
        take(done)?;
    }
    Ok(Ours { rows: by_key.finish()?, without_key })
}

/// What is known of one document of ours.
struct Document {
    id: u128,
    fate: Fate,
    text: Option<u64>,
    key: Option<u128>,
}

impl Document {
    fn of(row: &Row) -> Self {
        Self { id: row.key, fate: row.fate, text: row.text, key: row.other }
    }

    /// A drop is a document's fate though stages before it wrote the document: its number is the higher.
    fn add(&mut self, row: &Row) {
        self.fate = self.fate.max(row.fate);
        self.text = row.text.or(self.text);
        self.key = self.key.or(row.other);
    }
}
