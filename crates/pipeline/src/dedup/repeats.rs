//! One slice of the hash space of items: which of them occurred before, in the order of documents.

use orchestrator_core::{FileKind, TaskOutcome};
use orchestrator_job::PartRef;
use orchestrator_storage::repeats::{FilterReport, SCHEMA_VERSION, SliceReport};
use orchestrator_text::dedup::{Divider, PLACE_MASK, Seen};
use serde_json::json;

use super::items::ItemReader;
use super::keys;
use super::repeated::RepeatedWriter;
use super::slice::Slice;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;

/// Writes `repeated-NNNNN.bin` for slice `partition` of `partitions`: of every part, the places of the items that occurred
/// before; and `seen-NNNNN.json`, which tells how full the filter became.
///
/// Parts are read one after the other and each of them chunk by chunk, so that of equal items the first in the order of
/// documents comes first, whatever tasks ran when. Memory holds the filter, whose size follows from the number of items
/// and the stage's `memory`, and one chunk's repeated places.
pub(crate) fn run(
    context: &TaskContext,
    stage: u32,
    partition: u32,
    partitions: u32,
    items: &[PartRef],
) -> Result<TaskOutcome, TaskError> {
    let config = keys::config(context, stage)?;
    let wrong = |message: String| TaskError::configuration("dedup", message);
    let divider =
        Divider::new(config).ok_or_else(|| wrong("its method looks for no repetitions".to_owned()))?;
    let gap = divider.gap();
    let slice = Slice::new(partition, partitions);
    let total: u64 = items.iter().map(|part| part.rows).sum();
    let sizing = config.sizing(total).map_err(wrong)?;
    if sizing.slices != slice.count {
        return Err(wrong(format!("{} slices for {total} items, expected {}", slice.count, sizing.slices)));
    }
    let mut seen = Seen::new(config, &sizing);
    let mut files = AttemptFiles::new(context);
    let path = format!("{}/repeated-{partition:05}.bin", context.phase_directory());
    let mut writer = RepeatedWriter::create(&files, path)?;
    let (mut base, mut came) = (0, 0);
    let mut repeated = Vec::new();
    for part in items {
        writer.next_part();
        let mut reader = ItemReader::open(context, part, slice)?;
        if u128::from(base + reader.places) >= PLACE_MASK {
            return Err(wrong(format!("more than {PLACE_MASK} places: split the job by its inputs")));
        }
        for chunk in 0..reader.chunks() {
            let mut count = 0;
            reader.each(chunk, |hash, place| {
                count += 1;
                if seen
                    .see(hash, base + place, gap)
                    .map_err(|full| wrong(format!("slice {partition} of {partitions}: {full}")))?
                {
                    repeated.push(place);
                }
                Ok(())
            })?;
            came += count;
            context.progress.add(count, 0);
            repeated.sort_unstable();
            writer.extend(&repeated)?;
            repeated.clear();
        }
        base += reader.places;
    }
    let report = SliceReport {
        schema_version: SCHEMA_VERSION,
        slice: partition,
        slices: partitions,
        items: came,
        different: seen.different(),
        repeated: writer.places,
        bytes: sizing.bytes,
        filter: match (&seen, config.false_positive_rate()) {
            (Seen::Bloom(bloom), Some(asked)) => Some(FilterReport {
                bits: bloom.bits(),
                hashes: bloom.hashes(),
                rate_asked: asked,
                rate_reached: bloom.rate(),
            }),
            _ => None,
        },
    };
    writer.finish(&mut files, stage)?;
    let path = format!("{}/seen-{partition:05}.json", context.stage_directory(stage));
    let mut text = serde_json::to_vec_pretty(&report).map_err(|error| TaskError::corrupt(&path, error))?;
    text.push(b'\n');
    files.write(stage, FileKind::Product, path, 0, &text)?;
    let detail = json!({ "items": report.items, "different": report.different, "repeated": report.repeated });
    Ok(TaskOutcome { files: files.into_records(), detail, ..TaskOutcome::default() })
}
