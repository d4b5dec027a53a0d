//! Finds a job's inputs and freezes them: (URL, size, stamp), so that the job never reads something else later.

mod runs;

use std::cell::RefCell;
use std::io::Read;

use globset::{GlobBuilder, GlobMatcher};
use orchestrator_core::ErrorCode;
use orchestrator_job::InputFile;
use orchestrator_job::inputs::{
    arrange, common_root, escape, first_clash, is_glob, is_left_by_run, literal, segments, source_below,
};
use orchestrator_job::spec::ReadConfig;
use orchestrator_storage::formats;
use orchestrator_storage::{
    AllowedRoots, Entry, Error as StorageError, OpenOptions, PassedBy, RelativePath, Store,
};

pub use self::runs::index_of_run;
use self::runs::parts_of_run;

/// The largest list of inputs that `@FILE` may name, decompressed.
const LIST_LIMIT: u64 = 1 << 30;

/// The inputs of a job cannot be found or read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Storage said no.
    #[error("the inputs of the read stage cannot be listed")]
    Storage(#[from] StorageError),
    /// Nothing there.
    #[error("`{pattern}` matches no file{}", if_given("; passed by: ", .passed_by))]
    NoMatch {
        /// The pattern, as resolved.
        pattern: String,
        /// What lies there and was left alone, with the reason; empty where nothing was.
        passed_by: String,
    },
    /// A directory where a file is expected.
    #[error("`{path}` is a directory: expected a file, or a glob such as `{path}/**/*.jsonl`")]
    Directory {
        /// The directory.
        path: String,
    },
    /// A file outside the root.
    #[error(
        "`{file}` does not lie below `root`, which is `{root}`: expected a directory above all files of `paths`"
    )]
    OutsideRoot {
        /// The file.
        file: String,
        /// The root.
        root: String,
    },
    /// What this very job writes.
    #[error("`{file}` lies where this job writes its own files: expected an input, or another `output`")]
    OwnOutput {
        /// The file.
        file: String,
    },
    /// A glob where nothing can be listed.
    #[error(
        "`{pattern}` cannot be listed, for a web server lists no files: name each file, or give a list with `@`"
    )]
    WebGlob {
        /// The pattern.
        pattern: String,
    },
    /// Nothing left.
    #[error("`exclude` leaves no file of the read stage's `paths`")]
    AllExcluded,
    /// Not a pattern.
    #[error("`{pattern}` is no glob: {}", .source.kind())]
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
    /// The earlier run left no index that duplicates can be looked for in.
    #[error("`{run}` cannot be compared `against`: {message}")]
    Index {
        /// The earlier run.
        run: String,
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

impl InputError {
    /// Whether what is wrong is that something is not there: it was moved, or was never made.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Storage(error) => error.code() == ErrorCode::NotFound,
            Self::NoMatch { .. } | Self::List { .. } | Self::Run { .. } | Self::Index { .. } => true,
            Self::Directory { .. }
            | Self::OutsideRoot { .. }
            | Self::OwnOutput { .. }
            | Self::WebGlob { .. }
            | Self::AllExcluded
            | Self::Glob { .. }
            | Self::UnknownFormat { .. }
            | Self::Clash { .. } => false,
        }
    }
}

fn if_given(before: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{before}{text}") }
}

/// What is wrong, and with which key of the stage.
#[derive(Debug)]
pub struct InputFault {
    /// The key below the stage: `paths[1]`.
    pub key: String,
    /// What is wrong with it.
    pub error: InputError,
}

/// Names the key that an error is about.
fn about(key: impl Into<String>) -> impl FnOnce(InputError) -> InputFault {
    let key = key.into();
    move |error| InputFault { key, error }
}

/// The inputs of a job.
#[derive(Debug, Default)]
pub struct Frozen {
    /// The files, arranged.
    pub files: Vec<InputFile>,
    /// What whoever hands in the job should know: files that were passed by, exclusions without effect.
    pub remarks: Vec<String>,
}

/// More remarks than these help nobody.
const REMARKS_MAX: usize = 10;

/// So many directories that a pattern stands for are remembered.
const DIRECTORIES_MAX: usize = 1_000;

/// Lists the inputs of a read stage whose paths are resolved, for a job that writes to `output`.
pub fn freeze(read: &ReadConfig, output: &str) -> Result<Frozen, InputFault> {
    if let (Some(run), Some(stage)) = (&read.run, &read.stage) {
        let files = parts_of_run(run, stage)?;
        return Ok(Frozen { files, remarks: Vec::new() });
    }
    let options = OpenOptions { anonymous: read.anonymous };
    let patterns = expand_lists(&read.paths, options)?;
    let root =
        read.root.clone().unwrap_or_else(|| common_root(patterns.iter().map(|(_, path)| path.as_str())));
    let mut exclude = Vec::new();
    for (index, pattern) in read.exclude.iter().enumerate() {
        exclude.push((exclusion(pattern).map_err(about(format!("exclude[{index}]")))?, 0_usize));
    }
    let mut inputs = Vec::new();
    let mut remarks = Vec::new();
    for (key, pattern) in &patterns {
        let found = list(pattern, output, options).map_err(about(key))?;
        remarks.extend(found.remarks);
        for (url, entry) in found.files {
            if let Some((_, count)) = exclude.iter_mut().find(|(glob, _)| glob.is_match(&url)) {
                *count += 1;
                continue;
            }
            let source = source_below(&root, &url);
            if source == url && !root.is_empty() {
                return Err(about("root")(InputError::OutsideRoot { file: url, root }));
            }
            if read.format_of(&source).is_none() {
                return Err(about(key)(InputError::UnknownFormat { file: url }));
            }
            inputs.push(InputFile { url, source, bytes: entry.bytes, stamp: entry.stamp });
        }
    }
    let inputs = arrange(inputs);
    if inputs.is_empty() && !exclude.is_empty() {
        return Err(about("exclude")(InputError::AllExcluded));
    }
    if let Some((first, second)) = first_clash(&inputs) {
        return Err(about("root")(InputError::Clash {
            first: first.url.clone(),
            second: second.url.clone(),
        }));
    }
    for (pattern, _) in read.exclude.iter().zip(&exclude).filter(|(_, (_, count))| *count == 0) {
        remarks.push(format!("`exclude` has `{pattern}`, which matches none of the files of `paths`"));
    }
    if remarks.len() > REMARKS_MAX {
        let more = remarks.len() - REMARKS_MAX;
        remarks.truncate(REMARKS_MAX);
        remarks.push(format!("and {more} more remarks of this kind"));
    }
    Ok(Frozen { files: inputs, remarks })
}

/// An exclusion; a relative one is matched against the end of a path.
fn exclusion(pattern: &str) -> Result<GlobMatcher, InputError> {
    if pattern.starts_with('/') || pattern.contains("://") {
        return matcher(pattern);
    }
    // Its own text comes first, so that an error shows what the job file has.
    matcher(pattern)?;
    matcher(&format!("**/{pattern}"))
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
    if is_glob(pattern) {
        return Ok(found(pattern, "", roots, OpenOptions::default())?.files);
    }
    let path = literal(pattern);
    Ok(stat(&path, roots)?.map(|entry| (path, entry)).into_iter().collect())
}

/// Which of `urls` a pattern stands for.
pub(crate) fn among<'a>(
    pattern: &str,
    urls: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, InputError> {
    let matches: Box<dyn Fn(&str) -> bool> = if is_glob(pattern) {
        let glob = matcher(pattern)?;
        Box::new(move |url| glob.is_match(url))
    } else {
        let path = literal(pattern);
        Box::new(move |url| url == path)
    };
    Ok(urls.filter(|url| matches(url)).map(str::to_owned).collect())
}

/// The file of that very name, if there is one.
pub fn stat(url: &str, roots: &AllowedRoots) -> Result<Option<Entry>, InputError> {
    stat_with(url, roots, OpenOptions::default())
}

fn stat_with(url: &str, roots: &AllowedRoots, options: OpenOptions) -> Result<Option<Entry>, InputError> {
    let (store, path) = roots.locate(url, options)?;
    let entry = store.try_stat(&path)?;
    if entry.is_none() && store.local_path(&path).is_some_and(|path| path.is_dir()) {
        return Err(InputError::Directory { path: url.to_owned() });
    }
    Ok(entry)
}

/// What a pattern stands for.
struct Found {
    files: Vec<(String, Entry)>,
    /// What may have been meant and was left alone.
    remarks: Vec<String>,
}

/// The files of one entry of `paths`: at least one, and none that a job with this output writes itself.
fn list(pattern: &str, output: &str, options: OpenOptions) -> Result<Found, InputError> {
    // This runs for whoever hands the job in, with his own rights.
    let roots = AllowedRoots::any();
    if is_glob(pattern) {
        let found = found(pattern, output, &roots, options)?;
        if found.files.is_empty() {
            let passed_by = found.remarks.into_iter().take(3).collect::<Vec<_>>().join("; ");
            return Err(InputError::NoMatch { pattern: pattern.to_owned(), passed_by });
        }
        return Ok(found);
    }
    let path = literal(pattern);
    if is_left_by_run(output, &path) {
        return Err(InputError::OwnOutput { file: path });
    }
    match stat_with(&path, &roots, options)? {
        Some(entry) => Ok(Found { files: vec![(path, entry)], remarks: Vec::new() }),
        None => Err(InputError::NoMatch { pattern: path, passed_by: String::new() }),
    }
}

/// Lists what a glob matches, and no directory that cannot hold a match.
fn found(
    pattern: &str,
    output: &str,
    roots: &AllowedRoots,
    options: OpenOptions,
) -> Result<Found, InputError> {
    if pattern.starts_with("https://") || pattern.starts_with("http://") {
        return Err(InputError::WebGlob { pattern: pattern.to_owned() });
    }
    let directory = common_root([pattern]);
    let store = roots.open_with(&directory, options)?;
    let glob = matcher(pattern)?;
    let base = directory.trim_end_matches('/');
    let levels = segments(pattern);
    let levels =
        levels
            .iter()
            .map(|level| {
                if level.contains("**") || level.contains('{') { Ok(None) } else { matcher(level).map(Some) }
            })
            .collect::<Result<Vec<_>, _>>()?;
    let url = |path: &str| format!("{base}/{path}");
    let is_own = |url: &str| !output.is_empty() && is_left_by_run(output, url);
    // Directories that the pattern stands for, whether or not files in it can match.
    let directories = RefCell::new(Vec::new());
    let enter = |path: &str| {
        let url = url(path);
        if is_own(&url) {
            return false;
        }
        let mut directories = directories.borrow_mut();
        if directories.len() < DIRECTORIES_MAX && glob.is_match(&url) {
            directories.push(url);
        }
        may_hold(&levels, path)
    };
    let listing = store.list_where(&RelativePath::root(), &enter)?;
    let files = listing.entries.into_iter().map(|entry| (url(entry.path.as_str()), entry));
    let files: Vec<(String, Entry)> = files.filter(|(url, _)| glob.is_match(url) && !is_own(url)).collect();
    let passed_by: Vec<(String, PassedBy)> =
        listing.passed_by.into_iter().map(|(path, why)| (url(&path), why)).collect();
    let mut remarks: Vec<String> = passed_by
        .iter()
        .filter_map(|(url, why)| remark(url, *why, glob.is_match(url) && !is_own(url)))
        .collect();
    let mut directories = directories.into_inner();
    directories.sort_unstable();
    for directory in directories {
        let is_linked = passed_by.iter().any(|(url, _)| *url == directory);
        if !is_linked && !holds(&files, &directory) {
            remarks.push(format!(
                "`{directory}` is a directory, and no file in it matches: name its files, as in `{directory}/*`"
            ));
        }
    }
    Ok(Found { files, remarks })
}

/// What is said of a path that was passed by; `matches` tells whether the pattern stands for it. A linked directory can
/// hold what the pattern stands for.
fn remark(url: &str, why: PassedBy, matches: bool) -> Option<String> {
    if !matches && why != PassedBy::LinkedDirectory {
        return None;
    }
    let said = match why {
        PassedBy::LinkedDirectory => "is a link to a directory, which is not followed: name its files",
        PassedBy::Temporary => "is left out: names that begin with `.tmp-` are files on their way",
        PassedBy::DanglingLink => "is left out: it is a link to what is not there",
        PassedBy::NoFile => "is left out: it is a pipe, a socket or a device",
    };
    Some(format!("`{url}` {said}"))
}

/// Whether one of these files, which stand in bytewise order, lies below a directory.
fn holds(files: &[(String, Entry)], directory: &str) -> bool {
    let below = format!("{directory}/");
    let first = files.partition_point(|(url, _)| *url < below);
    files.get(first).is_some_and(|(url, _)| url.starts_with(&below))
}

/// Whether files that match can lie in the directory `path`; a level without a matcher stands for any depth.
fn may_hold(levels: &[Option<GlobMatcher>], path: &str) -> bool {
    for (place, name) in path.split('/').enumerate() {
        match levels.get(place) {
            Some(None) => return true,
            Some(Some(level)) if place + 1 < levels.len() && level.is_match(name) => {}
            // The last level is the files' own.
            Some(Some(_)) | None => return false,
        }
    }
    true
}

/// Replaces every `@FILE` by the lines of that file. With each pattern, the key that it comes from.
fn expand_lists(paths: &[String], options: OpenOptions) -> Result<Vec<(String, String)>, InputFault> {
    let mut patterns = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let key = format!("paths[{index}]");
        let Some(list) = path.strip_prefix('@') else {
            patterns.push((key, path.clone()));
            continue;
        };
        let text = read_list(list, options).map_err(about(&key))?;
        let base = escape(list_base(list));
        patterns.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
            let absolute = line.starts_with('/') || line.contains("://");
            (key.clone(), if absolute { line.to_owned() } else { format!("{base}/{line}") })
        }));
    }
    Ok(patterns)
}

/// What the names in a list are relative to: its directory, or the root of the bucket or host where it has a URL, for
/// Common Crawl's lists name objects of its bucket.
fn list_base(list: &str) -> &str {
    let Some(host) = list.find("://").map(|at| at + 3) else {
        return list.rsplit_once('/').map_or("", |(base, _)| base);
    };
    list[host..].find('/').map_or(list, |length| &list[..host + length])
}

fn read_list(list: &str, options: OpenOptions) -> Result<String, InputError> {
    let (store, path) = Store::locate(list, options)?;
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

#[cfg(test)]
mod tests;
