//! The read stage: from the bytes of a split to documents, and to drops for what is none.

use orchestrator_core::{Document, DocumentId, Dropped, Media, Reason};
use orchestrator_job::spec::ReadConfig;
use orchestrator_job::{Extent, InputFile, Split};
use orchestrator_storage::documents::{DocumentReader, Projection};
use orchestrator_storage::formats::{self, Body, Input, RawKind, RawRecord, Records, Start};
use orchestrator_storage::{OpenOptions, RelativePath};
use orchestrator_text::charset;
use orchestrator_text::language::code_of_source;

use super::chain::Chain;
use super::feed_rows;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::resume::{Pace, Position, weight_of};
use crate::sample::{RecordSample, SampledInput, range};
use crate::source;

/// Feeds every record of a split to the chain, from the place on where an earlier attempt was lost.
pub(crate) fn split(
    context: &TaskContext,
    split: &Split,
    begin: Position,
    pace: &mut Pace,
    chain: &mut Chain,
) -> Result<(), TaskError> {
    let read = source::config(context)?;
    if read.run.is_some() {
        let documents = earlier_run(context, &split.input, begin.record)?;
        return match &context.job.sample {
            Some(sample) => sampled_rows(context, documents, sample, chain),
            None => feed_rows(context, documents, begin, pace, chain),
        };
    }
    if let Some(sample) = &context.job.sample {
        return sampled(context, read, split, sample, chain);
    }
    for record in open_at(context, read, split, begin)? {
        context.progress.check()?;
        let record = record?;
        let (offset, weight) = (record.offset, weight_of(&record.kind));
        if pace.arrive(offset) {
            // A gap may be told from other bytes when it is entered directly.
            let enterable = record.enterable && !matches!(record.kind, RawKind::Malformed { .. });
            let offset = enterable.then_some(offset);
            let position = Position { record: record.ordinal, offset, ..begin };
            chain.end_segment(position, context.progress.done())?;
        }
        feed(context, &split.input, record, chain)?;
        pace.pass(offset, weight);
    }
    pace.end_input();
    Ok(())
}

/// Feeds the records of a split that are in the sample.
fn sampled(
    context: &TaskContext,
    read: &ReadConfig,
    split: &Split,
    sample: &RecordSample,
    chain: &mut Chain,
) -> Result<(), TaskError> {
    let mut take = |record: RawRecord| {
        context.progress.check()?;
        if sample.takes(DocumentId::derive(&split.input.source, record.ordinal)) {
            sample.timed(|| feed(context, &split.input, record, chain))?;
        }
        Ok(())
    };
    if let Extent::Bytes { start, end } = split.extent {
        return range(&context.job, split, (start, end), take);
    }
    let choice = SampledInput::new(&context.job, &split.input);
    open(context, read, split, Some(choice))?.try_for_each(|record| take(record?))
}

/// Feeds the documents of an earlier run that are in the sample.
fn sampled_rows(
    context: &TaskContext,
    documents: DocumentReader,
    sample: &RecordSample,
    chain: &mut Chain,
) -> Result<(), TaskError> {
    for (row, document) in (0..).zip(documents) {
        let document = document?;
        context.progress.check()?;
        context.progress.add(1, document.text.len() as u64);
        if sample.takes(document.id) {
            sample.timed(|| chain.feed(row, document))?;
        }
    }
    Ok(())
}

/// Opens a split at a record in it: where a reader can start there it does, else it passes by what comes before.
fn open_at(
    context: &TaskContext,
    read: &ReadConfig,
    split: &Split,
    begin: Position,
) -> Result<Records, TaskError> {
    let entered = begin.offset.and_then(|from| match split.extent {
        Extent::Bytes { end, .. } => Some(Extent::Bytes { start: from, end }),
        Extent::Whole => Some(Extent::Bytes { start: from, end: split.input.bytes }),
        // Offsets of carved pieces are those of the file that they were carved from.
        Extent::RowGroups { .. } | Extent::Carved { .. } => None,
    });
    let (format, _) = source::format(read, &split.input)?;
    if let Some(extent) = entered.filter(|_| !format.seeks()) {
        let rest = Split { input: split.input.clone(), extent, first_record: begin.record };
        return open(context, read, &rest, None);
    }
    let mut records = open(context, read, split, None)?;
    if begin.record > split.first_record {
        records.skip_to(begin.record, &mut || context.progress.check().is_ok())?;
        context.progress.check()?;
    }
    Ok(records)
}

/// Opens the piece of its input that a split stands for. Of a sample, `choice` knows which records need not be understood.
fn open(
    context: &TaskContext,
    read: &ReadConfig,
    split: &Split,
    choice: Option<SampledInput>,
) -> Result<Records, TaskError> {
    let (format, compression) = source::format(read, &split.input)?;
    let options = source::reader_options(read);
    let name = &split.input.url;
    let start = |offset| Start { ordinal: split.first_record, offset };
    if let Extent::Carved { file, offset } = &split.extent {
        let piece = context.job.output.open_reader(&RelativePath::new(&*file.path)?, None)?;
        return Ok(formats::open_carved(name, piece, format, start(*offset), &options));
    }
    let (store, path) = source::open(context, &split.input)?;
    let (input, start) = match split.extent {
        Extent::RowGroups { start: first, end } => {
            (Input::Seekable(store.open_seekable(&path)?, Some(first..end)), start(0))
        }
        Extent::Bytes { start: first, end } => {
            (Input::Stream(store.open_reader(&path, Some(first..end))?), start(first))
        }
        Extent::Whole | Extent::Carved { .. } if format.seeks() => {
            (Input::Seekable(store.open_seekable(&path)?, None), start(0))
        }
        Extent::Whole | Extent::Carved { .. } => (Input::Stream(store.open_reader(&path, None)?), start(0)),
    };
    Ok(match choice {
        Some(choice) => {
            formats::open_chosen(name, input, format, compression, start, &options, Box::new(choice))?
        }
        None => formats::open(name, input, format, compression, start, &options)?,
    })
}

/// Makes a document, or a drop, of one record.
fn feed(
    context: &TaskContext,
    input: &InputFile,
    record: RawRecord,
    chain: &mut Chain,
) -> Result<(), TaskError> {
    let RawRecord { ordinal, offset, kind, .. } = record;
    let source = &input.source;
    let dropped = |rule: &'static str, value: String, url: Option<String>| Dropped {
        id: DocumentId::derive(source, ordinal),
        source: source.clone(),
        record: ordinal,
        url,
        reason: Reason::new(rule, value),
    };
    match kind {
        RawKind::Body(body) => {
            let bytes = body.bytes.len() as u64;
            context.progress.add(1, bytes);
            let url = body.url.clone();
            match document(source, ordinal, *body, context.job.job.determines_languages()) {
                Ok(document) => chain.feed(ordinal, document),
                Err(cause) => {
                    chain.drop_record(&dropped("malformed", format!("offset {offset}: {cause}"), url), bytes)
                }
            }
        }
        RawKind::NotADocument { reason } => {
            context.progress.add(1, 0);
            chain.drop_record(&dropped("not_a_document", reason, None), 0)
        }
        RawKind::Malformed { cause, length } => {
            context.progress.add(1, length);
            chain.drop_record(&dropped("malformed", format!("offset {offset}: {cause}"), None), 0)
        }
    }
}

/// Decodes a body. Pages with a few broken characters are what the web is, and go on with replacements; a text that is
/// in no encoding we can find is malformed.
fn document(source: &str, ordinal: u64, body: Body, keep_language: bool) -> Result<Document, String> {
    let is_html = body.media == Media::Html;
    let decoded = charset::decode(&body.bytes, source::charset_hints(&body));
    if decoded.malformed && !is_html {
        return Err(format!("the text is in no known encoding (tried {})", decoded.encoding));
    }
    let mut metadata = body.metadata;
    let language = body.language.as_deref().and_then(code_of_source).filter(|_| keep_language);
    // What the source says of the language and we do not take over stays with what else it said.
    if let Some(said) = body.language.filter(|said| language.as_ref() != Some(said)) {
        metadata.entry("language").or_insert_with(|| said.into());
    }
    let metadata = serde_json::Value::Object(metadata).to_string();
    Ok(Document {
        url: body.url,
        date: body.date,
        language,
        media: body.media,
        metadata,
        ..Document::new(source, ordinal, decoded.text)
    })
}

/// Documents of an earlier run go on as they are: they keep their ids, sources and what was found out about them.
fn earlier_run(context: &TaskContext, input: &InputFile, row: u64) -> Result<DocumentReader, TaskError> {
    let (store, path) = context.job.host.roots.locate(&input.url, OpenOptions::default())?;
    let found = store.hash(&path)?;
    if found.xxh3.to_string() != input.stamp {
        return Err(source::changed(input, found.bytes, &found.xxh3.to_string()));
    }
    Ok(DocumentReader::open_from(&store, &path, Projection::All, row)?)
}
