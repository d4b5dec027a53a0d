//! What every step of the filters and the scrubber must do, whatever the text.

use std::path::Path;

use orchestrator_core::{Decision, Document, Note};
use orchestrator_text::Step;
use orchestrator_text::filters::{FilterConfig, FilterStep};
use orchestrator_text::minhash::{DedupConfig, Hash, Hasher, MinHashConfig};
use orchestrator_text::pii::{PiiConfig, PiiStep};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Texts of every size and script, and hostile ones.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "\n\n\n",
        "\0\u{1c}\u{85}\u{2028}",
        "a",
        "A plain sentence of English, with a mark at its end.",
        "Ein Satz über die Größe der Straße. Noch einer!",
        "Это предложение на русском языке. И ещё одно.",
        "Η ελληνική γλώσσα έχει τόνους. ΟΔΟΣ.",
        "这是一个中文句子。手机13800138000,身份证11010519491231002X!",
        "これは日本語の文章です。もう一つ。",
        "이것은 한국어 문장입니다.",
        "هذه جملة عربية. وهذه أخرى؟",
        "זהו משפט בעברית.",
        "यह एक हिंदी वाक्य है। और एक।",
        "นี่คือประโยคภาษาไทย",
        "🙂🙃👩‍👩‍👧 e\u{301}\u{327} \u{202e}abc\u{202c} ﬁ Ⅷ ½",
        "..........-----:::::@@@@@++++[[[[]]]]{{{{",
        "eyJ.eyJ.eyJ sk-- ghp_ -----BEGIN PRIVATE KEY----- DE89 +1+2+3 1.2.3.4.5.6 ::::",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("word ".repeat(300_000));
    texts.push("x".repeat(1_500_000));
    texts.push("1".repeat(500_000));
    texts.push("1 ".repeat(300_000));
    texts.push("a@".repeat(300_000));
    texts.push(":1".repeat(300_000));
    texts.push("[1".repeat(300_000));
    texts.push("\n".repeat(500_000));
    texts.push("don't (e.g., it's) a-b/c. ".repeat(20_000));
    texts
}

fn outcome(step: &mut impl Step, text: &str) -> (Decision, String, Vec<Note>) {
    let mut document = Document::new("conformance", 0, text);
    let mut notes = Vec::new();
    let decision = step.apply(&mut document, &mut notes);
    (decision, document.text, notes)
}

fn conforms(make: impl Fn() -> Box<dyn Step>) {
    struct Boxed(Box<dyn Step>);
    impl Step for Boxed {
        fn apply(&mut self, document: &mut Document, notes: &mut Vec<Note>) -> Decision {
            self.0.apply(document, notes)
        }
    }
    let mut used = Boxed(make());
    for text in texts() {
        let (decision, edited, notes) = outcome(&mut used, &text);
        let fresh = outcome(&mut Boxed(make()), &text);
        assert_eq!((&decision, &edited, &notes), (&fresh.0, &fresh.1, &fresh.2));
        for note in &notes {
            assert!(note.start < note.end && note.end <= text.len() as u64);
            assert!(text.is_char_boundary(note.start as usize) && text.is_char_boundary(note.end as usize));
        }
        if !decision.is_keep() {
            assert!(notes.is_empty(), "notes tell of documents that go on");
        }
        if notes.is_empty() && decision.is_keep() {
            assert_eq!(edited.split_whitespace().count(), text.split_whitespace().count());
        }
    }
}

fn configuration_round_trips<C>()
where
    C: Default + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = serde_json::to_string(&C::default()).expect("a configuration is JSON");
    assert_eq!(serde_json::from_str::<C>(&text).expect("its own text"), C::default());
    assert_eq!(serde_json::from_str::<C>("{}").expect("all keys have defaults"), C::default());
    let error = serde_json::from_str::<C>(r#"{"no_such_key": 1}"#).expect_err("an unknown key").to_string();
    assert!(error.contains("no_such_key"), "{error}");
}

#[test]
fn filters_conform() {
    conforms(|| Box::new(FilterStep::new(&FilterConfig::default()).expect("valid")));
    configuration_round_trips::<FilterConfig>();
}

#[test]
fn the_scrubber_conforms() {
    conforms(|| Box::new(PiiStep::new(&PiiConfig::default(), None).expect("valid")));
    configuration_round_trips::<PiiConfig>();
}

#[test]
fn signatures_conform() {
    for hash in [Hash::Xxh3, Hash::Xxh64] {
        let mut used = Hasher::new(&MinHashConfig { hash, bands: 2, rows: 2, ..MinHashConfig::default() });
        for text in texts() {
            let mut fresh =
                Hasher::new(&MinHashConfig { hash, bands: 2, rows: 2, ..MinHashConfig::default() });
            assert_eq!(used.bands(&text), fresh.bands(&text));
        }
    }
    configuration_round_trips::<DedupConfig>();
}

#[test]
fn naughty_strings_are_scrubbed_twice_as_once() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/robustness/blns.txt"));
    let Ok(strings) = std::fs::read(path) else {
        println!("skipped: ../shared is absent");
        return;
    };
    let strings = String::from_utf8_lossy(&strings).into_owned();
    let mut step = PiiStep::new(&PiiConfig::default(), None).expect("valid");
    for text in strings.lines().chain([strings.as_str()]) {
        let (_, once, _) = outcome(&mut step, text);
        assert_eq!(outcome(&mut step, &once).1, once);
    }
}
