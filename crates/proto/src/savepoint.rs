//! Savepoints on the wire.

use orchestrator_core::Savepoint;

use crate::v1;

/// A message without a savepoint, or with one that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum SavepointError {
    /// The field is not set.
    #[error("expected a savepoint")]
    Missing,
    /// The hash is none.
    #[error("`{0}` is no hash of a savepoint: expected 32 hexadecimal digits")]
    Hash(String),
    /// Savepoints are counted from 1.
    #[error("a savepoint has the number 0: expected 1 or more")]
    Number,
}

/// A savepoint as it travels.
pub fn savepoint_to_wire(savepoint: &Savepoint) -> v1::Savepoint {
    v1::Savepoint {
        number: savepoint.number,
        path: savepoint.path.clone(),
        bytes: savepoint.bytes,
        xxh3: savepoint.xxh3.to_string(),
        records: savepoint.records,
        bytes_read: savepoint.bytes_read,
    }
}

/// A savepoint as it came.
pub fn savepoint_from_wire(savepoint: Option<v1::Savepoint>) -> Result<Savepoint, SavepointError> {
    let v1::Savepoint { number, path, bytes, xxh3, records, bytes_read } =
        savepoint.ok_or(SavepointError::Missing)?;
    if number == 0 {
        return Err(SavepointError::Number);
    }
    let hash = if xxh3.len() == 32 { xxh3.parse().ok() } else { None };
    let xxh3 = hash.ok_or(SavepointError::Hash(xxh3))?;
    Ok(Savepoint { number, path, bytes, xxh3, records, bytes_read })
}

#[cfg(test)]
mod tests {
    use orchestrator_core::Digest;

    use super::*;

    #[test]
    fn a_savepoint_arrives_as_it_was_sent_or_is_refused() {
        let savepoint =
            Savepoint { number: 3, path: "a/b".into(), bytes: 9, xxh3: Digest(7), records: 1, bytes_read: 2 };
        let wire = savepoint_to_wire(&savepoint);
        assert_eq!(savepoint_from_wire(Some(wire.clone())).expect("as it was sent"), savepoint);
        assert!(savepoint_from_wire(None).is_err());
        for bad in [
            v1::Savepoint { number: 0, ..wire.clone() },
            v1::Savepoint { xxh3: "7".into(), ..wire.clone() },
            v1::Savepoint { xxh3: "z".repeat(32), ..wire },
        ] {
            assert!(savepoint_from_wire(Some(bad)).is_err());
        }
    }
}
