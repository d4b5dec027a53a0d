//! Lists with millions of entries, in eight bytes an entry.

use std::io::BufRead;

use xxhash_rust::xxh3::xxh3_64;

use crate::files::{FileError, each_line};

/// Entries of one list: 2 GiB of hashes.
const MOST_ENTRIES: usize = 1 << 28;

/// A set of strings by their hashes. [`HashList::finish`] must come between the last push and the first question.
#[derive(Default)]
pub(super) struct HashList {
    hashes: Vec<u64>,
}

impl HashList {
    /// Sorts what was pushed and lets go of copies and spare room.
    pub(super) fn finish(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.hashes.shrink_to_fit();
    }

    /// Whether an entry is in the list.
    pub(super) fn contains(&self, entry: &str) -> bool {
        !self.hashes.is_empty() && self.hashes.binary_search(&xxh3_64(entry.as_bytes())).is_ok()
    }
}

/// The entry in a line: none in a blank one and in a comment.
pub(super) fn entry<'a>(name: &str, number: u64, line: &'a [u8]) -> Result<Option<&'a str>, FileError> {
    if line.first() == Some(&b'#') {
        return Ok(None);
    }
    // Lists of the web have a broken line in a million; it can match nothing, and is no reason to stop.
    let Ok(text) = std::str::from_utf8(line) else { return Ok(None) };
    if text.contains('\0') {
        return Err(FileError::at(name, number, "has a NUL in it: expected a list with an entry a line"));
    }
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}

/// Adds the entries of a file to a list, each in its normal form.
pub(super) fn read_entries(
    name: &str,
    content: &mut dyn BufRead,
    normal: fn(&str) -> String,
    list: &mut HashList,
) -> Result<(), FileError> {
    each_line(name, content, |number, line| {
        let Some(entry) = entry(name, number, line)?.map(normal).filter(|entry| !entry.is_empty()) else {
            return Ok(());
        };
        if list.hashes.len() >= MOST_ENTRIES {
            let message = format!("is one too many: expected at most {MOST_ENTRIES} entries");
            return Err(FileError::at(name, number, message));
        }
        list.hashes.push(xxh3_64(entry.as_bytes()));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_again_and_others_are_not() {
        let text: String = (0..10_000).map(|n| format!("host-{n}.example")).collect::<Vec<_>>().join("\n");
        let mut list = HashList::default();
        read_entries("list", &mut text.as_bytes(), str::to_owned, &mut list).expect("a list");
        read_entries("list", &mut text.as_bytes(), str::to_owned, &mut list).expect("the same again");
        list.finish();
        assert_eq!(list.hashes.len(), 10_000);
        assert!(list.contains("host-9999.example") && !list.contains("host-10000.example"));
        assert!(!HashList::default().contains(""));
    }

    #[test]
    fn binary_files_are_no_lists() {
        let read = |bytes: &mut &[u8]| read_entries("x.bin", bytes, str::to_owned, &mut HashList::default());
        assert!(read(&mut &b"a\0b"[..]).expect_err("a NUL").to_string().contains("line 1"));
        assert!(read(&mut &b"\xff\xfe\n# \0\nfine"[..]).is_ok());
    }
}
