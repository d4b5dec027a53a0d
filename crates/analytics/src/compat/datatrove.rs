//! What datatrove leaves: files of its writers, and of the exclusion writers of its filters.
//!
//! ```text
//! a file below a folder `removed` ─▶ removed; why: `filter_reason` of its metadata, else the name of the folder below
//! any other file                  ─▶ kept, but for a record with a `filter_reason`, and what a `.remove` file names
//! ```
//!
//! Records have `id`, `text` and `metadata`, which the writers spread over the record if told to; empty fields are left
//! out. A filter that answers only yes or no gives no reason. `NNNNNN.remove` of its `MinHash` lists the documents of its
//! reader's NNNNNN-th file that go, as little-endian `u32` places among the documents with text. Read from datatrove 0.10.1.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Selection;
use super::peer::{Folder, Record, Sighting, names};
use crate::error::Error;
use crate::fates::{Fates, KEPT};

/// Where removed documents lie unless told otherwise.
const REMOVED: &str = "removed";
/// What a document goes for that `MinHash` names; our dedup calls it so.
const MINHASH: &str = "duplicate";
/// A `.remove` file names at most so many documents: 64 million.
const MAX_REMOVE_BYTES: u64 = 256 << 20;
/// Figures are small.
const MAX_STATS_BYTES: u64 = 64 << 20;

/// Walks all records in the order of files and lines.
pub(crate) fn read(
    folder: &Folder,
    selection: &Selection,
    fates: &mut Fates,
    see: &mut dyn FnMut(&Sighting<'_>) -> Result<bool, Error>,
) -> Result<(), Error> {
    let removals = Removals::find(folder, selection)?;
    for file in (0..folder.files().len()).filter(|&file| folder.form(file).is_some()) {
        let path = &folder.files()[file];
        let is_kept = selection.is_kept(path);
        let removed_by = if is_kept { None } else { removed_by(path, selection) };
        if selection.has_kept() && !is_kept && removed_by.is_none() && !removals.reads(path) {
            continue;
        }
        let mut removal = removals.of(folder, path)?;
        for record in folder.records(file)? {
            let record = record?;
            let is_removed = removal.as_mut().is_some_and(|removal| removal.names(&record));
            let metadata = metadata(&record);
            let field = |name: &str| {
                let spread = record.fields.get(name);
                spread.or_else(|| metadata.as_ref()?.get(name)).and_then(Value::as_str)
            };
            let reason = field("filter_reason").filter(|_| !is_kept).or(removed_by.as_deref());
            let fate = match reason {
                Some(reason) => fates.number(reason)?,
                None if is_removed => fates.number(MINHASH)?,
                None => KEPT,
            };
            let text = record.text();
            let sighting = Sighting {
                names: names(&record.id, field("url"), text),
                fate,
                text: (fate == KEPT).then_some(text),
                place: (file, record.line),
            };
            if !see(&sighting)? {
                return Ok(());
            }
        }
        if let Some(removal) = removal {
            removal.check(&folder.name(file))?;
        }
    }
    Ok(())
}

/// The metadata, an object or its JSON text.
fn metadata(record: &Record) -> Option<Value> {
    match record.fields.get("metadata")? {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    }
}

/// What a file of removed documents is called: the folder below the one of removed documents.
fn removed_by(path: &str, selection: &Selection) -> Option<String> {
    let (above, below) = match selection.removed_folder(path) {
        Some(folder) => (folder, path[folder.len()..].trim_start_matches('/')),
        None if selection.has_removed() => return None,
        None => {
            let mut at = 0;
            let place = path.split('/').find_map(|segment| {
                let start = at;
                at += segment.len() + 1;
                (segment == REMOVED).then_some(start + REMOVED.len())
            })?;
            (&path[..place], path[place..].trim_start_matches('/'))
        }
    };
    let name = match below.split_once('/') {
        Some((name, _)) => name,
        None => above.rsplit('/').next().unwrap_or(above),
    };
    Some(name.to_owned())
}

/// The `.remove` files of `MinHash`.
#[derive(Default)]
struct Removals {
    /// By the number of the task: the file's number in the folder.
    files: BTreeMap<u64, usize>,
    /// Where the documents lie that `MinHash` read.
    input: Option<String>,
}

impl Removals {
    fn find(folder: &Folder, selection: &Selection) -> Result<Self, Error> {
        let Some(input) = &selection.minhash_input else { return Ok(Self::default()) };
        let mut files = BTreeMap::new();
        for (number, path) in folder.files().iter().enumerate() {
            let Some(task) = path.rsplit('/').next().and_then(|name| name.strip_suffix(".remove")) else {
                continue;
            };
            let wrong =
                |problem: &str| Error::PeerFile { path: folder.name(number), problem: problem.to_owned() };
            let task = task.parse().map_err(|_| wrong("expected the number of a task as its name"))?;
            if files.insert(task, number).is_some() {
                return Err(wrong(
                    "another `.remove` file has its number: compare with one MinHash at a time",
                ));
            }
        }
        let reads = folder.files().iter().any(|path| Selection::is_below(path, input));
        if files.is_empty() || !reads {
            let problem = "expected `.remove` files, and the documents that MinHash read in the folder given";
            return Err(Error::PeerFile { path: input.clone(), problem: problem.to_owned() });
        }
        Ok(Self { files, input: Some(input.clone()) })
    }

    fn reads(&self, path: &str) -> bool {
        self.input.as_ref().is_some_and(|input| Selection::is_below(path, input))
    }

    /// What goes of a file of documents.
    fn of(&self, folder: &Folder, path: &str) -> Result<Option<Removal>, Error> {
        if !self.reads(path) {
            return Ok(None);
        }
        // `00003.jsonl.gz`; of files of bounded size `000_00003.jsonl.gz`, of which no place can be told.
        let stem = path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
        let task = stem.parse::<u64>().map_err(|_| Error::PeerFile {
            path: path.to_owned(),
            problem: "expected the number of MinHash's task as its name, such as `00003.jsonl.gz`".to_owned(),
        })?;
        let Some(&file) = self.files.get(&task) else { return Ok(None) };
        let bytes = folder.bytes(file, MAX_REMOVE_BYTES)?;
        let wrong = |problem: String| Error::PeerFile { path: folder.name(file), problem };
        let (places, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(wrong(format!("it has {} bytes: expected a multiple of four", bytes.len())));
        }
        let places: Vec<u32> = places.iter().map(|place| u32::from_le_bytes(*place)).collect();
        if let Some(at) = places.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(wrong(format!("its entry {} does not rise above the one before", at + 2)));
        }
        Ok(Some(Removal { name: folder.name(file), places, next: 0, seen: 0 }))
    }
}

/// What goes of one file.
struct Removal {
    name: String,
    places: Vec<u32>,
    next: usize,
    /// Documents with text so far: the reader passes the others by.
    seen: u64,
}

impl Removal {
    fn names(&mut self, record: &Record) -> bool {
        if record.text().is_empty() {
            return false;
        }
        let is_named = self.places.get(self.next).is_some_and(|&place| u64::from(place) == self.seen);
        self.next += usize::from(is_named);
        self.seen += 1;
        is_named
    }

    /// Whether all that it names was there.
    fn check(&self, documents: &str) -> Result<(), Error> {
        let Some(place) = self.places.get(self.next) else { return Ok(()) };
        let problem = format!(
            "it names document {place}, and {documents} has {} with text: expected the files that MinHash read",
            self.seen
        );
        Err(Error::PeerFile { path: self.name.clone(), problem })
    }
}

/// What the peer's own figures say: documents dropped for each reason, of all `stats.json`. Empty without any.
pub(crate) fn stated(folder: &Folder) -> Result<BTreeMap<String, u64>, Error> {
    let mut stated = BTreeMap::new();
    for (file, path) in folder.files().iter().enumerate() {
        if path.rsplit('/').next() != Some("stats.json") {
            continue;
        }
        let bytes = folder.bytes(file, MAX_STATS_BYTES)?;
        let wrong = |problem: String| Error::PeerFile { path: folder.name(file), problem };
        let steps: Vec<Step> = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("expected datatrove's figures, a list of steps: {error}")))?;
        for (name, value) in steps.iter().flat_map(|step| &step.stats) {
            let Some(reason) = name.strip_prefix("dropped_") else { continue };
            let total = value.get("total").unwrap_or(value);
            let total = total.as_u64().or_else(|| total.as_f64().map(|total| total as u64));
            let total = total.ok_or_else(|| wrong(format!("expected a number as `{name}`")))?;
            *stated.entry(reason.to_owned()).or_default() += total;
        }
    }
    Ok(stated)
}

/// One step in `stats.json`.
#[derive(serde::Deserialize)]
struct Step {
    #[serde(default)]
    stats: BTreeMap<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_names_the_reason_where_no_record_does() {
        let default = Selection::default();
        for (path, reason) in [
            ("removed/2_non_english/CC-MAIN/00000.jsonl.gz", Some("2_non_english")),
            ("base/removed/url/00000.jsonl.gz", Some("url")),
            ("removed/00000.jsonl.gz", Some("removed")),
            ("output/00000.jsonl.gz", None),
            ("not_removed/00000.jsonl.gz", None),
        ] {
            assert_eq!(removed_by(path, &default).as_deref(), reason, "{path}");
        }
        let told = Selection { removed: vec!["rejected/lang".to_owned()], ..Selection::default() };
        assert_eq!(removed_by("rejected/lang/00000.jsonl.gz", &told).as_deref(), Some("lang"));
        assert_eq!(removed_by("rejected/lang/de/00000.jsonl.gz", &told).as_deref(), Some("de"));
        assert_eq!(removed_by("removed/x/00000.jsonl.gz", &told), None, "what is told replaces the default");
    }
}
