//! Duplicates: a shuffle by band, edges, clusters, one survivor each.
//!
//! ```text
//!  map tasks         bands tasks (band × slice of its hashes)     one clusters task            map tasks
//!  signatures-NNNNN ─▶ sort (hash, document) ─▶ edges-NNNNN ─▶ union-find, least root ─▶ verdicts-NNNNN ─▶ drop
//!    id, band_00 …       star: (document, first of its bucket)      survivor = first in order      row, survivor's id
//! ```
//!
//! A document is named by its place in the global order: the rows of part 0, then of part 1, and so on.

mod bands;
mod clusters;
pub(crate) mod keys;
mod union_find;

pub(crate) use bands::run as run_bands;
pub(crate) use clusters::run as run_clusters;

use orchestrator_job::PartRef;

use crate::error::TaskError;

/// Number of rows in all parts; a document's place in the global order must fit 32 bits.
fn document_count(signatures: &[PartRef]) -> Result<u32, TaskError> {
    let rows: u64 = signatures.iter().map(|part| part.rows).sum();
    u32::try_from(rows).map_err(|_| {
        TaskError::configuration(
            "dedup",
            format!("{rows} documents in one job, expected at most {}", u32::MAX),
        )
    })
}
