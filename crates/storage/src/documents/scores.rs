//! `scores-NNNNN.parquet`: what a stage measured of every document that came into it, whatever became of it.
//!
//! Beside the document's id and its language, as the stage left it, there is a column of numbers for each measure. Numbers
//! are kept to the last bit, for they are compared with thresholds again.

use std::io::Write;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{Float64Builder, StringBuilder};
use arrow_schema::{DataType, Field, Schema};
use orchestrator_core::DocumentId;

use super::grouped::row_groups;
use super::table::{Batches, Columns, TableReader, TableWriter};
use crate::{Error, RelativePath, Store};

/// The columns that are no measures.
const BESIDE: [&str; 2] = ["id", "language"];

struct ScoreColumns {
    names: Vec<String>,
    id: StringBuilder,
    language: StringBuilder,
    measures: Vec<Float64Builder>,
}

impl Columns for ScoreColumns {
    fn schema(&self) -> Schema {
        let beside = [Field::new("id", DataType::Utf8, false), Field::new("language", DataType::Utf8, true)];
        let measures = self.names.iter().map(|name| Field::new(name, DataType::Float64, true));
        Schema::new(beside.into_iter().chain(measures).collect::<Vec<_>>())
    }

    const REPEATING: &'static [&'static str] = &["language"];

    fn take(&mut self) -> Vec<ArrayRef> {
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.id.finish()), Arc::new(self.language.finish())];
        arrays.extend(self.measures.iter_mut().map(|measure| Arc::new(measure.finish()) as ArrayRef));
        arrays
    }
}

/// Writes scores to one Parquet file.
pub struct ScoresWriter<W: Write + Send>(TableWriter<W, ScoreColumns>);

row_groups!(ScoresWriter);

impl<W: Write + Send> ScoresWriter<W> {
    /// Starts a file on `sink` with these measures.
    pub fn new(sink: W, names: &[String]) -> Result<Self, Error> {
        let columns = ScoreColumns {
            names: names.to_vec(),
            id: StringBuilder::default(),
            language: StringBuilder::default(),
            measures: names.iter().map(|_| Float64Builder::default()).collect(),
        };
        TableWriter::with(sink, columns).map(Self)
    }

    /// Appends the row of a document: a value for each measure, in order.
    pub fn push(
        &mut self,
        id: DocumentId,
        language: Option<&str>,
        measures: &[Option<f64>],
    ) -> Result<(), Error> {
        let columns = &mut self.0.columns;
        columns.id.append_value(id.to_string());
        columns.language.append_option(language);
        let mut measures = measures.iter().copied();
        for column in &mut columns.measures {
            column.append_option(measures.next().flatten());
        }
        self.0.row(40 + 8 * self.0.columns.measures.len())
    }

    /// Ends the file and gives the sink back, still to be finished itself.
    pub fn finish(self) -> Result<W, Error> {
        self.0.finish()
    }
}

/// What was measured of one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The document.
    pub id: DocumentId,
    /// Its language, as the stage left it.
    pub language: Option<String>,
    /// A value for each measure of the file; none where it does not concern the document.
    pub measures: Vec<Option<f64>>,
}

/// Reads scores in order.
pub struct ScoresReader {
    rows: u64,
    names: Vec<String>,
    batches: Batches,
}

impl ScoresReader {
    /// Opens a file of scores.
    pub fn open(store: &Store, path: &RelativePath) -> Result<Self, Error> {
        let table = TableReader::open(store, path)?;
        let names: Vec<String> =
            table.names().into_iter().filter(|name| !BESIDE.contains(&name.as_str())).collect();
        let beside = BESIDE.map(|name| (name, DataType::Utf8));
        let measures = names.iter().map(|name| (name.as_str(), DataType::Float64));
        let wanted: Vec<(&str, DataType)> = beside.into_iter().chain(measures).collect();
        Ok(Self { rows: table.rows(), batches: table.columns(&wanted)?, names })
    }

    /// Documents in the file.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The names of its measures, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Iterator for ScoresReader {
    type Item = Result<Scores, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let names = &self.names;
        Some(self.batches.next_row()?.and_then(|row| {
            Ok(Scores {
                id: row.text("id")?.parse().map_err(|error| row.corrupt(format!("{error}")))?,
                language: row.owned("language"),
                measures: names.iter().map(|name| row.measure(name)).collect(),
            })
        }))
    }
}
