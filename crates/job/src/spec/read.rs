//! Options of `read`, and the formats it knows.

use orchestrator_core::units::ByteSize;
use orchestrator_text::ConfigError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Finds the inputs and turns their records into documents.
///
/// Either `paths` names files, or `run` and `stage` name what an earlier job left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReadConfig {
    /// Files to read: paths and globs (`corpus/**/*.warc.gz`), URLs (`s3://`, `gs://`, `az://`, `https://`), or `@FILE`
    /// for a list of them, one a line, gzipped or plain. Relative to the job file; `~` and `${NAME:-default}` expand.
    /// Names in a local list are relative to its directory; in a list with a URL to the root of its bucket or host, as in
    /// Common Crawl's `warc.paths.gz`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Globs of files to leave out. A relative glob is matched against the end of a file's path: `x*` leaves out every
    /// file with such a name, `bad/*.jsonl` those in any directory `bad`. An absolute one is matched against the whole.
    /// One that matches nothing is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// The format of all files; without it each file's extension tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Directory that `source` is relative to. By default the deepest directory that `paths` share, wildcards aside,
    /// so that moving a corpus changes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The field of JSONL records and the column of Parquet and Arrow rows that holds the text.
    pub text_field: String,
    /// Whether to read object stores without credentials, as public data sets allow.
    pub anonymous: bool,
    /// Output of an earlier run to begin with, instead of `paths`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The stage of that run whose documents to take, by its name (`dedup`) or its directory (`05-dedup`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// A record longer than this is dropped as `malformed`.
    pub max_record_bytes: ByteSize,
    /// Whether to write this stage's documents even where the stage is fused with the next.
    pub keep: bool,
}

impl Default for ReadConfig {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            exclude: Vec::new(),
            format: None,
            root: None,
            text_field: "text".to_owned(),
            anonymous: false,
            run: None,
            stage: None,
            max_record_bytes: ByteSize::mib(64),
            keep: false,
        }
    }
}

/// A record is held in memory whole, so its bound has a bound.
const MAX_RECORD_BYTES: ByteSize = ByteSize::mib(2048);

impl ReadConfig {
    /// All that is wrong and that the types cannot say.
    pub fn problems(&self) -> Vec<ConfigError> {
        let mut found = Vec::new();
        let mut find = |key: &str, message: String| found.push(ConfigError::new(key, message));
        match (&self.run, &self.stage) {
            (None, None) if self.paths.is_empty() => {
                find("paths", "nothing to read: expected at least one path, or `run` and `stage`".to_owned());
            }
            (Some(_), None) => {
                find("run", "`run` needs `stage`: which stage's documents to begin with".to_owned());
            }
            (None, Some(_)) => find("stage", "`stage` needs `run`: the output of the earlier job".to_owned()),
            (Some(_), Some(_)) | (None, None) => {}
        }
        for (key, given) in [
            ("paths", !self.paths.is_empty()),
            ("exclude", !self.exclude.is_empty()),
            ("format", self.format.is_some()),
            ("root", self.root.is_some()),
        ] {
            if given && self.run.is_some() {
                find(key, format!("`{key}` and `run` exclude each other"));
            }
        }
        for (index, path) in self.paths.iter().enumerate() {
            if path.trim_start_matches('@').is_empty() {
                find(&format!("paths[{index}]"), "expected a path, found an empty string".to_owned());
            }
        }
        if self.text_field.is_empty() {
            find("text_field", "expected the name of a field, found an empty string".to_owned());
        }
        if self.max_record_bytes.0 == 0 || self.max_record_bytes > MAX_RECORD_BYTES {
            find("max_record_bytes", format!("expected 1 B to 2 GiB, found {}", self.max_record_bytes));
        }
        found
    }

    /// The format of one file: what the job says, or what the file's name tells; `None` if neither does.
    pub fn format_of(&self, path: &str) -> Option<Format> {
        self.format.or_else(|| Format::of_path(path))
    }
}

/// Formats of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Web archives, with the older ARC among them: one response, one document.
    Warc,
    /// Common Crawl's extracted text: one conversion record, one document.
    Wet,
    /// A JSON object a line.
    Jsonl,
    /// A row, a document.
    Parquet,
    /// A row of an Arrow IPC file (Feather) or stream, a document.
    Arrow,
    /// A file, a document.
    Text,
    /// A file, a document.
    Markdown,
    /// A file, a page.
    Html,
}

/// How a file is compressed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all, or inside the format.
    None,
    /// gzip, one member or many.
    Gzip,
    /// zstd, one frame or many.
    Zstd,
}

impl Compression {
    /// What a file's name tells, and the name without that extension.
    pub fn of_path(path: &str) -> (Self, &str) {
        let lower = path.to_ascii_lowercase();
        for (extension, compression) in [(".gz", Self::Gzip), (".zst", Self::Zstd), (".zstd", Self::Zstd)] {
            if lower.ends_with(extension) {
                return (compression, &path[..path.len() - extension.len()]);
            }
        }
        (Self::None, path)
    }
}

/// Extensions and what they stand for. The longer of two that fit stands first.
const EXTENSIONS: [(&str, Format); 18] = [
    (".warc.wet", Format::Wet),
    (".wet", Format::Wet),
    (".warc", Format::Warc),
    (".arc", Format::Warc),
    (".jsonl", Format::Jsonl),
    (".ndjson", Format::Jsonl),
    (".json", Format::Jsonl),
    (".parquet", Format::Parquet),
    (".arrow", Format::Arrow),
    (".arrows", Format::Arrow),
    (".feather", Format::Arrow),
    (".txt", Format::Text),
    (".text", Format::Text),
    (".md", Format::Markdown),
    (".markdown", Format::Markdown),
    (".html", Format::Html),
    (".htm", Format::Html),
    (".xhtml", Format::Html),
];

impl Format {
    /// The format that a file's name tells, compression aside.
    pub fn of_path(path: &str) -> Option<Self> {
        let (_, path) = Compression::of_path(path);
        let lower = path.to_ascii_lowercase();
        EXTENSIONS.iter().find(|(extension, _)| lower.ends_with(extension)).map(|&(_, format)| format)
    }

    /// Whether a file holds many records, so that a big one can be cut.
    pub fn has_records(self) -> bool {
        match self {
            Self::Warc | Self::Wet | Self::Jsonl | Self::Parquet | Self::Arrow => true,
            Self::Text | Self::Markdown | Self::Html => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats() {
        for (path, format) in [
            ("a/b.warc.gz", Some(Format::Warc)),
            ("x.warc.wet.gz", Some(Format::Wet)),
            ("x.arc.gz", Some(Format::Warc)),
            ("X.JSONL.ZST", Some(Format::Jsonl)),
            ("README.md", Some(Format::Markdown)),
            ("README", None),
            ("x.gz", None),
        ] {
            assert_eq!(Format::of_path(path), format, "{path}");
        }
    }

    #[test]
    fn paths_and_run_exclude_each_other() {
        let run = ReadConfig { run: Some("x".into()), stage: Some("dedup".into()), ..ReadConfig::default() };
        let keys = |config: &ReadConfig| {
            config.problems().into_iter().map(|problem| problem.key).collect::<Vec<_>>()
        };
        assert!(keys(&run).is_empty());
        let both = ReadConfig { paths: vec!["y".into()], ..run };
        assert_eq!(keys(&both), ["paths"]);
        assert_eq!(keys(&ReadConfig { stage: None, ..both }), ["run", "paths"], "neither hides the other");
        assert_eq!(keys(&ReadConfig::default()), ["paths"]);
    }
}
