//! Reads a token shard at random, for training. Nothing in `.idx` is trusted: all of it is checked against the files.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::{HEADER_BYTES, MAGIC, TokenType, VERSION, paths};
use crate::{Error, RelativePath, Store};

/// An open shard. Reading needs no lock and no mutable access, so loaders may share it.
#[derive(Debug)]
pub struct TokenShard {
    /// As messages name it.
    path: String,
    kind: TokenType,
    bin: File,
    tokens: u64,
    /// First token and length of each sequence.
    sequences: Vec<(u64, u32)>,
}

impl TokenShard {
    /// Opens the shard `stem`, for example `tokens/train-00000`. A remote one is copied to a temporary local file.
    pub fn open(store: &Store, stem: &RelativePath) -> Result<Self, Error> {
        let [bin_path, idx_path, _] = paths(stem)?;
        let bin = store.open_seekable(&bin_path)?;
        let bin_bytes = bin.metadata().map_err(|error| Error::io(store.name(&bin_path), error))?.len();
        let (kind, sequences) = read_index(store, &idx_path, bin_bytes)?;
        if bin_bytes % kind.width() != 0 {
            let detail =
                format!("expected a whole number of {}-byte tokens, found {bin_bytes} bytes", kind.width());
            return Err(Error::Corrupt { path: store.name(&bin_path), detail });
        }
        Ok(Self { path: store.name(&bin_path), kind, bin, tokens: bin_bytes / kind.width(), sequences })
    }

    /// How tokens are stored.
    pub fn token_type(&self) -> TokenType {
        self.kind
    }

    /// Tokens in the shard.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Documents in the shard.
    pub fn sequences(&self) -> usize {
        self.sequences.len()
    }

    /// Where sequence number `sequence` lies in the shard, in tokens.
    pub fn sequence(&self, sequence: usize) -> Option<Range<u64>> {
        let &(start, length) = self.sequences.get(sequence)?;
        Some(start..start + u64::from(length))
    }

    /// Reads the tokens of `range`, counted over the whole shard, into `tokens` (cleared before).
    pub fn read(&self, range: Range<u64>, tokens: &mut Vec<u32>) -> Result<(), Error> {
        tokens.clear();
        if range.start > range.end || range.end > self.tokens {
            let detail = format!("expected a range within 0..{}, found {range:?}", self.tokens);
            return Err(Error::Corrupt { path: self.path.clone(), detail });
        }
        let width = self.kind.width();
        let mut bytes = vec![0; ((range.end - range.start) * width) as usize];
        self.bin
            .read_exact_at(&mut bytes, range.start * width)
            .map_err(|error| Error::io(self.path.as_str(), error))?;
        match self.kind {
            TokenType::U16 => {
                tokens.extend(
                    bytes.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))),
                );
            }
            TokenType::I32 => {
                tokens.extend(
                    bytes
                        .chunks_exact(4)
                        .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])),
                );
            }
        }
        Ok(())
    }
}

/// Reads and checks an `.idx`: the counts against its own size, each sequence against the size of `.bin`.
fn read_index(
    store: &Store,
    path: &RelativePath,
    bin_bytes: u64,
) -> Result<(TokenType, Vec<(u64, u32)>), Error> {
    let corrupt = |detail: &str| Error::Corrupt { path: store.name(path), detail: detail.to_owned() };
    let failed = |error| Error::io(store.name(path), error);
    let size = store.stat(path)?.bytes;
    let mut reader = std::io::BufReader::new(store.open_reader(path, None)?);
    let mut header = [0; HEADER_BYTES as usize];
    if size < HEADER_BYTES {
        return Err(corrupt("expected a header of 34 bytes"));
    }
    reader.read_exact(&mut header).map_err(failed)?;
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    if &header[..9] != MAGIC || number(9) != VERSION {
        return Err(corrupt("expected Megatron's index, version 1"));
    }
    let kind = TokenType::of_code(header[17])
        .ok_or_else(|| corrupt("expected tokens of type 8 (u16) or 4 (i32)"))?;
    let (sequences, documents) = (number(18), number(26));
    // The size must follow from the counts; checked before anything is allocated.
    let expected = sequences
        .checked_mul(12)
        .zip(documents.checked_mul(8))
        .and_then(|(sequences, documents)| sequences.checked_add(documents)?.checked_add(HEADER_BYTES));
    if expected != Some(size) {
        return Err(corrupt("its size does not follow from its counts"));
    }
    let mut lengths = Vec::with_capacity(sequences as usize);
    let mut four = [0; 4];
    for _ in 0..sequences {
        reader.read_exact(&mut four).map_err(failed)?;
        lengths.push(u32::from_le_bytes(four));
    }
    let mut found = Vec::with_capacity(lengths.len());
    let mut eight = [0; 8];
    for length in lengths {
        reader.read_exact(&mut eight).map_err(failed)?;
        let offset = u64::from_le_bytes(eight);
        let end = offset.checked_add(u64::from(length) * kind.width());
        if length > i32::MAX as u32 || offset % kind.width() != 0 || end.is_none_or(|end| end > bin_bytes) {
            return Err(corrupt("a sequence lies outside the tokens"));
        }
        found.push((offset / kind.width(), length));
    }
    Ok((kind, found))
}
