//! Files that stages name beside models: opened from any store, decompressed, handed to the text crate in a stream.

use std::io::{BufReader, Read};

use orchestrator_storage::{RelativePath, Store, formats};
use orchestrator_text::files::{FileError, Files, ReadFile};

use crate::context::JobContext;
use crate::error::TaskError;

/// Bytes that are read of a file at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Finds the store of a file.
type Locate<'a> = dyn Fn(&str) -> Result<(Store, RelativePath), TaskError> + 'a;

/// The files that a job may name, as they were when it was handed in.
pub(crate) struct StoreFiles<'a>(pub(crate) &'a JobContext);

impl Files for StoreFiles<'_> {
    fn each(&self, location: &str, read: &mut ReadFile<'_>) -> Result<(), FileError> {
        let urls = self.0.named(location).map_err(|error| FileError::new(location, message(&error)))?;
        each_of(location, &urls, &|url| self.0.locate(url), read)
    }
}

/// Opens files one after the other and hands them on, decompressed.
fn each_of(
    location: &str,
    urls: &[String],
    locate: &Locate<'_>,
    read: &mut ReadFile<'_>,
) -> Result<(), FileError> {
    if urls.is_empty() {
        return Err(FileError::new(location, "leads to no file; expected a path, URL or glob of files"));
    }
    for url in urls {
        let wrong = |error: &dyn std::error::Error| FileError::new(url, message(error));
        let (store, path) = locate(url).map_err(|error| wrong(&error))?;
        let stream = store.open_reader(&path, None).map_err(|error| wrong(&error))?;
        let (_, compression) = formats::detect_compression(url);
        let stream: Box<dyn Read + Send> =
            formats::decompress(stream, compression).map_err(|error| wrong(&error))?;
        read(url, &mut BufReader::with_capacity(BUFFER_BYTES, stream))?;
    }
    Ok(())
}

/// An error with its causes in one line.
fn message(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use orchestrator_storage::{AllowedRoots, OpenOptions};

    use super::*;
    use crate::inputs;

    #[test]
    fn files_of_a_glob_come_in_order_and_decompressed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"packed").expect("memory");
        std::fs::write(path("urls.gz"), packed.finish().expect("memory")).expect("a file");
        std::fs::write(path("domains"), "plain").expect("a file");
        std::fs::write(path("usage"), "other").expect("a file");
        let mut seen = Vec::new();
        let pattern = format!("{}/{{domains,urls,domains.gz,urls.gz}}", directory.path().display());
        let found = inputs::find(&pattern, &AllowedRoots::any()).expect("a glob");
        let urls: Vec<String> = found.into_iter().map(|(url, _)| url).collect();
        let again = inputs::among(&pattern, urls.iter().map(String::as_str).chain(["/elsewhere/urls"]));
        assert_eq!(again.expect("the same glob"), urls);
        let locate = |url: &str| Ok(Store::locate(url, OpenOptions::default())?);
        each_of(&pattern, &urls, &locate, &mut |name, content| {
            let mut text = String::new();
            content.read_to_string(&mut text).map_err(|error| FileError::new(name, error.to_string()))?;
            seen.push((name.rsplit('/').next().unwrap_or_default().to_owned(), text));
            Ok(())
        })
        .expect("both files");
        assert_eq!(seen, [("domains".into(), "plain".to_owned()), ("urls.gz".into(), "packed".to_owned())]);
        let missing = each_of("/no/such/list", &[], &locate, &mut |_, _| Ok(()));
        let missing = missing.expect_err("no file");
        assert!(missing.to_string().contains("`/no/such/list`"), "{missing}");
    }
}
