//! Writes a token shard. In memory: four bytes per document, and buffers.

use std::io::Write;

use orchestrator_core::DocumentId;

use super::docs::{self, DocColumns, TokenDocument};
use super::{MAGIC, TokenType, VERSION, paths};
use crate::documents::table::TableWriter;
use crate::store::{Writer, Written};
use crate::{Error, RelativePath, Store};

/// Writes the three files of one shard.
pub struct ShardWriter {
    kind: TokenType,
    bin: Writer,
    idx: Writer,
    docs: TableWriter<Writer, DocColumns>,
    paths: [RelativePath; 3],
    lengths: Vec<u32>,
    tokens: u64,
    buffer: Vec<u8>,
}

/// The files of a finished shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardFiles {
    /// `.bin`, `.idx` and `.docs.parquet`, in this order.
    pub files: [(RelativePath, Written); 3],
    /// Documents in it.
    pub sequences: u64,
    /// Tokens in it.
    pub tokens: u64,
}

impl ShardWriter {
    /// Starts the shard `stem`, for example `tokens/train-00000`.
    pub fn create(store: &Store, stem: &RelativePath, kind: TokenType) -> Result<Self, Error> {
        let paths = paths(stem)?;
        let bin = store.create_writer(&paths[0])?;
        let idx = store.create_writer(&paths[1])?;
        let docs = TableWriter::new(store.create_writer(&paths[2])?)?;
        Ok(Self { kind, bin, idx, docs, paths, lengths: Vec::new(), tokens: 0, buffer: Vec::new() })
    }

    /// Appends a document. Its tokens end with end-of-text, which counts.
    pub fn push(&mut self, id: DocumentId, tokens: &[u32]) -> Result<(), Error> {
        let path = self.paths[0].as_str();
        let corrupt = |detail: String| Error::Corrupt { path: path.to_owned(), detail };
        let length = u32::try_from(tokens.len()).ok().filter(|&length| i32::try_from(length).is_ok());
        let length = length.ok_or_else(|| corrupt("a document has more than 2^31 tokens".to_owned()))?;
        self.buffer.clear();
        for &token in tokens {
            if token > self.kind.max() {
                return Err(corrupt(format!("token {token} does not fit the shard's {:?}", self.kind)));
            }
            match self.kind {
                TokenType::U16 => self.buffer.extend_from_slice(&(token as u16).to_le_bytes()),
                TokenType::I32 => self.buffer.extend_from_slice(&token.to_le_bytes()),
            }
        }
        self.bin.write_all(&self.buffer).map_err(|error| Error::io(path, error))?;
        let (sequence, length_tokens) = (self.lengths.len() as u64, u64::from(length));
        docs::push(
            &mut self.docs,
            TokenDocument { id, sequence, offset: self.tokens, length: length_tokens },
        )?;
        self.lengths.push(length);
        self.tokens += length_tokens;
        Ok(())
    }

    /// Tokens so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Ends the three files.
    pub fn finish(mut self) -> Result<ShardFiles, Error> {
        self.write_index().map_err(|error| Error::io(self.paths[1].as_str(), error))?;
        let sequences = self.lengths.len() as u64;
        let [bin, idx, docs] = self.paths;
        let docs_written = self.docs.finish()?.finish()?;
        Ok(ShardFiles {
            files: [(bin, self.bin.finish()?), (idx, self.idx.finish()?), (docs, docs_written)],
            sequences,
            tokens: self.tokens,
        })
    }

    fn write_index(&mut self) -> std::io::Result<()> {
        let idx = &mut self.idx;
        let sequences = self.lengths.len() as u64;
        idx.write_all(MAGIC)?;
        idx.write_all(&VERSION.to_le_bytes())?;
        idx.write_all(&[self.kind.code()])?;
        idx.write_all(&sequences.to_le_bytes())?;
        idx.write_all(&(sequences + 1).to_le_bytes())?;
        for length in &self.lengths {
            idx.write_all(&length.to_le_bytes())?;
        }
        let mut offset = 0u64;
        for &length in &self.lengths {
            idx.write_all(&offset.to_le_bytes())?;
            offset += u64::from(length) * self.kind.width();
        }
        for document in 0..=sequences {
            idx.write_all(&document.to_le_bytes())?;
        }
        Ok(())
    }
}
