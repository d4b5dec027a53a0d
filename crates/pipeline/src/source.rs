//! Opening a frozen input: its format, its bounds, and whether it is still what the plan froze.

use orchestrator_core::Media;
use orchestrator_job::spec::{Format as JobFormat, ReadConfig};
use orchestrator_job::{InputFile, Job};
use orchestrator_storage::formats::{self, Body, Compression, Format, ReaderOptions};
use orchestrator_storage::{OpenOptions, RelativePath, Store};
use orchestrator_text::charset;

use crate::context::{JobContext, TaskContext};
use crate::error::TaskError;

/// The settings of the read stage.
pub(crate) fn config(context: &TaskContext) -> Result<&ReadConfig, TaskError> {
    config_of(&context.job.job)
}

/// The settings of a job's read stage.
pub(crate) fn config_of(job: &Job) -> Result<&ReadConfig, TaskError> {
    let read = job.read().map(|(_, read)| read);
    read.ok_or_else(|| TaskError::configuration("read", "the job has no read stage"))
}

/// Opens the store of an input, after making sure that the input did not change.
pub(crate) fn open(context: &TaskContext, input: &InputFile) -> Result<(Store, RelativePath), TaskError> {
    open_of(&context.job, input)
}

/// The same outside a task.
pub(crate) fn open_of(context: &JobContext, input: &InputFile) -> Result<(Store, RelativePath), TaskError> {
    let options = OpenOptions { anonymous: config_of(&context.job)?.anonymous };
    let (store, path) = context.host.roots.locate(&input.url, options)?;
    let entry = store.stat(&path)?;
    if entry.bytes != input.bytes || entry.stamp != input.stamp {
        return Err(changed(input, entry.bytes, &entry.stamp));
    }
    Ok((store, path))
}

/// The error for an input that is no longer what the plan froze.
pub(crate) fn changed(input: &InputFile, bytes: u64, stamp: &str) -> TaskError {
    TaskError::InputChanged {
        url: input.url.clone(),
        expected: format!("{} bytes, stamp {}", input.bytes, input.stamp),
        found: format!("{bytes} bytes, stamp {stamp}"),
    }
}

/// What the job says of the format, or what the file's name tells.
pub(crate) fn format(read: &ReadConfig, input: &InputFile) -> Result<(Format, Compression), TaskError> {
    let unknown = || {
        let message = format!("the format of `{}` is not known from its name: set `format`", input.url);
        TaskError::configuration("read", message)
    };
    let (stem, compression) = formats::detect_compression(&input.source);
    let format = match read.format_of(&input.source).ok_or_else(unknown)? {
        JobFormat::Warc if stem.to_ascii_lowercase().ends_with(".arc") => Format::Arc,
        JobFormat::Warc => Format::Warc,
        JobFormat::Wet => Format::Wet,
        JobFormat::Jsonl => Format::Jsonl,
        JobFormat::Parquet => Format::Parquet,
        JobFormat::Arrow => Format::Arrow,
        JobFormat::Text => Format::Text,
        JobFormat::Markdown => Format::Markdown,
        JobFormat::Html => Format::Html,
    };
    Ok((format, compression))
}

/// What a record says of its encoding.
pub(crate) fn charset_hints(body: &Body) -> charset::Hints<'_> {
    charset::Hints {
        charset: body.charset.as_deref(),
        url: body.url.as_deref(),
        is_html: body.media == Media::Html,
    }
}

/// Bounds and names of fields.
pub(crate) fn reader_options(read: &ReadConfig) -> ReaderOptions {
    ReaderOptions {
        text_field: read.text_field.clone(),
        max_record_bytes: read.max_record_bytes.0,
        ..ReaderOptions::default()
    }
}
