//! Lazy tables over the Parquet files of a run.

use polars::prelude::{LazyFrame, PlRefPath, PlSmallStr, ScanArgsParquet, col, lit};

use crate::error::Error;
use crate::run::{Run, Stage, file_names};

/// How the lists of the documents in token shards end.
const DOCS: &str = ".docs.parquet";

/// What a stage's table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Documents that went on.
    Parts,
    /// Records that ended in the stage.
    Dropped,
    /// Edits and spans.
    Notes,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Parts, Self::Dropped, Self::Notes];

    fn prefix(self) -> &'static str {
        match self {
            Self::Parts => "part-",
            Self::Dropped => "dropped-",
            Self::Notes => "notes-",
        }
    }

    /// The table's name in SQL.
    pub(crate) fn table(self, stage: &Stage) -> String {
        match self {
            Self::Parts => stage.table.clone(),
            Self::Dropped => format!("{}_dropped", stage.table),
            Self::Notes => format!("{}_notes", stage.table),
        }
    }
}

/// The table of one kind of a stage; `None` where the stage wrote none.
pub(crate) fn scan(run: &Run, stage: &Stage, kind: Kind) -> Result<Option<LazyFrame>, Error> {
    let files: Vec<_> = stage.files(kind.prefix()).collect();
    scan_files(run, &stage.name, &files, None)
}

/// One lazy table for each part of a stage, in order: for work that holds one part at a time.
pub(crate) fn scan_each_part(run: &Run, stage: &Stage) -> Result<Vec<LazyFrame>, Error> {
    stage
        .files(Kind::Parts.prefix())
        .filter_map(|file| scan_files(run, &stage.name, &[file], None).transpose())
        .collect()
}

/// The part that a token shard was made of: the one of the same number in the last stage that wrote documents.
pub(crate) fn scan_part(run: &Run, shard: &str) -> Result<Option<LazyFrame>, Error> {
    let (Some(stage), Some((_, number))) = (run.last_materialised(), shard.rsplit_once('-')) else {
        return Ok(None);
    };
    let name = format!("/part-{number}.parquet");
    let files: Vec<_> = stage.files(Kind::Parts.prefix()).filter(|file| file.ends_with(&name)).collect();
    scan_files(run, &stage.name, &files, None)
}

/// Names of the token shards, `train-00000` and the like, in order.
pub(crate) fn token_shards(run: &Run) -> Result<Vec<String>, Error> {
    let mut names = file_names(&run.root().join("tokens"))?;
    names.retain_mut(|name| match name.strip_suffix(DOCS) {
        Some(shard) => {
            *name = shard.to_owned();
            true
        }
        None => false,
    });
    Ok(names)
}

/// The documents of token shards, with the column `shard`; `None` where there are no shards.
///
/// It is one scan of many files and no union of scans: Polars counts the rows of a union in a type that we leave out.
pub(crate) fn scan_tokens(run: &Run, shards: &[String]) -> Result<Option<LazyFrame>, Error> {
    let files: Vec<_> = shards.iter().map(|shard| format!("tokens/{shard}{DOCS}")).collect();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let Some(frame) = scan_files(run, "tokenize", &files, Some("shard"))? else { return Ok(None) };
    let directory = run.root().join("tokens/");
    let name = col("shard").str().strip_prefix(lit(directory.to_string_lossy().as_ref()));
    let columns =
        [name.str().strip_suffix(lit(DOCS)), col("id"), col("sequence"), col("offset"), col("length")];
    Ok(Some(frame.select(columns)))
}

/// Scans files; the path of each row's file becomes the column `path_column`.
fn scan_files(
    run: &Run,
    stage: &str,
    files: &[&str],
    path_column: Option<&str>,
) -> Result<Option<LazyFrame>, Error> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut paths = Vec::with_capacity(files.len());
    for file in files {
        let path = run.root().join(file);
        if !path.is_file() {
            return Err(Error::MissingFile { stage: stage.to_owned(), path });
        }
        paths.push(PlRefPath::new(path.to_string_lossy().as_ref()));
    }
    // Without globbing a `[` in a user's path is just a character.
    let arguments = ScanArgsParquet {
        glob: false,
        include_file_paths: path_column.map(PlSmallStr::from_str),
        ..ScanArgsParquet::default()
    };
    Ok(Some(LazyFrame::scan_parquet_files(paths.into_iter().collect(), arguments)?))
}
