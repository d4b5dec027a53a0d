//! Stores, formats, manifests, token files.
