use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::formats::{Input, RawRecord, open, open_carved};

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

fn options() -> ReaderOptions {
    ReaderOptions { max_record_bytes: 300, ..ReaderOptions::default() }
}

fn read(bytes: Vec<u8>, format: Format, compression: Compression, start: Start) -> Vec<RawRecord> {
    open("test", Input::Stream(Box::new(Cursor::new(bytes))), format, compression, start, &options())
        .expect("open")
        .collect::<Result<_, _>>()
        .expect("no store fails")
}

/// The records of all pieces, each of which has as many as it says, and how many pieces there are.
fn read_carved(
    bytes: &[u8],
    format: Format,
    compression: Compression,
    target_bytes: u64,
) -> (Vec<RawRecord>, usize) {
    let options = options();
    let input = CarveInput { name: "test", format, compression, options: &options, target_bytes };
    let stream = Box::new(Cursor::new(bytes.to_vec()));
    let carved = carve(input, stream, |_| Ok(Vec::<u8>::new()), Ok).expect("carve");
    let pieces = carved.len();
    let mut joined = Vec::new();
    for piece in carved {
        let start = Start { ordinal: piece.first_record, offset: piece.offset };
        let before = joined.len();
        for record in open_carved("test", Box::new(Cursor::new(piece.file)), format, start, &options) {
            joined.push(record.expect("no store fails"));
        }
        assert_eq!((joined.len() - before) as u64, piece.records);
    }
    (joined, pieces)
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
        anywhere in prop::option::of(25usize..500),
        damage in prop::option::of(0usize..2000),
    ) {
        let format = if warc { Format::Warc } else { Format::Jsonl };
        let compression = [Compression::None, Compression::Gzip, Compression::Zstd][which];
        let units: Vec<_> = sizes.iter().enumerate().map(|(n, &size)| unit(format, n, size)).collect();
        // Members end with records, or wherever it may be.
        let members: Vec<Vec<u8>> = match anywhere {
            None => units.chunks(per_member).map(<[Vec<u8>]>::concat).collect(),
            Some(length) => units.concat().chunks(length).map(<[u8]>::to_vec).collect(),
        };
        let mut bytes = compress(&members, compression);
        if let Some(at) = damage.filter(|_| compression == Compression::Gzip) {
            let at = at % bytes.len();
            bytes[at] ^= 0x55;
        }
        let options = options();
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

        let (carved, _) = read_carved(&bytes, format, compression, target);
        prop_assert_eq!(&essence(carved), &whole);
    }
}

#[test]
fn members_that_end_within_lines_are_carved_with_the_offsets_of_the_whole() {
    let lines: Vec<Vec<u8>> = (0..60).map(|number| unit(Format::Jsonl, number, 100)).collect();
    let members: Vec<Vec<u8>> = lines.concat().chunks(1300).map(<[u8]>::to_vec).collect();
    assert!(members.len() > 3 && !members[0].ends_with(b"\n"));
    for compression in [Compression::Gzip, Compression::Zstd] {
        let bytes = compress(&members, compression);
        let whole = essence(read(bytes.clone(), Format::Jsonl, compression, Start::default()));
        assert!(whole.windows(2).any(|pair| pair[1].1 < pair[0].1), "offsets begin anew: {whole:?}");
        for target in [1, 500, 2000, 1 << 20] {
            let (carved, pieces) = read_carved(&bytes, Format::Jsonl, compression, target);
            assert_eq!(essence(carved), whole, "pieces of {target}");
            assert_eq!(pieces == 1, target == 1 << 20);
        }
    }
}

#[test]
fn marks_of_offsets_count_in_carved_pieces_alone() {
    let line = b"{\"text\":\"x\"}\n";
    let frame = zstd::encode_all(&line[..], 1).expect("compress");
    let bytes = [frame.clone(), offset_mark(7_000_000).to_vec(), frame].concat();
    let offsets = |records: Vec<RawRecord>| records.iter().map(|record| record.offset).collect::<Vec<_>>();
    let foreign = offsets(read(bytes.clone(), Format::Jsonl, Compression::Zstd, Start::default()));
    assert!(foreign[1] < bytes.len() as u64, "{foreign:?}");
    let start = Start { ordinal: 0, offset: 40 };
    let ours = open_carved("test", Box::new(Cursor::new(bytes)), Format::Jsonl, start, &options());
    assert_eq!(offsets(ours.map(|record| record.expect("a record")).collect()), [40, 7_000_000]);
}

#[test]
fn blank_lines_without_end_cost_no_record() {
    let record = unit(Format::Jsonl, 0, 10);
    let blank = vec![b'\n'; 200_000];
    let bytes = gzip(&[&record[..], &blank[..], &record[..], &blank[..]].concat());
    let whole = essence(read(bytes.clone(), Format::Jsonl, Compression::Gzip, Start::default()));
    assert_eq!(whole.len(), 2);
    assert_eq!(essence(read_carved(&bytes, Format::Jsonl, Compression::Gzip, 1 << 20).0), whole);
    // A file without a record gives no piece.
    assert_eq!(read_carved(&gzip(&blank), Format::Jsonl, Compression::Gzip, 1000), (vec![], 0));
}
