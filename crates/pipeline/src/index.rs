//! Index tasks: where a big input can be cut, and the number of the first record of each piece.

use orchestrator_core::{FileKind, TaskOutcome};
use orchestrator_job::{Extent, InputFile, PartRef, Split};
use orchestrator_storage::formats::Compression;
use orchestrator_storage::split::{self, CarveInput, Piece};
use orchestrator_storage::{Error as StorageError, RelativePath, Store, Writer, Written};

use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::source;

/// Finds the splits of `input`; they are the outcome's detail, in order.
pub(crate) fn run(
    context: &TaskContext,
    number: u32,
    stage: u32,
    input: &InputFile,
    target_bytes: u64,
) -> Result<TaskOutcome, TaskError> {
    let read = source::config(context)?;
    let (format, compression) = source::format(read, input)?;
    let (store, path) = source::open(context, input)?;
    let options = source::reader_options(read);
    let mut files = AttemptFiles::new(context);
    let splits = if format.seeks() {
        let pieces = split::index_rows(&input.url, &store.open_seekable(&path)?, format, target_bytes)?;
        pieces.iter().map(|piece| row_groups(input, piece)).collect()
    } else {
        let stream = store.open_reader(&path, None)?;
        let pieces =
            split::index(&input.url, stream, input.bytes, format, compression, &options, target_bytes)?;
        if pieces.len() == 1 && compression != Compression::None {
            let carve = CarveInput { name: &input.url, format, compression, options: &options, target_bytes };
            let splits = carve_pieces(context, number, stage, input, (&store, &path), carve, &mut files)?;
            // Nothing but blank lines: a file without a record gives no piece, and is read for nothing.
            if splits.is_empty() { vec![bytes(input, &pieces[0])] } else { splits }
        } else {
            pieces.iter().map(|piece| bytes(input, piece)).collect()
        }
    };
    context.progress.add(0, input.bytes);
    let detail = serde_json::to_value(splits).map_err(|error| TaskError::corrupt(&input.url, error))?;
    Ok(TaskOutcome { files: files.into_records(), detail, ..TaskOutcome::default() })
}

fn row_groups(input: &InputFile, piece: &Piece) -> Split {
    let extent = Extent::RowGroups { start: piece.range.start, end: piece.range.end };
    Split { input: input.clone(), extent, first_record: piece.first_record }
}

fn bytes(input: &InputFile, piece: &Piece) -> Split {
    let extent = Extent::Bytes { start: piece.range.start, end: piece.range.end };
    Split { input: input.clone(), extent, first_record: piece.first_record }
}

/// Cuts what cannot be entered in the middle into files of our own.
fn carve_pieces(
    context: &TaskContext,
    number: u32,
    stage: u32,
    input: &InputFile,
    (store, path): (&Store, &RelativePath),
    carve: CarveInput<'_>,
    files: &mut AttemptFiles,
) -> Result<Vec<Split>, TaskError> {
    let directory = context.phase_directory();
    let name = |piece: u64| format!("{directory}/carved-{number:05}-{piece:05}.zst");
    let mut piece = 0;
    let stream = store.open_reader(path, None)?;
    let carved = split::carve(
        carve,
        stream,
        |number| {
            if context.progress.is_stopped() {
                return Err(StorageError::Unavailable {
                    path: input.source.clone(),
                    detail: "the attempt was told to stop".to_owned(),
                });
            }
            files.create(&name(number)).map_err(|error| match error {
                TaskError::Storage(error) => error,
                other => StorageError::Unavailable { path: name(number), detail: other.to_string() },
            })
        },
        |writer: Writer| -> Result<(String, Written), StorageError> {
            let path = name(piece);
            piece += 1;
            Ok((path, writer.finish()?))
        },
    )?;
    let mut splits = Vec::with_capacity(carved.len());
    for piece in carved {
        let (path, written) = piece.file;
        files.record(stage, FileKind::Intermediate, path.clone(), piece.records, written);
        let file = PartRef { path, rows: piece.records, bytes: written.bytes, xxh3: written.xxh3 };
        let extent = Extent::Carved { file, offset: piece.offset };
        splits.push(Split { input: input.clone(), extent, first_record: piece.first_record });
    }
    Ok(splits)
}
