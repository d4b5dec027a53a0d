//! Token shards: Megatron's `.bin` and `.idx`, and the `.docs.parquet` that leads from a token back to its document.
//!
//! ```text
//! .bin   tokens, little-endian, u16 or i32, one document after another
//! .idx   "MMIDIDX\0\0" | u64 version 1 | u8 type | u64 S | u64 D+1 | i32 lengths[S] | i64 byte offsets[S] | i64 documents[D+1]
//! .docs  id | sequence | offset | length      (offset and length in tokens, in the order of .idx)
//! ```
//!
//! One document is one sequence, so S = D and the documents are 0, 1, …, D.

mod docs;
mod shard;
mod writer;

pub use docs::{TokenDocument, TokenDocumentReader};
pub use shard::TokenShard;
pub use writer::{ShardFiles, ShardWriter};

use crate::{Error, RelativePath};

/// First bytes of an `.idx`.
const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";
const VERSION: u64 = 1;
const HEADER_BYTES: u64 = 9 + 8 + 1 + 8 + 8;

/// How a token is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// Two bytes: vocabularies of up to 65,536 entries.
    U16,
    /// Four bytes, signed as Megatron has it.
    I32,
}

impl TokenType {
    /// The smallest type for a vocabulary.
    pub fn for_vocabulary(entries: u32) -> Self {
        if entries <= 1 << 16 { Self::U16 } else { Self::I32 }
    }

    /// Bytes of one token.
    pub fn width(self) -> u64 {
        match self {
            Self::U16 => 2,
            Self::I32 => 4,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::U16 => 8,
            Self::I32 => 4,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        [Self::U16, Self::I32].into_iter().find(|kind| kind.code() == code)
    }

    /// The largest token that fits.
    fn max(self) -> u32 {
        match self {
            Self::U16 => u32::from(u16::MAX),
            Self::I32 => i32::MAX as u32,
        }
    }
}

/// The three files of the shard `stem`, for example `tokens/train-00000`.
fn paths(stem: &RelativePath) -> Result<[RelativePath; 3], Error> {
    let path = |ending: &str| RelativePath::new(format!("{stem}{ending}"));
    Ok([path(".bin")?, path(".idx")?, path(".docs.parquet")?])
}

#[cfg(test)]
mod tests;
