//! Stores, formats, manifests, token files.

pub mod clusters;
pub mod documents;
mod error;
pub mod formats;
pub mod manifest;
pub mod repeats;
pub mod split;
pub mod store;
pub mod tokens;

pub use error::{Error, redact};
pub use store::{
    ANY_ROOT, AllowedRoots, Entry, Listing, OpenOptions, PassedBy, RelativePath, Store, Writer, Written,
};
