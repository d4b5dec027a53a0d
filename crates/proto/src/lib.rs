//! Generated wire types and every conversion between wire and domain.
//!
//! ```text
//! proto/orchestrator/v1/*.proto ──protox──▶ descriptors ──tonic-prost-build──▶ v1 (messages, clients, servers)
//!                                                └──▶ DESCRIPTORS (reflection)
//! domain error ──status──▶ tonic::Status ──wire──▶ tonic::Status ──error──▶ RemoteError { code, message }
//! ```

mod error;
mod outcome;
mod savepoint;
mod session;

pub use error::{CODE_KEY, MESSAGE_BYTES_MAX, RemoteError, error, status};
pub use outcome::{OUTCOME_BYTES_MAX, OutcomeError, outcome_from_wire, outcome_to_wire};
pub use savepoint::{SavepointError, savepoint_from_wire, savepoint_to_wire};
pub use session::{is_unknown_session, unknown_session};

/// The largest message either side takes or sends, in bytes. An outcome of an index task with many thousands of
/// splits is the largest thing that travels.
pub const MESSAGE_SIZE_MAX: usize = 64 << 20;

/// The longest time a long poll may ask to wait, in milliseconds.
pub const WAIT_MS_MAX: u64 = 30_000;

/// The descriptor set of every service here, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Version 1 of the protocol, as generated.
#[expect(missing_docs, clippy::pedantic, reason = "generated code; the .proto files carry the comments")]
pub mod v1 {
    tonic::include_proto!("orchestrator.v1");
}
