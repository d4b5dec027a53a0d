//! Which pieces of the inputs make one task: a function of the inputs' sizes alone.

use orchestrator_core::TaskOutcome;

use super::ExpandError;
use crate::spec::Job;
use crate::task::{Extent, InputFile, Split};

/// Most pieces in one task, however small they are.
pub(super) const MOST_SPLITS: usize = 4096;

/// Inputs too big for one task, in order.
pub(super) fn big_inputs<'a>(job: &Job, inputs: &'a [InputFile]) -> impl Iterator<Item = &'a InputFile> {
    inputs.iter().filter(|input| is_big(job, input))
}

/// Whether an index task looks for places to cut `input` at. A part of an earlier run is read whole: it was written
/// by one task.
fn is_big(job: &Job, input: &InputFile) -> bool {
    let Some((_, read)) = job.read() else { return false };
    read.run.is_none()
        && input.bytes > job.target_bytes.0.saturating_mul(2)
        && read.format_of(&input.source).is_some_and(crate::spec::Format::has_records)
}

/// All pieces in global order, grouped into tasks. `indexed` is the index phase's number and its outcomes, one for
/// each big input.
pub(super) fn group(
    job: &Job,
    inputs: &[InputFile],
    indexed: (u32, &[TaskOutcome]),
) -> Result<Vec<Vec<Split>>, ExpandError> {
    let (phase, outcomes) = indexed;
    let mut groups = Groups { target: job.target_bytes.0, done: Vec::new(), open: Vec::new(), open_bytes: 0 };
    let mut task = 0;
    for input in inputs {
        if is_big(job, input) {
            let bad = |message: String| ExpandError::BadOutcome { phase, task, message };
            let outcome = outcomes.get(task as usize).ok_or_else(|| bad("it is not committed".to_owned()))?;
            let splits: Vec<Split> = serde_json::from_value(outcome.detail.clone())
                .map_err(|error| bad(format!("expected splits as its detail: {error}")))?;
            check(input, &splits).map_err(bad)?;
            let last_group = last_row_group(&splits);
            for split in splits {
                let bytes = bytes_of(&split, last_group);
                groups.push(split, bytes);
            }
            task += 1;
        } else {
            let whole = Split { input: input.clone(), extent: Extent::Whole, first_record: 0 };
            groups.push(whole, input.bytes);
        }
    }
    Ok(groups.finish())
}

/// Fills one task after the other, never looking ahead.
struct Groups {
    target: u64,
    done: Vec<Vec<Split>>,
    open: Vec<Split>,
    open_bytes: u64,
}

impl Groups {
    fn push(&mut self, split: Split, bytes: u64) {
        let full = self.open.len() == MOST_SPLITS || self.open_bytes.saturating_add(bytes) > self.target;
        if full && !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
            self.open_bytes = 0;
        }
        self.open.push(split);
        self.open_bytes = self.open_bytes.saturating_add(bytes);
    }

    fn finish(mut self) -> Vec<Vec<Split>> {
        if !self.open.is_empty() {
            self.done.push(self.open);
        }
        self.done
    }
}

fn last_row_group(splits: &[Split]) -> u64 {
    let ends =
        splits.iter().map(|split| if let Extent::RowGroups { end, .. } = split.extent { end } else { 0 });
    ends.max().unwrap_or(0)
}

/// A piece's size as it lies in the input; row groups count as equally big.
fn bytes_of(split: &Split, last_row_group: u64) -> u64 {
    match &split.extent {
        Extent::Whole => split.input.bytes,
        Extent::Bytes { start, end } => end - start,
        Extent::RowGroups { start, end } => {
            let share =
                u128::from(split.input.bytes) * u128::from(end - start) / u128::from(last_row_group.max(1));
            share as u64
        }
        Extent::Carved { file, .. } => file.bytes,
    }
}

/// Whether the splits are of this input, cover all of it once, and stand in order.
fn check(input: &InputFile, splits: &[Split]) -> Result<(), String> {
    if splits.is_empty() {
        return Err(format!("expected at least one split of `{}`", input.source));
    }
    let mut at = 0;
    let mut record = 0;
    for (index, split) in splits.iter().enumerate() {
        let wrong = |what: &str| Err(format!("split {index} of `{}` {what}", input.source));
        if split.input != *input {
            return wrong("names another input");
        }
        if split.first_record < record || (index == 0 && split.first_record != 0) {
            return wrong("starts at a record of the split before it");
        }
        if matches!(split.extent, Extent::Carved { .. }) && split.first_record != record {
            let first = split.first_record;
            return wrong(&format!("starts at record {first}: expected it to start at {record}"));
        }
        record = split.first_record;
        match split.extent {
            Extent::Whole if splits.len() == 1 => at = input.bytes,
            Extent::Whole => return wrong("is the whole input, beside others"),
            Extent::Bytes { start, end } | Extent::RowGroups { start, end } => {
                if start != at || end <= start {
                    return wrong(&format!("covers {start}..{end}: expected it to start at {at}"));
                }
                at = end;
            }
            // Offsets tell nothing of the order: they begin anew with each member of the input. Records do.
            Extent::Carved { ref file, .. } => {
                if file.rows == 0 {
                    return wrong("has no record");
                }
                record = record.saturating_add(file.rows);
            }
        }
    }
    let kind = std::mem::discriminant(&splits[0].extent);
    if splits.iter().any(|split| std::mem::discriminant(&split.extent) != kind) {
        return Err(format!("expected splits of one kind for `{}`", input.source));
    }
    if matches!(splits[0].extent, Extent::Bytes { .. }) && at != input.bytes {
        return Err(format!("the splits of `{}` end at byte {at} of {}", input.source, input.bytes));
    }
    Ok(())
}
