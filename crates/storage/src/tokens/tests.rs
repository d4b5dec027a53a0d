use orchestrator_core::DocumentId;
use proptest::prelude::*;

use super::*;
use crate::Store;

fn store() -> (tempfile::TempDir, Store, RelativePath) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(directory.path().to_str().expect("UTF-8")).expect("a store");
    (directory, store, RelativePath::new("tokens/train-00000").expect("a path"))
}

fn write(store: &Store, stem: &RelativePath, kind: TokenType, documents: &[Vec<u32>]) -> ShardFiles {
    let mut writer = ShardWriter::create(store, stem, kind).expect("a writer");
    for (number, tokens) in documents.iter().enumerate() {
        writer.push(DocumentId(number as u128), tokens).expect("push");
    }
    writer.finish().expect("finish")
}

#[test]
fn the_bytes_are_megatrons() {
    let (_guard, store, stem) = store();
    write(&store, &stem, TokenType::U16, &[vec![1, 2, 65535], vec![], vec![7]]);
    let read = |ending: &str| {
        store.read_all(&RelativePath::new(format!("{stem}{ending}")).expect("a path"), 1 << 20).expect("read")
    };
    assert_eq!(read(".bin"), [1, 0, 2, 0, 255, 255, 7, 0]);
    let mut expected = b"MMIDIDX\0\0".to_vec();
    expected.extend_from_slice(&1u64.to_le_bytes());
    expected.push(8);
    expected.extend([3u64, 4].iter().flat_map(|n| n.to_le_bytes()));
    expected.extend([3i32, 0, 1].iter().flat_map(|n| n.to_le_bytes()));
    expected.extend([0i64, 6, 6].iter().flat_map(|n| n.to_le_bytes()));
    expected.extend([0i64, 1, 2, 3].iter().flat_map(|n| n.to_le_bytes()));
    assert_eq!(read(".idx"), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn tokens_survive_the_disk(
        documents in prop::collection::vec(prop::collection::vec(0u32..65536, 0..9), 0..9),
        wide in any::<bool>(),
        cut in (0u64..40, 0u64..40),
    ) {
        let (_guard, store, stem) = store();
        let kind = if wide { TokenType::I32 } else { TokenType::U16 };
        let files = write(&store, &stem, kind, &documents);
        let flat: Vec<u32> = documents.concat();
        prop_assert_eq!(files.tokens, flat.len() as u64);
        let shard = TokenShard::open(&store, &stem).expect("open");
        prop_assert_eq!(shard.tokens(), flat.len() as u64);
        let mut tokens = Vec::new();
        for (number, document) in documents.iter().enumerate() {
            shard.read(shard.sequence(number).expect("a sequence"), &mut tokens).expect("read");
            prop_assert_eq!(&tokens, document);
        }
        let inside = cut.0 <= cut.1 && cut.1 <= flat.len() as u64;
        prop_assert_eq!(shard.read(cut.0..cut.1, &mut tokens).is_ok(), inside);
        if inside {
            prop_assert_eq!(&tokens[..], &flat[cut.0 as usize..cut.1 as usize]);
        }
        let rows: Vec<_> = TokenDocumentReader::open(&store, &stem).expect("open").collect::<Result<_, _>>().expect("read");
        prop_assert_eq!(rows.len(), documents.len());
        for (number, row) in rows.iter().enumerate() {
            prop_assert_eq!(row.id, DocumentId(number as u128));
            prop_assert_eq!(row.offset..row.offset + row.length, shard.sequence(number).expect("a sequence"));
        }
    }

    #[test]
    fn no_index_however_hostile_is_read_past_its_tokens(at in 0usize..80, byte in any::<u8>(), keep in 0usize..120) {
        let (_guard, store, stem) = store();
        write(&store, &stem, TokenType::U16, &[vec![1, 2, 3], vec![4]]);
        let path = RelativePath::new(format!("{stem}.idx")).expect("a path");
        let mut index = store.read_all(&path, 1 << 20).expect("read");
        if let Some(target) = index.get_mut(at) {
            *target = byte;
        }
        index.truncate(keep);
        store.put_atomic(&path, &index).expect("put");
        if let Ok(shard) = TokenShard::open(&store, &stem) {
            let mut tokens = Vec::new();
            for sequence in 0..shard.sequences() {
                shard.read(shard.sequence(sequence).expect("a sequence"), &mut tokens).expect("within the tokens");
            }
        }
    }
}

#[test]
fn a_token_that_does_not_fit_is_refused() {
    let (_guard, store, stem) = store();
    let mut writer = ShardWriter::create(&store, &stem, TokenType::U16).expect("a writer");
    assert!(writer.push(DocumentId(0), &[65536]).is_err());
    drop(writer);
    assert!(store.list(&RelativePath::root()).expect("list").is_empty(), "an abandoned shard leaves nothing");
}
