//! Documents by their places in the global order.

use std::ops::ControlFlow;

use orchestrator_core::Document;
use orchestrator_job::PartRef;
use orchestrator_storage::RelativePath;
use orchestrator_storage::documents::{DocumentReader, Projection};

use crate::context::TaskContext;
use crate::error::TaskError;

/// Reads the documents at `places`, in rising order, until all are read or `take` breaks off. `first` is the place of the
/// first document of `parts`. Row groups without a wanted row are not read.
pub(crate) fn read_at(
    context: &TaskContext,
    parts: &[PartRef],
    first: u32,
    places: &[u32],
    mut take: impl FnMut(u32, Document) -> ControlFlow<()>,
) -> Result<(), TaskError> {
    let mut start = first;
    for part in parts {
        let end = start + part.rows as u32;
        let wanted = &places[places.partition_point(|&place| place < start)..];
        let wanted = &wanted[..wanted.partition_point(|&place| place < end)];
        if !wanted.is_empty() {
            let rows: Vec<u64> = wanted.iter().map(|place| u64::from(place - start)).collect();
            let path = RelativePath::new(&*part.path)?;
            let mut reader = DocumentReader::open_rows(&context.job.output, &path, Projection::All, &rows)?;
            for &place in wanted {
                context.progress.check()?;
                let document = reader.next().ok_or_else(|| {
                    TaskError::corrupt(&part.path, format!("expected a document in row {}", place - start))
                })??;
                context.progress.add(1, document.text.len() as u64);
                if take(place, document).is_break() {
                    return Ok(());
                }
            }
        }
        start = end;
    }
    Ok(())
}
