//! What every step of this crate must do, whatever the text: one suite for all of them.
//!
//! A step is a row in [`steps`]. Its configuration must be read back as it was written and refuse what it does not know;
//! its outcome must depend on the document alone; and it must take every text: empty, huge, of every script, one word of
//! a megabyte, newlines and nothing else.

use std::path::Path;
use std::sync::Arc;

use orchestrator_core::{Decision, Document, Media, Note, NoteKind};
use orchestrator_text::Step;
use orchestrator_text::clean::{CleanConfig, CleanStep};
use orchestrator_text::decontaminate::{Benchmark, DecontaminateConfig, DecontaminateStep, Index};
use orchestrator_text::dedup::DedupConfig;
use orchestrator_text::fasttext::{TrainConfig, Trainer};
use orchestrator_text::files::{FileError, Files, ReadFile};
use orchestrator_text::filters::{Filter, FilterConfig, FilterStep, Profile, RuleSet, UrlConfig};
use orchestrator_text::language::{LanguageConfig, LanguageStep};
use orchestrator_text::minhash::{Hash, Hasher, MinHashConfig};
use orchestrator_text::ngram;
use orchestrator_text::perplexity::{PerplexityConfig, PerplexityStep};
use orchestrator_text::pii::{Kind, PiiConfig, PiiStep};
use orchestrator_text::quality::{QualityConfig, QualityStep};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Texts of every size and script, and hostile ones. The large ones have about `large` bytes.
fn texts(large: usize) -> Vec<String> {
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
        "ეს არის წინადადება. Սա նախադասություն է։ ይህ ዓረፍተ ነገር ነው።",
        "এটি একটি বাক্য। ಇದು ಒಂದು ವಾಕ್ಯ. இது ஒரு வாக்கியம். ဒါက ဝါကျတစ်ခုပါ။",
        "🙂🙃👩‍👩‍👧 e\u{301}\u{327} \u{202e}abc\u{202c} ﬁ Ⅷ ½",
        "..........-----:::::@@@@@++++[[[[]]]]{{{{",
        "eyJ.eyJ.eyJ sk-- ghp_ -----BEGIN PRIVATE KEY----- DE89 +1+2+3 1.2.3.4.5.6 ::::",
        "http://a.b.c/ www.example.com ftp://x user@example.com 10.0.0.1/x?y#z .com a.",
        "Menu\n3 likes\nSHARE\n\n\n\n\nRead more...\nSign-in now\nitems in cart\n1234\n",
    ]
    .map(str::to_owned)
    .to_vec();
    let repeat = |unit: &str| unit.repeat(large / unit.len());
    texts.extend(
        [
            "word ",
            "x",
            "é",
            "字",
            "1",
            "1 ",
            "a@",
            ":1",
            "[1",
            "a.",
            "\n",
            "\n\na",
            " ",
            "<p>",
            "don't (e.g., it's) a-b/c. ",
            "Every line is another line of the same, and it ends.\n",
        ]
        .map(repeat),
    );
    texts
}

/// What the steps' configurations name.
struct Lists;

impl Files for Lists {
    fn each(&self, location: &str, read: &mut ReadFile<'_>) -> Result<(), FileError> {
        let content = match location {
            "domains.txt" => "bad.example\n",
            "words.txt" => "casino\nword\n",
            "benchmark.txt" => "every line is another line of the same and it ends every line is another\n",
            _ => return Err(FileError::new(location, "is none of this suite's")),
        };
        let mut content: &[u8] = content.as_bytes();
        read(location, &mut content)
    }
}

fn filter(config: FilterConfig) -> Make {
    maker(move || FilterStep::from(Arc::new(Filter::new(&config, &Lists).expect("valid"))))
}

type Make = Box<dyn Fn() -> Box<dyn Step>>;

fn maker<S: Step + 'static>(make: impl Fn() -> S + 'static) -> Make {
    Box::new(move || Box::new(make()))
}

/// Every step: its name, how it is made, and whether it edits without a note (`clean` puts characters right).
fn steps() -> Vec<(String, Make, bool)> {
    let url = UrlConfig {
        domains: vec!["domains.txt".into()],
        soft_words: vec!["words.txt".into()],
        subwords: vec!["words.txt".into()],
        ..UrlConfig::default()
    };
    let benchmark = Benchmark { path: "benchmark.txt".into(), ..Benchmark::default() };
    let decontaminate = DecontaminateConfig { benchmarks: vec![benchmark], ..DecontaminateConfig::default() };
    let examples = [("__label__hq", "the theorem follows"), ("__label__lq", "buy cheap pills")].repeat(8);
    let training = TrainConfig { dimension: 4, bucket: 50, epochs: 2, ..TrainConfig::default() };
    let model = Trainer::train(&examples, &training).expect("two labels").write().expect("a dense model");
    let quality =
        QualityConfig { model: Some("model.bin".into()), threshold: Some(0.5), ..QualityConfig::default() };
    let counts = ngram::TrainConfig { order: 3, ..ngram::TrainConfig::default() };
    let arpa = ngram::train(&["the theorem follows\nevery line is another"], &counts).expect("words");
    let perplexity = PerplexityConfig {
        model: Some("model.arpa".into()),
        max_perplexity: Some(100.0),
        ..PerplexityConfig::default()
    };
    let every_kind = PiiConfig { kinds: Some(Kind::all().collect()), ..PiiConfig::default() };
    let language = LanguageConfig { keep: vec!["en".into()], ..LanguageConfig::default() };
    let cleaned = CleanConfig { repair_mojibake: true, boilerplate_lines: true, ..CleanConfig::default() };
    let mut steps: Vec<(String, Make, bool)> = vec![
        ("clean".into(), maker(move || CleanStep::new(&cleaned).expect("valid")), true),
        ("language".into(), maker(move || LanguageStep::new(&language, None).expect("valid")), false),
        ("quality".into(), maker(move || QualityStep::new(&quality, &model, 1).expect("valid")), false),
        (
            "decontaminate".into(),
            maker(move || {
                let index = Index::load(&decontaminate, &Lists).expect("valid");
                DecontaminateStep::from(Arc::new(index))
            }),
            false,
        ),
        ("perplexity".into(), maker(move || PerplexityStep::new(&perplexity, &arpa).expect("valid")), false),
        ("pii".into(), maker(|| PiiStep::new(&PiiConfig::default(), None).expect("valid")), false),
        ("pii, all kinds".into(), maker(move || PiiStep::new(&every_kind, None).expect("valid")), false),
    ];
    for profile in [Profile::Datatrove, Profile::Fineweb2, Profile::Dolma, Profile::Dclm, Profile::Curator] {
        let config = FilterConfig { profile, ..FilterConfig::default() };
        steps.push((format!("filter {profile:?}"), filter(config), false));
    }
    for &set in RuleSet::ALL {
        let url = (set == RuleSet::Url).then(|| url.clone());
        let config = FilterConfig { rules: Some(vec![set]), url, ..FilterConfig::default() };
        steps.push((format!("filter {}", set.name()), filter(config), false));
    }
    steps
}

fn outcome(step: &mut dyn Step, text: &str, media: Media) -> (Decision, Document, Vec<Note>) {
    let url = Some("https://www.example.com/some/word".to_owned());
    let mut document = Document { url, media, ..Document::new("conformance", 0, text) };
    let mut notes = Vec::new();
    let decision = step.apply(&mut document, &mut notes);
    (decision, document, notes)
}

#[test]
fn every_step_takes_every_text_and_forgets_it() {
    let texts = texts(400_000);
    for (name, make, edits_silently) in steps() {
        let mut used = make();
        for text in &texts {
            let place = || format!("{name}: {}", text.chars().take(30).collect::<String>());
            let (decision, document, notes) = outcome(&mut *used, text, Media::Plain);
            let fresh = outcome(&mut *make(), text, Media::Plain);
            assert_eq!((&decision, &document, &notes), (&fresh.0, &fresh.1, &fresh.2), "{}", place());
            for note in &notes {
                assert!(note.start < note.end && note.end <= text.len() as u64, "{}", place());
                assert!(text.is_char_boundary(note.start as usize), "{}", place());
                assert!(text.is_char_boundary(note.end as usize), "{}", place());
            }
            match &decision {
                Decision::Drop(reason) => {
                    assert!(!reason.rule.is_empty(), "{}", place());
                    assert!(reason.value.len() < 4096, "a value is for people to read: {}", place());
                    let shows = |note: &Note| note.kind == NoteKind::Found && note.rule == reason.rule;
                    assert!(
                        notes.iter().all(shows) || edits_silently,
                        "notes tell of documents that go on, or show why one does not: {}",
                        place()
                    );
                }
                Decision::Keep if notes.is_empty() && !edits_silently => {
                    // White space between lines may go without a word.
                    assert!(
                        document.text.split_whitespace().eq(text.split_whitespace()),
                        "an edit leaves a note: {}",
                        place()
                    );
                }
                Decision::Keep => {}
            }
        }
    }
}

#[test]
fn pages_of_every_kind_are_cleaned_alike() {
    for text in texts(20_000) {
        let page = format!("<html><body><article><p>{text}</p></article></body></html>");
        let clean = || CleanStep::new(&CleanConfig::default()).expect("valid");
        let (first, second) =
            (outcome(&mut clean(), &page, Media::Html), outcome(&mut clean(), &page, Media::Html));
        assert_eq!(first, second, "{}", text.chars().take(30).collect::<String>());
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
fn every_configuration_round_trips_and_refuses_unknown_keys() {
    configuration_round_trips::<CleanConfig>();
    configuration_round_trips::<LanguageConfig>();
    configuration_round_trips::<QualityConfig>();
    configuration_round_trips::<DecontaminateConfig>();
    configuration_round_trips::<Benchmark>();
    configuration_round_trips::<DedupConfig>();
    configuration_round_trips::<PerplexityConfig>();
    configuration_round_trips::<PiiConfig>();
    configuration_round_trips::<FilterConfig>();
    for &set in RuleSet::ALL {
        let unknown = format!(r#"{{"rules": ["{}"], "{}": {{"no_such_key": 1}}}}"#, set.name(), set.key());
        let error = serde_json::from_str::<FilterConfig>(&unknown).expect_err("an unknown key").to_string();
        assert!(error.contains("no_such_key"), "{error}");
        let empty = format!(r#"{{"rules": ["{}"], "{}": {{}}}}"#, set.name(), set.key());
        let mut config: FilterConfig = serde_json::from_str(&empty).expect("all keys have defaults");
        config.resolve();
        let written = serde_json::to_string(&config).expect("plain data");
        assert_eq!(serde_json::from_str::<FilterConfig>(&written).expect("its own text"), config);
    }
}

#[test]
fn signatures_conform() {
    let texts = texts(400_000);
    for hash in [Hash::Xxh3, Hash::Xxh64] {
        let config = MinHashConfig { hash, bands: 2, rows: 2, ..MinHashConfig::default() };
        let mut used = Hasher::new(&config);
        for text in &texts {
            assert_eq!(used.bands(text), Hasher::new(&config).bands(text));
        }
    }
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
        let once = outcome(&mut step, text, Media::Plain).1.text;
        assert_eq!(outcome(&mut step, &once, Media::Plain).1.text, once);
    }
}
