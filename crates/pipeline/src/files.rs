//! The files of an attempt: written under its own path, named by the path they will be published to.

use std::io::Write;

use orchestrator_core::{Document, DocumentId, Dropped, FileKind, FileRecord, Note};
use orchestrator_storage::documents::{DocumentWriter, DroppedWriter, NotesWriter, ScoresWriter};
use orchestrator_storage::{RelativePath, Store, Writer, Written};

use crate::context::TaskContext;
use crate::error::TaskError;

/// Opens an attempt's files and keeps the records of the finished ones, in order.
pub(crate) struct AttemptFiles {
    store: Store,
    attempt_path: String,
    records: Vec<FileRecord>,
}

impl AttemptFiles {
    pub(crate) fn new(context: &TaskContext) -> Self {
        Self {
            store: context.job.output.clone(),
            attempt_path: context.attempt_path.clone(),
            records: Vec::new(),
        }
    }

    /// Starts the file that will be published as `path`.
    pub(crate) fn create(&self, path: &str) -> Result<Writer, TaskError> {
        let path = RelativePath::new(format!("{}/{path}", self.attempt_path))?;
        Ok(self.store.create_writer(&path)?)
    }

    /// Books a finished file.
    pub(crate) fn record(&mut self, stage: u32, kind: FileKind, path: String, rows: u64, written: Written) {
        let Written { bytes, xxh3 } = written;
        self.records.push(FileRecord { stage, kind, path, rows, bytes, xxh3 });
    }

    /// Writes a whole small file and books it.
    pub(crate) fn write(
        &mut self,
        stage: u32,
        kind: FileKind,
        path: String,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), TaskError> {
        let mut writer = self.create(&path)?;
        writer.write_all(bytes).map_err(TaskError::io(format!("writing `{path}`")))?;
        let written = writer.finish()?;
        self.record(stage, kind, path, rows, written);
        Ok(())
    }

    pub(crate) fn into_records(self) -> Vec<FileRecord> {
        self.records
    }
}

/// Writes results that belong to no stage, such as the report, and names them.
pub fn write_products(
    context: &TaskContext,
    products: &[(&str, &[u8])],
) -> Result<orchestrator_core::TaskOutcome, TaskError> {
    let stage = context.job.plan.stages.len() as u32;
    let mut files = AttemptFiles::new(context);
    for (path, bytes) in products {
        files.write(stage, FileKind::Product, (*path).to_owned(), 0, bytes)?;
    }
    Ok(orchestrator_core::TaskOutcome { files: files.into_records(), ..Default::default() })
}

/// Rows that go to one Parquet file of an attempt.
pub(crate) trait RowWriter: Sized {
    fn open(writer: Writer) -> Result<Self, orchestrator_storage::Error>;
    fn close(self) -> Result<Writer, orchestrator_storage::Error>;
}

macro_rules! row_writer {
    ($($name:ident),*) => {$(
        impl RowWriter for $name<Writer> {
            fn open(writer: Writer) -> Result<Self, orchestrator_storage::Error> {
                Self::new(writer)
            }

            fn close(self) -> Result<Writer, orchestrator_storage::Error> {
                self.finish()
            }
        }
    )*};
}

row_writer!(DocumentWriter, DroppedWriter, NotesWriter);

/// A file of rows that comes to be with its first row, so that a stage that drops nothing leaves no empty files.
pub(crate) struct LazyFile<W> {
    path: String,
    rows: u64,
    writer: Option<W>,
    /// Whether the file is written even without rows.
    always: bool,
}

impl<W: RowWriter> LazyFile<W> {
    pub(crate) fn new(path: String, always: bool) -> Self {
        Self { path, rows: 0, writer: None, always }
    }

    /// The writer for one more row.
    fn row(&mut self, files: &AttemptFiles) -> Result<&mut W, TaskError> {
        self.rows += 1;
        self.open(files)
    }

    fn open(&mut self, files: &AttemptFiles) -> Result<&mut W, TaskError> {
        if self.writer.is_none() {
            self.writer = Some(W::open(files.create(&self.path)?)?);
        }
        self.writer.as_mut().ok_or_else(|| TaskError::corrupt(&self.path, "the file just opened is gone"))
    }

    /// Closes the file, if there is one, and books it.
    pub(crate) fn finish(
        mut self,
        files: &mut AttemptFiles,
        stage: u32,
        kind: FileKind,
    ) -> Result<(), TaskError> {
        if self.always {
            self.open(files)?;
        }
        if let Some(writer) = self.writer {
            let written = writer.close()?.finish()?;
            files.record(stage, kind, self.path, self.rows, written);
        }
        Ok(())
    }
}

/// What was measured: a row for every document, and so a file even where there are none.
pub(crate) struct ScoresFile {
    path: String,
    rows: u64,
    writer: ScoresWriter<Writer>,
}

impl ScoresFile {
    /// Starts the file that will be published as `path`.
    pub(crate) fn create(files: &AttemptFiles, path: String, names: &[String]) -> Result<Self, TaskError> {
        let writer = ScoresWriter::new(files.create(&path)?, names)?;
        Ok(Self { path, rows: 0, writer })
    }

    /// Adds the row of a document.
    pub(crate) fn push(&mut self, document: &Document, row: &[Option<f64>]) -> Result<(), TaskError> {
        self.rows += 1;
        Ok(self.writer.push(document.id, document.language.as_deref(), row)?)
    }

    /// Closes the file and books it.
    pub(crate) fn finish(self, files: &mut AttemptFiles, stage: u32) -> Result<(), TaskError> {
        let written = self.writer.finish()?.finish()?;
        files.record(stage, FileKind::Product, self.path, self.rows, written);
        Ok(())
    }
}

/// Kept documents.
pub(crate) type DocumentFile = LazyFile<DocumentWriter<Writer>>;
/// Dropped records.
pub(crate) type DroppedFile = LazyFile<DroppedWriter<Writer>>;
/// Edits and spans.
pub(crate) type NotesFile = LazyFile<NotesWriter<Writer>>;

impl DocumentFile {
    pub(crate) fn push(&mut self, files: &AttemptFiles, document: &Document) -> Result<(), TaskError> {
        Ok(self.row(files)?.push(document)?)
    }
}

impl DroppedFile {
    pub(crate) fn push(&mut self, files: &AttemptFiles, dropped: &Dropped) -> Result<(), TaskError> {
        Ok(self.row(files)?.push(dropped)?)
    }
}

impl NotesFile {
    pub(crate) fn push(
        &mut self,
        files: &AttemptFiles,
        id: DocumentId,
        note: &Note,
    ) -> Result<(), TaskError> {
        Ok(self.row(files)?.push(id, note)?)
    }
}
