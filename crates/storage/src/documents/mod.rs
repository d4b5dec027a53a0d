//! The Parquet files of a stage: its parts, what it dropped, what it edited, what it measured.
//!
//! Writers are streaming: a row group is closed when it holds 16 MiB or 8,192 rows, or when the writer is told to, and
//! equal groups give equal bytes (no time, no host, no version number in the file). Readers hold one batch of rows at a time.

mod document;
mod dropped;
mod grouped;
mod moves;
mod notes;
mod scores;
pub(crate) mod table;

pub use document::{DocumentReader, DocumentWriter, Projection};
pub use dropped::{DroppedReader, DroppedWriter};
pub use grouped::{GroupedWriter, RowGroups};
pub use moves::MovesWriter;
pub use notes::{NotesReader, NotesWriter};
pub use scores::{Scores, ScoresReader, ScoresWriter};
pub use table::parquet_error;

#[cfg(test)]
mod tests;
