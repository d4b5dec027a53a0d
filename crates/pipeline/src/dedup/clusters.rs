//! Edges to clusters, clusters to verdicts.

use std::collections::BTreeMap;

use orchestrator_core::TaskOutcome;
use orchestrator_job::PartRef;
use serde_json::json;

use super::document_count;
use super::union_find::UnionFind;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::table::{TableReader, TableWriter};

/// Writes `verdicts-NNNNN.parquet` for every part: the rows that are duplicates and their survivors' ids.
pub(crate) fn run(
    context: &TaskContext,
    stage: u32,
    edges: &[PartRef],
    signatures: &[PartRef],
) -> Result<TaskOutcome, TaskError> {
    let directory = context.phase_directory();
    let mut forest = UnionFind::new(document_count(signatures)?);
    for file in edges {
        join_all(context, file, &mut forest)?;
    }
    let survivors = Survivors::of(&mut forest);
    let mut files = AttemptFiles::new(context);
    let mut ids = Vec::with_capacity(survivors.roots.len());
    let mut document = 0;
    for (number, part) in signatures.iter().enumerate() {
        let mut verdicts = TableWriter::create(
            &files,
            format!("{directory}/verdicts-{number:05}.parquet"),
            true,
            &["row".to_owned()],
        )?;
        let mut row = 0;
        for rows in TableReader::open(&context.job.output, &part.path, &["id"])? {
            let rows = rows?;
            context.progress.check()?;
            context.progress.add(rows.len() as u64, 16 * rows.len() as u64);
            for id in rows.ids()? {
                let root = forest.root(document);
                if root == document {
                    // A root comes before its members in order, so its id is known when they need it.
                    if survivors.place(document).is_some() {
                        ids.push(id);
                    }
                } else if let Some(survivor) = survivors.place(root).and_then(|place| ids.get(place)) {
                    verdicts.push(*survivor, [Some(row)])?;
                }
                document += 1;
                row += 1;
            }
        }
        if row != part.rows {
            return Err(TaskError::corrupt(&part.path, format!("expected {} rows, found {row}", part.rows)));
        }
        verdicts.finish(&mut files, stage)?;
    }
    Ok(TaskOutcome { files: files.into_records(), detail: survivors.summary(), ..TaskOutcome::default() })
}

fn join_all(context: &TaskContext, file: &PartRef, forest: &mut UnionFind) -> Result<(), TaskError> {
    let documents = forest.len();
    let out_of_range =
        || TaskError::corrupt(&file.path, format!("an edge leads beyond the {documents} documents"));
    for rows in TableReader::open(&context.job.output, &file.path, &["document", "first"])? {
        let rows = rows?;
        context.progress.check()?;
        context.progress.add(rows.len() as u64, 16 * rows.len() as u64);
        for (document, first) in rows.numbers("document")?.zip(rows.numbers("first")?) {
            let in_range = |end: Option<u64>| {
                end.and_then(|end| u32::try_from(end).ok())
                    .filter(|&end| end < documents)
                    .ok_or_else(out_of_range)
            };
            forest.join(in_range(document)?, in_range(first)?);
        }
    }
    Ok(())
}

/// The roots of clusters of two and more, in order, and how large their clusters are.
struct Survivors {
    roots: Vec<u32>,
    sizes: Vec<u32>,
}

impl Survivors {
    fn of(forest: &mut UnionFind) -> Self {
        let mut roots: Vec<u32> = (0..forest.len())
            .filter_map(|document| Some(forest.root(document)).filter(|&root| root != document))
            .collect();
        roots.sort_unstable();
        let mut survivors = Self { roots: Vec::new(), sizes: Vec::new() };
        for cluster in roots.chunk_by(|a, b| a == b) {
            survivors.roots.push(cluster[0]);
            survivors.sizes.push(cluster.len() as u32 + 1);
        }
        survivors
    }

    fn place(&self, root: u32) -> Option<usize> {
        self.roots.binary_search(&root).ok()
    }

    /// Number of clusters by size, and the largest, for the report.
    fn summary(&self) -> serde_json::Value {
        let mut sizes = BTreeMap::<u32, u64>::new();
        for &size in &self.sizes {
            *sizes.entry(size).or_default() += 1;
        }
        json!({
            "clusters": self.roots.len(),
            "duplicates": self.sizes.iter().map(|&size| u64::from(size) - 1).sum::<u64>(),
            "largest": sizes.last_key_value().map_or(0, |(&size, _)| size),
        })
    }
}
