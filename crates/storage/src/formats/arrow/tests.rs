use std::io::{Cursor, Write};

use arrow_array::types::Int8Type;
use arrow_array::{ArrayRef, DictionaryArray, Int64Array, NullArray, StringArray};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};

use super::*;
use crate::formats::{Format, open as open_format};

const ROWS: u64 = 20;

/// Batches of 20 rows: a text, a number, a word from a dictionary, and a column that nobody reads.
fn batches(count: u64) -> Vec<RecordBatch> {
    let batch = |batch: u64| {
        let rows = batch * ROWS..(batch + 1) * ROWS;
        let texts: StringArray =
            rows.clone().map(|row| Some(format!("the text of row {row}, and more of it"))).collect();
        let numbers: Int64Array = rows.clone().map(|row| (row % 3 > 0).then_some(row as i64)).collect();
        let words: DictionaryArray<Int8Type> =
            rows.map(|row| if row % 2 == 0 { "en" } else { "de" }).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("text", Arc::new(texts)),
            ("n", Arc::new(numbers)),
            ("lang", Arc::new(words)),
            ("nothing", Arc::new(NullArray::new(ROWS as usize))),
        ];
        RecordBatch::try_from_iter(columns).expect("columns of one length")
    };
    (0..count).map(batch).collect()
}

fn write(batches: &[RecordBatch], stream: bool, compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).expect("it is compiled in");
    let schema = batches[0].schema();
    if stream {
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options).expect("a writer");
        for batch in batches {
            writer.write(batch).expect("memory takes it");
        }
        writer.into_inner().expect("memory takes it")
    } else {
        let mut writer = FileWriter::try_new_with_options(Vec::new(), &schema, options).expect("a writer");
        for batch in batches {
            writer.write(batch).expect("memory takes it");
        }
        writer.into_inner().expect("memory takes it")
    }
}

fn try_read(bytes: &[u8]) -> Result<Vec<RawRecord>, Error> {
    let input = Input::Stream(Box::new(Cursor::new(bytes.to_vec())));
    open_format("test", input, Format::Arrow, Compression::None, Start::default(), &ReaderOptions::default())?
        .collect()
}

fn read(bytes: &[u8]) -> Vec<RawRecord> {
    try_read(bytes).expect("no store fails here")
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("write");
    file
}

/// (ordinal, text or cause)
fn essence(records: &[RawRecord]) -> Vec<(u64, String)> {
    let what = |kind: &RawKind| match kind {
        RawKind::Body(body) => String::from_utf8(body.bytes.clone()).expect("UTF-8"),
        RawKind::NotADocument { reason } => reason.clone(),
        RawKind::Malformed { cause, .. } => format!("malformed: {cause}"),
    };
    records.iter().map(|record| (record.ordinal, what(&record.kind))).collect()
}

fn is_malformed(record: &RawRecord) -> bool {
    matches!(record.kind, RawKind::Malformed { .. })
}

/// Offsets of the record batches in a file.
fn offsets(bytes: &[u8]) -> Vec<u64> {
    let Ok(layout) = Layout::read(&file(bytes)) else { panic!("a good file") };
    layout.batches.iter().map(|batch| batch.offset).collect()
}

#[test]
fn files_and_streams_give_the_same_rows_however_compressed() {
    let batches = batches(5);
    let plain = read(&write(&batches, false, None));
    assert_eq!(plain.len(), 100);
    assert!(plain.iter().enumerate().all(|(row, record)| record.ordinal == row as u64));
    let RawKind::Body(body) = &plain[41].kind else { panic!("{:?}", plain[41]) };
    assert_eq!(body.bytes, b"the text of row 41, and more of it");
    assert_eq!(body.language.as_deref(), Some("de"));
    assert_eq!(serde_json::Value::from(body.metadata.clone()), serde_json::json!({"n": 41}));
    for compression in [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)] {
        for stream in [false, true] {
            let records = read(&write(&batches, stream, compression));
            assert_eq!(essence(&records), essence(&plain), "{compression:?}, stream: {stream}");
        }
    }
}

#[test]
fn a_file_is_cut_between_batches() {
    for stream in [false, true] {
        let bytes = write(&batches(7), stream, None);
        let whole = essence(&read(&bytes));
        let pieces = pieces(&file(&bytes), 4_000).expect("no store fails");
        assert!(pieces.len() > 2, "{pieces:?}");
        let mut joined = Vec::new();
        for (range, first_row) in pieces {
            let start = Start { ordinal: first_row, offset: 0 };
            let input = Input::Seekable(file(&bytes), Some(range));
            let options = ReaderOptions::default();
            let records =
                open_format("test", input, Format::Arrow, Compression::None, start, &options).expect("open");
            joined.extend(records.collect::<Result<Vec<_>, _>>().expect("no store fails"));
        }
        assert_eq!(essence(&joined), whole);
    }
}

#[test]
fn a_corrupt_batch_is_one_record_and_those_after_it_keep_their_numbers() {
    let bytes = write(&batches(5), false, None);
    let at = offsets(&bytes)[2];
    // Text that is no UTF-8, a header that is none.
    let text = bytes.windows(7).position(|window| window == b"row 45,").expect("it is there");
    for (place, what) in [(text, "UTF"), (at as usize + 20, "corrupt record batch 2")] {
        let mut broken = bytes.clone();
        broken[place..place + 6].fill(0xff);
        let records = read(&broken);
        let lost: Vec<_> = records.iter().filter(|record| is_malformed(record)).collect();
        assert_eq!((records.len(), lost.len()), (81, 1), "{lost:?}");
        assert_eq!((lost[0].ordinal, lost[0].offset), (40, at));
        assert!(essence(&records)[40].1.contains(what), "{:?}", lost[0]);
        let after = if what == "UTF" { 60 } else { 41 };
        assert_eq!(
            records[41].ordinal, after,
            "a batch that does not say how many rows it has counts as one"
        );
    }
}

#[test]
fn a_file_that_ends_early_gives_what_it_has() {
    for (stream, compression) in [(false, None), (true, None), (true, Some(CompressionType::ZSTD))] {
        let bytes = write(&batches(4), stream, compression);
        let whole = essence(&read(&bytes));
        let schema_end = offsets(&bytes)[0] as usize;
        for end in (0..bytes.len()).step_by(13) {
            let records = essence(&read(&bytes[..end]));
            let kept = records.iter().take_while(|(_, text)| !text.starts_with("malformed")).count();
            assert_eq!(records[..kept], whole[..kept], "cut at {end}");
            assert!(records.len() - kept <= 1, "one gap: {records:?}");
            assert_eq!(kept % ROWS as usize, 0);
            assert!(
                end < schema_end || stream || records.len() > kept,
                "a file without its footer is not whole"
            );
        }
    }
}

#[test]
fn no_byte_can_make_the_reader_panic_or_go_on_for_ever() {
    for (stream, compression) in
        [(false, None), (true, Some(CompressionType::LZ4_FRAME)), (false, Some(CompressionType::ZSTD))]
    {
        let bytes = write(&batches(2), stream, compression);
        // One value for every third byte: all of them at all places would take minutes.
        for place in (0..bytes.len()).step_by(3) {
            let value = [0x00, 0x7f, 0xff, bytes[place] ^ 1, bytes[place] ^ 0x80][place % 5];
            let mut broken = bytes.clone();
            broken[place] = value;
            // An error is right where the schema names other columns now.
            if let Ok(records) = try_read(&broken) {
                assert!(records.len() <= 64, "{} records with {value} at {place}", records.len());
            }
        }
    }
}

#[test]
fn dictionaries_may_change_in_a_stream() {
    let first = batches(1).remove(0);
    let other: DictionaryArray<Int8Type> = (0..ROWS).map(|_| "fr").collect();
    let mut columns = first.columns().to_vec();
    columns[2] = Arc::new(other);
    let second = RecordBatch::try_new(first.schema(), columns).expect("the same columns");
    let records = read(&write(&[first, second], true, None));
    let language = |row: usize| match &records[row].kind {
        RawKind::Body(body) => body.language.clone().expect("a language"),
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 20, 39].map(language), ["en", "de", "fr", "fr"]);
}

#[test]
fn what_is_no_arrow_is_told_with_the_expectation() {
    for (bytes, cause) in [
        (&b"FEA1...."[..], "Feather version 1"),
        (b"ARROW1", "it is empty"),
        (b"", "it is empty"),
        (b"{\"text\": 1}\n", "does not fit"),
    ] {
        let records = essence(&read(bytes));
        assert_eq!(records.len(), 1);
        assert!(
            records[0].1.contains("no Arrow IPC file or stream") && records[0].1.contains(cause),
            "{records:?}"
        );
    }
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let error = |column: &str| {
        let batch = RecordBatch::try_from_iter([(column, Arc::clone(&numbers))]).expect("a batch");
        try_read(&write(&[batch], false, None)).expect_err("no text").to_string()
    };
    assert!(error("txt").contains("expected a column `text`, found `txt`"), "{}", error("txt"));
    assert!(error("text").contains("to hold text, found Int64"), "{}", error("text"));
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let bytes = write(&batches(2), false, Some(CompressionType::ZSTD));
    let Ok(layout) = Layout::read(&file(&bytes)) else { panic!("a good file") };
    let batch = layout.batches[1].message.as_ref().expect("a good batch");
    let body = (batch.offset + batch.metadata) as usize;
    let mut broken = bytes.clone();
    // The first buffer that is stored begins the body: here is its length.
    broken[body..body + 8].copy_from_slice(&(1i64 << 40).to_le_bytes());
    let records = read(&broken);
    assert_eq!(records.len(), 21);
    assert!(essence(&records)[20].1.contains("more than the 1073741824"), "{:?}", records[20]);
}

#[test]
fn who_skips_to_a_row_reads_what_follows_it() {
    let whole = write(&batches(5), false, None);
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    for bytes in [whole, damaged] {
        let all = read(&bytes);
        for (index, record) in all.iter().enumerate() {
            let input = Input::Stream(Box::new(Cursor::new(bytes.clone())));
            let options = ReaderOptions::default();
            let mut reader =
                open_format("t", input, Format::Arrow, Compression::None, Start::default(), &options)
                    .expect("open");
            reader.skip_to(record.ordinal, &mut || true).expect("no store fails");
            let rest: Vec<_> = reader.collect::<Result<_, _>>().expect("no store fails");
            assert_eq!(rest, all[index..], "from row {}", record.ordinal);
        }
    }
}
