//! What Dolma leaves: documents, what its taggers and deduper say of them, and what its mixer wrote.
//!
//! ```text
//! …/documents/REST ──────────────┐ line by line  ─▶ seen; a reason where the mixer's configuration excludes it
//! …/attributes/NAME/REST (each) ─┘
//! any other file: the mixer's output             ─▶ kept, with its text
//! ```
//!
//! The mixer does not say why a document went: its configuration does, applied to the attributes. A document in no output
//! went though nothing is known that excludes it. Read from dolma 1.2.1.

use orchestrator_storage::formats::Format;
use serde_json::{Map, Value};

use super::Selection;
use super::mixer::Mixer;
use super::peer::{Folder, Record, RecordsOf, Sighting, names};
use crate::error::Error;
use crate::fates::{ABSENT, Fates, KEPT};

/// What a document goes for that no output holds and no known rule excludes.
pub(crate) const UNSAID: &str = "not in the mixer's output";

const DOCUMENTS: &str = "documents";
const ATTRIBUTES: &str = "attributes";

/// What a file of records is.
enum Role<'a> {
    /// Documents: what stands before `documents/`, and after it.
    Documents(&'a str, &'a str),
    Attributes,
    Output,
}

fn role<'a>(path: &'a str, selection: &Selection) -> Role<'a> {
    if selection.is_kept(path) {
        return Role::Output;
    }
    let mut at = 0;
    for segment in path.split('/') {
        let after = at + segment.len() + 1;
        match segment {
            DOCUMENTS if after < path.len() => return Role::Documents(&path[..at], &path[after..]),
            ATTRIBUTES if after < path.len() => return Role::Attributes,
            _ => at = after,
        }
    }
    if selection.has_kept() { Role::Attributes } else { Role::Output }
}

/// Walks all records in the order of files and lines.
pub(crate) fn read(
    folder: &Folder,
    selection: &Selection,
    mixer: Option<&Mixer>,
    fates: &mut Fates,
    see: &mut dyn FnMut(&Sighting<'_>) -> Result<bool, Error>,
) -> Result<(), Error> {
    let files = || (0..folder.files().len()).filter(|&file| folder.form(file).is_some());
    let has_output = files().any(|file| matches!(role(&folder.files()[file], selection), Role::Output));
    if !has_output && mixer.is_none() {
        return Err(Error::NothingDecided(folder.name(0)));
    }
    for file in files() {
        let mut attributes = match role(&folder.files()[file], selection) {
            Role::Attributes => continue,
            Role::Output => None,
            Role::Documents(before, rest) => Some(Attributes::open(folder, before, rest, mixer.is_some())?),
        };
        for record in folder.records(file)? {
            let record = record?;
            let fate = match (&mut attributes, mixer) {
                (None, _) => KEPT,
                (Some(attributes), Some(mixer)) => match mixer.excludes(&attributes.of(&record)?) {
                    Some(reason) => fates.number(reason)?,
                    None if has_output => ABSENT,
                    None => KEPT,
                },
                (Some(_), None) => ABSENT,
            };
            let field = |name: &str| {
                let metadata = || record.fields.get("metadata")?.get(name);
                record.fields.get(name).or_else(metadata).and_then(Value::as_str)
            };
            let text = record.text();
            let sighting = Sighting {
                names: names(&record.id, field("url"), text),
                fate,
                // What the mixer would replace in a text, its output alone tells.
                text: (attributes.is_none() && fate == KEPT).then_some(text),
                place: (file, record.line),
            };
            if !see(&sighting)? {
                return Ok(());
            }
        }
        if let Some(attributes) = attributes {
            attributes.end()?;
        }
    }
    Ok(())
}

/// The files of attributes of one file of documents, which go line by line with it.
struct Attributes(Vec<RecordsOf>);

impl Attributes {
    /// Opens those that are there; none where nobody asks for them.
    fn open(folder: &Folder, before: &str, rest: &str, wanted: bool) -> Result<Self, Error> {
        let mut files = Vec::new();
        let start = format!("{before}{ATTRIBUTES}/");
        for (number, path) in folder.files().iter().enumerate().filter(|_| wanted) {
            let name = path.strip_prefix(&start).and_then(|path| path.split_once('/'));
            if name.is_some_and(|(_, below)| below == rest)
                && folder.form(number).is_some_and(|(format, _)| format == Format::Jsonl)
            {
                files.push(folder.records(number)?);
            }
        }
        Ok(Self(files))
    }

    /// All attributes of the next document.
    fn of(&mut self, document: &Record) -> Result<Map<String, Value>, Error> {
        let mut all = Map::new();
        for file in &mut self.0 {
            let Some(record) = file.next() else {
                let problem = format!("it ends here: expected the attributes of document `{}`", document.id);
                return Err(file.wrong(document.line, problem));
            };
            let mut record = record?;
            if record.id != document.id {
                let problem =
                    format!("expected the attributes of document `{}`, found `{}`", document.id, record.id);
                return Err(file.wrong(record.line, problem));
            }
            match record.fields.remove("attributes") {
                Some(Value::Object(attributes)) => all.extend(attributes),
                _ => return Err(file.wrong(record.line, "expected an object `attributes`")),
            }
        }
        Ok(all)
    }

    /// After the last document there are no more attributes.
    fn end(mut self) -> Result<(), Error> {
        for file in &mut self.0 {
            if let Some(record) = file.next() {
                let record = record?;
                let problem = format!("attributes of `{}`, and its file of documents has ended", record.id);
                return Err(file.wrong(record.line, problem));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_folders() {
        let default = Selection::default();
        let told = Selection { kept: vec!["v1".to_owned()], ..Selection::default() };
        assert!(matches!(role("v0/documents/a/b.json.gz", &default), Role::Documents("v0/", "a/b.json.gz")));
        assert!(matches!(role("documents/b.json.gz", &default), Role::Documents("", "b.json.gz")));
        assert!(matches!(role("v0/attributes/gopher/b.json.gz", &default), Role::Attributes));
        assert!(matches!(role("mixed/b-0000.json.gz", &default), Role::Output));
        assert!(matches!(role("v1/documents/b.json.gz", &default), Role::Documents(..)));
        assert!(matches!(role("v1/documents/b.json.gz", &told), Role::Output));
        assert!(matches!(role("other/b.json.gz", &told), Role::Attributes), "neither kept nor documents");
    }
}
