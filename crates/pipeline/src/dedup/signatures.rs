//! The signatures of all documents that are told apart: those of earlier runs first, then this run's.

use orchestrator_core::{FileKind, FileRecord};
use orchestrator_job::{InputFile, PartRef};
use orchestrator_storage::Store;
use parquet::basic::Compression;

use super::keys;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::source;
use crate::table::{Rows, TableReader, TableWriter};

/// Signature files in the global order of their documents.
pub(crate) struct Signatures {
    files: Vec<File>,
    /// Files of earlier runs.
    earlier: usize,
    /// Place of this run's first document: earlier runs' documents come before it.
    pub(crate) own: u32,
    /// Documents in all files.
    pub(crate) documents: u32,
}

struct File {
    store: Store,
    path: String,
    rows: u64,
}

impl Signatures {
    /// Finds the documents of `earlier` runs' indexes and of this run's `signatures`.
    pub(crate) fn open(
        context: &TaskContext,
        earlier: &[InputFile],
        signatures: &[PartRef],
    ) -> Result<Self, TaskError> {
        let mut files = Vec::with_capacity(earlier.len() + signatures.len());
        for input in earlier {
            let (store, path) = source::open(context, input)?;
            let path = path.as_str().to_owned();
            let rows = TableReader::rows(&store, &path)?;
            files.push(File { store, path, rows });
        }
        let own = files.iter().map(|file| file.rows).sum::<u64>();
        files.extend(signatures.iter().map(|part| File {
            store: context.job.output.clone(),
            path: part.path.clone(),
            rows: part.rows,
        }));
        let documents = files.iter().map(|file| file.rows).sum::<u64>();
        let documents = u32::try_from(documents).ok().filter(|&count| count < u32::MAX).ok_or_else(|| {
            let message = format!("{documents} documents to compare, expected fewer than {}", u32::MAX);
            TaskError::configuration("dedup", message)
        })?;
        Ok(Self { files, earlier: earlier.len(), own: own as u32, documents })
    }

    /// Reads some columns of all documents, batch by batch; `take` gets the place of a batch's first document.
    pub(crate) fn for_each(
        &self,
        context: &TaskContext,
        columns: &[&str],
        take: impl FnMut(u32, &Rows) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        Self::read(context, &self.files, 0, columns, take)
    }

    /// The same for this run's documents alone.
    pub(crate) fn for_each_own(
        &self,
        context: &TaskContext,
        columns: &[&str],
        take: impl FnMut(u32, &Rows) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        Self::read(context, &self.files[self.earlier..], self.own, columns, take)
    }

    /// The same for the documents of earlier runs alone.
    pub(crate) fn for_each_earlier(
        &self,
        context: &TaskContext,
        columns: &[&str],
        take: impl FnMut(u32, &Rows) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        Self::read(context, &self.files[..self.earlier], 0, columns, take)
    }

    fn read(
        context: &TaskContext,
        files: &[File],
        first: u32,
        columns: &[&str],
        mut take: impl FnMut(u32, &Rows) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let mut document = first;
        for file in files {
            let first = document;
            for rows in TableReader::open(&file.store, &file.path, columns)? {
                let rows = rows?;
                context.progress.check()?;
                context.progress.add(rows.len() as u64, 8 * (rows.len() * columns.len()) as u64);
                take(document, &rows)?;
                document += rows.len() as u32;
            }
            if u64::from(document - first) != file.rows {
                let message = format!("expected {} rows, found {}", file.rows, document - first);
                return Err(TaskError::corrupt(&file.path, message));
            }
        }
        Ok(())
    }
}

/// Writes `index-NNNNN.parquet`: the keys of a part's documents, for later runs to compare with; those that went stand
/// under the ids of the documents that they went for. A later run then finds what one run over all would have found.
///
/// It is not compressed: hashes cannot be, and the planner takes the bound of its rows from its bytes.
pub(crate) fn write_index(
    context: &TaskContext,
    stage: u32,
    number: u32,
    signatures: &PartRef,
    verdicts: &PartRef,
) -> Result<Vec<FileRecord>, TaskError> {
    let keys: Vec<String> = keys::keys(context, stage)?.into_iter().flat_map(|key| key.columns).collect();
    let mut columns: Vec<&str> = keys.iter().map(String::as_str).collect();
    columns.push("id");
    let mut dropped = Vec::new();
    for rows in TableReader::open(&context.job.output, &verdicts.path, &["id", "row"])? {
        let rows = rows?;
        let survivors = rows.ids()?;
        dropped.extend(rows.numbers("row")?.zip(survivors).filter_map(|(row, id)| Some((row?, id))));
    }
    let mut dropped = dropped.into_iter().peekable();
    let mut files = AttemptFiles::new(context);
    let path = format!("{}/index-{number:05}.parquet", context.stage_directory(stage));
    let named: Vec<String> = keys.iter().cloned().chain([keys::KEPT.to_owned()]).collect();
    let mut index = TableWriter::create_with(&files, path, true, &named, Compression::UNCOMPRESSED)?;
    let mut row = 0;
    for rows in TableReader::open(&context.job.output, &signatures.path, &columns)? {
        let rows = rows?;
        context.progress.check()?;
        let mut values = keys.iter().map(|key| rows.numbers(key)).collect::<Result<Vec<_>, _>>()?;
        for id in rows.ids()? {
            let key: Vec<Option<u64>> = values.iter_mut().map(|column| column.next().flatten()).collect();
            let survivor = dropped.next_if(|&(goes, _)| goes == row).map(|(_, survivor)| survivor);
            // A document without keys shares nothing with any other, now or later.
            if key.iter().any(Option::is_some) {
                let kept = u64::from(survivor.is_none());
                index.push(survivor.unwrap_or(id), key.into_iter().chain([Some(kept)]))?;
            }
            row += 1;
        }
    }
    index.finish_as(&mut files, stage, FileKind::Product)?;
    Ok(files.into_records())
}
