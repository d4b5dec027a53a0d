//! Files that a configuration names beside models: lists, tables of thresholds, benchmarks.
//!
//! This crate opens no file. Whoever runs a step implements [`Files`] over its stores and hands it in; what is read is
//! read in a stream, since a list of domains has millions of lines.

use std::io::{BufRead, Read};

/// The longest line of a list or a benchmark that is read.
const MOST_LINE_BYTES: usize = 16 << 20;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{file}`{}: {message}", line.map_or_else(String::new, |line| format!(", line {line}")))]
pub struct FileError {
    /// The file, or the location that leads to none.
    pub file: String,
    /// The line, from 1, where one is to blame.
    pub line: Option<u64>,
    /// What is wrong and what was expected.
    pub message: String,
}

impl FileError {
    /// Blames a file as a whole.
    pub fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, message: message.into() }
    }

    /// Blames a line of a file.
    pub fn at(file: impl Into<String>, line: u64, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: Some(line), message: message.into() }
    }
}

/// Reads one file: its name and its decompressed content.
pub type ReadFile<'a> = dyn FnMut(&str, &mut dyn BufRead) -> Result<(), FileError> + 'a;

/// Where files are read from.
pub trait Files {
    /// Hands every file of a location (a path, URL or glob) to `read`, decompressed, in bytewise order of their names.
    /// A location that leads to no file is an error.
    fn each(&self, location: &str, read: &mut ReadFile<'_>) -> Result<(), FileError>;
}

/// No files at all: for configurations that name none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn each(&self, location: &str, _read: &mut ReadFile<'_>) -> Result<(), FileError> {
        Err(FileError::new(location, "cannot be read here: no files were handed in"))
    }
}

/// Calls `take` with every line of a file, without its end, and the line's number. Lines may end in `\r\n`; a byte order
/// mark at the start is skipped.
pub(crate) fn each_line(
    name: &str,
    content: &mut dyn BufRead,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), FileError>,
) -> Result<(), FileError> {
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        let read = (&mut *content)
            .take(MOST_LINE_BYTES as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| FileError::at(name, number, error.to_string()))?;
        if read == 0 {
            return Ok(());
        }
        if line.len() > MOST_LINE_BYTES {
            let message = format!("is longer than {MOST_LINE_BYTES} bytes: expected one entry a line");
            return Err(FileError::at(name, number, message));
        }
        let mut entry = line.strip_suffix(b"\n").unwrap_or(&line);
        entry = entry.strip_suffix(b"\r").unwrap_or(entry);
        if number == 1 {
            entry = entry.strip_prefix(b"\xef\xbb\xbf").unwrap_or(entry);
        }
        take(number, entry)?;
    }
}

/// The whole of a small file as text.
pub(crate) fn whole(name: &str, content: &mut dyn BufRead, most: u64) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    content
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| FileError::new(name, error.to_string()))?;
    if bytes.len() as u64 > most {
        return Err(FileError::new(
            name,
            format!("is larger than the {most} bytes that are expected at most"),
        ));
    }
    String::from_utf8(bytes).map_err(|_| FileError::new(name, "is not UTF-8"))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Files in memory: a location leads to all whose name begins with it.
    pub(crate) struct Memory(pub(crate) Vec<(&'static str, &'static str)>);

    impl Files for Memory {
        fn each(&self, location: &str, read: &mut ReadFile<'_>) -> Result<(), FileError> {
            let found: Vec<_> = self.0.iter().filter(|(name, _)| name.starts_with(location)).collect();
            if found.is_empty() {
                return Err(FileError::new(location, "leads to no file"));
            }
            found.into_iter().try_for_each(|(name, content)| read(name, &mut content.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_and_a_byte_order_mark() {
        let mut seen = Vec::new();
        each_line("x", &mut &b"\xef\xbb\xbfa\r\n\nb"[..], |number, line| {
            seen.push((number, line.to_vec()));
            Ok(())
        })
        .expect("readable");
        assert_eq!(seen, [(1, b"a".to_vec()), (2, vec![]), (3, b"b".to_vec())]);
    }

    #[test]
    fn what_is_too_long_or_no_text_is_an_error_with_its_place() {
        let long = vec![b'a'; MOST_LINE_BYTES + 1];
        let error = each_line("list.txt", &mut &long[..], |_, _| Ok(())).expect_err("too long").to_string();
        assert!(error.starts_with("`list.txt`, line 1: is longer than"), "{error}");
        assert!(whole("x", &mut &b"\xff"[..], 9).is_err() && whole("x", &mut &b"abc"[..], 2).is_err());
        assert_eq!(whole("x", &mut &b"abc"[..], 3).as_deref(), Ok("abc"));
    }
}
