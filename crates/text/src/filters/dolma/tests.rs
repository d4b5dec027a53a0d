use orchestrator_core::Document;

use super::*;
use crate::filters::testing::{assert_drops, verdict};

/// Sixty words that do not repeat, with stop words.
fn prose() -> String {
    let words: Vec<String> = (0..60)
        .map(|n| match n {
            7 | 30 => "the".to_owned(),
            _ => format!("w{}ord{}", char::from(b'a' + (n % 26) as u8), char::from(b'a' + (n / 3) as u8)),
        })
        .collect();
    words.join(" ")
}

#[test]
fn each_fault_has_the_attributes_name() {
    let prose = prose();
    let config = DolmaGopherConfig::default();
    let lines = |line: &str, times| format!("{prose}\n") + &format!("{line}\n").repeat(times);
    assert_drops(
        &config,
        &[
            (&prose, None),
            ("one two three", Some(("word_count", "3"))),
            ("", Some(("word_count", "0"))),
            (&"a bc ".repeat(30), Some(("median_word_length", "1.5000"))),
            (&"incomprehensible ".repeat(60), Some(("median_word_length", "16"))),
            (&format!("{prose} {}", "#tag ".repeat(9)), Some(("symbol_to_word_ratio", "0.1304"))),
            (
                &format!("{prose} {}", "12345 ".repeat(20)),
                Some(("fraction_of_words_with_alpha_character", "0.7500")),
            ),
            (&prose.replace("the", "The"), Some(("required_word_count", "0"))),
            (&prose.replace(" w", "\n-w"), Some(("fraction_of_lines_starting_with_bullet_point", "0.9828"))),
            (&lines("more…", 2), Some(("fraction_of_lines_ending_with_ellipsis", "0.5000"))),
            (&lines("twice", 2), Some(("fraction_of_duplicate_lines", "0.5000"))),
        ],
    );
}

#[test]
fn all_copies_of_lines_and_grams_count() {
    let only = |lines, characters, grams| DolmaGopherConfig {
        min_word_count: None,
        min_median_word_length: None,
        required_word_count: None,
        fraction_of_duplicate_lines: lines,
        fraction_of_characters_in_duplicate_lines: characters,
        fraction_of_characters_in_most_common_2grams: grams,
        ..DolmaGopherConfig::default()
    };
    assert_drops(
        &only(Some(0.3), None, None),
        &[("yes\nno\nyes", Some(("fraction_of_duplicate_lines", "0.6667")))],
    );
    assert_drops(
        &only(None, Some(0.3), None),
        &[("yes\nno\nyes", Some(("fraction_of_characters_in_duplicate_lines", "0.7500")))],
    );
    assert_drops(
        &only(None, None, Some(0.2)),
        &[("ab c ab c d", Some(("fraction_of_characters_in_most_common_2grams", "0.8571")))],
    );
}

#[test]
fn lines_without_an_end_mark_go() {
    let run = |config: &DolmaC4Config, text: &str| {
        let mut notes = Vec::new();
        let text = match verdict(config, &Document::new("test", 0, text), &mut notes) {
            Ok(Verdict::Keep) => text.to_owned(),
            Ok(Verdict::Edit(edited)) => edited.text,
            Err(reason) => reason.rule.into_owned(),
        };
        (text, notes.len())
    };
    let config = DolmaC4Config::default();
    assert_eq!(run(&config, "Menu\nA line.\n\nIs it? \nno"), ("A line.\nIs it? \n".into(), 3));
    assert_eq!(run(&config, "All is well."), ("All is well.".into(), 0));
    assert_eq!(run(&config, "Menu\nHome"), ("empty".into(), 2));
    let strict = DolmaC4Config { has_javascript: true, has_curly_brace: true, ..config };
    assert_eq!(run(&strict, "Use JavaScript now.").0, "has_javascript");
    assert_eq!(run(&strict, "No {braces}.").0, "has_curly_brace");
}
