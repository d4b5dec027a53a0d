//! Stores, formats, manifests, token files.

pub mod clusters;
pub mod documents;
mod error;
pub mod formats;
mod job_file;
pub mod manifest;
pub mod repeats;
pub mod split;
pub mod store;
pub mod tokens;

pub use error::{Error, redact};
pub use job_file::{JOB_BYTES_MAX, JOB_FILE, read_job, try_read_job};
pub use store::{
    ANY_ROOT, AllowedRoots, Entry, Listing, OpenOptions, Paces, PassedBy, RelativePath, Store, Writer,
    Written,
};
