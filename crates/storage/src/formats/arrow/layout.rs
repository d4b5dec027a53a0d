//! Where the messages of an Arrow file or stream lie, found without decoding them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::read_footer_length;
use arrow_ipc::{Block, Endianness, MessageHeader, MetadataVersion};
use arrow_schema::Schema;

const MAGIC: &[u8] = b"ARROW1";
const OLD_MAGIC: &[u8] = b"FEA1";
/// The first message of a file: the magic is filled up to eight bytes.
const FIRST_MESSAGE: u64 = 8;
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The largest header of a message and the largest footer.
const MAX_METADATA_BYTES: u64 = 64 << 20;
/// The largest record batch, as it lies there and decompressed: a batch is held in memory whole.
const MAX_BATCH_BYTES: u64 = 1 << 30;

/// Why something could not be read.
pub(super) enum Trouble {
    /// The file system failed.
    Io(std::io::Error),
    /// The bytes are not what they should be.
    Broken(String),
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) fn broken<T>(cause: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Broken(cause.into()))
}

/// Where the messages of a file lie.
pub(super) struct Layout {
    pub(super) schema: Arc<Schema>,
    pub(super) version: MetadataVersion,
    pub(super) batches: Vec<Batch>,
    /// Dictionaries with the number of the first batch that they are for, in order.
    pub(super) dictionaries: Vec<(usize, Batch)>,
    /// Where the messages end too early, and why: the reader cannot find what comes after.
    pub(super) damage: Option<(u64, String)>,
}

/// A message that holds a record batch or a dictionary.
pub(super) struct Batch {
    pub(super) offset: u64,
    pub(super) message: Result<Message, String>,
}

impl Batch {
    /// Rows by which the numbers of later rows are moved; a batch that does not even say how many it has is one gap.
    pub(super) fn rows(&self) -> u64 {
        self.message.as_ref().map_or(1, |message| message.rows)
    }
}

/// The header of a message.
pub(super) struct Message {
    pub(super) offset: u64,
    /// Header with its prefix.
    pub(super) metadata: u64,
    body: u64,
    kind: MessageHeader,
    /// Of a record batch.
    rows: u64,
}

impl Message {
    pub(super) fn bytes(&self) -> u64 {
        self.metadata + self.body
    }
}

impl Layout {
    pub(super) fn read(file: &File) -> Result<Self, Trouble> {
        let size = file.metadata()?.len();
        let magic = bytes_at(file, 0, size.min(FIRST_MESSAGE))?;
        if magic.starts_with(OLD_MAGIC) {
            return broken("it is Feather version 1, which Arrow gave up: write it as version 2");
        }
        if !magic.starts_with(MAGIC) {
            return Self::from_stream(file, size, 0);
        }
        match Self::from_footer(file, size) {
            Err(Trouble::Broken(cause)) => {
                let mut layout = Self::from_stream(file, size, FIRST_MESSAGE)?;
                layout.damage.get_or_insert((size, format!("the file has no readable footer: {cause}")));
                Ok(layout)
            }
            other => other,
        }
    }

    fn from_footer(file: &File, size: u64) -> Result<Self, Trouble> {
        const TRAILER: u64 = 10;
        let Some(end) = size.checked_sub(TRAILER) else { return broken("it is too short") };
        let trailer = bytes_at(file, end, TRAILER)?;
        let trailer = trailer.try_into().unwrap_or([0; TRAILER as usize]);
        let length = read_footer_length(trailer).or_else(|error| broken(error.to_string()))? as u64;
        let Some(start) = end.checked_sub(length).filter(|_| length <= MAX_METADATA_BYTES) else {
            return broken(format!("a footer of {length} bytes does not fit"));
        };
        let bytes = bytes_at(file, start, length)?;
        let footer = arrow_ipc::root_as_footer(&bytes).or_else(|error| broken(error.to_string()))?;
        let Some(schema) = footer.schema() else { return broken("it holds no schema") };
        let schema = understand_schema(schema)?;
        let batches =
            located(file, start, footer.recordBatches().into_iter().flatten(), MessageHeader::RecordBatch)?;
        let dictionaries = located(
            file,
            start,
            footer.dictionaries().into_iter().flatten(),
            MessageHeader::DictionaryBatch,
        )?;
        Ok(Self {
            schema,
            version: footer.version(),
            batches,
            dictionaries: dictionaries.into_iter().map(|dictionary| (0, dictionary)).collect(),
            damage: None,
        })
    }

    fn from_stream(file: &File, size: u64, start: u64) -> Result<Self, Trouble> {
        let (Some(first), bytes) = message_at(file, start, size)? else { return broken("it is empty") };
        let message = parse(&bytes)?;
        let Some(schema) = message.header_as_schema() else {
            return broken("it does not begin with a schema");
        };
        let mut layout = Self {
            schema: understand_schema(schema)?,
            version: message.version(),
            batches: Vec::new(),
            dictionaries: Vec::new(),
            damage: None,
        };
        let mut offset = start + first.bytes();
        loop {
            let message = match message_at(file, offset, size) {
                Ok((Some(message), _)) => message,
                Ok((None, _)) => return Ok(layout),
                Err(Trouble::Broken(cause)) => {
                    layout.damage = Some((offset, cause));
                    return Ok(layout);
                }
                Err(trouble) => return Err(trouble),
            };
            let (kind, next) = (message.kind, offset + message.bytes());
            let batch = Batch { offset, message: Ok(message) };
            match kind {
                MessageHeader::RecordBatch => layout.batches.push(batch),
                MessageHeader::DictionaryBatch => layout.dictionaries.push((layout.batches.len(), batch)),
                // Tensors and what the format may yet bring are passed by.
                _ => {}
            }
            offset = next;
        }
    }

    /// Batches, and the damage behind them if there is one.
    pub(super) fn units(&self) -> usize {
        self.batches.len() + usize::from(self.damage.is_some())
    }

    pub(super) fn rows_before(&self, unit: usize) -> u64 {
        let batches = &self.batches[..unit.min(self.batches.len())];
        batches.iter().fold(0, |rows, batch| rows.saturating_add(batch.rows()))
    }
}

fn understand_schema(schema: arrow_ipc::Schema<'_>) -> Result<Arc<Schema>, Trouble> {
    if schema.endianness() != Endianness::Little {
        return broken("its numbers are big-endian, which is not read");
    }
    try_fb_to_schema(schema).map(Arc::new).or_else(|error| broken(error.to_string()))
}

/// The messages that a footer names. They lie one after the other: a footer that names one twice would make much of little.
fn located<'a>(
    file: &File,
    end: u64,
    blocks: impl Iterator<Item = &'a Block>,
    kind: MessageHeader,
) -> Result<Vec<Batch>, Trouble> {
    let mut found = Vec::new();
    let mut from = FIRST_MESSAGE;
    for block in blocks {
        let Some(offset) = u64::try_from(block.offset()).ok().filter(|&at| at >= from && at < end) else {
            return broken(format!("it places a message at byte {}", block.offset()));
        };
        let message = match message_at(file, offset, end) {
            Ok((Some(message), _)) if message.kind == kind => Ok(message),
            Ok(_) => Err("expected a record batch, found another message".to_owned()),
            Err(Trouble::Broken(cause)) => Err(cause),
            Err(trouble) => return Err(trouble),
        };
        from = offset + message.as_ref().map_or(1, Message::bytes);
        found.push(Batch { offset, message });
    }
    Ok(found)
}

/// The message at `offset` of a file that ends at `end`, and the bytes of its header; `None` where the stream ends.
fn message_at(mut file: &File, offset: u64, end: u64) -> Result<(Option<Message>, Vec<u8>), Trouble> {
    let left = end.saturating_sub(offset);
    if left == 0 {
        return Ok((None, Vec::new()));
    }
    let start = bytes_at(file, offset, left.min(8))?;
    let word =
        |at: usize| start.get(at..at + 4).and_then(|word| word.try_into().ok()).map(i32::from_le_bytes);
    // Before version 0.15 there was no continuation mark.
    let marked = start.starts_with(&CONTINUATION);
    let (prefix, length) = if marked { (8, word(4)) } else { (4, word(0)) };
    let Some(length) = length.and_then(|length| u64::try_from(length).ok()) else {
        return broken("expected a message, found something else");
    };
    if length == 0 {
        return Ok((None, Vec::new()));
    }
    if length > MAX_METADATA_BYTES || prefix + length > left {
        return broken(format!("a message's header of {length} bytes does not fit"));
    }
    file.seek(SeekFrom::Start(offset + prefix))?;
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    let header = parse(&bytes)?;
    let (metadata, kind) = (prefix + length, header.header_type());
    let Some(body) = u64::try_from(header.bodyLength()).ok().filter(|&body| body <= left - metadata) else {
        return broken(format!(
            "a message's body of {} bytes is cut off after {}",
            header.bodyLength(),
            left - metadata
        ));
    };
    let rows = header.header_as_record_batch().map_or(0, |batch| batch.length());
    let Ok(rows) = u64::try_from(rows) else { return broken(format!("a record batch of {rows} rows")) };
    Ok((Some(Message { offset, metadata, body, kind, rows }), bytes))
}

fn parse(bytes: &[u8]) -> Result<arrow_ipc::Message<'_>, Trouble> {
    arrow_ipc::root_as_message(bytes).or_else(|error| broken(format!("not a message: {error}")))
}

fn bytes_at(mut file: &File, offset: u64, count: u64) -> Result<Vec<u8>, std::io::Error> {
    let mut bytes = vec![0; count as usize];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads a message whole and makes sure that its buffers lie in it.
pub(super) fn load(mut file: &File, batch: &Batch) -> Result<(Block, Buffer), Trouble> {
    let message = batch.message.as_ref().or_else(|cause| broken(cause.clone()))?;
    let too_large = |bytes: u64| {
        broken(format!(
            "it has {bytes} bytes, more than the {MAX_BATCH_BYTES} that a batch may have: write smaller ones"
        ))
    };
    if message.bytes() > MAX_BATCH_BYTES {
        return too_large(message.bytes());
    }
    let mut bytes = MutableBuffer::from_len_zeroed(message.bytes() as usize);
    file.seek(SeekFrom::Start(message.offset))?;
    file.read_exact(&mut bytes)?;
    let (head, body) = bytes.split_at(message.metadata as usize);
    let prefix = if head.starts_with(&CONTINUATION) { 8 } else { 4 };
    let header = parse(&head[prefix..])?;
    let data = header
        .header_as_record_batch()
        .or_else(|| header.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    let Some(data) = data else { return broken("it holds no data") };
    let mut decompressed = 0u64;
    for buffer in data.buffers().into_iter().flatten() {
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?));
        let Some(bytes) = range.and_then(|range| body.get(range)) else {
            return broken(format!(
                "a buffer at {} of {} bytes lies outside",
                buffer.offset(),
                buffer.length()
            ));
        };
        // What is compressed begins with its length; -1 is for what was left as it is.
        let stated = bytes.first_chunk().map_or(0, |length| i64::from_le_bytes(*length));
        if data.compression().is_some() {
            decompressed = decompressed.saturating_add(u64::try_from(stated).unwrap_or(bytes.len() as u64));
        }
    }
    if decompressed > MAX_BATCH_BYTES {
        return too_large(decompressed);
    }
    let block = Block::new(message.offset as i64, message.metadata as i32, message.body as i64);
    Ok((block, bytes.into()))
}
