//! A segment: one file with all that an attempt did between two savepoints.
//!
//! ```text
//!  "orchseg1" │ length of the head, u64 LE │ head, JSON │ row group │ row group │ …
//! ```

use bytes::Bytes;
use orchestrator_core::Digest;
use serde::{Deserialize, Serialize};

use super::State;
use crate::error::TaskError;

/// The largest segment that is written or read: far above what an interval of input gives, below what hurts.
pub(crate) const BYTES_MAX: u64 = 1 << 30;

const MAGIC: [u8; 8] = *b"orchseg1";

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// What it is good for.
    pub(crate) task: Digest,
    /// Counts the task's segments from 1.
    pub(crate) number: u32,
    /// Hash of the segment before it.
    pub(crate) before: Option<Digest>,
    /// Where the segments up to this one lie, in order.
    pub(crate) runs: Vec<Run>,
    /// The row groups that follow, in order.
    pub(crate) groups: Vec<GroupHead>,
    /// The books at its end.
    pub(crate) state: State,
}

/// Segments that one attempt wrote, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Where the attempt writes, relative to the output.
    pub(crate) attempt_path: String,
    /// How many.
    pub(crate) count: u32,
}

/// Which file a row group belongs to, and how long it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupHead {
    /// The path that the file will be published to.
    pub(crate) path: String,
    /// Its bytes in the segment.
    pub(crate) bytes: u64,
}

/// A row group and the path of the file that it belongs to.
pub(crate) type Group = (String, Bytes);

/// Where the segment of a number lies.
pub(crate) fn path(attempt_path: &str, number: u32) -> String {
    format!("{attempt_path}/segments/{number:06}.seg")
}

impl Head {
    /// The bytes before the row groups.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let head = serde_json::to_vec(self)?;
        let mut bytes = Vec::with_capacity(16 + head.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&(head.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&head);
        Ok(bytes)
    }

    /// Reads a whole segment. `path` is for messages.
    pub(crate) fn decode(path: &str, bytes: &Bytes) -> Result<(Self, Vec<Group>), TaskError> {
        let corrupt = |message: &str| TaskError::corrupt(path, message);
        let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| corrupt("expected a segment"))?;
        let length = rest.first_chunk::<8>().ok_or_else(|| corrupt("it ends in its first bytes"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let end = length.checked_add(16).filter(|end| *end <= bytes.len());
        let mut at = end.ok_or_else(|| corrupt("it ends in its head"))?;
        let head: Self = serde_json::from_slice(&bytes[16..at])
            .map_err(|error| TaskError::corrupt(path, format!("its head cannot be read: {error}")))?;
        let mut groups = Vec::with_capacity(head.groups.len().min(bytes.len()));
        for group in &head.groups {
            let end = usize::try_from(group.bytes).ok().and_then(|length| at.checked_add(length));
            let end =
                end.filter(|end| *end <= bytes.len()).ok_or_else(|| corrupt("it ends in a row group"))?;
            groups.push((group.path.clone(), bytes.slice(at..end)));
            at = end;
        }
        if at != bytes.len() {
            return Err(corrupt("there are bytes behind its last row group"));
        }
        Ok((head, groups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> (Head, Vec<u8>) {
        let groups = [("a", 3), ("b", 0), ("a", 5)];
        let head = Head {
            task: Digest(7),
            number: 2,
            before: Some(Digest(1)),
            runs: vec![Run { attempt_path: ".orchestrator/attempts/0/0/1".into(), count: 2 }],
            groups: groups.map(|(path, bytes)| GroupHead { path: path.into(), bytes }).into(),
            state: State { read: (9, 99), ..State::default() },
        };
        let mut bytes = head.encode().expect("plain data");
        bytes.extend_from_slice(b"onethree");
        (head, bytes)
    }

    #[test]
    fn a_segment_is_read_as_it_was_written() {
        let (head, bytes) = segment();
        let (read, groups) = Head::decode("s", &bytes.into()).expect("a segment");
        assert_eq!(read, head);
        let groups: Vec<(&str, &[u8])> =
            groups.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
        assert_eq!(groups, [("a", &b"one"[..]), ("b", b""), ("a", b"three")]);
    }

    #[test]
    fn what_is_cut_off_or_longer_is_no_segment() {
        let (_, bytes) = segment();
        for length in 0..bytes.len() {
            assert!(Head::decode("s", &bytes[..length].to_vec().into()).is_err(), "{length} bytes");
        }
        let longer = [&bytes[..], b"x"].concat();
        let error = Head::decode("s", &longer.into()).expect_err("it is too long").to_string();
        assert_eq!(error, "`s`: there are bytes behind its last row group");
        let mut huge = bytes;
        huge[8..16].fill(0xff);
        assert!(Head::decode("s", &huge.into()).is_err());
    }
}
