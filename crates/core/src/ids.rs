//! Identifiers. Each is its own type, so that none can stand where another belongs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Names one document for ever: hex of xxh3-128 over (source, NUL, record).
///
/// `source` is relative to the read step's root, so moving a corpus changes no id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(pub u128);

impl DocumentId {
    /// Derives the id of record number `record` of `source`.
    pub fn derive(source: &str, record: u64) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(source.as_bytes());
        hasher.update(&[0]);
        hasher.update(record.to_string().as_bytes());
        Self(hasher.digest128())
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no document id: expected 32 hexadecimal digits")]
pub struct ParseDocumentIdError(String);

impl FromStr for DocumentId {
    type Err = ParseDocumentIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseDocumentIdError(text.to_owned()));
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ParseDocumentIdError(text.to_owned()))
    }
}

impl Serialize for DocumentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DocumentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! name_like {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_like! {
    /// Names a submitted job; the coordinator hands it out (`NAME-0001`).
    JobId
}
name_like! {
    /// Names a worker process; the worker chooses it and keeps it over reconnects.
    WorkerId
}

/// Numbers an attempt at a task; it rises over the whole life of a coordinator and is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub u64);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Proves that a lease is the newest of its task. A commit with an older token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FencingToken(pub u64);

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_depends_on_source_and_record_and_survives_text() {
        let id = DocumentId::derive("a/b.jsonl", 7);
        assert_ne!(id, DocumentId::derive("a/b.jsonl", 8));
        assert_ne!(id, DocumentId::derive("a/b.jsonl0", 7));
        assert_eq!(id.to_string().parse::<DocumentId>().expect("its own text"), id);
        assert!("xyz".parse::<DocumentId>().is_err());
        assert!("+0000000000000000000000000000001".parse::<DocumentId>().is_err());
    }

    #[test]
    fn the_derivation_never_changes() {
        // Ids are on users' disks: a change here orphans them.
        let mut reference = Vec::from(b"corpus/a.txt".as_slice());
        reference.extend_from_slice(b"\x000");
        assert_eq!(DocumentId::derive("corpus/a.txt", 0).0, xxhash_rust::xxh3::xxh3_128(&reference));
    }
}
