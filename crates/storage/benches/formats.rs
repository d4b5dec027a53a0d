//! Bytes per second of the readers and of the document writer.

use std::io::{Cursor, Write};

use divan::Bencher;
use divan::counter::BytesCount;
use orchestrator_core::Document;
use orchestrator_storage::documents::DocumentWriter;
use orchestrator_storage::formats::{Compression, Format, Input, ReaderOptions, Start, open};

fn main() {
    divan::main();
}

const PAGE: &str = "It is a truth universally acknowledged, that a single man in possession of a good fortune, \
    must be in want of a wife. However little known the feelings or views of such a man may be. ";

fn jsonl() -> Vec<u8> {
    let text = PAGE.repeat(20);
    (0..2000)
        .flat_map(|n| {
            format!("{{\"text\":\"{text}{n}\",\"url\":\"https://example.org/{n}\"}}\n").into_bytes()
        })
        .collect()
}

fn warc() -> Vec<u8> {
    let page = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>{}", PAGE.repeat(20));
    let record = format!(
        "WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\nContent-Length: {}\r\n\r\n{page}\r\n\r\n",
        page.len()
    );
    record.repeat(2000).into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn read(bencher: Bencher<'_, '_>, plain: &[u8], stored: &[u8], format: Format, compression: Compression) {
    bencher.counter(BytesCount::new(plain.len())).with_inputs(|| stored.to_vec()).bench_values(|bytes| {
        let input = Input::Stream(Box::new(Cursor::new(bytes)));
        open("bench", input, format, compression, Start::default(), &ReaderOptions::default())
            .expect("opens")
            .map(|record| record.expect("memory does not fail").ordinal)
            .sum::<u64>()
    });
}

#[divan::bench]
fn jsonl_plain(bencher: Bencher<'_, '_>) {
    let bytes = jsonl();
    read(bencher, &bytes, &bytes, Format::Jsonl, Compression::None);
}

#[divan::bench]
fn jsonl_zstd(bencher: Bencher<'_, '_>) {
    let bytes = jsonl();
    let stored = zstd::encode_all(&bytes[..], 3).expect("memory takes it");
    read(bencher, &bytes, &stored, Format::Jsonl, Compression::Zstd);
}

#[divan::bench]
fn warc_plain(bencher: Bencher<'_, '_>) {
    let bytes = warc();
    read(bencher, &bytes, &bytes, Format::Warc, Compression::None);
}

#[divan::bench]
fn warc_gzip(bencher: Bencher<'_, '_>) {
    let bytes = warc();
    read(bencher, &bytes, &gzip(&bytes), Format::Warc, Compression::Gzip);
}

#[divan::bench]
fn documents_write(bencher: Bencher<'_, '_>) {
    let documents: Vec<_> =
        (0..2000).map(|n| Document::new("bench.jsonl", n, format!("{n}{}", PAGE.repeat(20)))).collect();
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    bencher.counter(BytesCount::new(bytes)).bench(|| {
        let mut writer = DocumentWriter::new(Vec::new()).expect("a writer");
        for document in &documents {
            writer.push(document).expect("memory takes it");
        }
        writer.finish().expect("memory takes it").len()
    });
}
