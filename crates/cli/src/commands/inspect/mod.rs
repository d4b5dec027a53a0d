//! `inspect`: whatever a run reads or leaves, for a person. One function a kind; which kind it is, the table below says.

mod model;
mod rows;
mod things;

use anyhow::anyhow;
use orchestrator_analytics::Run;
use orchestrator_storage::{OpenOptions, RelativePath, Store, formats};

use crate::args::InspectArgs;
use crate::commands::runs::stats_text;
use crate::console::Console;
use crate::failure::Failure;

/// What may be shown; the end of the error for everything else.
const EXPECTED: &str = "expected a run, its `stages` or `checkpoints`, a stage's, checkpoint's, tokens' or model directory, \
    `part-`, `dropped-` or `notes-NNNNN.parquet`, a token shard (`.bin`, `.idx`, `.docs.parquet`), `job.yaml`, \
    `manifest.json`, `clusters.json`, `samples-NNNNN.json`, `report.json`, `tokenizer.json`, `metrics.jsonl`, \
    `.safetensors`, or an input (WARC, ARC, WET, JSONL, Parquet, Arrow, text, Markdown, HTML)";

/// What is looked at, and how.
struct Subject<'a> {
    store: Store,
    path: RelativePath,
    /// As the caller wrote it.
    url: &'a str,
    rows: usize,
    console: &'a Console,
}

type Show = fn(&Subject<'_>) -> Result<(), Failure>;

/// Files by the beginning and the end of their names; the first that fits counts.
const FILES: [(&str, &str, Show); 19] = [
    ("part-", ".parquet", rows::documents),
    ("dropped-", ".parquet", rows::dropped),
    ("notes-", ".parquet", rows::notes),
    ("scores-", ".parquet", rows::scores),
    ("", ".docs.parquet", rows::token_documents),
    ("", ".bin", things::shard),
    ("", ".idx", things::shard),
    ("manifest.json", "", things::manifest),
    ("tokenizer.json", "", model::tokenizer),
    ("metrics.jsonl", "", things::metrics),
    ("job.yaml", "", things::yaml),
    ("clusters.json", "", things::json_file),
    ("samples-", ".json", things::json_file),
    ("report.json", "", things::json_file),
    ("config.json", "", things::json_file),
    ("state.json", "", things::json_file),
    ("mixture.json", "", things::json_file),
    ("", ".safetensors", model::tensors),
    ("", "", rows::input),
];

/// Directories by a file that only they hold; the first that fits counts.
const DIRECTORIES: [(&str, Show); 5] = [
    ("state.json", things::checkpoint),
    ("config.json", model::directory),
    ("job.yaml", run_figures),
    ("manifest.json", things::manifest),
    ("model.safetensors", things::checkpoint),
];

/// Shows what lies at a path or URL.
pub(crate) fn run(args: &InspectArgs, console: &Console) -> Result<(), Failure> {
    let url = args.path.trim_end_matches('/');
    let url = if url.is_empty() { "/" } else { url };
    let is_bare_bucket = url.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'));
    let file = if is_bare_bucket || !args.path.contains("://") && std::path::Path::new(url).is_dir() {
        None
    } else {
        let (store, path) = Store::locate(url, OpenOptions::default()).map_err(Failure::reading)?;
        store.try_stat(&path).map_err(Failure::reading)?.map(|_| (store, path))
    };
    if let Some((store, path)) = file {
        let subject = Subject { store, path, url, rows: args.rows, console };
        let name = subject.path.file_name();
        let fits = |(begin, end, _): &&(&str, &str, Show)| name.starts_with(begin) && name.ends_with(end);
        return match FILES.iter().find(fits) {
            Some((_, _, show)) => show(&subject),
            None => Err(unknown(url)),
        };
    }
    let store = Store::open(url).map_err(Failure::reading)?;
    for (name, show) in DIRECTORIES {
        let path = RelativePath::new(name).map_err(Failure::reading)?;
        if store.try_stat(&path).map_err(Failure::reading)?.is_some() {
            return show(&Subject { store, path, url, rows: args.rows, console });
        }
    }
    // Directories of a run that nothing but their names tells.
    match url.rsplit('/').next() {
        Some("stages") => {
            let run = url.strip_suffix("stages").map_or("", |run| run.trim_end_matches('/'));
            let run = if run.is_empty() && !url.starts_with('/') { "." } else { run };
            let store = Store::open(if run.is_empty() { "/" } else { run }).map_err(Failure::reading)?;
            return run_figures(&Subject {
                path: RelativePath::root(),
                store,
                url,
                rows: args.rows,
                console,
            });
        }
        Some("checkpoints") => {
            return things::checkpoints(&Subject {
                path: RelativePath::root(),
                store,
                url,
                rows: args.rows,
                console,
            });
        }
        _ => {}
    }
    if store.list(&RelativePath::root()).map_err(Failure::reading)?.is_empty()
        && !std::path::Path::new(url).exists()
    {
        return Err(Failure::usage(anyhow!("`{url}` does not exist")));
    }
    let below = |directory: &str| RelativePath::new(directory).and_then(|path| store.list(&path));
    if below("stages").map_err(Failure::reading)?.is_empty() {
        return Err(unknown(url));
    }
    run_figures(&Subject { path: RelativePath::root(), store, url, rows: args.rows, console })
}

fn unknown(url: &str) -> Failure {
    Failure::usage(anyhow!("`{url}` is nothing that can be shown: {EXPECTED}"))
}

fn run_figures(subject: &Subject<'_>) -> Result<(), Failure> {
    let run = Run::open_in(subject.store.clone(), None).map_err(Failure::reading)?;
    let stats = orchestrator_analytics::stats(&run);
    subject.console.result(&stats, || stats_text(&stats))
}

impl Subject<'_> {
    /// Reads a small file beside the subject's, or the subject's own.
    fn read(&self, path: &RelativePath, limit: u64) -> Result<Vec<u8>, Failure> {
        self.store.read_all(path, limit).map_err(Failure::reading)
    }

    /// A file in the directory that the subject lies in, or is.
    fn beside(&self, name: &str) -> Result<RelativePath, Failure> {
        let directory = self.path.as_str().rsplit_once('/').map_or("", |(directory, _)| directory);
        RelativePath::new(directory).and_then(|path| path.join(name)).map_err(Failure::reading)
    }

    /// The format that the name tells, if it tells one.
    fn format(&self) -> Option<(formats::Format, formats::Compression)> {
        formats::detect(self.path.file_name())
    }
}
