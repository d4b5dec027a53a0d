//! Edges to clusters, clusters to verdicts.

use orchestrator_core::{FileKind, TaskOutcome};
use orchestrator_job::{InputFile, PartRef};
use orchestrator_storage::clusters::FILE_NAME;
use serde_json::json;

use super::audit::{Samples, Subject};
use super::edges::for_each_edge;
use super::keys;
use super::signatures::Signatures;
use super::sources::Sources;
use super::survivors::{Fate, Survivors};
use super::union_find::UnionFind;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::files::AttemptFiles;
use crate::table::{TableReader, TableWriter};

/// What the task is told to join.
pub(crate) struct Inputs<'a> {
    /// Indexes of earlier runs.
    pub(crate) earlier: &'a [InputFile],
    pub(crate) edges: &'a [PartRef],
    pub(crate) signatures: &'a [PartRef],
    pub(crate) parts: &'a [PartRef],
}

/// Writes `verdicts-NNNNN.parquet` for every part: the rows that are duplicates and their survivors' ids; and the stage's
/// `clusters.json`, with the word to stop where the clusters exceed a limit.
pub(crate) fn run(context: &TaskContext, stage: u32, inputs: &Inputs<'_>) -> Result<TaskOutcome, TaskError> {
    let config = keys::config(context, stage)?;
    let &Inputs { earlier, edges, signatures, parts } = inputs;
    let rows = |files: &[PartRef]| files.iter().map(|file| file.rows).collect::<Vec<_>>();
    if rows(signatures) != rows(parts) {
        let message = format!("signatures of {:?} rows for parts of {:?}", rows(signatures), rows(parts));
        return Err(TaskError::configuration("dedup", message));
    }
    let signatures = Signatures::open(context, earlier, signatures)?;
    let own = signatures.own;
    let mut forest = UnionFind::new(signatures.documents);
    for file in edges {
        for_each_edge(context, file, signatures.documents, |document, first| forest.join(document, first))?;
    }
    let clusters = forest.into_clusters();
    let mut survivors = Survivors::choose(context, config, &clusters, &signatures)?;
    let samples = Samples::choose(&clusters, &survivors, own);
    let mut files = AttemptFiles::new(context);
    let mut sources = Sources::default();
    let mut duplicates = 0;
    let mut document = own;
    for (number, part) in (0..).zip(parts) {
        let path = format!("{}/verdicts-{number:05}.parquet", context.phase_directory());
        let mut verdicts = TableWriter::create(&files, path, true, &["row".to_owned()])?;
        let first = document;
        for rows in TableReader::open(&context.job.output, &part.path, &["source"])? {
            context.progress.check()?;
            for source in rows?.texts("source")? {
                let fate = clusters.of(document).map(|cluster| survivors.fate(document, cluster));
                if let Some(Fate::GoesFor(survivor)) = fate {
                    verdicts.push(survivor, [Some(u64::from(document - first))])?;
                    duplicates += 1;
                }
                sources.push(source, matches!(fate, Some(Fate::GoesFor(_))));
                document += 1;
            }
        }
        if u64::from(document - first) != part.rows {
            let message = format!("expected {} documents, found {}", part.rows, document - first);
            return Err(TaskError::corrupt(&part.path, message));
        }
        verdicts.finish(&mut files, stage)?;
    }
    let subject = Subject { context, config, clusters: &clusters, survivors: &survivors, parts, own };
    let audit = subject.audit(&samples, sources, duplicates)?;
    let path = format!("{}/{FILE_NAME}", context.stage_directory(stage));
    let mut json = serde_json::to_vec_pretty(&audit).map_err(|error| TaskError::corrupt(&path, error))?;
    json.push(b'\n');
    files.write(stage, FileKind::Product, path, 0, &json)?;
    let detail = json!({
        "clusters": audit.clusters,
        "duplicates": audit.duplicates,
        "largest": audit.largest_size,
        "stop": audit.stop,
    });
    Ok(TaskOutcome { files: files.into_records(), detail, ..TaskOutcome::default() })
}
