//! Hostile files, training, and the file format there and back.

use proptest::prelude::*;

use super::*;

const GOOD: &str = "__label__hq";
const BAD: &str = "__label__lq";

fn examples() -> Vec<(&'static str, &'static str)> {
    [
        (GOOD, "the proof follows from the lemma above"),
        (BAD, "buy cheap pills now click here"),
        (GOOD, "we measure the energy of the electron"),
        (BAD, "click now to win a free prize"),
        (GOOD, "the theorem holds for every prime"),
        (BAD, "cheap cheap buy buy now"),
    ]
    .repeat(4)
}

fn config() -> TrainConfig {
    let config =
        TrainConfig { dimension: 8, bucket: 200, max_chars: 3, min_chars: 2, ..TrainConfig::default() };
    TrainConfig { epochs: 20, learning_rate: 0.5, ..config }
}

fn model() -> Model {
    Trainer::train(&examples(), &config()).expect("two labels")
}

#[test]
fn a_trained_model_tells_the_labels_apart_and_survives_its_file() {
    let model = model();
    let bytes = model.write().expect("a dense model");
    let read = Model::read(&bytes).expect("our own file");
    assert_eq!(read.write().expect("a dense model"), bytes);
    let mut scratch = Scratch::default();
    for (text, label) in [("the proof of the theorem", GOOD), ("buy pills\nnow", BAD), ("electron", GOOD)] {
        let best = model.predict(text, 1, &mut scratch);
        assert_eq!(best[0].0, label, "{text}");
        assert_eq!(read.predict(text, 1, &mut scratch), best);
        assert_eq!(model.score_of(label, text, &mut scratch), Some(best[0].1));
    }
    assert_eq!(model.score_of("__label__none", "a", &mut scratch), None);
}

#[test]
fn every_loss_learns_and_survives_its_file() {
    // Six labels, so that the tree has depth; all words of an example belong to its label.
    let names = ["__label__a", "__label__b", "__label__c", "__label__d", "__label__e", "__label__f"];
    let texts = ["red green", "one two three", "cat dog", "up down left", "salt pepper", "north south east"];
    let mut examples = Vec::new();
    for (at, (name, text)) in names.into_iter().zip(texts).enumerate() {
        examples.extend([(name, text)].repeat(3 + 2 * at));
    }
    for loss in
        [TrainLoss::Softmax, TrainLoss::HierarchicalSoftmax, TrainLoss::NegativeSampling, TrainLoss::OneVsAll]
    {
        // At 20 passes the rarest label is not yet learnt by the tree, neither here nor by fastText.
        let config = TrainConfig { loss, epochs: 60, ..config() };
        let model = Trainer::train(&examples, &config).expect("six labels");
        let bytes = model.write().expect("a dense model");
        let read = Model::read(&bytes).expect("our own file");
        assert_eq!(read.write(), Some(bytes), "{loss:?}: the file names the loss");
        let mut scratch = Scratch::default();
        for (name, text) in names.into_iter().zip(texts) {
            let found = model.predict(text, usize::MAX, &mut scratch);
            assert_eq!(found[0].0, name, "{loss:?}: {found:?}");
            assert_eq!(read.predict(text, usize::MAX, &mut scratch), found, "{loss:?}");
            if matches!(loss, TrainLoss::Softmax | TrainLoss::HierarchicalSoftmax) {
                let sum: f32 = found.iter().map(|found| found.1).sum();
                assert!((sum - 1.0).abs() < 1e-3, "{loss:?}: {sum}");
            }
        }
        let again = Trainer::train(&examples, &config).expect("six labels");
        assert_eq!(again.write(), model.write(), "{loss:?}");
    }
}

#[test]
fn training_is_repeatable_and_the_seed_matters() {
    let bytes = model().write();
    assert_eq!(bytes, model().write());
    let other = TrainConfig { seed: 1, ..config() };
    assert_ne!(bytes, Trainer::train(&examples(), &other).expect("two labels").write());
}

#[test]
fn training_refuses_what_it_cannot_learn_from() {
    let train = |examples: &[(&str, &str)]| Trainer::train(examples, &config()).map(|_| ());
    assert_eq!(train(&[]), Err(TrainError::TooFewLabels(0)));
    assert_eq!(train(&[(GOOD, "a"), (GOOD, "b")]), Err(TrainError::TooFewLabels(1)));
    assert_eq!(train(&[("hq", "a")]), Err(TrainError::BadLabel("hq".to_owned())));
    let zero = TrainConfig { dimension: 0, ..config() };
    assert!(Trainer::train(&examples(), &zero).is_err());
}

#[test]
fn every_truncation_is_refused() {
    let bytes = model().write().expect("a dense model");
    for length in (0..bytes.len()).step_by(7).chain(0..200) {
        assert!(Model::read(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

fn survives(bytes: &[u8]) {
    if let Ok(model) = Model::read(bytes) {
        let mut scratch = Scratch::default();
        model.predict("the proof: buy pills now, ünïcödé", 3, &mut scratch);
        model.predict("", 3, &mut scratch);
    }
}

proptest! {
    #[test]
    fn flipped_bytes_never_panic(at in 0usize..3000, value in any::<u8>(), second in 0usize..120) {
        use std::sync::LazyLock;
        static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| model().write().expect("a dense model"));
        let mut bytes = BYTES.clone();
        let length = bytes.len();
        bytes[at % length] = value;
        bytes[second] ^= 0x81;
        survives(&bytes);
    }
}

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");

#[test]
fn the_quantized_language_model_reads_and_survives_damage() {
    let Ok(mut bytes) = std::fs::read(format!("{DATA}/langid/lid.176.ftz")) else {
        println!("skipped: ../shared is absent");
        return;
    };
    let model = Model::read(&bytes).expect("Facebook's file");
    let mut scratch = Scratch::default();
    assert_eq!(model.labels().len(), 176);
    // The library's scores for these texts (Python fasttext 0.9.2).
    let golden = [
        (
            "The quick brown fox jumps over the lazy dog",
            [("en", 0.720_583_9), ("es", 0.041_742_5), ("nl", 0.025_787_2)],
        ),
        ("我爱北京天安门", [("zh", 0.945_975_8), ("wuu", 0.039_311_9), ("yue", 0.004_898_5)]),
        (
            "Der Zug nach Bremen hat heute eine Stunde Verspätung",
            [("de", 0.999_926_1), ("en", 0.000_053), ("bar", 0.000_013_9)],
        ),
        (
            "¿Dónde está la biblioteca más cercana?",
            [("es", 0.994_654_8), ("pt", 0.002_366_6), ("ast", 0.001_046_1)],
        ),
        ("ship 42 boxes ok lol", [("en", 0.621_785_8), ("ja", 0.032_510_4), ("zh", 0.030_961_6)]),
        ("Кот спит на тёплой печке", [("ru", 0.911_240_6), ("mk", 0.041_974_5), ("bg", 0.028_196_4)]),
    ];
    for (text, expected) in golden {
        let found = model.predict(text, 3, &mut scratch);
        for ((label, score), (code, golden)) in found.iter().zip(expected) {
            assert_eq!(label.strip_prefix("__label__"), Some(code), "{text}");
            assert!((score - golden).abs() < 1e-5_f32, "{text}: {code} {score}, the library {golden}");
        }
    }
    for length in (0..bytes.len()).step_by(4999).chain(0..120) {
        assert!(Model::read(&bytes[..length]).is_err());
    }
    for at in (8..110).chain((200..bytes.len()).step_by(20_011)) {
        let old = std::mem::replace(&mut bytes[at], 0xff);
        survives(&bytes);
        bytes[at] = old;
    }
}

/// Set `FASTTEXT_ORACLE` to a JSON file `{model path: [[text, [[label, score], …]], …]}` made by fastText itself.
#[test]
fn scores_equal_the_library_where_an_oracle_is_given() {
    type Scored = Vec<(String, Vec<(String, f32)>)>;
    let Ok(path) = std::env::var("FASTTEXT_ORACLE") else {
        println!("skipped: FASTTEXT_ORACLE is not set");
        return;
    };
    let oracle = std::fs::read(path).expect("the oracle's file");
    let oracle: std::collections::BTreeMap<String, Scored> =
        serde_json::from_slice(&oracle).expect("its form");
    for (path, cases) in oracle {
        let model = Model::read(&std::fs::read(&path).expect("the model")).expect("a model");
        let (mut scratch, mut worst) = (Scratch::default(), 0.0_f32);
        for (text, expected) in &cases {
            let found = model.predict(text, usize::MAX, &mut scratch);
            for (label, score) in expected {
                let ours = found.iter().find(|found| found.0 == label).map_or(0.0, |found| found.1);
                worst = worst.max((ours - score).abs());
            }
            assert!((found[0].1 - expected[0].1).abs() < 1e-5, "{path}: {text:.80}");
        }
        println!("{path}: {} texts, largest difference {worst:e}", cases.len());
        assert!(worst < 1e-5, "{path}: {worst}");
    }
}
