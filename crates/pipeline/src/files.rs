//! The files of an attempt: written under its own path, named by the path they will be published to.

use std::io::Write;

use bytes::Bytes;
use orchestrator_core::{Document, DocumentId, Dropped, FileKind, FileRecord, Note};
use orchestrator_storage::documents::{DocumentWriter, DroppedWriter, NotesWriter, RowGroups, ScoresWriter};
use orchestrator_storage::{RelativePath, Store, Writer, Written};

use crate::context::TaskContext;
use crate::error::TaskError;

/// Opens an attempt's files and keeps the records of the finished ones, in order.
pub(crate) struct AttemptFiles {
    store: Store,
    attempt_path: String,
    records: Vec<FileRecord>,
    /// Row groups since the last savepoint, each with the path of its file; `None` where nobody asks for savepoints.
    groups: Option<Vec<(String, Bytes)>>,
}

impl AttemptFiles {
    pub(crate) fn new(context: &TaskContext) -> Self {
        Self {
            store: context.job.output.clone(),
            attempt_path: context.attempt_path.clone(),
            records: Vec::new(),
            groups: None,
        }
    }

    /// Keeps the row groups of files that are opened from now on, for savepoints.
    pub(crate) fn keep_groups(&mut self) {
        self.groups.get_or_insert_default();
    }

    /// Whether row groups are kept.
    pub(crate) fn keeps_groups(&self) -> bool {
        self.groups.is_some()
    }

    /// Keeps a row group of the file that will be published as `path`.
    pub(crate) fn keep(&mut self, path: &str, group: Bytes) {
        if let Some(groups) = &mut self.groups {
            groups.push((path.to_owned(), group));
        }
    }

    /// The row groups since the last call.
    pub(crate) fn take_groups(&mut self) -> Vec<(String, Bytes)> {
        self.groups.as_mut().map(std::mem::take).unwrap_or_default()
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
pub(crate) trait RowWriter: RowGroups + Sized {
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

    /// The path that it will be published to.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Adds one row, which `push` gives to the writer.
    fn row(
        &mut self,
        files: &mut AttemptFiles,
        push: impl FnOnce(&mut W) -> Result<(), orchestrator_storage::Error>,
    ) -> Result<(), TaskError> {
        self.rows += 1;
        push(self.open(files)?)?;
        self.hand_over_groups(files);
        Ok(())
    }

    /// Closes the open row group: what comes next stands in another.
    pub(crate) fn close_group(&mut self, files: &mut AttemptFiles) -> Result<(), TaskError> {
        if let Some(writer) = &mut self.writer {
            writer.close_group()?;
        }
        self.hand_over_groups(files);
        Ok(())
    }

    /// Appends a row group that an earlier attempt wrote.
    pub(crate) fn append_group(&mut self, files: &AttemptFiles, group: &Bytes) -> Result<(), TaskError> {
        self.rows += self.open(files)?.append_group(group)?;
        Ok(())
    }

    fn hand_over_groups(&mut self, files: &mut AttemptFiles) {
        for group in self.writer.as_mut().map(W::take_groups).unwrap_or_default() {
            files.keep(&self.path, group);
        }
    }

    fn open(&mut self, files: &AttemptFiles) -> Result<&mut W, TaskError> {
        if self.writer.is_none() {
            let mut writer = W::open(files.create(&self.path)?)?;
            if files.keeps_groups() {
                writer.keep_groups();
            }
            self.writer = Some(writer);
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
        let mut writer = ScoresWriter::new(files.create(&path)?, names)?;
        if files.keeps_groups() {
            writer.keep_groups();
        }
        Ok(Self { path, rows: 0, writer })
    }

    /// The path that it will be published to.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Adds the row of a document.
    pub(crate) fn push(
        &mut self,
        files: &mut AttemptFiles,
        document: &Document,
        row: &[Option<f64>],
    ) -> Result<(), TaskError> {
        self.rows += 1;
        self.writer.push(document.id, document.language.as_deref(), row)?;
        self.hand_over_groups(files);
        Ok(())
    }

    /// Closes the open row group: what comes next stands in another.
    pub(crate) fn close_group(&mut self, files: &mut AttemptFiles) -> Result<(), TaskError> {
        self.writer.close_group()?;
        self.hand_over_groups(files);
        Ok(())
    }

    /// Appends a row group that an earlier attempt wrote.
    pub(crate) fn append_group(&mut self, group: &Bytes) -> Result<(), TaskError> {
        self.rows += self.writer.append_group(group)?;
        Ok(())
    }

    fn hand_over_groups(&mut self, files: &mut AttemptFiles) {
        for group in self.writer.take_groups() {
            files.keep(&self.path, group);
        }
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
    pub(crate) fn push(&mut self, files: &mut AttemptFiles, document: &Document) -> Result<(), TaskError> {
        self.row(files, |writer| writer.push(document))
    }
}

impl DroppedFile {
    pub(crate) fn push(&mut self, files: &mut AttemptFiles, dropped: &Dropped) -> Result<(), TaskError> {
        self.row(files, |writer| writer.push(dropped))
    }
}

impl NotesFile {
    pub(crate) fn push(
        &mut self,
        files: &mut AttemptFiles,
        id: DocumentId,
        note: &Note,
    ) -> Result<(), TaskError> {
        self.row(files, |writer| writer.push(id, note))
    }
}
