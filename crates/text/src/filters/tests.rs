//! The step: order, edits, notes, languages, profiles, wrong values.

use super::*;

const PROSE: &str = "The river rose slowly that spring, and the people of the valley watched it with care. \
    Every morning a child walked down to the old stone bridge to read the marks that were cut into its side. \
    She wrote each number in a small book, because her father had asked her to, and he was not there to ask why. \
    In May the water reached the seventh mark. Nobody living had seen it so high, though the oldest house kept \
    a line on its kitchen wall. They moved the animals to the hill, carried what they could, and waited together.";

fn judge(config: &FilterConfig, text: &str) -> (Decision, Document, Vec<Note>) {
    let mut document = Document::new("test", 0, text);
    let mut notes = Vec::new();
    let decision = FilterStep::new(config).expect("a valid configuration").apply(&mut document, &mut notes);
    (decision, document, notes)
}

#[test]
fn plain_prose_passes_all_rules_unedited() {
    let (decision, document, notes) = judge(&FilterConfig::default(), PROSE);
    assert_eq!((decision, document.text.as_str(), notes.len()), (Decision::Keep, PROSE, 0));
}

#[test]
fn the_first_failing_rule_set_names_the_drop() {
    let drop = |config: &FilterConfig, text: &str| match judge(config, text).0 {
        Decision::Drop(reason) => reason.rule.into_owned(),
        Decision::Keep => "kept".to_owned(),
    };
    let default = FilterConfig::default();
    assert_eq!(drop(&default, ""), "empty");
    assert_eq!(drop(&default, "A short note."), "top_2_gram");
    let quality = FilterConfig { rules: Some(vec![RuleSet::GopherQuality]), ..FilterConfig::default() };
    assert_eq!(drop(&quality, "A short note."), "gopher_short_doc");
    let none = FilterConfig { rules: Some(vec![]), ..FilterConfig::default() };
    assert_eq!(none.validate().expect_err("no rules").key, "rules");
}

#[test]
fn later_rules_see_the_text_that_c4_leaves_and_a_drop_leaves_no_notes() {
    let text = format!("Menu\n\n{PROSE}\n{PROSE} Enable javascript now please.\n");
    let config = FilterConfig { rules: Some(vec![RuleSet::C4, RuleSet::Fineweb]), ..FilterConfig::default() };
    let (decision, document, notes) = judge(&config, &text);
    assert_eq!((decision, document.text.as_str()), (Decision::Keep, PROSE));
    let spans: Vec<_> = notes.iter().map(|note| (note.rule.as_ref(), note.start, note.end)).collect();
    assert_eq!(
        spans,
        [("few_words_line", 0, 4), ("javascript_line", 7 + PROSE.len() as u64, text.len() as u64 - 1),]
    );
    let strict = FilterConfig {
        fineweb: Some(FinewebConfig {
            short_line_ratio: Some(0.0),
            short_line_length: 9999,
            ..FinewebConfig::default()
        }),
        ..config
    };
    let (decision, _, notes) = judge(&strict, &text);
    assert!(!decision.is_keep() && notes.is_empty());
}

#[test]
fn other_languages_pass_unless_named() {
    let mut document = Document { language: Some("de".into()), ..Document::new("test", 0, "Kurz.") };
    let mut step = FilterStep::new(&FilterConfig::default()).expect("valid");
    assert!(step.apply(&mut document, &mut Vec::new()).is_keep());
    let named = FilterConfig { languages: Some(vec!["de".into()]), ..FilterConfig::default() };
    assert!(!FilterStep::new(&named).expect("valid").apply(&mut document, &mut Vec::new()).is_keep());
}

#[test]
fn wrong_values_are_named_by_key() {
    let twice = FilterConfig { rules: Some(vec![RuleSet::C4, RuleSet::C4]), ..FilterConfig::default() };
    assert_eq!(twice.validate().expect_err("twice").key, "rules[1]");
    let negative = FilterConfig {
        fineweb: Some(FinewebConfig { list_ratio: Some(-1.0), ..FinewebConfig::default() }),
        ..FilterConfig::default()
    };
    assert_eq!(negative.validate().expect_err("negative").key, "fineweb.list_ratio");
}

#[test]
fn a_profile_is_its_projects_sets_and_resolving_writes_them_out() {
    for (profile, sets) in [
        (Profile::Datatrove, vec!["gopher-repetition", "gopher-quality", "c4", "fineweb"]),
        (Profile::Fineweb2, vec!["fineweb-2"]),
        (Profile::Dolma, vec!["dolma-gopher", "dolma-c4"]),
        (Profile::Dclm, vec!["dclm"]),
        (Profile::Curator, vec!["curator"]),
    ] {
        let mut config = FilterConfig { profile, ..FilterConfig::default() };
        config.validate().expect("a profile is valid");
        config.resolve();
        assert_eq!(config.rules().iter().map(|set| set.name()).collect::<Vec<_>>(), sets);
        let text = serde_json::to_value(&config).expect("plain data");
        let given: Vec<_> = RuleSet::ALL.iter().filter(|set| text.get(set.key()).is_some()).collect();
        assert_eq!(given, config.rules().iter().collect::<Vec<_>>());
        let again: FilterConfig = serde_json::from_value(text).expect("its own text");
        assert_eq!(again, config);
        again.validate().expect("what is resolved is valid");
    }
}

#[test]
fn one_threshold_is_overridden_without_the_others() {
    let config: FilterConfig =
        serde_json::from_str(r#"{"profile": "datatrove", "gopher_quality": {"gopher_short_doc": 10}}"#)
            .expect("one key");
    let quality = config.gopher_quality.as_ref().expect("given");
    assert_eq!((quality.gopher_short_doc, quality.gopher_long_doc), (Some(10), Some(100_000)));
    config.validate().expect("valid");
}

#[test]
fn options_of_a_set_that_does_not_judge_are_refused() {
    let stray = FilterConfig { dclm: Some(DclmConfig::default()), ..FilterConfig::default() };
    let error = stray.validate().expect_err("a stray key");
    assert_eq!(error.key, "dclm");
    assert!(error.message.contains("`dclm` is not among the rules: `gopher-repetition`"), "{error}");
    let two = FilterConfig { rules: Some(vec![RuleSet::C4, RuleSet::Dclm]), ..FilterConfig::default() };
    assert!(two.validate().expect_err("two edit").message.contains("both `c4` and `dclm` edit texts"));
}

#[test]
fn thresholds_that_no_document_can_pass_or_fail_are_refused() {
    let error = |config: FilterConfig| config.validate().expect_err("an impossible value").to_string();
    let repetition = |dup_line_frac| FilterConfig {
        gopher_repetition: Some(GopherRepetitionConfig {
            dup_line_frac: Some(dup_line_frac),
            ..GopherRepetitionConfig::default()
        }),
        ..FilterConfig::default()
    };
    assert_eq!(error(repetition(7.0)), "`gopher_repetition.dup_line_frac`: is 7; expected 0 to 1");
    assert!(repetition(1.0).validate().is_ok() && repetition(0.0).validate().is_ok());
    let quality = |gopher| FilterConfig { gopher_quality: Some(gopher), ..FilterConfig::default() };
    let gopher = GopherQualityConfig::default;
    for (config, expected) in [
        (
            GopherQualityConfig { gopher_below_alpha_threshold: Some(2.0), ..gopher() },
            "`gopher_quality.gopher_below_alpha_threshold`: is 2; expected 0 to 1",
        ),
        (
            GopherQualityConfig { gopher_short_doc: Some(500), gopher_long_doc: Some(10), ..gopher() },
            "`gopher_quality.gopher_long_doc`: is 10; expected 500 or more: `gopher_short_doc` drops what has fewer words",
        ),
        (
            GopherQualityConfig { gopher_short_doc: None, gopher_long_doc: Some(0), ..gopher() },
            "`gopher_quality.gopher_long_doc`: is 0; expected 1 or more",
        ),
        (
            GopherQualityConfig { gopher_above_avg_threshold: Some(2.5), ..gopher() },
            "`gopher_quality.gopher_above_avg_threshold`: is 2.5; expected 3 or more, which is `gopher_below_avg_threshold`",
        ),
        (
            GopherQualityConfig { gopher_enough_stop_words: Some(9), ..gopher() },
            "`gopher_quality.gopher_enough_stop_words`: is 9; expected at most 8, for there are no more `stop_words`",
        ),
    ] {
        assert_eq!(error(quality(config)), expected);
    }
    // What is counted for each word can be there more often than words are.
    let many = GopherQualityConfig { gopher_too_many_hashes: Some(2.0), ..gopher() };
    assert!(quality(many).validate().is_ok());
    let c4 = Some(C4Config { max_word_length: Some(0), ..C4Config::default() });
    let all_lines = error(FilterConfig { c4, ..FilterConfig::default() });
    assert_eq!(all_lines, "`c4.max_word_length`: is 0; expected 1 or more, or null");
}
