//! Where a later attempt of a task can go on, when the one that runs is lost.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// One savepoint of a task: a file that, with those before it, holds all that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Savepoint {
    /// Counts the task's savepoints from 1, over all its attempts. They stand at places that the task's input alone
    /// decides, so equal numbers of different attempts stand at the same place.
    pub number: u32,
    /// The file, relative to the output.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// xxh3-128 of its bytes.
    pub xxh3: Digest,
    /// Records read before it, for people.
    pub records: u64,
    /// Bytes of text read before it, for people.
    pub bytes_read: u64,
}
