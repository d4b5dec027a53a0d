//! Paths inside a store: no name from data or from the wire becomes a path without passing here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Names of temporary files begin so; they are never listed and may not be asked for.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// The longest path that is accepted, in bytes (S3's own bound).
const MAX_BYTES: usize = 1024;

/// A `/`-separated path relative to a store's root. It cannot leave the root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelativePath(String);

impl RelativePath {
    /// Checks and takes a path. Empty means the root itself, which only `list` and `delete_prefix` accept usefully.
    pub fn new(path: impl Into<String>) -> Result<Self, Error> {
        let path = path.into();
        match fault(&path) {
            Some(reason) => Err(Error::InvalidPath { path, reason }),
            None => Ok(Self(path)),
        }
    }

    /// The root of a store.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// This path and more segments below it.
    pub fn join(&self, below: &str) -> Result<Self, Error> {
        if self.0.is_empty() { Self::new(below) } else { Self::new(format!("{}/{below}", self.0)) }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or("")
    }
}

fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return None;
    }
    if path.len() > MAX_BYTES {
        return Some("it is longer than 1024 bytes");
    }
    if path.contains('\0') || path.contains('\\') {
        return Some("it holds a NUL or a backslash");
    }
    for segment in path.split('/') {
        match segment {
            "" => return Some("it is absolute or has an empty segment"),
            "." | ".." => return Some("it has a `.` or `..` segment"),
            _ if segment.starts_with(TEMPORARY) => return Some("names that begin with `.tmp-` are ours"),
            _ => {}
        }
    }
    None
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for RelativePath {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self, Error> {
        Self::new(path)
    }
}

impl TryFrom<String> for RelativePath {
    type Error = Error;

    fn try_from(path: String) -> Result<Self, Error> {
        Self::new(path)
    }
}

impl TryFrom<&str> for RelativePath {
    type Error = Error;

    fn try_from(path: &str) -> Result<Self, Error> {
        Self::new(path)
    }
}

impl From<RelativePath> for String {
    fn from(path: RelativePath) -> Self {
        path.0
    }
}

impl AsRef<str> for RelativePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_could_leave_the_root_are_refused() {
        for path in ["/etc/passwd", "..", "a/../b", "a//b", "a/", "a\\b", "a\0b", "./a", "x/.tmp-1"] {
            assert!(RelativePath::new(path).is_err(), "{path:?}");
        }
        for path in ["", "a", "a/b.c", ".orchestrator/x", "..a/b..", "é/中"] {
            assert!(RelativePath::new(path).is_ok(), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_below_the_root(path in "[a./\\\\]{0,12}") {
            if let Ok(path) = RelativePath::new(path) {
                let depth = std::path::Path::new(path.as_str())
                    .components()
                    .all(|part| matches!(part, std::path::Component::Normal(_)));
                prop_assert!(depth);
            }
        }
    }
}
