use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use super::*;

fn shared(below: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(below);
    if !path.exists() {
        println!("skipped: ../shared is absent");
        return None;
    }
    Some(path)
}

fn read(bytes: Vec<u8>, format: Format, compression: Compression) -> Vec<RawRecord> {
    let stream: Box<dyn Read + Send> = Box::new(Cursor::new(bytes));
    open("test", Input::Stream(stream), format, compression, Start::default(), &ReaderOptions::default())
        .expect("open")
        .collect::<Result<_, _>>()
        .expect("no store fails here")
}

fn jsonl(text: &[u8]) -> Vec<RawRecord> {
    read(text.to_vec(), Format::Jsonl, Compression::None)
}

/// Bodies, records that are no document, malformed.
fn counts(records: &[RawRecord]) -> (usize, usize, usize) {
    let count = |wanted: fn(&RawKind) -> bool| records.iter().filter(|record| wanted(&record.kind)).count();
    (
        count(|kind| matches!(kind, RawKind::Body(_))),
        count(|kind| matches!(kind, RawKind::NotADocument { .. })),
        count(|kind| matches!(kind, RawKind::Malformed { .. })),
    )
}

#[test]
fn names_tell_formats() {
    for (path, expected) in [
        ("a/x.warc.gz", Some((Format::Warc, Compression::Gzip))),
        ("x.warc.wet.gz", Some((Format::Wet, Compression::Gzip))),
        ("X.JSONL.ZST", Some((Format::Jsonl, Compression::Zstd))),
        ("README.md", Some((Format::Markdown, Compression::None))),
        ("x.warc.paths.gz", None),
        ("noextension", None),
        ("é.gz", None),
    ] {
        assert_eq!(detect(path), expected, "{path}");
    }
}

#[test]
fn a_bad_line_is_one_malformed_record_and_the_rest_is_read() {
    let records = jsonl(
        b"\xef\xbb\xbf{\"text\":\"a\",\"url\":\"u\",\"lang\":\"en\",\"n\":1}\n\n{broken\n[1]\n{\"txt\":1}\n{\"text\":\"\xff\"}\n{\"text\":\"z\"}",
    );
    assert_eq!(counts(&records), (2, 0, 4));
    assert_eq!(records.iter().map(|record| record.ordinal).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    let RawKind::Body(first) = &records[0].kind else { panic!("{records:?}") };
    assert_eq!((first.url.as_deref(), first.language.as_deref()), (Some("u"), Some("en")));
    assert_eq!(serde_json::to_string(&first.metadata).expect("JSON"), r#"{"n":1}"#);
    assert!(
        matches!(&records[3].kind, RawKind::Malformed { cause, .. } if cause == "expected a field `text`, found `txt`")
    );
    assert_eq!(records[1].offset, 45);
}

#[test]
fn a_record_beyond_its_bound_is_passed_by() {
    let options = ReaderOptions { max_record_bytes: 100_000, ..ReaderOptions::default() };
    let mut bytes = b"{\"text\":\"".to_vec();
    bytes.extend(std::iter::repeat_n(b'x', 1 << 20));
    bytes.extend_from_slice(b"\"}\n{\"text\":\"small\"}\n");
    let bytes = zstd::encode_all(&bytes[..], 1).expect("compress");
    let input = Input::Stream(Box::new(Cursor::new(bytes)));
    let records: Vec<_> = open("t", input, Format::Jsonl, Compression::Zstd, Start::default(), &options)
        .expect("open")
        .collect::<Result<_, _>>()
        .expect("no store fails");
    assert_eq!(counts(&records), (1, 0, 1));
}

#[test]
fn a_bound_is_held_to_the_byte_wherever_the_decoder_pauses() {
    // `{"text":"` and `"}` are eleven bytes: a line of 50, one of 51, a short one; the second again at the end.
    let line = |length: usize| format!("{{\"text\":\"{}\"}}", "x".repeat(length - 11));
    let text = format!("{}\n{}\n{}\n{}", line(50), line(51), line(12), line(51)).into_bytes();
    let options = ReaderOptions { max_record_bytes: 50, ..ReaderOptions::default() };
    for step in [1, 7, 49, 50, 51, 52, 1000] {
        let input = Input::Stream(Box::new(Steps { bytes: text.clone(), at: 0, step }));
        let records: Vec<_> = open("t", input, Format::Jsonl, Compression::None, Start::default(), &options)
            .expect("open")
            .collect::<Result<_, _>>()
            .expect("no store fails");
        let malformed: Vec<_> = records
            .iter()
            .filter_map(|record| match &record.kind {
                RawKind::Malformed { length, .. } => Some((record.ordinal, record.offset, *length)),
                _ => None,
            })
            .collect();
        assert_eq!(malformed, [(1, 51, 52), (3, 116, 51)], "steps of {step}");
    }
}

/// Gives at most so many bytes at a time.
struct Steps {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl Read for Steps {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.step.min(buffer.len()).min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[test]
fn web_archives_good_and_broken_are_read_to_their_end() {
    let Some(root) = shared("warc") else { return };
    // Bodies, not a document, malformed. Counted with other tools, or by eye where the file is broken on purpose.
    let expected: BTreeMap<&str, (usize, usize, usize)> = [
        ("commoncrawl_whirlwind/whirlwind.warc", (1, 3, 0)),
        ("commoncrawl_whirlwind/whirlwind.warc.gz", (1, 3, 0)),
        ("commoncrawl_whirlwind/whirlwind.warc.wet", (1, 1, 0)),
        ("commoncrawl_whirlwind/whirlwind.warc.wet.gz", (1, 1, 0)),
        ("fastwarc/block-sized-records.warc.gz", (0, 3, 0)),
        ("warcio/example.arc", (1, 1, 0)),
        ("warcio/example.arc.gz", (1, 1, 0)),
        ("warcio/example-space-in-url.arc", (0, 1, 1)), // its line ends were changed: 12 bytes are missing
        ("warcio/bad.arc", (1, 0, 2)),
    ]
    .into();
    let mut seen = 0;
    for directory in std::fs::read_dir(&root).expect("the directory") {
        for file in std::fs::read_dir(directory.expect("an entry").path()).expect("the directory") {
            let path = file.expect("an entry").path();
            let name = path.strip_prefix(&root).expect("below").to_str().expect("UTF-8").to_owned();
            let Some((format, compression)) = detect(name.trim_end_matches(".bad")) else { continue };
            let bytes = std::fs::read(&path).expect("read");
            let records = read(bytes, format, compression);
            println!("{name}: {:?}", counts(&records));
            for record in &records {
                if let RawKind::Malformed { cause, length } = &record.kind {
                    println!("    {} at {}: {cause} ({length})", record.ordinal, record.offset);
                }
            }
            assert!(!records.is_empty(), "{name}");
            assert!(records.iter().enumerate().all(|(n, record)| record.ordinal == n as u64), "{name}");
            if let Some(expected) = expected.get(name.as_str()) {
                assert_eq!(counts(&records), *expected, "{name}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 25, "only {seen} archives were found");
}

#[test]
fn the_page_of_a_warc_is_the_page_that_common_crawl_extracted_from() {
    let Some(root) = shared("warc/commoncrawl_whirlwind") else { return };
    let bodies = |name: &str, format| -> Vec<Body> {
        read(std::fs::read(root.join(name)).expect("read"), format, Compression::Gzip)
            .into_iter()
            .filter_map(|record| if let RawKind::Body(body) = record.kind { Some(*body) } else { None })
            .collect()
    };
    let (page, text) =
        (bodies("whirlwind.warc.gz", Format::Warc), bodies("whirlwind.warc.wet.gz", Format::Wet));
    assert_eq!((page[0].media, text[0].media), (Media::Html, Media::Plain));
    assert_eq!(page[0].url, text[0].url);
    assert!(page[0].date.as_deref().is_some_and(|date| date.starts_with("2024-")));
}

#[test]
fn a_corrupt_member_costs_one_record() {
    let pack = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).expect("write");
        encoder.finish().expect("finish")
    };
    let members: Vec<_> = (0..5).map(|n| pack(&format!("{{\"text\":\"document number {n}\"}}\n"))).collect();
    let at: usize = members[..2].iter().map(Vec::len).sum();
    let mut bytes = members.concat();
    bytes[at + 10] = 7; // a deflate block of the reserved type
    let records = read(bytes.clone(), Format::Jsonl, Compression::Gzip);
    assert_eq!(counts(&records), (4, 0, 1), "{records:?}");
    assert_eq!(records[2].offset, at as u64);
    bytes.truncate(bytes.len() - 5);
    let records = read(bytes, Format::Jsonl, Compression::Gzip);
    assert!(matches!(&records.last().expect("records").kind, RawKind::Malformed { .. }));
}

#[test]
fn a_compressed_file_without_a_byte_is_one_malformed_record() {
    for format in [Format::Warc, Format::Wet, Format::Arc, Format::Jsonl, Format::Text, Format::Html] {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let records = read(Vec::new(), format, compression);
            assert_eq!(counts(&records), (0, 0, 1), "{format} {compression}: {records:?}");
            assert_eq!((records[0].ordinal, records[0].offset), (0, 0));
            let RawKind::Malformed { cause, .. } = &records[0].kind else { panic!("{records:?}") };
            assert!(cause.contains("empty") && cause.contains(&compression.to_string()), "{cause}");
        }
    }
    // What was compressed of nothing is no damage, and neither is a plain file without a byte.
    let nothing = zstd::encode_all(&b""[..], 1).expect("compress");
    assert!(read(nothing, Format::Jsonl, Compression::Zstd).is_empty() && jsonl(b"").is_empty());
}

#[test]
fn json_is_judged_as_the_test_suite_says() {
    let Some(path) = shared("robustness/JSONTestSuite_test_parsing.tar.gz") else { return };
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).expect("open"))
        .read_to_end(&mut tar)
        .expect("gzip");
    let (mut at, mut accepted, mut refused) = (0, 0, 0);
    while at + 512 <= tar.len() {
        let header = &tar[at..at + 512];
        let text = |from: usize, to: usize| {
            String::from_utf8_lossy(&header[from..to]).trim_matches(['\0', ' ']).to_owned()
        };
        let size = usize::from_str_radix(&text(124, 136), 8).unwrap_or(0);
        let name = text(0, 100).rsplit('/').next().unwrap_or_default().to_owned();
        let case = &tar[at + 512..(at + 512 + size).min(tar.len())];
        at += 512 + size.div_ceil(512) * 512;
        let mut line = b"{\"text\":\"t\",\"case\":".to_vec();
        line.extend_from_slice(case.trim_ascii());
        line.push(b'}');
        let records = jsonl(&line); // must end, whatever it holds
        if name.rsplit('.').next() != Some("json") || case.trim_ascii().contains(&b'\n') {
            continue;
        }
        if name.starts_with("y_") {
            assert_eq!(counts(&records), (1, 0, 0), "{name}");
            accepted += 1;
        } else if name.starts_with("n_") {
            assert_eq!(counts(&records).0, 0, "{name}");
            refused += 1;
        }
    }
    assert!(accepted > 80 && refused > 150, "{accepted} accepted, {refused} refused");
}

#[test]
fn parquet_rows_become_records_and_damage_is_bounded() {
    use crate::documents::DocumentWriter;
    let mut writer = DocumentWriter::new(Vec::new()).expect("a writer");
    for n in 0..9000 {
        let document = orchestrator_core::Document {
            url: Some(format!("u{n}")),
            ..orchestrator_core::Document::new("s", n, format!("text {n}"))
        };
        writer.push(&document).expect("push");
    }
    let bytes = writer.finish().expect("finish");
    let records = read(bytes.clone(), Format::Parquet, Compression::None);
    assert_eq!((records.len(), counts(&records).0), (9000, 9000));
    let RawKind::Body(last) = &records[8999].kind else { panic!("a body") };
    assert_eq!((last.bytes.as_slice(), last.url.as_deref()), (&b"text 8999"[..], Some("u8999")));

    let mut file = tempfile::tempfile().expect("a file");
    std::io::Write::write_all(&mut file, &bytes).expect("write");
    let pieces = crate::split::index_parquet(&file, 1);
    assert_eq!(pieces.iter().map(|piece| piece.first_record).collect::<Vec<_>>(), [0, 8192]);
    let input = Input::Seekable(file, Some(pieces[1].range.clone()));
    let mut rest =
        open("t", input, Format::Parquet, Compression::None, Start::default(), &ReaderOptions::default())
            .expect("open");
    assert_eq!(rest.next().expect("a record").expect("no store fails"), records[8192]);

    let mut broken = bytes;
    broken[100..4000].fill(0xee);
    let records = read(broken, Format::Parquet, Compression::None);
    assert!(counts(&records).0 >= 808, "the second row group is read");
    assert_eq!(records.last().expect("records").ordinal, 8999);
    assert_eq!(counts(&read(b"PAR1 no".to_vec(), Format::Parquet, Compression::None)), (0, 0, 1));
}

#[test]
fn a_schema_without_the_text_is_no_damage_that_another_try_could_mend() {
    let mut writer = crate::documents::DocumentWriter::new(Vec::new()).expect("a writer");
    writer.push(&orchestrator_core::Document::new("s", 0, "text")).expect("push");
    let parquet = writer.finish().expect("finish");
    let options = ReaderOptions { text_field: "body".to_owned(), ..ReaderOptions::default() };
    let opened = |compression| {
        let input = Input::Stream(Box::new(Cursor::new(parquet.clone())));
        open("t.parquet", input, Format::Parquet, compression, Start::default(), &options)
    };
    for (compression, expected) in [
        (Compression::None, "`t.parquet` cannot be read: expected a column `body`, found "),
        (Compression::Gzip, "expected a file without .gz"),
    ] {
        let error = opened(compression).err().expect("it cannot be read");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.code(), orchestrator_core::ErrorCode::InvalidInput);
    }
}

/// Every reader passes records by, and then gives the very records that a reader of all gives.
#[test]
fn who_skips_to_a_record_reads_what_follows_it() {
    let lines = b"{\"text\":\"a\"}\n\n{broken\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n".repeat(40);
    let member = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).expect("compress");
        encoder.finish().expect("compress")
    };
    let mut damaged = [member(&lines), member(&lines), member(&lines)].concat();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 40].fill(0xee);
    let head = "WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n";
    let warc = format!("{head}hi\r\n\r\nrubbish\r\n").repeat(30).into_bytes();
    let mut writer = crate::documents::DocumentWriter::new(Vec::new()).expect("a writer");
    for n in 0..90 {
        writer.push(&orchestrator_core::Document::new("s", n, format!("text {n}"))).expect("push");
        if n % 20 == 7 {
            crate::documents::RowGroups::close_group(&mut writer).expect("close");
        }
    }
    let parquet = writer.finish().expect("finish");
    let mut broken = parquet.clone();
    broken[200..900].fill(0xee);
    for (bytes, format, compression) in [
        (lines.clone(), Format::Jsonl, Compression::None),
        (zstd::encode_all(&lines[..], 1).expect("compress"), Format::Jsonl, Compression::Zstd),
        (damaged, Format::Jsonl, Compression::Gzip),
        (warc, Format::Warc, Compression::None),
        (parquet, Format::Parquet, Compression::None),
        (broken, Format::Parquet, Compression::None),
        (b"# Title\n".to_vec(), Format::Markdown, Compression::None),
    ] {
        let all = read(bytes.clone(), format, compression);
        for (index, record) in all.iter().enumerate() {
            let input = Input::Stream(Box::new(Cursor::new(bytes.clone())));
            let mut reader =
                open("t", input, format, compression, Start::default(), &ReaderOptions::default())
                    .expect("open");
            reader.skip_to(record.ordinal, &mut || true).expect("no store fails");
            let rest: Vec<_> = reader.collect::<Result<_, _>>().expect("no store fails");
            assert_eq!(rest, all[index..], "{format} ({compression}) from record {}", record.ordinal);
        }
    }
}

#[test]
fn one_file_is_one_document() {
    let records = read(b"# Title\n".to_vec(), Format::Markdown, Compression::None);
    let RawKind::Body(body) = &records[0].kind else { panic!("{records:?}") };
    assert_eq!((records.len(), body.media, body.bytes.as_slice()), (1, Media::Markdown, &b"# Title\n"[..]));
    assert_eq!(counts(&read(Vec::new(), Format::Text, Compression::None)), (1, 0, 0));
}
