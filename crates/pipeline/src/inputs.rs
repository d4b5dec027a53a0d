//! Finds a job's inputs and freezes them: (URL, size, stamp), so that the job never reads something else later.

use std::io::Read;

use globset::{GlobBuilder, GlobMatcher};
use orchestrator_job::InputFile;
use orchestrator_job::inputs::{arrange, common_root, first_clash, is_glob, source_below};
use orchestrator_job::spec::ReadConfig;
use orchestrator_storage::formats;
use orchestrator_storage::manifest::StageManifest;
use orchestrator_storage::{AllowedRoots, Entry, Error as StorageError, OpenOptions, RelativePath, Store};

/// The largest list of inputs that `@FILE` may name, decompressed.
const LIST_LIMIT: u64 = 1 << 30;

/// The inputs of a job cannot be found or read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Storage said no.
    #[error("the inputs of the read stage cannot be listed")]
    Storage(#[from] StorageError),
    /// Nothing there.
    #[error("`{pattern}` matches no file: check the path; a directory needs `/**/*.EXTENSION` behind it")]
    NoMatch {
        /// The pattern, as resolved.
        pattern: String,
    },
    /// Nothing left.
    #[error("`exclude` leaves no file of the read stage's `paths`")]
    AllExcluded,
    /// Not a pattern.
    #[error("`{pattern}` is no glob")]
    Glob {
        /// The pattern.
        pattern: String,
        /// Why.
        #[source]
        source: globset::Error,
    },
    /// A file whose format nothing tells.
    #[error("the format of `{file}` is not known from its name: set `format` in the read stage")]
    UnknownFormat {
        /// The file.
        file: String,
    },
    /// Two files with the same name below the root.
    #[error(
        "`{first}` and `{second}` would give documents the same ids: set `root` in the read stage to a directory above both"
    )]
    Clash {
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// A list of inputs that is none.
    #[error("the list `{list}` cannot be read: {message}")]
    List {
        /// The list.
        list: String,
        /// What is wrong.
        message: String,
    },
    /// The earlier run has no such stage, or it left no documents.
    #[error("`{run}` cannot be begun with: {message}")]
    Run {
        /// The earlier run.
        run: String,
        /// What is wrong and what there is.
        message: String,
    },
}

/// Lists the inputs of a read stage whose paths are resolved.
pub fn freeze(read: &ReadConfig) -> Result<Vec<InputFile>, InputError> {
    if let (Some(run), Some(stage)) = (&read.run, &read.stage) {
        return parts_of_run(run, stage);
    }
    let patterns = expand_lists(&read.paths)?;
    let root = read.root.clone().unwrap_or_else(|| common_root(patterns.iter().map(String::as_str)));
    let exclude = read.exclude.iter().map(|pattern| matcher(pattern)).collect::<Result<Vec<_>, _>>()?;
    let mut inputs = Vec::new();
    for pattern in &patterns {
        // This runs for whoever hands the job in, with his own rights.
        let found = find(pattern, &AllowedRoots::any())?;
        if found.is_empty() {
            return Err(InputError::NoMatch { pattern: pattern.clone() });
        }
        for (url, entry) in found {
            if exclude.iter().any(|glob| glob.is_match(&url)) {
                continue;
            }
            let source = source_below(&root, &url);
            inputs.push(InputFile { url, source, bytes: entry.bytes, stamp: entry.stamp });
        }
    }
    let inputs = arrange(inputs);
    if inputs.is_empty() && !exclude.is_empty() {
        return Err(InputError::AllExcluded);
    }
    if let Some(input) = inputs.iter().find(|input| read.format_of(&input.source).is_none()) {
        return Err(InputError::UnknownFormat { file: input.url.clone() });
    }
    if let Some((first, second)) = first_clash(&inputs) {
        return Err(InputError::Clash { first: first.url.clone(), second: second.url.clone() });
    }
    Ok(inputs)
}

fn matcher(pattern: &str) -> Result<GlobMatcher, InputError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|source| InputError::Glob { pattern: pattern.to_owned(), source })
}

/// The files below `roots` that one pattern stands for, with their URLs, in bytewise order.
pub fn find(pattern: &str, roots: &AllowedRoots) -> Result<Vec<(String, Entry)>, InputError> {
    if !is_glob(pattern) {
        let (store, path) = roots.locate(pattern, OpenOptions::default())?;
        return match store.try_stat(&path)? {
            Some(entry) => Ok(vec![(pattern.to_owned(), entry)]),
            None => Ok(Vec::new()),
        };
    }
    let directory = common_root([pattern]);
    let store = roots.open(&directory)?;
    let glob = matcher(pattern)?;
    let base = directory.trim_end_matches('/');
    Ok(store
        .list(&RelativePath::root())?
        .into_iter()
        .map(|entry| (format!("{base}/{}", entry.path.as_str()), entry))
        .filter(|(url, _)| glob.is_match(url))
        .collect())
}

/// Replaces every `@FILE` by the lines of that file.
fn expand_lists(paths: &[String]) -> Result<Vec<String>, InputError> {
    let mut patterns = Vec::new();
    for path in paths {
        let Some(list) = path.strip_prefix('@') else {
            patterns.push(path.clone());
            continue;
        };
        let text = read_list(list)?;
        // Common Crawl's lists name objects of its bucket, not of the list's directory.
        let base = list.rsplit_once('/').map_or("", |(base, _)| base);
        patterns.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
            if line.starts_with('/') || line.contains("://") {
                line.to_owned()
            } else {
                format!("{base}/{line}")
            }
        }));
    }
    Ok(patterns)
}

fn read_list(list: &str) -> Result<String, InputError> {
    let (store, path) = Store::locate(list, OpenOptions::default())?;
    let bytes = store.read_all(&path, LIST_LIMIT)?;
    let wrong = |message: String| InputError::List { list: list.to_owned(), message };
    let mut text = Vec::new();
    if formats::detect_compression(list).1 == formats::Compression::Gzip {
        flate2::read::MultiGzDecoder::new(bytes.as_slice())
            .take(LIST_LIMIT)
            .read_to_end(&mut text)
            .map_err(|error| wrong(error.to_string()))?;
    } else {
        text = bytes;
    }
    String::from_utf8(text).map_err(|_| wrong("it is not UTF-8".to_owned()))
}

/// The parts of a stage of an earlier run, which keep their documents' ids.
fn parts_of_run(run: &str, stage: &str) -> Result<Vec<InputFile>, InputError> {
    let store = Store::open(run)?;
    let wrong = |message: String| InputError::Run { run: run.to_owned(), message };
    let stages: Vec<(String, RelativePath)> = store
        .list(&RelativePath::new("stages")?)?
        .into_iter()
        .filter_map(|entry| {
            let directory = entry.path.as_str().strip_prefix("stages/")?.strip_suffix("/manifest.json")?;
            Some((directory.to_owned(), entry.path))
        })
        .collect();
    let name_of = |directory: &str| directory.split_once('-').map_or("", |(_, name)| name).to_owned();
    let Some(place) =
        stages.iter().position(|(directory, _)| directory == stage || name_of(directory) == stage)
    else {
        let known: Vec<&str> = stages.iter().map(|(directory, _)| directory.as_str()).collect();
        return Err(wrong(format!(
            "it has no finished stage `{stage}`, expected one of: {}",
            known.join(", ")
        )));
    };
    let has_parts = |path: &RelativePath| -> Result<Option<StageManifest>, InputError> {
        let manifest = StageManifest::read(&store, path)?;
        let parts = manifest.files.iter().any(|file| file.path.file_name().starts_with("part-"));
        Ok(parts.then_some(manifest))
    };
    let Some(manifest) = has_parts(&stages[place].1)? else {
        let mut nearest = None;
        for (directory, path) in stages[place..].iter().chain(stages[..place].iter().rev()) {
            if has_parts(path)?.is_some() {
                nearest = Some(directory.clone());
                break;
            }
        }
        let nearest = nearest.unwrap_or_else(|| "none".to_owned());
        return Err(wrong(format!(
            "its stage `{stage}` wrote no documents (set `keep: true` there); the nearest stage that did: `{nearest}`"
        )));
    };
    let base = run.trim_end_matches('/');
    Ok(manifest
        .files
        .into_iter()
        .filter(|file| file.path.file_name().starts_with("part-"))
        .map(|file| InputFile {
            url: format!("{base}/{}", file.path.as_str()),
            source: file.path.as_str().to_owned(),
            bytes: file.bytes,
            stamp: file.xxh3.to_string(),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (path, text) in [("a/1.md", "one"), ("a/b/2.md", "two"), ("a/b/3.txt", "three"), ("c.bin", "?")] {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        directory
    }

    fn read(directory: &tempfile::TempDir, paths: &[&str]) -> ReadConfig {
        let base = directory.path().to_str().expect("UTF-8");
        ReadConfig {
            paths: paths.iter().map(|path| format!("{base}/{path}")).collect(),
            ..ReadConfig::default()
        }
    }

    #[test]
    fn globs_find_files_in_bytewise_order_and_name_them_below_the_root() {
        let corpus = corpus();
        let inputs = freeze(&read(&corpus, &["**/*.md", "a/b/3.txt"])).expect("they are there");
        let sources: Vec<&str> = inputs.iter().map(|input| input.source.as_str()).collect();
        assert_eq!(sources, ["a/1.md", "a/b/2.md", "a/b/3.txt"]);
        assert_eq!(inputs[0].bytes, 3);
        // One star does not cross a directory.
        assert_eq!(freeze(&read(&corpus, &["a/*.md"])).expect("one").len(), 1);
    }

    #[test]
    fn what_is_not_there_or_not_known_is_named() {
        let corpus = corpus();
        let error = |paths: &[&str]| freeze(&read(&corpus, paths)).expect_err("it cannot be").to_string();
        assert!(error(&["nothing/*.md"]).contains("nothing/*.md` matches no file"));
        assert!(error(&["c.bin"]).contains("set `format`"));
    }
}
