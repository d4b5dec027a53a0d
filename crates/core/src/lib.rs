//! Identities, the document, verdicts and digests: the words every other crate speaks.
//!
//! Nothing here knows a clock, a file, a network or a thread.

pub mod demand;
pub mod digest;
pub mod document;
pub mod error_code;
pub mod ids;
pub mod outcome;
pub mod pace;
pub mod redact;
pub mod samples;
pub mod savepoint;
pub mod units;
pub mod verdict;

pub use demand::Demand;
pub use digest::{Digest, RowDigest, RowHasher};
pub use document::{Document, Media};
pub use error_code::ErrorCode;
pub use ids::{AttemptId, DocumentId, FencingToken, JobId, WorkerId};
pub use outcome::{FROZEN_FILES, FileKind, FileRecord, StageTally, TaskOutcome, gang_metrics};
pub use pace::{StoreLoad, StorePace};
pub use redact::redact;
pub use samples::{Amount, DroppedText, LanguageCounts, Lengths, StageSamples, TaskSamples};
pub use savepoint::Savepoint;
pub use verdict::{Decision, Dropped, Note, NoteKind, Reason};
