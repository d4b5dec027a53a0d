//! Our decisions beside those of a peer over the same documents.
//!
//! ```text
//! run ──ours──▶ rows by key ─sort─┐
//!                                 ├─merge─▶ verdicts, reasons, texts ─▶ tally, and a line for each difference
//! DIR ──peer──▶ rows by key ─sort─┘
//! ```
//!
//! Both sides are read once, a record at a time, and sorted on disk ([`sorter`]): memory does not grow with them. The key
//! is chosen, unless told, by a thousand of the peer's records: the one by which most of them are ours ([`probe`]).

mod datatrove;
mod dolma;
mod join;
mod key;
mod mixer;
mod ours;
mod peer;
mod probe;
mod sorter;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use self::join::{Cell, Difference as CompatDifference, DifferenceKind, Example};
pub use self::key::By;
use self::mixer::Mixer;
pub use self::peer::Peer;
use self::peer::{Folder, Sighting};
use self::sorter::{Row, Sorted, Sorter};
use crate::error::Error;
use crate::fates::Fates;
use crate::run::Run;

/// A mixer's configuration is small.
const MAX_MIXER_BYTES: u64 = 16 << 20;

/// Which of a peer's files are what. Folders are relative to its directory.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Folders of documents that were kept to the end; without any, all that are nothing else.
    pub kept: Vec<String>,
    /// Folders of documents that datatrove's filters removed; without any, those named `removed`.
    pub removed: Vec<String>,
    /// The folder of documents that datatrove's `MinHash` read, where its `.remove` files are to count.
    pub minhash_input: Option<String>,
}

impl Selection {
    fn is_below(path: &str, folder: &str) -> bool {
        let rest = path.strip_prefix(folder.trim_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    fn is_kept(&self, path: &str) -> bool {
        self.kept.iter().any(|folder| Self::is_below(path, folder))
    }

    fn has_removed(&self) -> bool {
        !self.removed.is_empty()
    }

    fn removed_folder(&self, path: &str) -> Option<&str> {
        let folder = self.removed.iter().find(|folder| Self::is_below(path, folder))?;
        Some(folder.trim_matches('/'))
    }

    /// A folder that holds nothing is a misspelt one.
    fn check(&self, folder: &Folder) -> Result<(), Error> {
        for name in self.kept.iter().chain(&self.removed).chain(&self.minhash_input) {
            if !folder.files().iter().any(|path| Self::is_below(path, name)) {
                let problem = "it holds no file: expected a folder below the peer's directory".to_owned();
                return Err(Error::PeerFile { path: name.clone(), problem });
            }
        }
        Ok(())
    }
}

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct CompatOptions {
    /// Whose output it is.
    pub peer: Peer,
    /// Its directory, a path or URL.
    pub directory: String,
    /// What documents are joined by; chosen by looking where it is absent.
    pub by: Option<By>,
    /// Which of its files are what.
    pub selection: Selection,
    /// The configuration of Dolma's mixer, which tells reasons.
    pub mixer: Option<PathBuf>,
    /// Where sorted rows lie that do not fit into memory; by default where this machine keeps temporary files.
    pub scratch: Option<PathBuf>,
}

/// Two sides beside each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compatibility {
    /// Whose output is compared with ours.
    pub peer: Peer,
    /// What documents were joined by.
    pub by: By,
    /// How many there are.
    pub documents: Documents,
    /// Of those on both sides: kept or not.
    pub verdicts: Verdicts,
    /// Every pair of fates, ours and theirs, most frequent first.
    pub pairs: Vec<Cell>,
    /// Of those that both kept: what their texts are after editing.
    pub texts: Texts,
    /// Documents that a peer's own files say two things of: Dolma's mixer wrote them, and the configuration given excludes
    /// them.
    pub contradictions: u64,
    /// Datatrove's own figures beside what its files hold, for each reason.
    pub stated: Vec<Stated>,
}

/// Documents of both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Documents {
    /// Ours, by key.
    pub ours: u64,
    /// Theirs, by key.
    pub theirs: u64,
    /// On both sides.
    pub in_both: u64,
    /// Documents of ours whose key is not known; they are compared with nothing.
    pub ours_without_key: u64,
    /// Records of theirs without a key.
    pub theirs_without_key: u64,
    /// Documents of ours that have the key of another, and count as one with it.
    pub ours_repeated: u64,
}

/// Verdicts on documents of both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Verdicts {
    /// Kept by both.
    pub both_kept: u64,
    /// Dropped by both.
    pub both_dropped: u64,
    /// Dropped by us alone.
    pub only_we_dropped: u64,
    /// Dropped by them alone.
    pub only_they_dropped: u64,
    /// Of those that both dropped: for reasons of one name.
    pub same_reason: u64,
    /// Share of documents with equal verdicts; absent where there are none on both sides.
    pub agreement: Option<f64>,
}

/// Texts of documents that both kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Texts {
    /// Byte for byte.
    pub equal: u64,
    /// Not so.
    pub differ: u64,
    /// Where one side does not tell it.
    pub unknown: u64,
    /// Some that differ.
    pub examples: Vec<Example>,
}

/// How often a reason dropped, by the peer's own figures and by its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stated {
    /// The reason.
    pub reason: String,
    /// By `stats.json`.
    pub stated: u64,
    /// Records in the files that were read.
    pub found: u64,
}

/// Compares a run with a peer's output. Each difference is written to `differences` as a line of JSON, by key.
pub fn compat(
    run: &Run,
    options: &CompatOptions,
    differences: Option<&mut dyn Write>,
) -> Result<Compatibility, Error> {
    let folder = Folder::open(&options.directory, options.peer)?;
    options.selection.check(&folder)?;
    let source = Source { folder, selection: &options.selection, mixer: mixer(options)? };
    let mut fates = Fates::default();
    let by = match options.by {
        Some(by) => by,
        None => probe::choose(run, &source)?,
    };
    let scratch = options.scratch.as_deref();
    let theirs = Theirs::collect(&source, by, &mut fates, scratch)?;
    let ours = ours::collect(run, by, &mut fates, scratch)?;
    let stated = source.stated(&theirs.reasons)?;
    // Of one document Dolma's files say that it is there and that it was kept; of datatrove's an earlier step's output says
    // that it was kept, and a later step's that it was removed.
    let kept_wins = options.peer == Peer::Dolma || by.is_shared();
    let joined = join::join(
        join::Sides { ours: ours.rows, theirs: theirs.rows, kept_wins },
        &mut fates,
        &|file| source.folder.files()[file].clone(),
        differences,
    )?;
    let documents = Documents {
        ours_without_key: ours.without_key,
        theirs_without_key: theirs.without_key,
        ..joined.documents
    };
    if documents.in_both == 0 {
        return Err(Error::NothingInCommon { by: by.name(), path: options.directory.clone() });
    }
    Ok(Compatibility {
        peer: options.peer,
        by,
        documents,
        verdicts: joined.verdicts,
        pairs: joined.pairs,
        texts: joined.texts,
        contradictions: if options.peer == Peer::Dolma { joined.contradictions } else { 0 },
        stated,
    })
}

fn mixer(options: &CompatOptions) -> Result<Option<Mixer>, Error> {
    let Some(path) = &options.mixer else { return Ok(None) };
    let bytes = std::fs::metadata(path).map_err(Error::read(path))?.len();
    if bytes > MAX_MIXER_BYTES {
        return Err(Error::TooLarge { path: path.clone(), bytes, limit: MAX_MIXER_BYTES });
    }
    let text = std::fs::read_to_string(path).map_err(Error::read(path))?;
    Mixer::parse(&path.to_string_lossy(), &text).map(Some)
}

/// A peer's output and how to read it.
struct Source<'a> {
    folder: Folder,
    selection: &'a Selection,
    mixer: Option<Mixer>,
}

impl Source<'_> {
    /// Walks all records, until `see` says that it has seen enough.
    fn read(
        &self,
        fates: &mut Fates,
        see: &mut dyn FnMut(&Sighting<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        match self.folder.peer() {
            Peer::Datatrove => datatrove::read(&self.folder, self.selection, fates, see),
            Peer::Dolma => dolma::read(&self.folder, self.selection, self.mixer.as_ref(), fates, see),
        }
    }

    fn stated(&self, found: &BTreeMap<String, u64>) -> Result<Vec<Stated>, Error> {
        let stated = match self.folder.peer() {
            Peer::Datatrove => datatrove::stated(&self.folder)?,
            Peer::Dolma => BTreeMap::new(),
        };
        let of = |(reason, stated): (String, u64)| {
            let found = found.get(&reason).copied().unwrap_or(0);
            Stated { reason, stated, found }
        };
        Ok(stated.into_iter().map(of).collect())
    }
}

/// A peer's documents, by key.
struct Theirs {
    /// `other` is the place in its files.
    rows: Sorted,
    without_key: u64,
    /// Records for each reason.
    reasons: BTreeMap<String, u64>,
}

impl Theirs {
    fn collect(
        source: &Source<'_>,
        by: By,
        fates: &mut Fates,
        scratch: Option<&Path>,
    ) -> Result<Self, Error> {
        let mut rows = Sorter::new(scratch);
        let mut without_key = 0;
        let mut counts = BTreeMap::new();
        source.read(fates, &mut |seen| {
            *counts.entry(seen.fate).or_insert(0u64) += 1;
            match seen.names.key(by) {
                Some(key) => rows.push(Row {
                    key,
                    order: 0,
                    fate: seen.fate,
                    text: seen.text.map(|text| key::hash(text) as u64),
                    other: Some(join::place(seen.place)),
                })?,
                None => without_key += 1,
            }
            Ok(true)
        })?;
        let reasons = counts.into_iter().map(|(fate, count)| (fates.name(fate).to_owned(), count)).collect();
        Ok(Self { rows: rows.finish()?, without_key, reasons })
    }
}
