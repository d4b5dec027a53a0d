//! Lazy tables over the Parquet files of a run.

use polars::prelude::{
    DataFrame, LazyFrame, NamedFrom, PlRefPath, PlSmallStr, ScanArgsParquet, Series, col, lit,
};

use crate::error::Error;
use crate::files::SCAN_BYTES;
use crate::run::{Run, Stage};

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
    /// What was measured of every document.
    Scores,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Parts, Self::Dropped, Self::Notes, Self::Scores];

    /// How the names of its files begin.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Parts => "part-",
            Self::Dropped => "dropped-",
            Self::Notes => "notes-",
            Self::Scores => "scores-",
        }
    }

    /// The table's name in SQL.
    pub(crate) fn table(self, stage: &Stage) -> String {
        match self {
            Self::Parts => stage.table.clone(),
            Self::Dropped => format!("{}_dropped", stage.table),
            Self::Notes => format!("{}_notes", stage.table),
            Self::Scores => format!("{}_scores", stage.table),
        }
    }
}

/// The table of a stage of documents that dropped, or noted, nothing: a question about its rows has an answer, which is that
/// there are none. `None` for parts, which a fused stage does not write however many documents it kept, and for scores.
pub(crate) fn empty(kind: Kind) -> Result<Option<DataFrame>, Error> {
    let (texts, numbers): (&[&str], &[&str]) = match kind {
        Kind::Parts | Kind::Scores => return Ok(None),
        Kind::Dropped => (&["id", "source", "url", "rule", "value"], &["record"]),
        Kind::Notes => (&["id", "rule", "what"], &["start", "end"]),
    };
    let texts = texts.iter().map(|&name| Series::new(name.into(), Vec::<String>::new()).into());
    let numbers = numbers.iter().map(|&name| Series::new(name.into(), Vec::<u64>::new()).into());
    Ok(Some(DataFrame::new(0, texts.chain(numbers).collect())?))
}

/// The table of one kind of a stage; `None` where the stage wrote none.
pub(crate) fn scan(run: &Run, stage: &Stage, kind: Kind) -> Result<Option<LazyFrame>, Error> {
    let files: Vec<_> = stage.files(kind.prefix()).collect();
    scan_files(run, &stage.name, &files, None)
}

/// One lazy table for each part of a stage, in order: for work that holds one part at a time. Each must be collected
/// before the next is asked for.
pub(crate) fn scan_each_part<'a>(
    run: &'a Run,
    stage: &'a Stage,
) -> impl Iterator<Item = Result<LazyFrame, Error>> + 'a {
    let files = stage.files(Kind::Parts.prefix());
    files.filter_map(|file| scan_files(run, &stage.name, &[file], None).transpose())
}

/// The table of one kind of a stage in as few pieces as are fetched at once, in order: one for a local run. Each must be
/// collected before the next is asked for.
pub(crate) fn scan_in_pieces<'a>(
    run: &'a Run,
    stage: &'a Stage,
    kind: Kind,
) -> impl Iterator<Item = Result<LazyFrame, Error>> + 'a {
    let mut pieces: Vec<Vec<&str>> = Vec::new();
    let mut bytes = 0u64;
    for file in stage.files(kind.prefix()) {
        let size = stage
            .manifest
            .files
            .iter()
            .find(|entry| entry.path.as_str() == file)
            .map_or(0, |entry| entry.bytes);
        match pieces.last_mut() {
            Some(piece) if !run.files().is_remote() || bytes.saturating_add(size) <= SCAN_BYTES => {
                piece.push(file);
            }
            _ => {
                pieces.push(vec![file]);
                bytes = 0;
            }
        }
        bytes = bytes.saturating_add(size);
    }
    pieces.into_iter().filter_map(|piece| scan_files(run, &stage.name, &piece, None).transpose())
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
    let below = run.files().below("tokens")?;
    let shards = below.iter().filter_map(|name| name.strip_suffix(DOCS)).filter(|shard| !shard.contains('/'));
    Ok(shards.map(str::to_owned).collect())
}

/// The files that list the documents of token shards.
pub(crate) fn token_files(shards: &[String]) -> Vec<String> {
    shards.iter().map(|shard| format!("tokens/{shard}{DOCS}")).collect()
}

/// The documents of token shards, with the column `shard`; `None` where there are no shards.
///
/// It is one scan of many files and no union of scans: Polars counts the rows of a union in a type that we leave out.
pub(crate) fn scan_tokens(run: &Run, shards: &[String]) -> Result<Option<LazyFrame>, Error> {
    let files = token_files(shards);
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let Some(frame) = scan_files(run, "tokenize", &files, Some("shard"))? else { return Ok(None) };
    let directory = run.files().place("tokens/");
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
    if let Some(path) = run.files().fetch(files)? {
        return Err(Error::MissingFile { stage: stage.to_owned(), path });
    }
    let paths = files.iter().map(|file| PlRefPath::new(run.files().place(file).to_string_lossy().as_ref()));
    // Without globbing a `[` in a user's path is just a character.
    let arguments = ScanArgsParquet {
        glob: false,
        include_file_paths: path_column.map(PlSmallStr::from_str),
        ..ScanArgsParquet::default()
    };
    Ok(Some(LazyFrame::scan_parquet_files(paths.collect(), arguments)?))
}
