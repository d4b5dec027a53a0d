//! Where in the input a segment ends: a function of the records alone, whichever attempt counts them.

use orchestrator_storage::formats::RawKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The record that an attempt reads next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The split of a task, or 0 for a part.
    pub(crate) input: u32,
    /// The record's number, or a part's row.
    pub(crate) record: u64,
    /// Where a reader can start for it; without one it reads from the split's beginning and passes records by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
}

/// Weighs records as they pass and says when a segment is full.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: u64,
    weight: u64,
    /// Offset and size of the record before this one, if it is of the same input.
    before: Option<(u64, u64)>,
}

impl Pace {
    pub(crate) fn new(interval: u64) -> Self {
        Self { interval, weight: 0, before: None }
    }

    /// A record at this offset comes next. Returns whether the segment ends before it.
    ///
    /// A record weighs what it holds, or its distance from the next where that is more: headers and fields beside the
    /// text count too. Distances between gzip members are those of compressed bytes, and never negative.
    pub(crate) fn arrive(&mut self, offset: u64) -> bool {
        if let Some((before, size)) = self.before.take() {
            self.weigh(size.max(offset.saturating_sub(before)));
        }
        if self.weight < self.interval {
            return false;
        }
        self.weight = 0;
        true
    }

    /// The record at this offset was worked on.
    pub(crate) fn pass(&mut self, offset: u64, size: u64) {
        self.before = Some((offset, size));
    }

    /// The input ends; offsets begin anew with the next one.
    pub(crate) fn end_input(&mut self) {
        if let Some((_, size)) = self.before.take() {
            self.weigh(size);
        }
    }

    fn weigh(&mut self, bytes: u64) {
        self.weight = self.weight.saturating_add(bytes);
    }
}

/// What a record holds, in bytes.
pub(crate) fn weight_of(kind: &RawKind) -> u64 {
    match kind {
        RawKind::Body(body) => {
            let fields = body.metadata.iter().map(|(key, value)| key.len() as u64 + size_of_value(value));
            body.bytes.len() as u64 + fields.sum::<u64>()
        }
        RawKind::NotADocument { .. } => 0,
        RawKind::Malformed { length, .. } => *length,
    }
}

/// About what a value takes in a document: metadata is kept in every part.
fn size_of_value(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() as u64,
        Value::Array(values) => values.iter().map(size_of_value).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| key.len() as u64 + size_of_value(value)).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of the records before which a segment ends, from record `begin` on.
    fn ends(records: &[(u64, u64)], begin: usize, interval: u64) -> Vec<usize> {
        let mut pace = Pace::new(interval);
        let mut ends = Vec::new();
        for (number, &(offset, size)) in records.iter().enumerate().skip(begin) {
            if pace.arrive(offset) {
                ends.push(number);
            }
            pace.pass(offset, size);
        }
        ends
    }

    proptest! {
        #[test]
        fn who_goes_on_from_any_end_finds_the_same_ends_after_it(
            sizes in prop::collection::vec((0u64..500, 0u64..700), 1..80),
            interval in 1u64..2000,
        ) {
            let mut at = 0;
            let records: Vec<(u64, u64)> = sizes
                .iter()
                .map(|&(distance, size)| {
                    at += distance;
                    (at, size)
                })
                .collect();
            let whole = ends(&records, 0, interval);
            for (index, &end) in whole.iter().enumerate() {
                prop_assert_eq!(&ends(&records, end, interval), &whole[index + 1..]);
            }
        }

        #[test]
        fn no_segment_is_longer_than_the_interval_and_one_record(
            sizes in prop::collection::vec(1u64..300, 1..80),
            interval in 1u64..2000,
        ) {
            let records: Vec<(u64, u64)> = sizes.iter().map(|&size| (0, size)).collect();
            let mut begin = 0;
            for end in ends(&records, 0, interval) {
                let weight: u64 = sizes[begin..end].iter().sum();
                prop_assert!(weight >= interval && weight < interval + 300);
                begin = end;
            }
        }
    }
}
