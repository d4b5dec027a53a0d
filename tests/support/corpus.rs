//! Corpora from a seed: word salad and the licence's own paragraphs, with duplicates, near-duplicates, addresses, other
//! languages and documents that are too short.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::SystemTime;

use serde_json::json;

const LICENCE: &str = include_str!("../../LICENSE");

const GERMAN: &str = "Der Wanderer ging am frühen Morgen über die Brücke und sah den Nebel, der über dem Fluss lag. \
    Niemand war unterwegs, nur ein alter Mann fütterte die Enten und sprach leise mit ihnen. Als die Sonne aufging, \
    wurde es warm, und die Leute kamen aus ihren Häusern, um auf dem Markt Brot, Käse und Äpfel zu kaufen.";

/// What makes salad look like English to the rules.
const JOINTS: [&str; 5] = ["of the", "and", "that", "with", "to be"];

/// A seeded sequence (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice for a test that kills: the seed is printed, a new one every time; `ORCHESTRATOR_CHAOS_SEED` sets it.
    #[expect(clippy::print_stdout, reason = "a failure is looked into by its seed")]
    pub(crate) fn of_chaos(test: &str) -> Self {
        let given = std::env::var("ORCHESTRATOR_CHAOS_SEED").ok();
        let seed = given.map(|seed| seed.parse().expect("`ORCHESTRATOR_CHAOS_SEED` is a number"));
        let seed = seed.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
            now.as_nanos() as u64 % 1_000_000
        });
        println!("{test}: seed {seed}");
        Self::new(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `from..to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    pub(crate) fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.between(0, from.len() as u64) as usize]
    }
}

/// A document before it is in any format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) url: String,
    pub(crate) text: String,
}

/// `count` pages; the same for the same seed.
pub(crate) fn pages(seed: u64, count: usize) -> Vec<Page> {
    let mut dice = Dice::new(seed);
    let words = words();
    let paragraphs: Vec<String> = LICENCE
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|paragraph| paragraph.len() > 300)
        .collect();
    let mut pages: Vec<Page> = Vec::with_capacity(count);
    for number in 0..count {
        let earlier = (number > 0).then(|| pages[dice.between(0, number as u64) as usize].text.clone());
        let text = match (number % 10, earlier) {
            (5, Some(earlier)) => format!("{earlier}\n\nOne more sentence."),
            (6, Some(earlier)) => earlier,
            (7, _) => format!("Too short, number {number}."),
            (8, _) => format!(
                "{}\n\nWrite to person{number}@example.com or call 8.8.4.4.",
                salad(&mut dice, &words)
            ),
            (9, _) => format!("{}\n\n{}", dice.choose(&paragraphs), dice.choose(&paragraphs)),
            (3, _) if number % 20 == 3 => format!("{GERMAN} Seite {number}."),
            _ => salad(&mut dice, &words),
        };
        pages.push(Page { url: format!("https://example.com/{seed}/{number}"), text });
    }
    pages
}

fn words() -> Vec<String> {
    let words: BTreeSet<String> = LICENCE
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| word.len() > 1)
        .map(str::to_lowercase)
        .collect();
    words.into_iter().collect()
}

fn salad(dice: &mut Dice, words: &[String]) -> String {
    let mut text = String::new();
    for paragraph in 0..dice.between(2, 5) {
        if paragraph > 0 {
            text.push_str("\n\n");
        }
        for sentence in 0..dice.between(3, 8) {
            if sentence > 0 {
                text.push(' ');
            }
            text.push_str("The");
            for place in 0..dice.between(5, 12) {
                text.push(' ');
                text.push_str(if place % 4 == 2 {
                    JOINTS[dice.between(0, JOINTS.len() as u64) as usize]
                } else {
                    dice.choose(words).as_str()
                });
            }
            text.push('.');
        }
    }
    text
}

/// JSON objects, a line each.
pub(crate) fn jsonl(pages: &[Page]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for page in pages {
        let line = json!({ "text": page.text, "url": page.url });
        bytes.extend_from_slice(line.to_string().as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// One gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip into memory");
    encoder.finish().expect("gzip into memory")
}

/// A gzip member for each so many bytes, wherever they fall in a line.
pub(crate) fn gzip_members(bytes: &[u8], member: usize) -> Vec<u8> {
    bytes.chunks(member).flat_map(gzip).collect()
}

/// One Zstandard frame.
pub(crate) fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("zstd into memory")
}

/// A page of HTML with furniture around its text.
pub(crate) fn html(page: &Page) -> String {
    let paragraphs = format!("<p>{}</p>\n", page.text.replace("\n\n", "</p>\n<p>"));
    format!(
        "<!DOCTYPE html><html><head><title>A page</title><meta charset=\"utf-8\"></head><body>\
         <nav><a href=\"/\">Home</a> <a href=\"/about\">About</a></nav>\
         <main><article><h1>A page</h1>\n{paragraphs}</article></main>\
         <footer>Copyright, imprint, all the rest</footer></body></html>"
    )
}

/// A WARC file: a `warcinfo` record, then a response for each page.
pub(crate) fn warc(pages: &[Page], gzipped: bool) -> Vec<u8> {
    let wrap = |record: Vec<u8>| if gzipped { gzip(&record) } else { record };
    let mut bytes = wrap(warc_record("warcinfo", None, "application/warc-fields", b"software: tests\r\n"));
    for page in pages {
        let body = html(page);
        let http = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let kind = "application/http; msgtype=response";
        bytes.extend(wrap(warc_record("response", Some(&page.url), kind, http.as_bytes())));
    }
    bytes
}

/// Common Crawl's extracted text: a `warcinfo` record, then a `conversion` record for each page; each a gzip member.
pub(crate) fn wet(pages: &[Page]) -> Vec<u8> {
    let mut bytes = gzip(&warc_record("warcinfo", None, "application/warc-fields", b"software: tests\r\n"));
    for page in pages {
        bytes.extend(gzip(&warc_record("conversion", Some(&page.url), "text/plain", page.text.as_bytes())));
    }
    bytes
}

/// An ARC file of version 1: its description, then a plain text for each page.
pub(crate) fn arc(pages: &[Page], gzipped: bool) -> Vec<u8> {
    let record = |url: &str, media: &str, block: &str| {
        let mut bytes = format!("{url} 192.0.2.1 20240102030405 {media} {}\n", block.len()).into_bytes();
        bytes.extend_from_slice(block.as_bytes());
        bytes.push(b'\n');
        if gzipped { gzip(&bytes) } else { bytes }
    };
    let description = "1 0 tests\nURL IP-address Archive-date Content-type Archive-length\n";
    let mut bytes = record("filedesc://tests.arc", "text/plain", description);
    for page in pages {
        let http = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{}", page.text);
        bytes.extend(record(&page.url, "text/plain", &http));
    }
    bytes
}

fn warc_record(kind: &str, url: Option<&str>, media: &str, block: &[u8]) -> Vec<u8> {
    let target = url.map_or_else(String::new, |url| format!("WARC-Target-URI: {url}\r\n"));
    let mut record = format!(
        "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2024-01-02T03:04:05Z\r\n\
         WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000000>\r\n{target}\
         Content-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        block.len()
    )
    .into_bytes();
    record.extend_from_slice(block);
    record.extend_from_slice(b"\r\n\r\n");
    record
}

/// An Arrow file, or stream, with `text` and `url`, in batches of 20.
pub(crate) fn arrow(pages: &[Page], stream: bool) -> Vec<u8> {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use arrow_ipc::writer::{FileWriter, StreamWriter};

    let batches: Vec<RecordBatch> = pages
        .chunks(20)
        .map(|pages| {
            let column = |of: fn(&Page) -> &str| {
                Arc::new(StringArray::from_iter_values(pages.iter().map(of))) as ArrayRef
            };
            let columns = [("text", column(|page| &page.text)), ("url", column(|page| &page.url))];
            RecordBatch::try_from_iter(columns).expect("columns of one length")
        })
        .collect();
    let schema = batches[0].schema();
    if stream {
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).expect("a writer");
        for batch in &batches {
            writer.write(batch).expect("rows into memory");
        }
        return writer.into_inner().expect("an Arrow stream");
    }
    let mut writer = FileWriter::try_new(Vec::new(), &schema).expect("a writer");
    for batch in &batches {
        writer.write(batch).expect("rows into memory");
    }
    writer.into_inner().expect("an Arrow file")
}

/// A Parquet file with `text` and `url`, in row groups of 20.
pub(crate) fn parquet(pages: &[Page]) -> Vec<u8> {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    let column =
        |of: fn(&Page) -> &str| Arc::new(StringArray::from_iter_values(pages.iter().map(of))) as ArrayRef;
    let batch =
        RecordBatch::try_from_iter([("text", column(|page| &page.text)), ("url", column(|page| &page.url))])
            .expect("columns of one length");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(20)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows into memory");
    writer.into_inner().expect("a Parquet file")
}
