use orchestrator_core::{Document, Dropped, Media, Note, NoteKind, Reason};
use proptest::prelude::*;

use super::*;
use crate::{RelativePath, Store};

fn bytes_of(documents: &[Document]) -> Vec<u8> {
    let mut writer = DocumentWriter::new(Vec::new()).expect("a writer");
    for document in documents {
        writer.push(document).expect("push");
    }
    writer.finish().expect("finish")
}

fn stored(bytes: &[u8]) -> (tempfile::TempDir, Store, RelativePath) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
    let path = RelativePath::new("part-00000.parquet").expect("a path");
    store.put_atomic(&path, bytes).expect("put");
    (directory, store, path)
}

fn documents() -> impl Strategy<Value = Vec<Document>> {
    let one = (
        ".{0,40}",
        any::<u64>(),
        prop::option::of(".{0,9}"),
        prop::option::of(any::<f32>().prop_filter("comparable", |x| !x.is_nan())),
        0..3u8,
        prop::sample::select(vec!["{}", r#"{"media":"book","b":1}"#, r#"{"z":1,"a":[2]}"#]),
    );
    prop::collection::vec(one, 0..20).prop_map(|rows| {
        rows.into_iter()
            .map(|(text, record, url, score, media, metadata)| Document {
                url,
                quality_score: score,
                media: [Media::Plain, Media::Html, Media::Markdown][media as usize],
                metadata: metadata.to_owned(),
                ..Document::new("a/b.jsonl", record, text)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn documents_survive_the_disk_and_equal_rows_are_equal_bytes(documents in documents()) {
        let bytes = bytes_of(&documents);
        prop_assert_eq!(&bytes, &bytes_of(&documents));
        let (_guard, store, path) = stored(&bytes);
        let reader = DocumentReader::open(&store, &path, Projection::All).expect("open");
        prop_assert_eq!(reader.rows(), documents.len() as u64);
        let mut back: Vec<_> = reader.collect::<Result<_, _>>().expect("read");
        for (back, document) in back.iter_mut().zip(&documents) {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            prop_assert_eq!(parse(&back.metadata), parse(&document.metadata)); // key order may differ with a medium
            back.metadata.clone_from(&document.metadata);
        }
        prop_assert_eq!(&back, &documents);
        let bare = DocumentReader::open(&store, &path, Projection::WithoutText).expect("open");
        for (bare, document) in bare.zip(&documents) {
            let bare = bare.expect("read");
            prop_assert_eq!(bare.text, "");
            prop_assert_eq!(bare.id, document.id);
        }
        let odd: Vec<u64> = (0..documents.len() as u64).filter(|row| row % 2 == 1).collect();
        let some = DocumentReader::open_rows(&store, &path, Projection::WithoutText, &odd).expect("open");
        let records: Vec<u64> = some.map(|row| row.expect("read").record).collect();
        let expected: Vec<u64> = odd.iter().map(|&row| documents[row as usize].record).collect();
        prop_assert_eq!(records, expected);
    }
}

#[test]
fn row_groups_are_bounded_by_rows_and_bytes() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let small: Vec<_> = (0..9000).map(|n| Document::new("s", n, "x")).collect();
    let large: Vec<_> = (0..5).map(|n| Document::new("s", n, "y".repeat(7 << 20))).collect();
    for (documents, groups) in [(small, 2), (large, 2)] {
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes_of(&documents))).expect("parquet");
        assert_eq!(file.metadata().num_row_groups(), groups);
    }
}

#[test]
fn a_field_media_of_the_source_is_never_taken_for_ours() {
    let fields = [
        r#"{"media":"html"}"#,
        r#"{"a":1,"media":7,"media_of_source":"x","b":2}"#,
        r#"{"media_of_source":[]}"#,
    ];
    for metadata in fields {
        for media in [Media::Plain, Media::Markdown, Media::Html] {
            let mut document = Document::new("s", 0, "<b>bold</b>");
            document.metadata = metadata.to_owned();
            document.media = media;
            let (_guard, store, path) = stored(&bytes_of(&[document.clone()]));
            let back: Vec<_> = DocumentReader::open(&store, &path, Projection::All)
                .expect("open")
                .collect::<Result<_, _>>()
                .expect("read");
            assert_eq!(back, [document]);
        }
    }
}

#[test]
fn dropped_records_and_notes_survive_the_disk() {
    let id = Document::new("s", 3, "").id;
    let dropped = Dropped {
        id,
        source: "s".to_owned(),
        record: 3,
        url: None,
        reason: Reason::new("gopher_short_doc", 12),
    };
    let mut writer = DroppedWriter::new(Vec::new()).expect("a writer");
    writer.push(&dropped).expect("push");
    let (_guard, store, path) = stored(&writer.finish().expect("finish"));
    let back: Vec<_> =
        DroppedReader::open(&store, &path).expect("open").collect::<Result<_, _>>().expect("read");
    assert_eq!(back, [dropped]);
    assert!(DocumentReader::open(&store, &path, Projection::All).is_err(), "other columns are refused");

    let note = Note { rule: "email".into(), kind: NoteKind::Replaced, start: 4, end: 9 };
    let mut writer = NotesWriter::new(Vec::new()).expect("a writer");
    writer.push(id, &note).expect("push");
    let (_guard, store, path) = stored(&writer.finish().expect("finish"));
    let back: Vec<_> =
        NotesReader::open(&store, &path).expect("open").collect::<Result<_, _>>().expect("read");
    assert_eq!(back, [(id, note)]);
}

#[test]
fn a_damaged_part_is_an_error_with_its_path() {
    let bytes = bytes_of(&[Document::new("s", 0, "hello")]);
    let (_guard, store, path) = stored(&bytes[..bytes.len() - 9]);
    let error = DocumentReader::open(&store, &path, Projection::All).err().expect("an error");
    assert!(error.to_string().contains("part-00000.parquet"), "{error}");
}

#[test]
fn scores_survive_the_disk_to_the_last_bit() {
    let names = ["gopher_quality.gopher_short_doc", "a", "a.b", "language_score"].map(str::to_owned);
    let id = |record| orchestrator_core::DocumentId::derive("a", record);
    let rows: Vec<Scores> = (0..10_000_u64)
        .map(|record| Scores {
            id: id(record),
            language: (!record.is_multiple_of(3)).then(|| "en".to_owned()),
            measures: vec![
                Some(1.0 / (record + 1) as f64),
                None,
                record.is_multiple_of(2).then_some(f64::MIN_POSITIVE),
                Some(f64::from(0.1_f32)),
            ],
        })
        .collect();
    let write = || {
        let mut writer = ScoresWriter::new(Vec::new(), &names).expect("a writer");
        for row in &rows {
            writer.push(row.id, row.language.as_deref(), &row.measures).expect("push");
        }
        writer.finish().expect("finish")
    };
    let bytes = write();
    assert_eq!(bytes, write());
    let (_guard, store, path) = stored(&bytes);
    let reader = ScoresReader::open(&store, &path).expect("open");
    assert_eq!((reader.rows(), reader.names()), (10_000, names.as_slice()));
    assert_eq!(reader.collect::<Result<Vec<_>, _>>().expect("read"), rows);
}

/// Writes rows with groups that end after some of them, and gives what it wrote and the groups. The first `restored`
/// groups come from another writer.
fn grouped(documents: &[Document], ends: &[bool], restored: &[bytes::Bytes]) -> (Vec<u8>, Vec<bytes::Bytes>) {
    let mut writer = DocumentWriter::new(Vec::new()).expect("a writer");
    writer.keep_groups();
    let mut groups = restored.to_vec();
    let mut rows = 0;
    for group in restored {
        rows += writer.append_group(group).expect("a group of ours");
    }
    for (number, document) in documents.iter().enumerate().skip(rows as usize) {
        writer.push(document).expect("push");
        if ends.get(number).copied().unwrap_or_default() {
            writer.close_group().expect("close");
        }
        groups.extend(writer.take_groups());
    }
    assert_eq!(writer.rows(), documents.len() as u64);
    (writer.finish().expect("finish"), groups)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_file_joined_from_any_of_its_groups_has_the_bytes_of_the_whole(
        documents in documents(),
        ends in prop::collection::vec(any::<bool>(), 0..20),
    ) {
        let (whole, groups) = grouped(&documents, &ends, &[]);
        for count in 0..=groups.len() {
            prop_assert_eq!(&grouped(&documents, &ends, &groups[..count]).0, &whole, "from {} groups", count);
        }
        let (_guard, store, path) = stored(&whole);
        let all: Vec<_> = DocumentReader::open(&store, &path, Projection::All)
            .expect("open")
            .collect::<Result<_, _>>()
            .expect("read");
        for row in 0..=documents.len() {
            let rest: Vec<_> = DocumentReader::open_from(&store, &path, Projection::All, row as u64)
                .expect("open")
                .collect::<Result<_, _>>()
                .expect("read");
            prop_assert_eq!(&rest[..], &all[row..]);
        }
    }
}

#[test]
fn a_damaged_group_is_an_error_and_not_a_file() {
    let document = Document::new("a", 1, "text");
    let (_, groups) = grouped(&[document], &[true], &[]);
    for cut in [0, 4, groups[0].len() / 2, groups[0].len() - 1] {
        let mut writer = DocumentWriter::new(Vec::new()).expect("a writer");
        assert!(writer.append_group(&groups[0].slice(..cut)).is_err(), "{cut} bytes");
    }
    let mut writer = DroppedWriter::new(Vec::new()).expect("a writer");
    assert!(writer.append_group(&groups[0]).is_err(), "a group of other columns");
}
