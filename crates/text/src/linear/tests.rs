//! Training finds the minimum; the file comes back whole or not at all.

use proptest::prelude::*;

use super::*;

const GOOD: [&str; 4] = ["the lemma follows", "the theorem follows", "a proof of the lemma", "The proof."];
const BAD: [&str; 4] = ["click here now", "buy pills now", "click to buy", "cheap pills here"];

fn model() -> Model {
    train(&GOOD, &BAD, &TrainConfig { min_documents: 1, ..TrainConfig::default() }).expect("two classes")
}

#[test]
fn a_trained_model_tells_the_classes_apart_and_survives_its_file() {
    let model = model();
    let bytes = model.write();
    assert_eq!(Model::read(&bytes).as_ref(), Ok(&model));
    assert_eq!(self::model().write(), bytes, "nothing is random");
    let mut scratch = Scratch::default();
    for (texts, is_good) in [(GOOD, true), (BAD, false)] {
        for text in texts {
            assert_eq!(model.score(text, &mut scratch) > 0.5, is_good, "{text}");
        }
    }
    // A text without a known word has the bias alone; the classes are of one size and nearly of one weight.
    assert!((model.score("zebra", &mut scratch) - 0.5).abs() < 0.2);
    assert!((model.score("", &mut scratch) - model.score("zebra", &mut scratch)).abs() < 1e-6);
}

#[test]
fn the_search_ends_at_the_minimum() {
    // One feature that says all, length 1: w = C·n·logistic(−w) at the minimum, and no bias by symmetry.
    let config = TrainConfig { word_ngrams: 1, min_documents: 1, ..TrainConfig::default() };
    let model = train(&["a"; 3], &["b"; 3], &config).expect("two classes");
    let weights: Vec<f64> = model.terms.iter().map(|term| f64::from(term.weight)).collect();
    assert!((weights[0] + weights[1]).abs() < 1e-4 && f64::from(model.bias).abs() < 1e-4, "{weights:?}");
    let weight = weights[0].abs();
    assert!((weight - 3.0 * train::logistic(-weight)).abs() < 1e-4, "{weight}");
}

#[test]
fn training_refuses_what_it_cannot_learn_from() {
    let config = TrainConfig::default();
    assert_eq!(train(&[], &BAD, &config), Err(TrainError::OneClass { positive: 0, negative: 4 }));
    let many = TrainConfig { min_documents: 9, ..config };
    assert_eq!(train(&GOOD, &BAD, &many), Err(TrainError::NoFeatures(9)));
    assert!(train(&GOOD, &BAD, &TrainConfig { word_ngrams: 0, ..config }).is_err());
    let few = train(&GOOD, &BAD, &TrainConfig { max_features: 3, ..config }).expect("two classes");
    assert_eq!(few.terms.len(), 3);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = model().write();
    for length in 0..bytes.len() {
        assert!(Model::read(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(at in 0usize..400, byte in any::<u8>()) {
        let mut bytes = model().write();
        let length = bytes.len();
        bytes[at % length] = byte;
        if let Ok(model) = Model::read(&bytes) {
            let score = model.score("the lemma follows, click", &mut Scratch::default());
            prop_assert!((0.0..=1.0).contains(&score));
        }
    }
}
