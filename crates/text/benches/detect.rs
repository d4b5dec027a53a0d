//! Speed of cleaning, language detection and fastText scoring, in bytes of text a second.

use divan::Bencher;
use divan::counter::BytesCount;
use orchestrator_core::{Document, Media};
use orchestrator_text::Step;
use orchestrator_text::clean::{CleanConfig, CleanStep};
use orchestrator_text::fasttext::{Model, Scratch, TrainConfig, Trainer};
use orchestrator_text::language::{LanguageConfig, LanguageStep};

fn main() {
    divan::main();
}

const SENTENCE: &str = "The committee had not yet decided, in May, whether the letters would be published.\n";

fn text() -> String {
    SENTENCE.repeat(600)
}

#[divan::bench]
fn clean(bencher: Bencher) {
    let text = text();
    let mut step = CleanStep::new(&CleanConfig::default()).expect("a valid configuration");
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| {
        let mut document = Document { media: Media::Plain, ..Document::new("a", 0, text.as_str()) };
        step.apply(&mut document, &mut Vec::new())
    });
}

#[divan::bench(args = [2_000, 50_000])]
fn language_built_in(bencher: Bencher, bytes: usize) {
    let text = text()[..bytes].to_owned();
    let mut step = LanguageStep::new(&LanguageConfig::default(), None).expect("a valid configuration");
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| step.detect(&text));
}

#[divan::bench]
fn fasttext_score(bencher: Bencher) {
    let text = text();
    let examples = [("__label__hq", SENTENCE), ("__label__lq", "buy cheap pills now")];
    let model: Model = Trainer::train(&examples, &TrainConfig::default()).expect("two labels");
    let mut scratch = Scratch::default();
    bencher.counter(BytesCount::of_str(&text)).bench_local(|| model.predict(&text, 1, &mut scratch).len());
}
