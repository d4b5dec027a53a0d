//! Checkpoints: all that a run needs to go on, bit for bit, with any number of ranks.
//!
//! ```text
//! model.safetensors                     weights by their public names           rank 0
//! optimizer-RRRRR-of-WWWWW.safetensors  moments of a rank's share               every rank
//! state.json                            step, options, fingerprint, policy      rank 0
//! manifest.json                         every file's size and hash; last        whoever commits
//! ```
//!
//! This crate makes and checks bytes; where they lie is the business of a [`CheckpointSink`] and a [`CheckpointSource`].

mod state;
pub(crate) mod tensors;

pub use state::{Restored, RunState, read_weights, restore, save};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::TrainError;

/// Name of the weights' file.
pub const MODEL_FILE: &str = "model.safetensors";
/// Name of the state's file.
pub const STATE_FILE: &str = "state.json";
/// Name of the manifest, whose presence makes a checkpoint exist.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Most files of a checkpoint that is read.
const MOST_FILES: usize = 1 << 16;

/// Name of a checkpoint's directory.
pub fn directory(step: u64) -> String {
    format!("step-{step:08}")
}

/// Name of a rank's part of the optimizer's state.
pub fn optimizer_file(rank: usize, world_size: usize) -> String {
    format!("optimizer-{rank:05}-of-{world_size:05}.safetensors")
}

/// Takes the files of a checkpoint.
pub trait CheckpointSink {
    /// Keeps a file.
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), TrainError>;
}

/// Gives the files of a checkpoint, or of an exported model.
pub trait CheckpointSource {
    /// A file's bytes.
    fn get(&self, name: &str) -> Result<Vec<u8>, TrainError>;

    /// Whether there is such a file.
    fn contains(&self, name: &str) -> Result<bool, TrainError>;
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointFile {
    /// Its name.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// xxh3-128 of its bytes, as 32 hexadecimal digits.
    pub xxh3: String,
}

impl CheckpointFile {
    fn of(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), bytes: bytes.len() as u64, xxh3: format!("{:032x}", xxh3_128(bytes)) }
    }
}

/// The list of a checkpoint's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The step after which it was left.
    pub step: u64,
    /// Number of ranks that wrote it.
    pub world_size: usize,
    /// Every other file.
    pub files: Vec<CheckpointFile>,
    /// Names of the token shards that were trained on, so that one can walk back to documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<String>,
}

impl Manifest {
    /// Reads and bounds a manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrainError> {
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| TrainError::Checkpoint(format!("`{MANIFEST_FILE}`: {error}")))?;
        let ranks = manifest.world_size;
        if ranks == 0 || ranks > MOST_FILES || manifest.files.len() > MOST_FILES {
            let problem = format!("`{MANIFEST_FILE}` names `{ranks}` ranks: expected 1 to {MOST_FILES}");
            return Err(TrainError::Checkpoint(problem));
        }
        Ok(manifest)
    }

    /// The manifest as it is written.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("strings and numbers always serialize")
    }

    /// Reads a file and compares it with what the manifest says of it.
    fn read(&self, source: &dyn CheckpointSource, name: &str) -> Result<Vec<u8>, TrainError> {
        let Some(expected) = self.files.iter().find(|file| file.path == name) else {
            return Err(TrainError::Checkpoint(format!("`{name}` is not in the manifest")));
        };
        let bytes = source.get(name)?;
        let found = CheckpointFile::of(name, &bytes);
        if found == *expected {
            return Ok(bytes);
        }
        Err(TrainError::Checkpoint(format!(
            "`{name}` has `{}` bytes with hash `{}`: expected `{}` with `{}`",
            found.bytes, found.xxh3, expected.bytes, expected.xxh3
        )))
    }
}
