//! Whole tokenizers, beside the `tokenizers` crate.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const END: &str = "<|endoftext|>";

const TEXTS: [&str; 6] = [
    "The quick brown fox's tail isn't a tail; it's 42 tails.\n\n\tThe lazy dog sleeps, and the fox sleeps.",
    "Der schnelle braune Fuchs springt über den faulen Hund — dreimal.",
    "敏捷的棕色狐狸跳过了懒狗。 狐狸很快，狗很懒。",
    "fn main() { println!(\"{}\", 0x1f); }\r\n    // the end",
    "naïve café ½ ② 🦀🦀 e\u{301}",
    "<|endoftext|> and <unk> and <0x41> and [UNK] are only text here",
];

const MODELS: [TokenizerModel; 5] = [
    TokenizerModel::Bpe,
    TokenizerModel::Wordpiece,
    TokenizerModel::Unigram,
    TokenizerModel::Word,
    TokenizerModel::Character,
];

/// A file of the test data, or none where a user has no such data.
fn data(path: &str) -> Option<Vec<u8>> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    if !root.exists() {
        eprintln!("skipped: ../shared is absent");
        return None;
    }
    Some(std::fs::read(root.join(path)).expect("the data set is complete"))
}

/// The first `bytes` of a corpus, as documents.
fn corpus(name: &str, bytes: usize) -> Option<Vec<String>> {
    let file = data(&format!("docs_corpus/{name}.jsonl.zst"))?;
    let mut lines = Vec::new();
    zstd::Decoder::new(&file[..]).expect("zstd").take(bytes as u64).read_to_end(&mut lines).expect("zstd");
    let lines = String::from_utf8_lossy(&lines);
    let row =
        |line: &str| Some(serde_json::from_str::<serde_json::Value>(line).ok()?["text"].as_str()?.to_owned());
    Some(lines.lines().filter_map(row).collect())
}

fn config(model: TokenizerModel, vocab_size: usize) -> TrainTokenizer {
    TrainTokenizer { model, vocab_size, min_frequency: 1, ..TrainTokenizer::default() }
}

fn train_on<'a>(config: &TrainTokenizer, texts: impl IntoIterator<Item = &'a str>) -> Tokenizer {
    let mut counts = WordCounts::new(config);
    texts.into_iter().for_each(|text| counts.add(text));
    train(&counts, config, END).expect("there is text")
}

fn library(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
    let mut library = tokenizers::Tokenizer::from_bytes(tokenizer.to_json()).expect("a tokenizer.json loads");
    library.set_encode_special_tokens(true);
    library
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    tokenizer.encode(text, &mut ids).expect("text");
    ids
}

/// Both encoders on each text; the own one keeps its cache from text to text.
fn assert_as_library<'a>(tokenizer: &Tokenizer, texts: impl IntoIterator<Item = &'a str>) {
    let library = library(tokenizer);
    let mut encoder = tokenizer.encoder();
    for text in texts {
        let mut ids = Vec::new();
        encoder.encode(text, &mut ids).expect("text");
        let theirs = library.encode_fast(text, false).expect("text");
        assert!(ids == theirs.get_ids(), "{:?}", text.chars().take(200).collect::<String>());
    }
}

#[test]
fn every_model_trains_loads_elsewhere_and_keeps_special_tokens_out_of_text() {
    for model in MODELS {
        let tokenizer = train_on(&config(model, 420), TEXTS);
        let library = library(&tokenizer);
        assert_eq!(library.token_to_id(END), Some(tokenizer.end_of_text()), "{model:?}");
        assert_eq!(library.get_vocab_size(true), tokenizer.vocab_size(), "{model:?}");
        assert!(tokenizer.vocab_size() <= 420, "{model:?}");
        assert_eq!(tokenizer.end_of_text() as usize, tokenizer.vocab_size() - 1, "{model:?}");
        for text in TEXTS {
            let ids = encode(&tokenizer, text);
            assert!(!ids.contains(&tokenizer.end_of_text()), "{model:?}: {text}");
            assert!(!ids.is_empty() && ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
        }
        let again = Tokenizer::from_json(tokenizer.to_json().as_bytes(), END).expect("its own JSON");
        assert_eq!(encode(&again, TEXTS[0]), encode(&tokenizer, TEXTS[0]));
    }
}

#[test]
fn models_without_loss_give_the_text_back() {
    for model in [TokenizerModel::Bpe, TokenizerModel::Unigram, TokenizerModel::Character] {
        let tokenizer = train_on(&config(model, 420), TEXTS);
        for text in TEXTS {
            assert_eq!(tokenizer.decode(&encode(&tokenizer, text)), text, "{model:?}");
        }
    }
    let unseen = "Ωmega ▲ ⟨never seen⟩";
    for model in [TokenizerModel::Bpe, TokenizerModel::Unigram] {
        let tokenizer = train_on(&config(model, 420), TEXTS);
        assert_eq!(tokenizer.decode(&encode(&tokenizer, unseen)), unseen, "{model:?}");
    }
}

#[test]
fn the_order_of_documents_does_not_matter() {
    for model in MODELS {
        let forward = train_on(&config(model, 420), TEXTS);
        let backward = train_on(&config(model, 420), TEXTS.into_iter().rev());
        assert_eq!(forward.to_json(), backward.to_json(), "{model:?}");
    }
}

#[test]
fn byte_level_bpe_learns_what_the_library_learns() {
    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::{
        DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerImpl,
    };

    let mut theirs: TokenizerImpl<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    > = TokenizerImpl::new(BPE::default());
    theirs.with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true))));
    let alphabet = ByteLevel::alphabet().into_iter().collect();
    let trainer = BpeTrainer::builder()
        .vocab_size(399)
        .min_frequency(1)
        .initial_alphabet(alphabet)
        .show_progress(false);
    theirs.train(&mut trainer.build(), TEXTS.into_iter()).expect("trains");
    let ours = train_on(&config(TokenizerModel::Bpe, 400), TEXTS);
    for (token, id) in theirs.get_vocab(false) {
        assert_eq!(library(&ours).token_to_id(&token), Some(id), "{token}");
    }
}

#[test]
fn special_tokens_are_entries_that_no_text_reaches() {
    let text = "mask mask mask [MASK] mask";
    for model in MODELS {
        let config =
            TrainTokenizer { special_tokens: vec!["mask".into(), "[MASK]".into()], ..config(model, 420) };
        let tokenizer = train_on(&config, [text]);
        let theirs = library(&tokenizer);
        let ids = encode(&tokenizer, text);
        for name in ["mask", "[MASK]", END] {
            let id = theirs.token_to_id(name).expect("a special token has an id");
            assert!(id as usize >= tokenizer.vocab_size() - 3 && !ids.contains(&id), "{model:?}: {name}");
        }
    }
}

#[test]
fn bad_files_are_refused() {
    for json in
        ["", "{", "[]", "{}", r#"{"model":{"vocab":{"a":-1}}}"#, r#"{"model":{"vocab":{"a":99999999}}}"#]
    {
        assert!(Tokenizer::from_json(json.as_bytes(), END).is_err(), "{json}");
    }
    let error = Tokenizer::from_gpt2(b"{}", b"", END).expect_err("empty").to_string();
    assert!(error.contains("`<|endoftext|>`"), "{error}");
    let empty = WordCounts::new(&TrainTokenizer::default());
    assert!(matches!(train(&empty, &TrainTokenizer::default(), END), Err(TokenizerError::NoText)));
}

#[test]
fn the_companion_names_the_tokens() {
    let tokenizer = train_on(&config(TokenizerModel::Word, 50), TEXTS);
    let json: serde_json::Value = serde_json::from_str(&tokenizer.tokenizer_config_json(256)).expect("JSON");
    assert_eq!(
        (&json["model_max_length"], &json["eos_token"], &json["unk_token"]),
        (&256.into(), &END.into(), &"<unk>".into())
    );
}

#[test]
fn gpt2_ids_are_those_of_the_library() {
    let (Some(vocabulary), Some(merges)) =
        (data("tokenizer/gpt2/vocab.json"), data("tokenizer/gpt2/merges.txt"))
    else {
        return;
    };
    let tokenizer = Tokenizer::from_gpt2(&vocabulary, &merges, END).expect("GPT-2's files");
    assert_eq!((tokenizer.vocab_size(), tokenizer.end_of_text()), (50_257, 50_256));
    assert_eq!(encode(&tokenizer, "Hello world"), [15496, 995]);
    assert_as_library(&tokenizer, TEXTS);
    let strings: Vec<String> =
        serde_json::from_slice(&data("robustness/blns.json").expect("there")).expect("a list of strings");
    assert_as_library(&tokenizer, strings.iter().map(String::as_str));
    for name in ["ethereum_eips", "pingcap_docs_cn", "opentelemetry_io", "tldr_pages"] {
        let texts = corpus(name, 400_000).expect("there");
        assert_as_library(&tokenizer, texts.iter().map(String::as_str));
        for text in texts.iter().take(20) {
            assert_eq!(tokenizer.decode(&encode(&tokenizer, text)), *text);
        }
    }
}

#[test]
fn a_tokenizer_json_with_added_tokens_is_read() {
    let Some(file) = data("tokenizer/gpt-neox/tokenizer.json.gz") else { return };
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(&file[..]).read_to_end(&mut json).expect("gzip");
    let tokenizer = Tokenizer::from_json(&json, END).expect("loads");
    assert_as_library(&tokenizer, TEXTS);
    assert_eq!(tokenizer.decode(&encode(&tokenizer, TEXTS[0])), TEXTS[0]);
}

#[test]
fn a_sentencepiece_model_is_read() {
    let Some(model) = data("tokenizer/sentencepiece/test_model.model") else { return };
    let tokenizer = Tokenizer::from_sentencepiece(&model, "</s>").expect("loads");
    assert_eq!(tokenizer.vocab_size(), 1000);
    // What the Python package sentencepiece 0.2 gives for this model.
    for (text, ids) in [
        ("Hello world", &[151, 88, 21, 887][..]),
        ("  two  spaces and a tab\there", &[213, 273, 19, 135, 8, 13, 11, 4, 281, 66, 0, 251, 56]),
        ("naïve café, Ünïcode ﬁne", &[4, 24, 19, 0, 125, 78, 19, 57, 0, 5, 4, 0, 24, 0, 28, 21, 17, 16, 706]),
        ("日本語", &[4, 0]),
        ("New York 1984!", &[4, 199, 16, 63, 4, 595, 54, 46, 4, 357, 0, 532, 0, 147]),
        ("line\nbreak", &[484, 0, 66, 56, 19, 46]),
    ] {
        assert_eq!(encode(&tokenizer, text), ids, "{text}");
    }
    let ids = encode(&tokenizer, "Hello world");
    assert_eq!(ids.iter().flat_map(|id| tokenizer.token_bytes(*id)).collect::<Vec<u8>>(), b" Hello world");
    assert_eq!(tokenizer.decode(&ids), "Hello world");
    // A text that spells the end-of-text token is cut within it, so that it never becomes one; where the package gives
    // one unknown piece for `</`, that makes two.
    let ids = encode(&tokenizer, "I saw </s> a girl");
    assert_eq!(ids, [9, 459, 4, 0, 0, 8, 0, 11, 939]);
    assert!(!ids.contains(&tokenizer.end_of_text()));
}

/// The Python package reads what we write and gives our ids: the promise that an exported model makes.
#[test]
fn every_kind_of_trained_tokenizer_loads_in_the_python_package() {
    const SCRIPT: &str = "
import json, sys
import tokenizers
for line in sys.stdin:
    case = json.loads(line)
    tokenizer = tokenizers.Tokenizer.from_str(case['tokenizer'])
    print(json.dumps([tokenizer.encode(text).ids for text in case['texts']]))
";
    let tools = std::env::var("ORCHESTRATOR_TOOLS")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cache/orchestrator/tools")))
        .unwrap_or_default();
    let python = std::path::Path::new(&tools).join("bin/python");
    let has_package = Command::new(&python).args(["-c", "import tokenizers"]).output();
    if !has_package.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: the Python package `tokenizers` is not there (`bash .ci/tools` installs it)");
        return;
    }
    let mixed = [
        "The quick brown fox.\n\tIt's 12,345 o'clock;  two  spaces\r\n",
        "naïve café — Ünïcode: ﬁne, 日本語 и русский",
        "🙂👍🏽 <b>tags</b> & \"quotes\" \u{0}\u{7f}",
        "",
        " ",
        "ROMEO:\nBut, soft!",
    ];
    for model in MODELS {
        let tokenizer = train_on(&config(model, 300), TEXTS.iter().copied().chain(mixed));
        let case = serde_json::json!({ "tokenizer": tokenizer.to_json(), "texts": mixed });
        let mut child = Command::new(&python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        writeln!(child.stdin.take().expect("a pipe"), "{case}").expect("Python reads");
        let output = child.wait_with_output().expect("Python ends");
        assert!(output.status.success(), "{model:?} does not load");
        let ids: Vec<Vec<u32>> = serde_json::from_slice(&output.stdout).expect("lists of ids");
        for (text, ids) in mixed.iter().zip(ids) {
            assert_eq!(encode(&tokenizer, text), ids, "{model:?}: {text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn byte_level_decodes_what_it_encodes(texts in proptest::collection::vec(".{0,40}", 1..6), other in ".{0,200}") {
        let tokenizer = train_on(&config(TokenizerModel::Bpe, 300), texts.iter().map(String::as_str).chain(["x"]));
        for text in texts.iter().chain([&other]) {
            let ids = encode(&tokenizer, text);
            prop_assert_eq!(&tokenizer.decode(&ids), text);
            let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.token_bytes(*id)).collect();
            prop_assert_eq!(bytes, text.as_bytes());
        }
    }

    #[test]
    fn training_does_not_see_the_order(
        mut texts in proptest::collection::vec("[ab c\n.é日]{0,30}", 1..12),
        model in proptest::sample::select(&MODELS[..]),
    ) {
        texts.push("ab".to_owned());
        let first = train_on(&config(model, 280), texts.iter().map(String::as_str));
        texts.sort_by_key(|text| xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
        prop_assert_eq!(first.to_json(), train_on(&config(model, 280), texts.iter().map(String::as_str)).to_json());
    }
}
