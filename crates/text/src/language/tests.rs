//! The stage's rules; the detector on real text of many languages.

use super::*;

fn run(step: &mut LanguageStep, text: &str) -> (Decision, Document) {
    let mut document = Document::new("a", 0, text);
    let decision = step.apply(&mut document, &mut Vec::new());
    (decision, document)
}

fn built_in(keep: &[&str]) -> LanguageStep {
    let keep = keep.iter().map(|&code| code.to_owned()).collect();
    LanguageStep::new(&LanguageConfig { keep, ..LanguageConfig::default() }, None)
        .expect("a valid configuration")
}

const ENGLISH: &str =
    "The committee had not yet decided whether the letters would be published in the spring.";
const GERMAN: &str =
    "Der Ausschuss hatte noch nicht entschieden, ob die Briefe im Frühling veröffentlicht werden.";

#[test]
fn labels_always_and_drops_only_what_is_not_kept() {
    let (decision, document) = run(&mut built_in(&[]), GERMAN);
    assert_eq!((decision, document.language.as_deref()), (Decision::Keep, Some("de")));
    assert!(document.language_score.expect("a score") > 0.5);
    assert_eq!(run(&mut built_in(&["en"]), GERMAN).0, Decision::drop("language", "de"));
    assert!(run(&mut built_in(&["en"]), ENGLISH).0.is_keep());
    assert_eq!(run(&mut built_in(&["en"]), "12345 !!").0, Decision::drop("language", "und"));
    assert!(run(&mut built_in(&[]), "").0.is_keep());
}

#[test]
fn the_threshold_is_strict() {
    let config = LanguageConfig { keep: vec!["en".into()], ..LanguageConfig::default() };
    let scored = [ENGLISH, "The table is in the hotel.", "A long minute", "I can see no one"].map(|text| {
        let document = run(&mut built_in(&[]), text).1;
        (text, document.language, document.language_score.unwrap_or(1.0))
    });
    let unsure = scored.iter().find(|(_, language, score)| language.as_deref() == Some("en") && *score < 1.0);
    let &(text, _, score) = unsure.unwrap_or_else(|| panic!("a text that is not certain: {scored:?}"));
    let decide = |threshold: f64| {
        let config = LanguageConfig { threshold: Some(threshold), ..config.clone() };
        run(&mut LanguageStep::new(&config, None).expect("a valid configuration"), text).0
    };
    assert_eq!(decide(f64::from(score)), Decision::drop("language_score", score), "equal is not above");
    assert!(decide(f64::from(score) - 1e-6).is_keep());
}

#[test]
fn configurations_are_checked() {
    let keep = |code: &str| LanguageConfig { keep: vec![code.into()], ..LanguageConfig::default() };
    assert!(keep("english").validate().is_err());
    assert!(keep("eng").validate().expect_err("a longer code").message.contains("`en`"));
    assert_eq!(keep("english").validate().expect_err("a word").key, "keep[0]");
    assert!(keep("xx").validate().is_err());
    assert!(keep("ceb").validate().expect_err("without a model").message.contains("built-in detector"));
    assert!(LanguageConfig { model: Some("lid.bin".into()), ..keep("ceb") }.validate().is_ok());
    assert!(LanguageConfig { threshold: Some(1.0), ..keep("en") }.validate().is_err());
    assert!(serde_json::from_str::<LanguageConfig>(r#"{"kept": []}"#).is_err());
    let named = LanguageConfig { model: Some("lid.bin".into()), ..keep("en") };
    assert_eq!(LanguageStep::new(&named, None).err(), Some(LanguageError::MissingModel));
    let text = serde_json::to_string(&named).expect("a configuration");
    assert_eq!(serde_json::from_str::<LanguageConfig>(&text).expect("its own text"), named);
}

#[test]
fn long_texts_are_sampled_on_character_bounds() {
    let text = "Привет, мир. ".repeat(100_000);
    let sample = sample(&text, BUILT_IN_BYTES);
    assert!(sample.len() <= BUILT_IN_BYTES + 16);
    assert_eq!(run(&mut built_in(&[]), &text).1.language.as_deref(), Some("ru"));
}

#[test]
fn both_detectors_know_the_declaration_of_human_rights() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/langid");
    let Ok(rows) = std::fs::read(format!("{data}/udhr2_iso639-3.jsonl.zst")) else {
        println!("skipped: ../shared is absent");
        return;
    };
    let rows = zstd::decode_all(&rows[..]).expect("zstd");
    let model = std::fs::read(format!("{data}/lid.176.ftz")).expect("beside the rows");
    let config = LanguageConfig { model: Some("lid.176.ftz".into()), ..LanguageConfig::default() };
    let unknown = LanguageConfig { keep: vec!["en".into(), "tlh".into()], ..config.clone() };
    let refused = LanguageStep::new(&unknown, Some(&model)).err().expect("it knows no Klingon").to_string();
    assert!(refused.contains("keep[1]") && refused.contains("`tlh`"), "{refused}");
    let mut steps = [built_in(&[]), LanguageStep::new(&config, Some(&model)).expect("the model reads")];
    let (mut right, mut all) = ([0, 0], 0);
    for row in std::str::from_utf8(&rows).expect("UTF-8").lines() {
        let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
        let (code, text) = (row["lang"].as_str().expect("a code"), row["text"].as_str().expect("a text"));
        if whatlang::Lang::from_code(code).is_none() {
            continue;
        }
        all += 1;
        for (right, step) in right.iter_mut().zip(&mut steps) {
            *right += usize::from(step.detect(text).is_some_and(|found| found.0 == short_code(code)));
        }
    }
    println!("of {all}: built in {}, lid.176.ftz {}", right[0], right[1]);
    assert!(right.iter().all(|&right| right * 100 >= all * 90), "{right:?} of {all}");
}
