//! The files of a peer: which there are, and their records one by one.

use orchestrator_core::DocumentId;
use orchestrator_storage::formats::{
    self, Compression, Format, Input, RawKind, ReaderOptions, Records, Start, detect_compression,
};
use orchestrator_storage::{RelativePath, Store};
use serde_json::{Map, Value};

use super::key::{Names, named_record};
use crate::error::Error;
use crate::fates::Fate;

/// The project whose output is compared with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// Hugging Face's datatrove: writers and exclusion writers.
    Datatrove,
    /// AI2's Dolma: documents, attributes, the mixer's output.
    Dolma,
}

/// Endings of files of records, before a compression's. Dolma calls lines of JSON `.json`; datatrove does not, and
/// its `.json` files are figures.
const DOLMA_LINES: [&str; 3] = ["json", "jsonl", "ndjson"];
const DATATROVE_LINES: [&str; 2] = ["jsonl", "ndjson"];

/// A peer's output directory.
pub(crate) struct Folder {
    store: Store,
    peer: Peer,
    /// All files, sorted.
    files: Vec<String>,
}

/// A record of a peer's file.
pub(crate) struct Record {
    /// Its line among those that are not blank, or its row, from 1.
    pub(crate) line: u64,
    pub(crate) id: String,
    /// The other fields.
    pub(crate) fields: Map<String, Value>,
}

impl Record {
    /// The text; none where it was empty, which datatrove leaves out.
    pub(crate) fn text(&self) -> &str {
        self.fields.get("text").and_then(Value::as_str).unwrap_or_default()
    }
}

/// What one record says of a document.
pub(crate) struct Sighting<'a> {
    pub(crate) names: Names<'a>,
    /// [`crate::fates::ABSENT`] where it only says that there is such a document.
    pub(crate) fate: Fate,
    /// The text that was kept.
    pub(crate) text: Option<&'a str>,
    /// The file's number in its folder, and the line.
    pub(crate) place: (usize, u64),
}

impl Folder {
    /// Lists a directory or URL.
    pub(crate) fn open(url: &str, peer: Peer) -> Result<Self, Error> {
        let store = Store::open(url)?;
        let entries = store.list(&RelativePath::root())?;
        let files: Vec<String> = entries.into_iter().map(|entry| entry.path.as_str().to_owned()).collect();
        let folder = Self { store, peer, files };
        if (0..folder.files.len()).any(|file| folder.form(file).is_some()) {
            return Ok(folder);
        }
        let expected = match peer {
            Peer::Datatrove => "files of its writers (`.jsonl`, `.jsonl.gz`, `.jsonl.zst`, `.parquet`)",
            Peer::Dolma => {
                "`documents/`, `attributes/` or a mixer's output (`.json.gz`, `.jsonl.zst` and the like)"
            }
        };
        Err(Error::NoPeerOutput { path: folder.store.url().to_owned(), expected })
    }

    /// Whose output it is.
    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// The directory, as a person calls it.
    pub(crate) fn url(&self) -> &str {
        self.store.url()
    }

    /// All files, sorted; their places are their numbers.
    pub(crate) fn files(&self) -> &[String] {
        &self.files
    }

    /// The form of a file of records; `None` of any other file.
    pub(crate) fn form(&self, file: usize) -> Option<(Format, Compression)> {
        let (stem, compression) = detect_compression(&self.files[file]);
        let (_, extension) = stem.rsplit('/').next()?.rsplit_once('.')?;
        let lines: &[&str] = match self.peer {
            Peer::Datatrove => &DATATROVE_LINES,
            Peer::Dolma => &DOLMA_LINES,
        };
        if lines.contains(&extension) {
            return Some((Format::Jsonl, compression));
        }
        (extension == "parquet" && compression == Compression::None).then_some((Format::Parquet, compression))
    }

    /// What a person calls a file.
    pub(crate) fn name(&self, file: usize) -> String {
        match RelativePath::new(&*self.files[file]) {
            Ok(path) => self.store.name(&path),
            Err(_) => self.files[file].clone(),
        }
    }

    /// Reads a small file whole.
    pub(crate) fn bytes(&self, file: usize, limit: u64) -> Result<Vec<u8>, Error> {
        Ok(self.store.read_all(&RelativePath::new(&*self.files[file])?, limit)?)
    }

    /// The records of a file. The first that cannot be read is an error that names it.
    pub(crate) fn records(&self, file: usize) -> Result<RecordsOf, Error> {
        let name = self.name(file);
        let Some((format, compression)) = self.form(file) else {
            return Err(Error::PeerRecord {
                path: name,
                line: 1,
                problem: "it is no file of records".into(),
            });
        };
        let path = RelativePath::new(&*self.files[file])?;
        let input = if format.seeks() {
            Input::Seekable(self.store.open_seekable(&path)?, None)
        } else {
            Input::Stream(self.store.open_reader(&path, None)?)
        };
        // The one field that every record of theirs has stands where ours have the text; the others stay as they are.
        let options = ReaderOptions {
            text_field: "id".to_owned(),
            date_fields: Vec::new(),
            language_fields: Vec::new(),
            nested: true,
            ..ReaderOptions::default()
        };
        let records = formats::open(&name, input, format, compression, Start::default(), &options)?;
        Ok(RecordsOf { name, records })
    }
}

/// The records of one file.
pub(crate) struct RecordsOf {
    name: String,
    records: Records,
}

impl RecordsOf {
    /// An error of this file.
    pub(crate) fn wrong(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::PeerRecord { path: self.name.clone(), line, problem: problem.into() }
    }
}

impl Iterator for RecordsOf {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.records.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(error.into())),
        };
        let line = record.ordinal + 1;
        let (cause, body) = match record.kind {
            RawKind::Body(body) => (String::new(), Some(body)),
            RawKind::Malformed { cause, .. } => (cause, None),
            RawKind::NotADocument { reason } => (reason, None),
        };
        let Some(body) = body else { return Some(Err(self.wrong(line, cause))) };
        let Ok(id) = String::from_utf8(body.bytes) else {
            return Some(Err(self.wrong(line, "expected an `id` in UTF-8")));
        };
        let mut fields = body.metadata;
        // The reader takes the URL out of the record.
        if let Some(url) = body.url {
            fields.insert("url".to_owned(), url.into());
        }
        Some(Ok(Record { line, id, fields }))
    }
}

/// By what a peer's record can be recognised.
pub(crate) fn names<'a>(id: &'a str, url: Option<&'a str>, text: &'a str) -> Names<'a> {
    let record: Option<DocumentId> = named_record(id);
    Names { id: Some(id), record, url, text: (!text.is_empty()).then_some(text) }
}
