//! Every reader of foreign bytes against mutations of good ones: none panics, none goes on without end, and what is read
//! keeps the books.
//!
//! Each target runs for `ORCHESTRATOR_FUZZ_SECONDS`, by default 2: enough to notice a broken reader with the other tests.
//! `.ci/fuzz SECONDS` runs them for longer. The inputs follow from a seed that is always the same, so that a check of one change
//! does not fail for what another brought; `ORCHESTRATOR_FUZZ_SEED` sets another. An input that was too much for a reader is
//! kept in the directory of temporary files, and named.

#![expect(clippy::print_stdout, reason = "the number of inputs is said")]

#[path = "../support/mod.rs"]
mod support;

mod mutate;

use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use orchestrator_storage::formats::{self, Compression, Format, Input, RawKind, ReaderOptions, Start};
use orchestrator_storage::split;
use orchestrator_text::tokenizer::{self, Tokenizer, TokenizerModel, TrainTokenizer, WordCounts};
use orchestrator_text::{fasttext, linear, ngram};
use support::corpus::{self, Dice};

/// Where the inputs come from unless told otherwise.
const SEED: u64 = 1;
/// No input of ours is so large that a reader may take longer, on the slowest machine.
const ENDLESS: Duration = Duration::from_mins(1);

/// Tries mutations of `seeds` until the time is over.
fn fuzz(target: &str, seeds: &[Vec<u8>], read: impl Fn(&[u8])) {
    let seconds = std::env::var("ORCHESTRATOR_FUZZ_SECONDS").ok();
    let seconds =
        seconds.map_or(2, |seconds| seconds.parse().expect("`ORCHESTRATOR_FUZZ_SECONDS` is a number"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let seed = std::env::var("ORCHESTRATOR_FUZZ_SEED").ok();
    let seed = seed.map_or(SEED, |seed| seed.parse().expect("`ORCHESTRATOR_FUZZ_SEED` is a number"));
    println!("{target}: seed {seed}");
    let mut dice = Dice::new(seed);
    for seed in seeds {
        read(seed);
    }
    let mut inputs = 0_u64;
    while Instant::now() < end {
        let (seed, other) = (dice.choose(seeds).clone(), dice.choose(seeds).clone());
        let input = mutate::mutate(&mut dice, &seed, &other);
        let begun = Instant::now();
        let read = catch_unwind(AssertUnwindSafe(|| read(&input)));
        if read.is_err() || begun.elapsed() > ENDLESS {
            let kept = std::env::temp_dir().join(format!("orchestrator-fuzz-{target}-{inputs}"));
            std::fs::File::create(&kept).and_then(|mut file| file.write_all(&input)).expect("it is kept");
            panic!("{target}: input {inputs}, kept as `{}`, after {:?}", kept.display(), begun.elapsed());
        }
        inputs += 1;
    }
    println!("{target}: {inputs} inputs");
    assert!(inputs > 0, "there was time for none");
}

/// Small bounds, so that what exceeds them is met.
fn options() -> ReaderOptions {
    ReaderOptions { max_record_bytes: 64 << 10, ..ReaderOptions::default() }
}

/// Reads all records: their numbers rise by one (where rows of a lost group keep theirs, they rise), and none is larger than
/// allowed.
fn records(bytes: &[u8], format: Format, compression: Compression) {
    let input = if format.seeks() {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("it is written");
        let _ = split::index_rows("fuzz", &file, format, 1 << 10);
        Input::Seekable(file, None)
    } else {
        Input::Stream(Box::new(Cursor::new(bytes.to_vec())))
    };
    let Ok(records) = formats::open("fuzz", input, format, compression, Start::default(), &options()) else {
        return;
    };
    // What a stream decodes to may be longer than itself; rows of a column that is all null take no bytes at all.
    let most = 200_000;
    let mut expected = 0;
    for record in records.take(most) {
        let Ok(record) = record else { return };
        let holds = record.ordinal == expected || (format.seeks() && record.ordinal > expected);
        assert!(holds, "record {} where {expected} was expected", record.ordinal);
        expected = record.ordinal.saturating_add(1);
        if let RawKind::Body(body) = record.kind {
            assert!(body.bytes.len() as u64 <= options().max_record_bytes, "{} bytes", body.bytes.len());
        }
    }
}

fn archives(make: fn(&[corpus::Page]) -> Vec<u8>) -> Vec<Vec<u8>> {
    [1, 3, 12].map(|count| make(&corpus::pages(7, count))).into()
}

#[test]
fn warc() {
    let seeds = archives(|pages| corpus::warc(pages, false));
    fuzz("warc", &seeds, |bytes| records(bytes, Format::Warc, Compression::None));
}

#[test]
fn warc_gzip_members() {
    let seeds = archives(|pages| corpus::warc(pages, true));
    fuzz("warc_gzip_members", &seeds, |bytes| records(bytes, Format::Warc, Compression::Gzip));
}

#[test]
fn wet() {
    let seeds = archives(corpus::wet);
    fuzz("wet", &seeds, |bytes| records(bytes, Format::Wet, Compression::None));
}

#[test]
fn arc() {
    let seeds = archives(|pages| corpus::arc(pages, false));
    fuzz("arc", &seeds, |bytes| records(bytes, Format::Warc, Compression::None));
}

#[test]
fn jsonl() {
    let seeds = archives(corpus::jsonl);
    fuzz("jsonl", &seeds, |bytes| records(bytes, Format::Jsonl, Compression::None));
}

#[test]
fn jsonl_compressed_after_the_damage() {
    let seeds = archives(corpus::jsonl);
    fuzz("jsonl_compressed_after_the_damage", &seeds, |bytes| {
        records(&corpus::gzip_members(bytes, 700), Format::Jsonl, Compression::Gzip);
        records(&corpus::zstandard(bytes), Format::Jsonl, Compression::Zstd);
    });
}

#[test]
fn gzip_and_zstd() {
    let mut seeds = archives(|pages| corpus::gzip_members(&corpus::jsonl(pages), 700));
    seeds.extend(archives(|pages| corpus::zstandard(&corpus::jsonl(pages))));
    fuzz("gzip_and_zstd", &seeds, |bytes| {
        records(bytes, Format::Jsonl, Compression::Gzip);
        records(bytes, Format::Jsonl, Compression::Zstd);
    });
}

#[test]
fn parquet() {
    let seeds = archives(corpus::parquet);
    fuzz("parquet", &seeds, |bytes| records(bytes, Format::Parquet, Compression::None));
}

#[test]
fn arrow() {
    let mut seeds = archives(|pages| corpus::arrow(pages, false));
    seeds.extend(archives(|pages| corpus::arrow(pages, true)));
    fuzz("arrow", &seeds, |bytes| records(bytes, Format::Arrow, Compression::None));
}

/// The real model, where the shared data is; a small one of our own everywhere.
fn fasttext_models() -> Vec<Vec<u8>> {
    let examples: Vec<(&str, &str)> = (0..40)
        .map(|n| if n % 2 == 0 { ("__label__a", "good and kind") } else { ("__label__b", "bad") })
        .collect();
    let config =
        fasttext::TrainConfig { dimension: 4, bucket: 50, epochs: 1, ..fasttext::TrainConfig::default() };
    let model = fasttext::Trainer::train(&examples, &config).expect("it is trained");
    let mut seeds = vec![model.write().expect("a plain model can be written")];
    let quantized =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/langid/lid.176.ftz"));
    match std::fs::read(quantized) {
        Ok(bytes) => seeds.push(bytes),
        Err(_) => println!("without a quantized model: ../shared is absent"),
    }
    seeds
}

#[test]
fn fasttext_bin_and_ftz() {
    let mut scratch = fasttext::Scratch::default();
    let scratch = std::cell::RefCell::new(&mut scratch);
    fuzz("fasttext_bin_and_ftz", &fasttext_models(), |bytes| {
        if let Ok(model) = fasttext::Model::read(bytes) {
            let mut scratch = scratch.borrow_mut();
            for (label, score) in model.predict("a good word, und ein gutes", 3, &mut scratch) {
                assert!(!label.is_empty() || score.is_nan() || score <= 1.001);
            }
        }
    });
}

#[test]
fn tfidf() {
    let good = ["good and kind", "a good word", "kind words"];
    let bad = ["bad", "a bad word", "worse words"];
    let config = linear::TrainConfig { min_documents: 1, ..linear::TrainConfig::default() };
    let model = linear::train(&good, &bad, &config).expect("it is trained");
    fuzz("tfidf", &[model.write()], |bytes| {
        if let Ok(model) = linear::Model::read(bytes) {
            model.score("a good word, und ein gutes", &mut linear::Scratch::default());
        }
    });
}

#[test]
fn arpa() {
    let texts: Vec<String> = corpus::pages(5, 4).into_iter().map(|page| page.text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let of_order = |order| {
        let config = ngram::TrainConfig { order, min_word_count: 2, ..ngram::TrainConfig::default() };
        ngram::train(&texts, &config).expect("it is trained")
    };
    fuzz("arpa", &[1, 2, 4].map(of_order), |bytes| {
        if let Ok(model) = ngram::Model::read_arpa(bytes, 100_000) {
            let score =
                model.score("the work\nof <s> a", ngram::Tokens::Normal, &mut ngram::Scratch::default());
            assert_eq!(score.perplexity().is_some(), score.words > 0);
        }
    });
}

fn trained(model: TokenizerModel) -> Tokenizer {
    let config = TrainTokenizer { model, vocab_size: 400, ..TrainTokenizer::default() };
    let mut counts = WordCounts::new(&config);
    for page in corpus::pages(3, 20) {
        counts.add(&page.text);
    }
    tokenizer::train(&counts, &config, "<|endoftext|>").expect("it is trained")
}

fn encodes(tokenizer: &Tokenizer) {
    let mut ids = Vec::new();
    if tokenizer.encode("Some words, 12 naïve ones; 日本語 and\ttabs.", &mut ids).is_ok() {
        assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()), "{ids:?}");
        let _ = tokenizer.decode(&ids);
    }
}

#[test]
fn tokenizer_json() {
    let models = [
        TokenizerModel::Bpe,
        TokenizerModel::Wordpiece,
        TokenizerModel::Unigram,
        TokenizerModel::Word,
        TokenizerModel::Character,
    ];
    let seeds = models.map(|model| trained(model).to_json().into_bytes());
    fuzz("tokenizer_json", &seeds, |bytes| {
        if let Ok(tokenizer) = Tokenizer::from_json(bytes, "<|endoftext|>") {
            encodes(&tokenizer);
        }
    });
}

/// A protobuf field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

fn sentencepiece_model(kind: u8) -> Vec<u8> {
    let pieces =
        [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("▁a", 1), ("▁", 1), ("wo", 1), ("r", 1), ("w", 1), ("o", 1)];
    let mut model = Vec::new();
    for (place, (text, kind)) in pieces.iter().enumerate() {
        let mut piece = field(1, text.as_bytes());
        piece.push(0x15);
        piece.extend((-(place as f32)).to_le_bytes());
        piece.extend([0x18, *kind]);
        model.extend(field(1, &piece));
    }
    model.extend(field(2, &[0x18, kind]));
    model
}

#[test]
fn sentencepiece() {
    let seeds = [sentencepiece_model(1), sentencepiece_model(2)];
    fuzz("sentencepiece", &seeds, |bytes| {
        if let Ok(tokenizer) = Tokenizer::from_sentencepiece(bytes, "</s>") {
            encodes(&tokenizer);
        }
    });
}

#[test]
fn job_files() {
    let seeds = [
        include_bytes!("../../examples/quickstart.yaml").to_vec(),
        b"pipeline:\n  - read: {paths: [\"a.jsonl\"]}\n  - filter: {rules: [c4]}\n  - dedup: {}\n".to_vec(),
    ];
    fuzz("job_files", &seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(error) = orchestrator_job::parse(&text, "job.yaml") {
            let _ = error.to_string();
        }
    });
}
