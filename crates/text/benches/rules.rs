//! Throughput of the rules, the signatures and the span finders over text such as documentation and news have.

use divan::Bencher;
use divan::counter::BytesCount;
use orchestrator_core::Document;
use orchestrator_text::Step;
use orchestrator_text::filters::{FilterConfig, FilterStep};
use orchestrator_text::minhash::{Hash, Hasher, MinHashConfig};
use orchestrator_text::pii::{PiiConfig, PiiStep};
use orchestrator_text::words::Splitter;

fn main() {
    divan::main();
}

/// Documents of about 4 kB that pass every rule, so that none of them ends early: sentences of words drawn by a fixed
/// generator from a vocabulary with the lengths of English.
fn documents() -> Vec<String> {
    const WORDS: &str = "the of and to in a is that it was for on are as with his they at be this from have or by one \
        had not but what all were when we there can an your which their said if do will each about how up out them \
        then she many some so these would other into has more her two like him see time could no make than first \
        been its who now people my made over did down only way find use may water long little very after words \
        called just where most know river government information development international university children \
        through between different something important everything understand tomorrow";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut state = 7u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    (0..64)
        .map(|_| {
            let mut text = String::new();
            for sentence in 0..45 {
                for word in 0..12 + next(8) {
                    if word > 0 {
                        text.push_str(if next(14) == 0 { ", " } else { " " });
                    }
                    text.push_str(words[next(words.len())]);
                }
                text.push_str(if next(9) == 0 { " on 12 May 2024." } else { "." });
                text.push_str(if sentence % 5 == 4 { "\n\n" } else { " " });
            }
            text
        })
        .collect()
}

fn over(bencher: Bencher, mut run: impl FnMut(&str)) {
    let documents = documents();
    bencher
        .counter(BytesCount::new(documents.iter().map(String::len).sum::<usize>()))
        .bench_local(|| documents.iter().for_each(|text| run(text)));
}

#[divan::bench]
fn words(bencher: Bencher) {
    let mut words = Vec::new();
    over(bencher, |text| {
        words.clear();
        Splitter::English.split_into(text, &mut words);
    });
}

#[divan::bench]
fn filters(bencher: Bencher) {
    let mut step = FilterStep::new(&FilterConfig::default()).expect("the default is valid");
    over(bencher, |text| {
        let mut document = Document::new("bench", 0, text);
        divan::black_box(step.apply(&mut document, &mut Vec::new()));
    });
}

#[divan::bench(args = [Hash::Xxh3, Hash::Xxh64, Hash::Sha1_64])]
fn minhash(bencher: Bencher, hash: Hash) {
    let mut hasher = Hasher::new(&MinHashConfig { hash, ..MinHashConfig::default() });
    over(bencher, |text| {
        divan::black_box(hasher.bands(text));
    });
}

#[divan::bench]
fn pii(bencher: Bencher) {
    let mut step = PiiStep::new(&PiiConfig::default(), None).expect("the default is valid");
    over(bencher, |text| {
        let mut document = Document::new("bench", 0, text);
        divan::black_box(step.apply(&mut document, &mut Vec::new()));
    });
}
