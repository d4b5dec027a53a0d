use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::formats::{Input, RawRecord, open};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("write");
    encoder.finish().expect("finish")
}

fn compress(members: &[Vec<u8>], compression: Compression) -> Vec<u8> {
    let pack = |member: &Vec<u8>| match compression {
        Compression::None => member.clone(),
        Compression::Gzip => gzip(member),
        Compression::Zstd => zstd::encode_all(&member[..], 1).expect("compress"),
    };
    members.iter().flat_map(pack).collect()
}

fn read(bytes: Vec<u8>, format: Format, compression: Compression, start: Start) -> Vec<RawRecord> {
    let options = ReaderOptions { max_record_bytes: 300, ..ReaderOptions::default() };
    open("test", Input::Stream(Box::new(Cursor::new(bytes))), format, compression, start, &options)
        .expect("open")
        .collect::<Result<_, _>>()
        .expect("no store fails")
}

/// What must be equal, however a file was cut. Where a gap ends is no promise.
fn essence(records: Vec<RawRecord>) -> Vec<(u64, u64, String)> {
    let what = |kind| match kind {
        RawKind::Malformed { cause, .. } => cause,
        other => format!("{other:?}"),
    };
    records.into_iter().map(|record| (record.ordinal, record.offset, what(record.kind))).collect()
}

fn unit(format: Format, number: usize, size: usize) -> Vec<u8> {
    let text = "x".repeat(size);
    match (format, number % 7) {
        (Format::Jsonl, 5) => b"not json\n".to_vec(),
        (Format::Jsonl, 6) => b"\n  \n".to_vec(),
        (Format::Jsonl, _) => format!("{{\"text\":\"{text}\",\"n\":{number}}}\n").into_bytes(),
        (_, 5) => b"this is no record\r\n".to_vec(),
        _ => format!(
            "WARC/1.0\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}\r\n\r\n",
            text.len()
        )
        .into_bytes(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn any_cut_gives_the_records_of_the_whole(
        sizes in prop::collection::vec(0usize..400, 1..30),
        per_member in 1usize..4,
        target in 1u64..2000,
        warc in any::<bool>(),
        which in 0..3usize,
        damage in prop::option::of(0usize..2000),
    ) {
        let format = if warc { Format::Warc } else { Format::Jsonl };
        let compression = [Compression::None, Compression::Gzip, Compression::Zstd][which];
        let units: Vec<_> = sizes.iter().enumerate().map(|(n, &size)| unit(format, n, size)).collect();
        let members: Vec<Vec<u8>> = units.chunks(per_member).map(<[Vec<u8>]>::concat).collect();
        let mut bytes = compress(&members, compression);
        if let Some(at) = damage.filter(|_| compression == Compression::Gzip) {
            let at = at % bytes.len();
            bytes[at] ^= 0x55;
        }
        let options = ReaderOptions { max_record_bytes: 300, ..ReaderOptions::default() };
        let whole = essence(read(bytes.clone(), format, compression, Start::default()));
        let stream = || Box::new(Cursor::new(bytes.clone()));
        let pieces = index("test", stream(), bytes.len() as u64, format, compression, &options, target).expect("index");
        let mut joined = Vec::new();
        for piece in &pieces {
            let start = Start { ordinal: piece.first_record, offset: piece.range.start };
            let part = bytes[piece.range.start as usize..piece.range.end as usize].to_vec();
            joined.extend(essence(read(part, format, compression, start)));
        }
        prop_assert_eq!(&joined, &whole, "pieces {:?}", pieces);

        let input = CarveInput { name: "test", format, compression, options: &options, target_bytes: target };
        let carved = carve(input, stream(), |_| Ok(Vec::new()), Ok).expect("carve");
        let mut joined = Vec::new();
        for piece in carved {
            let start = Start { ordinal: piece.first_record, offset: piece.offset };
            let records = essence(read(piece.file, format, Compression::Zstd, start));
            prop_assert_eq!(records.len() as u64, piece.records);
            joined.extend(records);
        }
        if members.len() == 1 || compression == Compression::None {
            prop_assert_eq!(&joined, &whole); // one member: offsets are those of the whole, too
        } else {
            let bare = |all: &[(u64, u64, String)]| all.iter().map(|r| (r.0, r.2.clone())).collect::<Vec<_>>();
            prop_assert_eq!(bare(&joined), bare(&whole));
        }
    }
}
