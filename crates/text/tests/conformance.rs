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
use orchestrator_text::dedup::{DedupConfig, Divider, ParagraphConfig, SubstringConfig};
use orchestrator_text::fasttext::{TrainConfig, Trainer};
use orchestrator_text::files::{FileError, Files, ReadFile};
use orchestrator_text::filters::{Filter, FilterConfig, FilterStep, Profile, Replay, RuleSet, UrlConfig};
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
    configuration_round_trips::<ParagraphConfig>();
    configuration_round_trips::<SubstringConfig>();
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

/// Texts are divided alike whatever came before them, and of any text any part can go.
#[test]
fn divisions_conform() {
    let texts = texts(60_000);
    for options in [
        r#"{"method": "paragraph"}"#,
        r#"{"method": "paragraph", "paragraph": {"unit": "line", "ngram": 3, "min_words": 0}}"#,
        r#"{"method": "paragraph", "paragraph": {"normalize": true}, "max_cut": 0.5}"#,
        r#"{"method": "substring", "substring": {"min_tokens": 7}, "min_left": 0}"#,
        r#"{"method": "substring", "min_left": 0,
            "substring": {"min_tokens": 6, "tokens": "characters", "word_bounds": true}}"#,
    ] {
        let config: DedupConfig = serde_json::from_str(options).expect("a configuration");
        config.validate().expect("a good one");
        let mut used = Divider::new(&config).expect("it cuts");
        let items = |divider: &mut Divider, document: &Document| {
            let mut items = Vec::new();
            let places = divider.items(document, &mut |hash, place| items.push((hash, place)));
            (places, items)
        };
        for text in &texts {
            let place = || format!("{options}: {}", text.chars().take(30).collect::<String>());
            let mut document = Document::new("conformance", 0, text.as_str());
            let (places, found) = items(&mut used, &document);
            let fresh = items(&mut Divider::new(&config).expect("it cuts"), &document);
            assert_eq!((places, &found), (fresh.0, &fresh.1), "{}", place());
            assert!(found.windows(2).all(|pair| pair[0].1 < pair[1].1), "{}", place());
            assert!(found.last().is_none_or(|&(_, last)| last < places), "{}", place());
            let (mut asked, mut notes) = (Vec::new(), Vec::new());
            let (taken, decision) = used.cut(&mut document, &mut notes, &mut |place| {
                asked.push(place);
                place % 3 == 0
            });
            assert_eq!(taken, places, "{}", place());
            assert!(asked.iter().eq(found.iter().map(|(_, place)| place)), "{}", place());
            let (cuts, mut again) = (decision.is_keep(), text.clone());
            for note in notes.iter().rev() {
                let place = note.start as usize..note.end as usize;
                assert!(text.get(place.clone()).is_some_and(|span| !span.is_empty()), "{note:?}");
                // What a document goes for as a whole is shown in it.
                assert_eq!(note.kind, if cuts { NoteKind::Removed } else { NoteKind::Found });
                if cuts {
                    again.replace_range(place, "");
                }
            }
            assert_eq!(document.text, again, "what goes is noted: {}", place());
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

/// Configurations of every set and profile, beside one with rules off.
fn filters() -> Vec<FilterConfig> {
    let url = UrlConfig { domains: vec!["domains.txt".into()], ..UrlConfig::default() };
    let profiles = [Profile::Datatrove, Profile::Fineweb2, Profile::Dolma, Profile::Dclm, Profile::Curator];
    let profiles = profiles.map(|profile| FilterConfig { profile, ..FilterConfig::default() });
    let sets = RuleSet::ALL.iter().map(|&set| FilterConfig {
        rules: Some(vec![set]),
        url: (set == RuleSet::Url).then(|| url.clone()),
        ..FilterConfig::default()
    });
    let off = r#"{"profile": "datatrove", "gopher_quality": {"gopher_short_doc": null, "gopher_long_doc": null},
        "gopher_repetition": {"top_2_gram": 0, "duplicated_5_n_grams": null, "duplicated_10_n_grams": 0},
        "c4": {"min_sentences": 2}, "fineweb": {"line_punct_exclude_zero": true}}"#;
    let off = serde_json::from_str(off).expect("a configuration");
    profiles.into_iter().chain(sets).chain([off]).collect()
}

/// Prose that passes some rules, in lines that others take away.
fn mixed() -> Vec<String> {
    let sentence =
        |n: usize| format!("The people of town {n} have walked with care to that place number {}.", n * 7);
    let prose = (0..12).map(sentence).collect::<Vec<_>>().join(" ");
    let lines = (0..12).map(sentence).collect::<Vec<_>>().join("\n");
    vec![
        prose.clone(),
        lines.clone(),
        format!("{lines}\n{prose}\n{lines}"),
        format!("Menu\nHome\n{prose}\nlorem ipsum and {{ a bracket\n{lines}"),
        format!("{prose}\n{{\nlorem ipsum is {{ here now\n"),
        format!("{}\n- a list\n- of things...\n", sentence(3)),
        format!("{lines}\n3 likes\nSHARE THIS\n"),
        "no end mark and few words".to_owned(),
    ]
}

fn rule(decision: &Decision) -> Option<String> {
    match decision {
        Decision::Drop(reason) => Some(reason.rule.to_string()),
        Decision::Keep => None,
    }
}

#[test]
fn what_is_measured_changes_no_verdict_and_tells_it_again() {
    let texts: Vec<String> = texts(20_000).into_iter().chain(mixed()).collect();
    let mut measured_behind_a_drop = 0;
    for config in filters() {
        let step = || FilterStep::from(Arc::new(Filter::new(&config, &Lists).expect("valid")));
        let (mut plain, mut scoring) = (step(), step());
        let mut replay = Replay::new(&config, &Lists).expect("valid");
        assert_eq!(scoring.columns(), replay.columns());
        for text in &texts {
            for language in [None, Some("en"), Some("de"), Some("xx")] {
                let place = || format!("{:?} {language:?}: {text:.60}", config.rules());
                let mut one = Document {
                    url: Some("https://www.bad.example/some/word".to_owned()),
                    language: language.map(str::to_owned),
                    ..Document::new("conformance", 0, text.as_str())
                };
                let mut two = one.clone();
                let (mut notes_one, mut notes_two) = (Vec::new(), Vec::new());
                let mut row = vec![None; scoring.columns().len()];
                let decision = plain.apply(&mut one, &mut notes_one);
                assert_eq!(scoring.measure(&mut two, &mut notes_two, &mut row), decision, "{}", place());
                assert_eq!((one, notes_one), (two, notes_two), "{}", place());
                assert_eq!(replay.judge(language, &row).map(str::to_owned), rule(&decision), "{}", place());
                let behind = row.last().is_some_and(Option::is_some);
                measured_behind_a_drop += u64::from(!decision.is_keep() && behind);
            }
        }
    }
    assert!(measured_behind_a_drop > 100, "rules behind the first that fails are measured too");
}

#[test]
fn other_thresholds_are_judged_from_measures_as_from_texts() {
    let texts: Vec<String> = texts(20_000).into_iter().chain(mixed()).collect();
    let moves = [
        (
            "datatrove",
            r#"{"gopher_quality": {"gopher_short_doc": 3, "gopher_enough_stop_words": null},
            "gopher_repetition": {"top_2_gram": null, "dup_line_frac": 0.9, "top_3_gram": 0.5},
            "c4": {"min_sentences": 1}, "fineweb": {"list_ratio": 0.01, "line_punct_ratio": null}}"#,
        ),
        (
            "fineweb-2",
            r#"{"fineweb_2": {"gopher_short_doc": 3, "others": {"top_2_gram": 0.9},
            "thresholds": {"de": {"line_punct_ratio": 0.9}}}}"#,
        ),
        ("dolma", r#"{"dolma_gopher": {"min_word_count": 2, "required_word_count": null}}"#),
        ("dclm", r#"{"dclm": {"min_page_length": null, "word_removal_ratio": 0.5, "stop_word": 0}}"#),
        ("curator", r#"{"curator": {"min_word_count": 1, "alpha_numeric": null, "urls_ratio": 0.0}}"#),
    ];
    for (profile, moved) in moves {
        let mut value: serde_json::Value = serde_json::from_str(moved).expect("JSON");
        value["profile"] = profile.into();
        let moved: FilterConfig = serde_json::from_value(value).expect("a configuration");
        let before = serde_json::json!({ "profile": profile });
        let before: FilterConfig = serde_json::from_value(before).expect("a profile");
        let step = |config: &FilterConfig| FilterStep::new(config).expect("valid");
        let (mut scoring, mut again) = (step(&before), step(&moved));
        let mut replay = Replay::new(&moved, &Lists).expect("valid");
        let mut changed = 0;
        for text in &texts {
            for language in [None, Some("en"), Some("de")] {
                let language = language.map(str::to_owned);
                let mut document = Document { language, ..Document::new("moved", 0, text.as_str()) };
                let mut row = vec![None; scoring.columns().len()];
                let was = scoring.measure(&mut document.clone(), &mut Vec::new(), &mut row);
                let told = replay.judge(document.language.as_deref(), &row).map(str::to_owned);
                let is = again.apply(&mut document, &mut Vec::new());
                assert_eq!(told, rule(&is), "{profile}: {text:.60}");
                changed += u64::from(rule(&was) != rule(&is));
            }
        }
        assert!(changed > 0, "{profile}: the other thresholds have an effect");
    }
}

#[test]
fn keys_that_change_texts_or_measures_are_told_from_those_that_choose() {
    let replay = Replay::new(&FilterConfig::default(), &Lists).expect("valid");
    for good in ["gopher_quality.gopher_short_doc", "c4.min_sentences", "fineweb.line_punct_exclude_zero"] {
        assert_eq!(replay.moves(good), Ok(()), "{good}");
    }
    for bad in
        ["c4.min_words_per_line", "gopher_quality.stop_words", "fineweb.short_line_length", "languages"]
    {
        assert!(replay.moves(bad).is_err(), "{bad}");
    }
    assert!(replay.moves("c4.filter_policy").expect_err("edits").message.contains("changes texts"));
}
