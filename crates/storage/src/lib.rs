//! Stores, formats, manifests, token files.

pub mod documents;
mod error;
pub mod manifest;
pub mod store;

pub use error::{Error, redact};
pub use store::{Entry, OpenOptions, RelativePath, Store, Writer, Written};
