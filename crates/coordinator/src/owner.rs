//! One coordinator per output: an object, taken by conditional put, names the one.

use orchestrator_core::ErrorCode;
use orchestrator_storage::{Error, RelativePath, Store};
use serde::{Deserialize, Serialize};

/// Where the object lies.
const PATH: &str = ".orchestrator/owner.json";
/// An owner object is small.
const BYTES_MAX: u64 = 64 << 10;
/// Tries against others that write at the same moment.
const TRIES: u32 = 5;

/// Who owns an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The coordinator's name, from its journal.
    pub(crate) coordinator: String,
    /// Its incarnation.
    pub(crate) epoch: u64,
    /// Where a person finds it; empty where an older build wrote the object.
    #[serde(default)]
    pub(crate) host: String,
    /// Its process there, or the one that it was.
    #[serde(default)]
    pub(crate) process: u32,
    /// Its journal on that host.
    #[serde(default)]
    pub(crate) state: String,
}

impl Owner {
    /// This process as the owner of outputs, with its journal.
    pub(crate) fn here(coordinator: String, epoch: u64, journal: &std::path::Path) -> Self {
        // What only helps people is left out where the system does not tell.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let state = std::path::absolute(journal).unwrap_or_else(|_| journal.to_owned());
        Self {
            coordinator,
            epoch,
            host: host.trim().to_owned(),
            process: std::process::id(),
            state: state.display().to_string(),
        }
    }

    /// In words: its name, and where a person finds it.
    fn told(&self) -> String {
        if self.state.is_empty() {
            return format!("`{}`", self.coordinator);
        }
        format!(
            "`{}`: last process {} on the host `{}`, with its state in `{}`",
            self.coordinator, self.process, self.host, self.state
        )
    }
}

/// An output cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnerError {
    /// Another coordinator has it.
    #[error(
        "`{output}` belongs to another coordinator ({found}): use that one or its state, another output, or, if it \
         is gone for good, remove `{PATH}` from the output"
    )]
    Taken {
        /// The output.
        output: String,
        /// Who has it, in words.
        found: String,
    },
    /// The store failed.
    #[error("the owner of the output cannot be told: {0}")]
    Storage(#[from] Error),
}

impl OwnerError {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Taken { .. } => ErrorCode::Conflict,
            Self::Storage(error) => error.code(),
        }
    }
}

/// Where the object lies, relative to the output.
pub(crate) fn path() -> Result<RelativePath, Error> {
    RelativePath::new(PATH)
}

/// Takes an output, or keeps it. Returns whether it was free.
pub(crate) fn claim(store: &Store, owner: &Owner) -> Result<bool, OwnerError> {
    let path = path()?;
    let bytes = serde_json::to_vec(owner).expect("an owner is plain data");
    for _ in 0..TRIES {
        if store.put_if_absent(&path, &bytes)? {
            return Ok(true);
        }
        let Some((stamp, found)) = read(store, &path)? else { continue };
        if found.coordinator != owner.coordinator || found.epoch > owner.epoch {
            return Err(OwnerError::Taken { output: store.url().to_owned(), found: found.told() });
        }
        if found.epoch == owner.epoch || store.put_if_unchanged(&path, &bytes, &stamp)? {
            return Ok(false);
        }
    }
    Err(OwnerError::Storage(Error::Conflict { path: PATH.to_owned() }))
}

/// The stamp of the object and what it says; none where another wrote while we read, for a restarted coordinator takes
/// an output for a job that it goes on with and for one that is submitted again at the same moment.
fn read(store: &Store, path: &RelativePath) -> Result<Option<(String, Owner)>, OwnerError> {
    let stat = |path| store.stat(path).map(|entry| entry.stamp);
    match stat(path).and_then(|stamp| Ok((stamp, store.read_all(path, BYTES_MAX)?))) {
        Ok((stamp, text)) => serde_json::from_slice(&text)
            .map(|found| Some((stamp, found)))
            .map_err(|error| Error::Corrupt { path: PATH.to_owned(), detail: error.to_string() }.into()),
        Err(Error::Conflict { .. } | Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_coordinator_is_refused_and_a_restart_is_not() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
        let owner =
            |name: &str, epoch| Owner::here(name.into(), epoch, std::path::Path::new("journal.sqlite"));
        assert!(claim(&store, &owner("a", 1)).expect("it is free"));
        assert!(!claim(&store, &owner("a", 2)).expect("its own"));
        assert!(matches!(claim(&store, &owner("b", 9)), Err(OwnerError::Taken { .. })));
        let refused = claim(&store, &owner("a", 1)).expect_err("an older incarnation").to_string();
        assert!(refused.contains("journal.sqlite") && refused.contains("process"), "{refused}");
        // As an older build wrote it.
        store
            .put_atomic(&path().expect("a path"), br#"{"coordinator":"c","epoch":1}"#)
            .map(drop)
            .expect("written");
        assert!(matches!(claim(&store, &owner("a", 3)), Err(OwnerError::Taken { .. })));
    }

    #[test]
    fn claims_of_one_coordinator_at_the_same_moment_all_hold() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = directory.path().to_str().expect("UTF-8");
        for epoch in 1..20 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let store = Store::open(url).expect("a store");
                        claim(&store, &Owner::here("a".into(), epoch, std::path::Path::new("j")))
                            .expect("its own");
                    });
                }
            });
        }
    }
}
