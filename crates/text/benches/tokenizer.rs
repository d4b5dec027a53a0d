//! Encoding and training speed, beside the `tokenizers` crate.
//!
//! Runs on `../shared/data` where it is there, else on made-up text.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use orchestrator_text::tokenizer::{Tokenizer, TokenizerModel, TrainTokenizer, WordCounts, train};

fn main() {
    divan::main();
}

fn data(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path)
}

/// `text` of the rows of a compressed corpus.
fn corpus(name: &str) -> Option<Vec<String>> {
    let file = std::fs::File::open(data(&format!("docs_corpus/{name}.jsonl.zst"))).ok()?;
    let mut lines = String::new();
    zstd::Decoder::new(file).ok()?.read_to_string(&mut lines).ok()?;
    let row =
        |line: &str| Some(serde_json::from_str::<serde_json::Value>(line).ok()?["text"].as_str()?.to_owned());
    lines.lines().map(row).collect()
}

static ENGLISH: LazyLock<Vec<String>> = LazyLock::new(|| {
    corpus("ethereum_eips").unwrap_or_else(|| vec!["It's 42 words, or so they say.\n".repeat(20_000); 4])
});
static CHINESE: LazyLock<Vec<String>> = LazyLock::new(|| {
    corpus("pingcap_docs_cn")
        .unwrap_or_else(|| vec!["分布式数据库 TiDB 的文档。\n".repeat(20_000); 4])
});

/// GPT-2's own vocabulary, or one of the same kind.
static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let file = |name: &str| std::fs::read(data(&format!("tokenizer/gpt2/{name}")));
    if let (Ok(vocabulary), Ok(merges)) = (file("vocab.json"), file("merges.txt")) {
        return Tokenizer::from_gpt2(&vocabulary, &merges, "<|endoftext|>").expect("GPT-2's files");
    }
    trained(TokenizerModel::Bpe)
});

fn sample(texts: &[String], bytes: usize) -> (&[String], usize) {
    let mut total = 0;
    let end = texts.iter().position(|text| {
        total += text.len();
        total > bytes
    });
    let texts = &texts[..end.unwrap_or(texts.len())];
    (texts, texts.iter().map(String::len).sum())
}

fn trained(model: TokenizerModel) -> Tokenizer {
    let config = TrainTokenizer { model, vocab_size: 8192, ..TrainTokenizer::default() };
    let mut counts = WordCounts::new(&config);
    sample(&ENGLISH, 8 << 20).0.iter().for_each(|text| counts.add(text));
    train(&counts, &config, "<|endoftext|>").expect("there is text")
}

#[divan::bench(args = ["english", "chinese"])]
fn encode(bencher: Bencher<'_, '_>, language: &str) {
    let (texts, bytes) = sample(if language == "english" { &ENGLISH } else { &CHINESE }, 4 << 20);
    let mut encoder = TOKENIZER.encoder();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        let mut ids = Vec::new();
        for text in texts {
            encoder.encode(text, &mut ids).expect("text");
        }
        black_box(ids)
    });
}

#[divan::bench(args = ["english", "chinese"], sample_count = 5)]
fn encode_with_the_library(bencher: Bencher<'_, '_>, language: &str) {
    let (texts, bytes) = sample(if language == "english" { &ENGLISH } else { &CHINESE }, 4 << 20);
    let library = tokenizers::Tokenizer::from_bytes(TOKENIZER.to_json()).expect("a tokenizer.json");
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        let mut ids = Vec::new();
        for text in texts {
            ids.extend_from_slice(library.encode_fast(text.as_str(), false).expect("text").get_ids());
        }
        black_box(ids)
    });
}

#[divan::bench(sample_count = 3)]
fn count_50_mb(bencher: Bencher<'_, '_>) {
    let config = TrainTokenizer::default();
    bencher.counter(BytesCount::new(50_000_000u64)).bench_local(|| black_box(count(&config, 50_000_000)));
}

fn count(config: &TrainTokenizer, limit: usize) -> WordCounts {
    let mut counts = WordCounts::new(config);
    let mut total = 0;
    for text in ENGLISH.iter().chain(CHINESE.iter()).cycle() {
        if total >= limit {
            break;
        }
        counts.add(text);
        total += text.len();
    }
    counts
}

#[divan::bench(args = ["bpe", "wordpiece", "unigram"], sample_count = 2)]
fn train_8192_on_50_mb(bencher: Bencher<'_, '_>, name: &str) {
    let model = match name {
        "bpe" => TokenizerModel::Bpe,
        "wordpiece" => TokenizerModel::Wordpiece,
        _ => TokenizerModel::Unigram,
    };
    let config = TrainTokenizer { model, vocab_size: 8192, ..TrainTokenizer::default() };
    let counts = count(&config, 50_000_000);
    bencher.bench_local(|| black_box(train(&counts, &config, "<|endoftext|>").expect("there is text")));
}
